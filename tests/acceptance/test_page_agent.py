"""The page while an agent thinks, and while there is none: what a person sees, may change, and taps on."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import Page, expect

from deskhand.protocol import events as ev
from deskhand.protocol.tasks import Brief, Check, Money, PlanItem, Task, TaskState, Usage, Verdict
from tests.acceptance.stage import Stage
from tests.acceptance.test_page import AXE, DRAWN, faults, hand_over, opened, phone, shot, talk
from tests.acceptance.thinker import Thinker, until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(90)]

WAITS = "summarise the notes and send them to the team"
MANY = 12_345


@asynccontextmanager
async def thinking(home: Path, *models: str, language: str = "en-US") -> AsyncGenerator[tuple[Stage, Thinker, Page]]:
    """A page beside a computer that has these models and the stand-in; none without a name."""
    async with opened(home, kind=Thinker) as (here, browser):
        computer = cast("Thinker", here.computer)
        if models:
            await computer.connect(*models)
        yield here, computer, await phone(here, browser, language=language)


async def stored(here: Stage, brief: Brief) -> Task:
    """Return the task as the hub has it."""
    task = await here.rim.hub.store.get(here.rim.owner.account, Task, brief.task)
    assert task is not None
    return task


async def test_a_sentence_without_a_model_runs_only_as_the_preview_that_was_tapped(tmp_path: Path) -> None:
    """A-06: suggestions show what would run, where, and which words they would not do; one tap runs exactly that."""
    async with thinking(tmp_path) as (_, _, page):
        await hand_over(page, WAITS)
        offered = talk(page).get_by_role("region", name="Did you mean one of these?")
        await expect(offered.get_by_text("Makes briefing.md of 3 notes.")).to_be_visible()
        await expect(offered.get_by_text("Would not do: “and send them")).to_be_visible()
        await expect(talk(page).get_by_text("Waiting", exact=True)).to_be_visible()
        await shot(page, "suggestions")

        await offered.get_by_role("button", name="Run this: /brief notes/ --pages 1").click()

        card = page.get_by_role("article", name=re.compile("Task: summarise"))
        await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
        await expect(card.get_by_text("Chosen by you: /brief notes/ --pages 1")).to_be_visible()
        await expect(offered).to_have_count(0)


async def test_when_a_model_appears_one_question_asks_for_all_that_waited(tmp_path: Path) -> None:
    """A-06: nothing starts by itself; one tap starts what waited, and the question takes its choices only."""
    async with thinking(tmp_path) as (_, computer, page):
        await hand_over(page, WAITS)
        await expect(talk(page).get_by_role("button", name=re.compile("Run this"))).to_have_count(2)
        await computer.connect()

        await page.get_by_role("link", name="Back").click()
        await page.get_by_role("link", name="1 Needs you").click()
        question = page.get_by_role("article", name="Question")
        await expect(question.get_by_text("A task waited for a model.")).to_be_visible()
        await expect(question.get_by_role("link", name=WAITS)).to_be_visible()
        await expect(question.get_by_role("textbox")).to_have_count(0)
        assert computer.briefs == []
        await question.get_by_role("button", name="Run now").click()

        brief = await computer.given()
        assert brief.text == WAITS


async def test_what_counts_as_done_is_shown_and_changed_while_the_work_goes_on(tmp_path: Path) -> None:
    """A-08: the restated criteria say whose words they are; what their owner makes of them is what the hub has."""
    async with thinking(tmp_path, "llama") as (here, computer, page):
        await hand_over(page, "write a report")
        brief = await computer.given()
        restated = ("report.md exists", "It is one page")
        await computer.about(brief, ev.CriteriaRestated(epoch=brief.epoch, criteria=restated))
        card = page.get_by_role("article", name=re.compile("Task: write a report"))
        await expect(card.get_by_text("as the agent understood it")).to_be_visible()

        await card.get_by_role("button", name="Change").click()
        field = card.get_by_role("textbox", name="Done when (one per line)")
        await expect(field).to_have_value("\n".join(restated))
        await field.fill("report.md exists\nIt is two pages")
        await card.get_by_role("button", name="Save").click()

        await expect(card.get_by_text("in your words")).to_be_visible()
        await expect(card.get_by_text("It is two pages")).to_be_visible()
        assert (await stored(here, brief)).criteria == ("report.md exists", "It is two pages")


async def test_what_counts_as_done_can_be_said_before_anything_runs(tmp_path: Path) -> None:
    """A-08: the owner's words go along when the task starts, and the agent's own take on them does not replace them."""
    async with thinking(tmp_path) as (_, computer, page):
        await hand_over(page, WAITS)
        card = page.get_by_role("article", name=re.compile("Task: summarise"))
        await card.get_by_role("button", name="Say when it is done").click()
        await card.get_by_role("textbox", name="Done when (one per line)").fill("\n One page \n\n")
        await card.get_by_role("button", name="Save").click()
        await expect(card.get_by_text("in your words")).to_be_visible()
        await computer.connect()

        await talk(page).get_by_role("button", name="Run now").click()
        brief = await computer.given()
        restated = ev.CriteriaRestated(epoch=brief.epoch, criteria=("Something else",))
        await computer.about(brief, restated)
        await computer.about(brief, ev.PlanUpdated(epoch=brief.epoch, items=(PlanItem(text="x"),)))

        await expect(card.get_by_text("Plan · 0 of 1")).to_be_visible()
        await expect(card.get_by_text("in your words")).to_be_visible()
        assert brief.criteria == ("One page",)


async def test_the_plan_ticks_and_an_opinion_is_weaker_than_a_check_that_was_run(tmp_path: Path) -> None:
    """A-08: live ticks; checks with evidence; what the verifier says is marked; what was used is on the card (A-03)."""
    async with thinking(tmp_path, "llama") as (_, computer, page):
        await hand_over(page, "write a report")
        brief = await computer.given()
        epoch = brief.epoch
        card = page.get_by_role("article", name=re.compile("Task: write a report"))
        for done in (False, True):
            items = (PlanItem(text="Read the notes", done=True), PlanItem(text="Write", done=done))
            await computer.about(brief, ev.PlanUpdated(epoch=epoch, items=items))
            await expect(card.get_by_text(f"Plan · {1 + done} of 2")).to_be_visible()
        await expect(card.get_by_text("Model: stand-in (a scripted program")).to_be_visible()

        await computer.about(brief, ev.TaskMoved(epoch=epoch, state=TaskState.VERIFYING))
        ran = Check(name="report.md exists", passed=True, evidence="1,204 bytes")
        read = Check(name="It is one page", passed=True, evidence="41 lines", ran_by="verifier")
        for check in (ran, read):
            await computer.about(brief, ev.CheckFinished(epoch=epoch, check=check))
        used = Usage(steps=7, input_tokens=MANY, money=Money(amount="0.0123", currency="USD"))
        ended = ev.TaskFinished(
            state=TaskState.COMPLETED,
            verdict=Verdict.VERIFIED,
            summary="The report is there.",
            usage=used,
            model="stand-in",
            epoch=epoch,
        )
        await computer.about(brief, ended)

        await card.get_by_text("1 check passed · verifier's opinion: 1 of 1").click()
        await expect(card.get_by_text("weaker than a check that was run")).to_be_visible()
        await expect(card.get_by_text("7 steps · 12.3K tokens · 0.0123 USD")).to_be_visible()
        await shot(page, "agent-card")


async def test_words_appear_while_they_are_said_and_stay_where_they_are_when_they_are_final(tmp_path: Path) -> None:
    """Behaviour 7: only who looks at the thread is told; the message takes the draft's place and nothing moves."""
    async with thinking(tmp_path, "llama") as (_, computer, page):
        await hand_over(page, "how many meetings were there?")
        brief = await computer.given(watched=True)
        await computer.type(brief, "There were **se")
        await expect(talk(page).get_by_text("is writing")).to_be_visible()
        await computer.type(brief, "ven** of them.", offset=15)
        await expect(talk(page).get_by_text("There were seven of them.")).to_be_visible()
        words = talk(page).get_by_text("seven", exact=True)
        before = await words.bounding_box()
        await words.evaluate("(node) => { window.first = node.closest('article') }")

        await computer.tell(brief, "There were **seven** of them.")
        await expect(talk(page).get_by_text("is writing")).to_have_count(0)

        assert await words.bounding_box() == before
        assert await words.evaluate("(node) => window.first === node.closest('article')")
        await page.get_by_role("link", name="Back").click()
        await until(computer, lambda: brief.thread not in computer.watched)


