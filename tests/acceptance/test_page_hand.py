"""The page in the hand: handing over, following the work, finding it again, on a phone and at a desk."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from deskhand.protocol import events as ev
from deskhand.protocol.tasks import Budget, BudgetMoney, PlanItem, Task
from deskhand.protocol.wire import JsonObject
from tests.acceptance.hand import Hands, hands, kept, left, picture, tell
from tests.acceptance.test_page import AXE, DRAWN, faults, talk
from tests.acceptance.thinker import until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FOCUSED = "addEventListener('focusin', () => { window.focusedAt ??= performance.now(); }, true)"
TRAVELS = """
window.moved = [];
const animate = Element.prototype.animate;
Element.prototype.animate = function (...how) {
  window.moved.push(this.getAttribute("href") ?? "");
  return animate.apply(this, how);
};
"""
"""Notes every row that is set in motion."""
FIELD = "What should be done?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hands]:
    """Everything, opened once."""
    async with hands(tmp_path_factory.mktemp("hand")) as opened:
        yield opened


async def test_the_composer_is_ready_within_a_second_of_a_cold_start_before_any_network(at: Hands) -> None:
    """Behaviour 1: from what is stored here, focused, with the list beside it; a new account shows four places (26)."""
    page = await at.device(script=FOCUSED)
    await tell(page, "/brief before the cold start")
    await kept(page)
    await page.get_by_role("link", name="Back").click()
    places = page.get_by_role("navigation", name="Main").get_by_role("link")
    await expect(places).to_have_count(4)
    names = [re.sub(r"^\d+\s*", "", name.strip()) for name in await places.all_inner_texts()]
    await page.context.set_offline(True)

    await page.reload()

    await expect(page.get_by_role("textbox", name=FIELD)).to_be_focused()
    await expect(page.get_by_role("link", name=re.compile("before the cold start")).last).to_be_visible()
    assert await page.evaluate("window.focusedAt") < 1000
    assert names == ["Threads", "Needs you", "Computers", "Settings"]
    await picture(page, "cold-start")
    await left(page.context)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
async def test_a_row_travels_to_its_new_place(at: Hands, motion: Literal["no-preference", "reduce"]) -> None:
    """Behaviour 22, P-02: what begins to need somebody is seen to go up; who wants less motion has none."""
    page = await at.device(desktop=True, script=TRAVELS)
    await page.emulate_media(reduced_motion=motion)
    await tell(page, f"/brief first {motion}")
    thread = page.url.split("/threads/")[1].split("/")[0]
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Threads").click()
    await tell(page, f"/brief second {motion}")

    await at.here.owner("message.post", {"text": "ask which"}, thread=thread)

    needs = page.get_by_role("list", name="Needs you").get_by_role("link", name=re.compile(f"first {motion}"))
    await expect(needs).to_be_visible()
    moved = await page.evaluate("window.moved")
    assert (thread in "".join(moved)) is (motion == "no-preference")
    await left(page.context)


async def test_words_wait_are_taken_back_sent_and_picked_up_each_with_a_time(at: Hands) -> None:
    """Behaviour 2: every tick is a word with a time; what waits survives a reload and can be taken back."""
    at.computer.late.add("/actions")
    page = await at.device()
    await kept(page)
    await page.context.set_offline(True)
    field = page.get_by_role("textbox", name=FIELD)
    await field.fill("/actions never")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(talk(page).get_by_text("Waiting on this device")).to_be_visible()
    await page.get_by_role("button", name="Take it back").click()
    await expect(talk(page).get_by_text("/actions never")).to_have_count(0)
    await field.fill("/actions notes/")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(talk(page).get_by_text("Waiting on this device")).to_be_visible()
    await page.reload()
    await expect(talk(page).get_by_text("Waiting on this device")).to_be_visible()
    await picture(page, "ticks-waiting")

    await page.context.set_offline(False)

    mine = talk(page).get_by_role("article").filter(has_text="actions notes").first
    await expect(mine.get_by_text(re.compile(r"^Sent"))).to_be_visible(timeout=20_000)
    await expect(mine.get_by_role("time")).to_have_text(re.compile(r"^\d\d:\d\d$"))
    await until(at.computer, lambda: any(one.text == "/actions notes/" for one in at.computer.briefs))
    at.computer.late.clear()
    await at.computer.begin(at.computer.briefs[-1])
    await expect(mine.get_by_text("Picked up")).to_be_visible()
    assert [one.text for one in at.computer.briefs].count("/actions never") == 0
    await left(page.context)


async def test_a_computer_that_is_off_is_said_with_since_when_and_what_happens_then(at: Hands) -> None:
    """Behaviours 3 and 21: the card and the pill say it, with a time, and the pill with cause and cure."""
    page = await at.device()
    card = await tell(page, "wait for the computer")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()

    await at.computer.note("off")
    try:
        said = re.compile(r"laptop was switched off at \d\d:\d\d.*when it is back on")
        await expect(card.get_by_text(said)).to_be_visible()
        await page.get_by_role("button", name="Connection: Computer off").click()
        sheet = page.get_by_role("dialog")
        await expect(sheet.get_by_text(re.compile(r"\d\d:\d\d"))).to_be_visible()
        await expect(sheet.get_by_role("button", name="Try now")).to_be_visible()
        await picture(page, "computer-off")
        await sheet.get_by_role("button", name="Close").click()
        second = await at.device(desktop=True)
        later = await tell(second, "/brief when it is back")
        await expect(
            later.get_by_text(re.compile(r"switched off since \d\d:\d\d. The task starts when"))
        ).to_be_visible()
    finally:
        await at.computer.note("up")
    await expect(later.get_by_text("Verified", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Connection: Connected")).to_be_visible()
    await page.context.set_offline(True)
    await page.get_by_role("button", name=re.compile("Connection: (Reconnecting|Offline)")).click()
    await expect(
        page.get_by_role("dialog").get_by_text(re.compile("network|connection", re.IGNORECASE)).first
    ).to_be_visible()
    await left(page.context)
    await left(second.context)


async def test_the_card_says_state_time_computer_limits_and_what_is_done_just_now(at: Hands) -> None:
    """Behaviour 4: the time ticks; one line tells what is done now; costs and limits stand at the foot."""
    page = await at.device()
    card = await tell(page, "wait and count")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()
    brief = await at.computer.given()
    timer = card.get_by_role("timer", name="Time")
    await expect(timer).to_have_text(re.compile(r"^\d+ s$"))
    first = await timer.inner_text()

    await at.computer.about(
        brief, ev.StepStarted(epoch=brief.epoch, step=2, tool="files.read", title="Read 3 of 11 notes")
    )

    await expect(card.get_by_text("Read 3 of 11 notes")).to_be_visible()
    await expect(card.get_by_text("on laptop")).to_be_visible()
    await expect(timer).not_to_have_text(first)
    task = await at.here.rim.hub.store.get(at.here.rim.owner.account, Task, brief.task)
    assert task is not None
    budget = Budget(steps=50, money=BudgetMoney(amount="0.50"))
    body: JsonObject = {"text": "wait within limits", "budget": budget.to_json()}
    await at.here.owner("message.post", body, thread=task.thread)
    await expect(page.get_by_text("at most 50 steps, 0.50 USD")).to_be_visible()
    await picture(page, "card")
    await left(page.context)


async def test_what_is_being_written_survives_a_reload_and_a_hidden_page(at: Hands) -> None:
    """Behaviour 7: a page that comes back finds the draft as far as it is, on another device too."""
    page, other = await at.device(), await at.device(desktop=True)
    card = await tell(page, "wait and write")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()
    await other.get_by_role("link", name=re.compile("wait and write")).click()
    brief = await at.computer.given(watched=True)
    await at.computer.type(brief, "There were **sev")
    for one in (page, other):
        await expect(talk(one).get_by_text("is writing")).to_be_visible()

    await page.reload()
    await expect(talk(page).get_by_text("There were")).to_be_visible()
    await page.evaluate("dispatchEvent(new Event('pageshow'))")
    await at.computer.type(brief, "en** meetings.", offset=16)

    for one in (page, other):
        await expect(talk(one).get_by_text("There were seven meetings.")).to_be_visible()
    await left(page.context)
    await left(other.context)


async def test_work_is_paused_guided_and_stopped_and_guidance_is_shown_as_queued(at: Hands) -> None:
    """Behaviour 8: stop stands in sight while there is something to stop; guidance says when it will be read."""
    page = await at.device()
    card = await tell(page, "wait for guidance")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()
    brief = await at.computer.given()
    stop = card.get_by_role("button", name="Stop this task")
    await expect(stop).to_be_in_viewport()

    await page.get_by_role("textbox", name=FIELD).fill("shorter, please")
    await page.get_by_role("button", name="Send", exact=True).click()
    guidance = talk(page).get_by_role("article").filter(has_text="shorter, please")
    await expect(guidance.get_by_text("Guidance")).to_be_visible()
    await expect(guidance.get_by_text("Queued, read before the next step")).to_be_visible()
    await picture(page, "guidance")
    await at.computer.about(brief, ev.StepFinished(epoch=brief.epoch, step=1, outcome="ok", summary="read"))
    await at.computer.about(brief, ev.StepStarted(epoch=brief.epoch, step=2, tool="files.write", title="write"))
    await expect(guidance.get_by_text("Picked up")).to_be_visible()

    await card.get_by_role("button", name="Pause").click()
    await expect(card.get_by_text("Paused", exact=True)).to_be_visible()
    await expect(stop).to_be_visible()
    await stop.click()
    await expect(card.get_by_text("Stopped", exact=True)).to_be_visible()
    await left(page.context)


async def test_what_was_read_on_one_device_is_read_on_the_others_within_a_second(at: Hands) -> None:
    """Behaviour 17: the mark goes on the phone when the desk reads, without a reload; badges count the same."""
    phone, desk = await at.device(), await at.device(desktop=True)
    row = phone.get_by_role("link", name=re.compile("news of the day"))
    await at.here.owner("message.post", {"text": "/brief news of the day", "title": "news of the day"})
    await expect(row.get_by_text("Verified")).to_be_visible()
    await expect(row.get_by_text("New", exact=True)).to_have_count(1)

    await desk.get_by_role("link", name=re.compile("news of the day")).click()
    await expect(talk(desk).get_by_text("Verified", exact=True)).to_be_visible()

    await expect(row.get_by_text("New", exact=True)).to_have_count(0, timeout=1000)
    await left(phone.context)
    await left(desk.context)


async def test_the_page_works_by_keyboard(at: Hands) -> None:
    """Behaviour 22: `/` searches, `j` and `k` go through the list, `a` opens an approval and only Enter allows it."""
    page = await at.device(desktop=True)
    await tell(page, "/brief another by keyboard")
    await page.get_by_role("link", name="Threads").first.click()
    card = await tell(page, "change by keyboard")
    await page.get_by_role("button", name="Review").wait_for()
    await page.get_by_role("textbox", name=FIELD).press("Escape")

    await page.keyboard.press("a")
    sheet = page.get_by_role("dialog", name="Approval")
    await expect(sheet.get_by_role("button", name="Allow once")).to_be_focused()
    await expect(card.get_by_text("Needs you", exact=True)).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()

    await page.keyboard.press("j")
    first = await page.evaluate("document.activeElement.getAttribute('href')")
    await page.keyboard.press("j")
    second = await page.evaluate("document.activeElement.getAttribute('href')")
    await page.keyboard.press("k")
    assert {first[:10], second[:10]} == {"#/threads/"}
    assert first != second
    assert await page.evaluate("document.activeElement.getAttribute('href')") == first
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox", name="Search threads, results and files")).to_be_focused()
    await left(page.context)


async def test_a_syllable_that_is_being_put_together_is_never_sent(at: Hands) -> None:
    """Behaviour 23: Enter that ends a syllable is not Enter; the next one is."""
    page = await at.device(language="ko-KR", desktop=True)
    field = page.get_by_role("textbox", name="무엇을 할까요?")
    await field.fill("/brief 회의")
    composing = (
        "(node) => node.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )

    await field.evaluate(composing)
    await expect(field).to_have_value("/brief 회의")
    await field.press("Enter")

    await expect(
        page.get_by_role("article", name="작업: /brief 회의").get_by_text("검증됨", exact=True)
    ).to_be_visible()
    await picture(page, "korean-desktop")
    await left(page.context)


async def test_search_finds_threads_results_and_files_and_leads_there(at: Hands) -> None:
    """P-08: by words in any order and case, from what is on this device; a thread is renamed, put away and erased."""
    page = await at.device()
    card = await tell(page, "/brief Quarter Figures")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    await page.get_by_role("button", name="About this thread").click()
    await page.get_by_role("textbox", name="Name").fill("Figures of the third quarter")
    await page.get_by_role("button", name="Rename").click()
    await expect(page.get_by_role("heading", name="Figures of the third quarter")).to_be_visible()
    await page.get_by_role("button", name="About this thread").click()
    await page.get_by_role("button", name="Archive").click()
    await page.get_by_role("link", name="Back").click()
    main = page.get_by_role("main")
    await expect(main.get_by_role("link", name=re.compile("Figures of the third quarter"))).to_have_count(0)

    await main.get_by_role("searchbox").fill("FIGURES quarter")
    await expect(main.get_by_role("list", name="Threads").get_by_role("link")).to_have_count(1)
    await expect(main.get_by_role("list", name="Results").get_by_text("Quarter Figures")).to_be_visible()
    await picture(page, "search")
    await main.get_by_role("list", name="Threads").get_by_role("link").click()
    await page.get_by_role("button", name="About this thread").click()
    erase = page.get_by_role("button", name="Hold to erase")
    await erase.hover()
    await page.mouse.down()
    await expect(main.get_by_role("searchbox")).to_be_visible()
    await page.mouse.up()
    await main.get_by_role("searchbox").fill("third quarter")
    await expect(main.get_by_text("Nothing here has these words.")).to_be_visible()
    await left(page.context)


async def test_several_tasks_of_one_thread_stand_apart_each_with_its_own_state(at: Hands) -> None:
    """P-08: two at once in one thread: each card has its state, its stop and its time."""
    page = await at.device()
    first = await tell(page, "wait for the first")
    await page.get_by_text("New task").click()
    second = await tell(page, "/brief the second meanwhile")

    await expect(second.get_by_text("Verified", exact=True)).to_be_visible()
    await expect(first.get_by_text("Working", exact=True)).to_be_visible()
    await expect(first.get_by_role("button", name="Stop this task")).to_be_visible()
    await expect(second.get_by_role("button", name="Stop this task")).to_have_count(0)
    await picture(page, "two-tasks")
    await left(page.context)


async def test_what_changes_is_announced_once_and_politely(at: Hands) -> None:
    """Behaviour 22: a screen reader hears the end of a task, not each of its steps; nothing moves for who wants rest."""
    page = await at.device()
    card = await tell(page, "wait quietly")
    await expect(card.get_by_text("Working", exact=True)).to_be_visible()
    brief = await at.computer.given()
    spoken = page.get_by_role("status").filter(has_text="wait quietly")

    for step in range(2, 6):
        item = PlanItem(text=f"part {step}", done=True)
        await at.computer.about(brief, ev.PlanUpdated(epoch=brief.epoch, items=(item,)))
    await expect(card.get_by_text("part 5")).to_be_visible()
    assert await spoken.count() == 0
    await at.computer.deliver(brief)

    await expect(spoken).to_have_text("wait quietly: Verified")
    assert await spoken.get_attribute("aria-live") == "polite"
    assert (
        await page.evaluate(
            "document.getAnimations().filter(one => one.effect.getComputedTiming().duration > 10).length"
        )
        == 0
    )
    await left(page.context)


async def test_large_text_and_every_new_screen_have_no_accessibility_fault(at: Hands) -> None:
    """Behaviour 22: axe at zero with search, thread menu and guidance, also where letters are twice as large."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in web/")
    page = await at.device()
    await tell(page, "wait under the lens")
    found: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme="light" if scheme == "light" else "dark", reduced_motion="reduce")
        await page.evaluate("document.documentElement.style.fontSize = '200%'")
        await page.evaluate(DRAWN)
        found += await faults(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("button", name="About this thread").click()
        await page.evaluate(DRAWN)
        found += await faults(page)
        await picture(page, f"large-{scheme}")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await page.get_by_role("link", name="Back").click()
    await page.get_by_role("main").get_by_role("searchbox").fill("lens")
    await page.evaluate(DRAWN)
    found += await faults(page)

    assert found == []
    await left(page.context)
