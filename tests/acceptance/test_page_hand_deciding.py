"""The page in the hand: a yes or a no, an answer, and what came of it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Page, Request, expect

from tests.acceptance.hand import Hands, hands, left, picture, tell
from tests.acceptance.test_page import AXE, DRAWN, faults, talk

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

VOICE = """
window.SpeechRecognition = class {
  start() { window.heard = this; }
  stop() { this.onend(); }
};
"""
"""A browser that hears; what it understood is said by the test."""
SHARES = """
navigator.canShare = () => true;
navigator.share = async ({ files }) => { window.shared = files.map((one) => [one.name, one.type, one.size]); };
"""

INKED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, at) => at % 4 === 0 && value < 128);
}"""
"""Whether something dark is drawn."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Hands]:
    """Everything, opened once."""
    async with hands(tmp_path_factory.mktemp("deciding")) as opened:
        yield opened


async def _results(page: Page) -> None:
    card = await tell(page, "files please")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()


async def test_the_sheet_shows_the_change_itself_and_a_no_with_its_reason(at: Hands) -> None:
    """Behaviour 9: what, to whom, in which words; each changed line; no and yes stand apart; the reason arrives."""
    page = await at.device()
    await tell(page, "change the price")
    await page.get_by_role("button", name="Review").click()
    sheet = page.get_by_role("dialog", name="Approval")

    await expect(sheet.get_by_text("Send the offer to Hana")).to_be_visible()
    await expect(sheet.get_by_text("Medium risk")).to_be_visible()
    await expect(sheet.get_by_text("hana@example.com", exact=True)).to_be_visible()
    change = sheet.get_by_role("region", name="Preview")
    await expect(change.get_by_role("row").filter(has_text="removed:")).to_have_text(re.compile("We ask 1,200"))
    await expect(change.get_by_role("row").filter(has_text="added:")).to_have_text(re.compile("We ask 1,400"))
    deny = await sheet.get_by_role("button", name="Deny").bounding_box()
    allow = await sheet.get_by_role("button", name="Allow once").bounding_box()
    await picture(page, "approval-change")
    await sheet.get_by_role("textbox", name="Reason for a no (optional)").fill("too dear")
    await sheet.get_by_role("button", name="Deny").click()

    await expect(page.get_by_text("too dear").last).to_be_visible()
    assert deny is not None
    assert allow is not None
    assert allow["x"] - (deny["x"] + deny["width"]) > 80
    assert min(deny["height"], allow["height"]) >= 44
    await left(page.context)


async def test_a_high_risk_is_allowed_only_by_a_press_that_is_held(at: Hands) -> None:
    """Behaviour 10: a tap, and a press let go of early, do nothing; the other screens say who decided and when (12)."""
    page, other = await at.device(), await at.device(desktop=True)
    card = await tell(page, "high stakes")
    await other.get_by_role("link", name=re.compile("high stakes")).click()
    await page.get_by_role("button", name="Review").click()
    sheet = page.get_by_role("dialog", name="Approval")
    hold = sheet.get_by_role("button", name="Allow once")
    await expect(hold).to_be_enabled()

    await hold.hover()
    await page.mouse.down()
    await expect(sheet.get_by_text("Keep holding")).to_be_visible()
    await page.mouse.up()
    await expect(hold).to_have_text(re.compile("hold"))
    await expect(card.get_by_text("Needs you", exact=True)).to_have_count(1)
    await picture(page, "approval-high")
    await page.mouse.down()
    await expect(sheet).to_have_count(0)
    await page.mouse.up()

    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    said = re.compile(r"Allowed by Chrome on Linux, \d\d:\d\d")
    await expect(talk(other).get_by_text(said)).to_be_visible(timeout=1000)
    await left(page.context)
    await left(other.context)


async def test_a_helping_device_that_cannot_hold_presses_twice(at: Hands) -> None:
    """Behaviours 10 and 22: a click without a press before it asks once more, in words, and then counts."""
    page = await at.device()
    card = await tell(page, "high without hands")
    await page.get_by_role("button", name="Review").click()
    hold = page.get_by_role("dialog", name="Approval").get_by_role("button", name=re.compile("Allow once|Press again"))
    await expect(hold).to_be_enabled()

    await hold.evaluate("(node) => node.click()")
    await expect(hold).to_have_text("Press again to allow")
    await hold.evaluate("(node) => node.click()")

    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    await left(page.context)


async def test_what_waits_stands_in_one_place_and_counts_down_to_what_happens_then(at: Hands) -> None:
    """Behaviour 11: from all threads; the time left ticks; it says that nothing said is a no."""
    page = await at.device()
    await tell(page, "soon or never")
    await page.get_by_role("link", name="Back").click()
    await page.get_by_role("link", name=re.compile("Needs you")).first.click()
    row = page.get_by_role("article", name=re.compile("soon or never"))
    left_over = row.get_by_text(re.compile(r"^3 min \d+ s left, until \d\d:\d\d. Then it is denied.$"))

    await expect(left_over).to_be_visible()
    before = await left_over.inner_text()
    await picture(page, "needs-you")

    await expect(left_over).not_to_have_text(before)
    assert await page.title() == f"({await page.get_by_role('main').get_by_role('article').count()}) Deskhand"
    await left(page.context)


async def test_a_question_is_answered_by_a_chip_in_own_words_or_by_voice(at: Hands) -> None:
    """Behaviour 13: choices are one tap; what was heard stands in the field and is sent by a person."""
    page = await at.device(script=VOICE)
    card = await tell(page, "ask me by voice")
    question = talk(page).get_by_role("article", name="Question")
    await expect(question.get_by_role("button", name="One page")).to_be_visible()
    await question.get_by_role("button", name="Speak").click()
    await expect(question.get_by_role("button", name="Listening, tap to stop")).to_be_visible()

    await page.evaluate("window.heard.onresult({results: [[{transcript: 'half a page'}]]}); window.heard.onend()")
    await expect(question.get_by_role("textbox", name="Your answer")).to_have_value("half a page")
    await picture(page, "question")
    await question.get_by_role("button", name="Answer", exact=True).click()

    await expect(talk(page).get_by_text("Chrome on Linux: half a page")).to_be_visible()
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
    await left(page.context)


async def test_the_result_stands_first_then_what_proves_it_then_how_it_came_about(at: Hands) -> None:
    """Behaviour 14: summary, files, checks, plan, in this order; what changed, and a way to take it back."""
    page = await at.device()
    card = await tell(page, "/brief in order")
    await expect(card.get_by_text("Verified", exact=True)).to_be_visible()

    parts = (
        card.get_by_text("One page from three notes"),
        card.get_by_role("button", name=re.compile("briefing.md")),
        card.get_by_text("2 checks passed"),
        card.get_by_text("Plan · 3 of 3"),
        card.get_by_text(re.compile("on laptop · .*1 new")),
    )
    heights = [box["y"] for box in [await part.bounding_box() for part in parts] if box is not None]

    assert len(heights) == len(parts)
    assert heights == sorted(heights)
    await expect(card.get_by_role("button", name="Undo")).to_be_visible()
    await picture(page, "result")
    await left(page.context)


async def test_every_kind_of_result_can_be_looked_at_saved_and_shared(at: Hands) -> None:
    """Behaviour 15: words, a picture, a table, a change side by side; save and share hand over the file itself."""
    page = await at.device(desktop=True, script=SHARES)
    await _results(page)
    sheet = page.get_by_role("dialog")

    async def look(name: str) -> None:
        await talk(page).get_by_role("button", name=re.compile(name)).click()
        await expect(sheet).to_be_visible()

    await look("notes.md")
    await expect(sheet.get_by_role("heading", name="Notes", exact=True)).to_be_visible()
    await sheet.get_by_role("button", name="Close").click()
    await look("dot.png")
    await expect(sheet.get_by_role("img", name="dot.png")).to_be_visible()
    await sheet.get_by_role("button", name="Close").click()
    await look("sales.csv")
    await expect(sheet.get_by_role("columnheader")).to_have_text(["city", "sum"])
    await expect(sheet.get_by_role("cell", name="부산")).to_be_visible()
    await sheet.get_by_role("button", name="Share").click()
    await page.wait_for_function("window.shared")
    assert (await page.evaluate("window.shared"))[0][0] == "sales.csv"
    async with page.expect_download() as saved:
        await sheet.get_by_role("button", name="Download").click()
    assert (await saved.value).suggested_filename == "sales.csv"
    await sheet.get_by_role("button", name="Close").click()
    await look("offer.diff")
    await expect(sheet.get_by_role("row").filter(has_text="We ask 1,200")).to_have_text(re.compile("We ask 1,400"))
    await picture(page, "diff-side-by-side")
    await sheet.get_by_role("button", name="Close").click()
    await left(page.context)


async def test_the_pages_of_a_pdf_are_drawn_and_can_do_nothing(at: Hands) -> None:
    """Behaviour 15, UP-04: page after page with its words for who cannot see them; no script, link or request of it."""
    page = await at.device()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await _results(page)
    await talk(page).get_by_role("button", name=re.compile("pages.pdf")).click()
    sheet = page.get_by_role("dialog", name="pages.pdf")
    first, second = (sheet.get_by_role("figure", name=f"Page {n} of 2") for n in (1, 2))

    await expect(first.locator("canvas")).to_have_text("Sales grew")
    await picture(page, "pdf-pages")
    inked = await first.locator("canvas").evaluate(INKED)
    await first.click()
    await second.scroll_into_view_if_needed()
    await expect(second.locator("canvas")).to_have_text("by a tenth")

    assert inked
    assert page.url.startswith(at.here.url)
    assert [url for url in asked if not url.startswith((at.here.url, "blob:"))] == []
    await left(page.context)


async def test_a_pdf_that_cannot_be_read_says_so(at: Hands) -> None:
    """Behaviour 15: a locked file leads on to the download."""
    page = await at.device()
    await _results(page)
    await talk(page).get_by_role("button", name=re.compile("sealed.pdf")).click()
    sheet = page.get_by_role("dialog", name="sealed.pdf")

    await expect(sheet.get_by_role("alert")).to_contain_text("broken or locked by a password")

    await expect(sheet.get_by_role("button", name="Download")).to_be_enabled()
    await left(page.context)


async def test_a_web_page_of_an_agent_can_do_nothing_here(at: Hands) -> None:
    """UP-04: no script, no picture or address from elsewhere, no way out of its frame; its words are there to read."""
    page = await at.device()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 - what is bound must be a function
    await _results(page)
    await talk(page).get_by_role("button", name=re.compile("report.html")).click()
    sheet = page.get_by_role("dialog", name="report.html")
    frame = sheet.frame_locator("iframe")

    await expect(frame.get_by_role("heading", name="Report")).to_be_visible()
    await picture(page, "foreign-page")
    await frame.get_by_text("Sales grew.").click()
    await frame.get_by_role("link", name="more").click()
    await page.evaluate(DRAWN)

    assert await page.evaluate("window.hacked") is None
    assert page.url.startswith(at.here.url)
    # The browser tells of what our policy stopped, too: it never left.
    outside = [one for one in asked if "evil.example" in one.url]
    assert [(one.url, one.failure) for one in outside if one.failure != "csp"] == []
    assert len(page.context.pages) == 1
    await left(page.context)


async def test_no_sheet_of_deciding_or_reading_has_an_accessibility_fault(at: Hands) -> None:
    """Behaviour 22: axe at zero on the held yes, the change side by side, the question and the frame, light and dark."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in web/")
    page = await at.device(desktop=True)
    found: list[str] = []

    async def look(name: str) -> None:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme="light" if scheme == "light" else "dark", reduced_motion="reduce")
            await page.evaluate(DRAWN)
            found.extend(f"{name} {scheme}: {one}" for one in await faults(page))
            await picture(page, f"{name}-{scheme}")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()

    await _results(page)
    for name in ("offer.diff", "report.html", "sales.csv", "pages.pdf"):
        await talk(page).get_by_role("button", name=re.compile(name)).click()
        await page.get_by_role("dialog").wait_for()
        await look(name)
    for text in ("high under the lens", "change under the lens"):
        await page.get_by_role("navigation", name="Main").get_by_role("link", name="Threads").click()
        await tell(page, text)
        await page.get_by_role("button", name="Review").click()
        await page.get_by_text("What is shown is what will run.").wait_for()
        await look(text.split()[0])

    assert found == []
    await left(page.context)