async def test_a_plain_answer_is_a_message_without_a_verdict(tmp_path: Path) -> None:
    """A-08: a plain question gets words, no card; what said them is still named."""
    async with thinking(tmp_path, "llama") as (_, computer, page):
        await hand_over(page, "how many meetings were there?")
        brief = await computer.given()
        await expect(talk(page).get_by_text("Working", exact=True)).to_be_visible()
        await computer.tell(brief, "Seven.")
        ended = ev.TaskFinished(
            state=TaskState.COMPLETED,
            verdict=Verdict.UNVERIFIED,
            summary="Seven.",
            model="stand-in",
            answer=True,
            epoch=brief.epoch,
        )
        await computer.about(brief, ended)

        await expect(page.get_by_role("article", name=re.compile("Task: how"))).to_have_count(0)
        await expect(talk(page).get_by_text("Seven.", exact=True)).to_be_visible()
        await expect(talk(page).get_by_text("not a language model")).to_be_visible()
        await expect(talk(page).get_by_text("Unverified")).to_have_count(0)
        await shot(page, "answer")


async def test_a_command_is_completed_by_keys_and_by_taps(tmp_path: Path) -> None:
    """A-05: names, options once each, help with sentences in the person's language."""
    async with thinking(tmp_path) as (_, _, page):
        field = page.get_by_role("textbox", name="What should be done?")
        await field.fill("/b")
        await page.get_by_role("option", name=re.compile(r"\/brief")).wait_for()
        await field.press("Tab")
        await expect(field).to_have_value("/brief ")
        await field.press_sequentially("notes --p")
        await field.press("Enter")
        await expect(field).to_have_value("/brief notes --pages ")
        help_ = page.get_by_role("note", name="How /brief is used")
        await expect(help_.get_by_text("Brief me on the notes")).to_be_visible()
        await shot(page, "help")

        await help_.get_by_role("button", name="--out NAME").tap()

        await expect(field).to_have_value("/brief notes --pages --out ")
        await expect(help_.get_by_role("button")).to_have_count(0)
        await field.press("Escape")
        await expect(help_).to_have_count(0)


async def test_a_model_is_chosen_for_one_task_or_for_the_thread(tmp_path: Path) -> None:
    """A-03: settable live per thread or task; a stand-in is named in the list too."""
    async with thinking(tmp_path, "ollama:llama9") as (here, computer, page):
        choice = page.get_by_role("combobox", name="Model")
        await expect(choice.get_by_role("option", name=re.compile("stand-in .a scripted program"))).to_have_count(1)
        await choice.select_option("task:ollama:llama9")
        await hand_over(page, "write a report")
        brief = await computer.given()
        assert brief.model == "ollama:llama9"

        await talk(page).get_by_role("button", name="Stop this task").wait_for()
        await page.get_by_text("New task").click()
        await choice.select_option("thread:ollama:llama9")

        await expect(choice).to_have_value("thread:ollama:llama9")
        await hand_over(page, "write another")
        await expect(page.get_by_role("article", name="Task: write another")).to_be_visible()
        second, _ = await here.rim.hub.store.find(here.rim.owner.account, Task)
        assert (second.title, second.model) == ("write another", "ollama:llama9")


async def test_a_computer_says_with_what_it_thinks_and_what_its_folders_say(tmp_path: Path) -> None:
    """A-03, A-09: model, source and label; the folder's own file with its origin, content and never permission."""
    async with thinking(tmp_path, "ollama:llama9") as (_, _, page):
        await page.get_by_role("link", name="Computers").click()

        main = page.get_by_role("main")
        await expect(main.get_by_text("stand-in (a scripted program")).to_be_visible()
        await expect(main.get_by_text("set in its configuration · 32K tokens")).to_be_visible()
        await expect(main.get_by_text("AGENTS.md of this folder · 1,840 characters")).to_be_visible()
        await expect(main.get_by_text("content, never permission")).to_be_visible()
        await shot(page, "computers")


async def test_a_limit_that_is_reached_is_a_question_with_two_choices(tmp_path: Path) -> None:
    """A-08, A-10: at 100 % the task asks; the answer travels as it stands on the button."""
    async with thinking(tmp_path, "llama") as (here, computer, page):
        await hand_over(page, "write a report")
        brief = await computer.given()
        choices = ("Go on with as much again", "Stop here")
        await computer.ask(brief, "This task used 200 of 200 steps. Shall it go on?", *choices)

        await talk(page).get_by_role("button", name="Go on with as much again").click()

        await expect(talk(page).get_by_text("Go on with as much again", exact=True)).to_be_visible()
        assert (await stored(here, brief)).waiting_for == ()


async def test_a_word_to_a_running_task_is_guidance(tmp_path: Path) -> None:
    """A-10: the box guides what runs unless its owner says that it is a new task."""
    async with thinking(tmp_path, "llama") as (_, computer, page):
        await hand_over(page, "write a report")
        await computer.given()
        await page.get_by_role("radio", name="Guidance").wait_for()

        await hand_over(page, "shorter, please")

        await expect(talk(page).get_by_text("shorter, please")).to_be_visible()
        assert len(computer.briefs) == 1


async def test_nothing_of_this_has_an_accessibility_fault(tmp_path: Path) -> None:
    """Behaviour 22: axe is at zero with suggestions, help, criteria being changed, plan and live text, in both languages."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in web/")
    async with thinking(tmp_path, language="ko-KR") as (_, computer, page):
        found: list[str] = []

        async def look(what: str) -> None:
            for scheme, width in (("light", 390), ("dark", 1280)):
                await page.emulate_media(color_scheme=cast("Any", scheme), reduced_motion="reduce")
                await page.set_viewport_size({"width": width, "height": 844})
                await page.evaluate(DRAWN)
                await shot(page, f"ko-{what}-{width}")
                found.extend(f"{what} {scheme}: {one}" for one in await faults(page))

        field = page.get_by_role("textbox", name="무엇을 할까요?")
        await field.fill("/brief ")
        await page.get_by_role("note").wait_for()
        await look("help")
        await field.fill(WAITS)
        await page.get_by_role("button", name="보내기", exact=True).click()
        await page.get_by_role("button", name=re.compile("이것 실행")).first.wait_for()
        await look("suggestions")
        await computer.connect("ollama:llama9")
        await page.get_by_role("article", name="질문").get_by_role("button").first.click()
        brief = await computer.given(watched=True)
        plan = (PlanItem(text="메모 읽기", done=True), PlanItem(text="브리핑 쓰기"))
        await computer.about(brief, ev.PlanUpdated(epoch=brief.epoch, items=plan))
        await computer.type(brief, "메모 세 개를 찾았습니다.")
        await page.get_by_text("작성 중").wait_for()
        await page.get_by_role("button", name="완료 조건 적기").click()
        await look("working")

        assert found == []
