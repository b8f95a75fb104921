"""Makes the pictures of the README from a real hub, a computer that plays its work, and the built page in Chromium.

    python scripts/screenshots.py             # writes docs/pictures/*.png

What is shown happens each time anew: a finished task with its checks and its file, an approval that waits, a question
that waits. Names, words and the hour are always the same, so that a picture changes only when the page does. It
refuses a picture that is too heavy for a README.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from playwright.async_api import Browser, Page, async_playwright, expect
from typing_extensions import override

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from deskhand.clock import SystemClock  # noqa: E402 - the stage of the tests must be found first
from deskhand.protocol import events as ev  # noqa: E402 - the stage of the tests must be found first
from deskhand.protocol.tasks import (  # noqa: E402 - the stage of the tests must be found first
    Action,
    Approval,
    Brief,
    Changes,
    Check,
    PlanItem,
    Question,
    TaskState,
    Verdict,
)
from deskhand.protocol.wire import sha256_of  # noqa: E402 - the stage of the tests must be found first
from tests.acceptance.hand import DESKTOP, Hand  # noqa: E402 - the stage of the tests must be found first
from tests.acceptance.stage import Stage, stage  # noqa: E402 - the stage of the tests must be found first
from tests.acceptance.test_page import DRAWN, FLAGS, PHONE  # noqa: E402 - the stage of the tests must be found first
from tests.needs import chromium_path  # noqa: E402 - the stage of the tests must be found first

PICTURES = ROOT / "docs" / "pictures"
BYTES_MAX = 150 * 1024
BEGAN = datetime(2026, 11, 23, 0, 4, tzinfo=UTC)
ZONE = "Asia/Seoul"
OFFER = """--- a/offer.md
+++ b/offer.md
@@ -3,3 +3,3 @@
 Dear Hana
-Twelve days, 4,800 in all.
+Eleven days, 4,400 in all.
 Yours, Mina
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What is said in one language."""

    locale: str
    finished: str
    asks: str
    wonders: str
    works: str
    plan: tuple[str, str, str]
    file: str
    briefing: str
    checks: tuple[tuple[str, str], tuple[str, str]]
    summary: str
    sentence: str
    why: str
    question: str
    choices: tuple[str, str]
    needs: str
    folder: str = "Meetings"


ENGLISH = Words(
    locale="en-US",
    finished="Summarise yesterday's three meeting notes into a one-page briefing",
    asks="Send Hana the revised offer",
    wonders="Draft the invitation to the workshop",
    works="Merge the price lists of October and November",
    plan=("Read the three notes", "Write one page", "Find every line again in its note"),
    file="briefing.md",
    briefing="# Briefing\n\n" + "- Call the printer on Friday (`client-call.md:8`)\n" * 11,
    checks=(
        ("Every line is found again in the notes", "11 of 11 lines"),
        ("One page", "11 lines, 62 words"),
    ),
    summary="One page from **three** notes: 3 actions and 2 decisions, each with its file and line.\n\n"
    "- Call the printer on **Friday**\n- Send Hana the revised offer\n- Book the small room",
    sentence="Send offer.md by e-mail to hana@example.com",
    why="It leaves this computer.",
    question="In which language should the invitation be?",
    choices=("English", "English and Korean"),
    needs="Needs you",
)
KOREAN = Words(
    locale="ko-KR",
    finished="어제 회의록 세 개를 한 장으로 요약해 줘",
    asks="하나 씨에게 수정한 제안서 보내기",
    wonders="워크숍 초대장 초안 쓰기",
    works="10월과 11월 가격표 합치기",
    plan=("회의록 세 개 읽기", "한 장으로 쓰기", "모든 줄을 회의록에서 다시 찾기"),
    file="브리핑.md",
    briefing="# 브리핑\n\n" + "- 금요일에 인쇄소에 전화하기 (`client-call.md:8`)\n" * 11,
    checks=(("모든 줄이 회의록에 있음", "11줄 중 11줄"), ("한 장 분량", "11줄, 62단어")),
    summary="회의록 **세 개**를 한 장으로 정리했습니다. 할 일 3개와 결정 2개에 파일과 줄 번호를 붙였습니다.\n\n"
    "- **금요일**에 인쇄소에 전화하기\n- 하나 씨에게 수정한 제안서 보내기\n- 작은 회의실 예약하기",
    sentence="offer.md를 hana@example.com으로 보냅니다",
    why="이 컴퓨터 밖으로 나갑니다.",
    question="초대장은 어느 언어로 쓸까요?",
    choices=("한국어", "한국어와 영어"),
    needs="확인 필요",
)


@dataclass(kw_only=True)
class Hour(SystemClock):
    """A wall clock that stands still until it is moved; leases go by the machine's own."""

    at: datetime = BEGAN
    steps: int = 0

    @override
    def now(self) -> datetime:
        """Return the hour that it is in the picture, each time a little later so that nothing happens at once."""
        self.steps += 1
        return self.at + timedelta(microseconds=self.steps)

    def move(self, **by: float) -> None:
        """Let time go by."""
        self.at += timedelta(**by)


@dataclass(kw_only=True)
class Player(Hand):
    """Plays each task as it is named in its words."""

    words: Words = field(default=ENGLISH)
    played: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def hour(self) -> Hour:
        """The clock of the hub."""
        return cast("Hour", self.rim.hub.clock)

    @override
    async def hear(self, event: ev.Event) -> None:
        if event.kind == "task.assigned":
            await self.begin(Brief.from_json(event.body["brief"]))
            self.played.set()

    @override
    async def begin(self, brief: Brief) -> None:
        await self.op("task.accept", {"epoch": brief.epoch}, task=brief.task)
        if brief.text == self.words.finished:
            await self.finish(brief)
        elif brief.text == self.words.asks:
            await self.want_to_send(brief)
        elif brief.text == self.words.wonders:
            question = Question(
                id=self.rim.ids.new("qst"),
                task=brief.task,
                thread=brief.thread,
                text=self.words.question,
                choices=self.words.choices,
                asked_at=self.now(),
            )
            await self.about(brief, ev.QuestionAsked(epoch=brief.epoch, question=question))
        else:
            title = "table.merge october.xlsx"
            await self.about(brief, ev.StepStarted(epoch=brief.epoch, step=1, tool="table.merge", title=title))

    async def finish(self, brief: Brief) -> None:
        """Hand a checked page over, after less than a minute."""
        epoch, words = brief.epoch, self.words
        self.hour.move(seconds=47)
        await self.hand_in(brief, words.file, words.briefing.encode())
        items = tuple(PlanItem(text=one, done=True) for one in words.plan)
        await self.about(brief, ev.PlanUpdated(epoch=epoch, items=items))
        await self.about(brief, ev.TaskMoved(epoch=epoch, state=TaskState.VERIFYING))
        for name, evidence in words.checks:
            check = Check(name=name, passed=True, evidence=evidence)
            await self.about(brief, ev.CheckFinished(epoch=epoch, check=check))
        finished = ev.TaskFinished(
            state=TaskState.COMPLETED,
            verdict=Verdict.VERIFIED,
            summary=words.summary,
            changes=Changes(created=1),
            epoch=epoch,
        )
        await self.about(brief, finished)

    async def want_to_send(self, brief: Brief) -> None:
        """Want to send something out."""
        argv = ("mail", "--to", "hana@example.com", "offer.md")
        action = Action(
            tool="shell", arguments={"argv": list(argv)}, argv=argv, target="hana@example.com", preview=OFFER
        )
        approval = Approval(
            id=self.rim.ids.new("apr"),
            task=brief.task,
            thread=brief.thread,
            runner=self.id,
            epoch=brief.epoch,
            sentence=self.words.sentence,
            action=action,
            action_sha256=sha256_of(action.to_json()),
            nonce="0" * 32,
            risk="medium",
            scopes=("once", "task"),
            rule="ask_first",
            why=self.words.why,
            requested_at=self.now(),
        )
        await self.about(brief, ev.ApprovalRequested(epoch=brief.epoch, approval=approval))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A hub with its work, and the browser that looks at it."""

    here: Stage
    browser: Browser
    words: Words

    async def page(self, *, desktop: bool = False, dark: bool = False) -> Page:
        """Open the page on a phone, or at a desk."""
        context = await self.browser.new_context(
            viewport=cast("Any", DESKTOP if desktop else PHONE),
            device_scale_factor=1 if desktop else 2,
            has_touch=not desktop,
            is_mobile=not desktop,
            locale=self.words.locale,
            timezone_id=ZONE,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        page = await context.new_page()
        hour = cast("Hour", self.here.rim.hub.clock)
        await page.clock.set_fixed_time(hour.at + timedelta(seconds=30))
        await page.goto(await self.here.link())
        await expect(page.locator("#compose")).to_be_visible()
        return page

    async def begin(self) -> None:
        """Have all of it happen, each some minutes after the last."""
        player = cast("Player", self.here.computer)
        for text in (self.words.works, self.words.wonders, self.words.asks, self.words.finished):
            player.hour.move(minutes=4)
            player.played.clear()
            await self.here.owner("message.post", {"text": text})
            await player.played.wait()


@asynccontextmanager
async def scene(home: Path, browser: Browser, words: Words) -> AsyncGenerator[Scene]:
    """Open everything, with the work done as far as it goes."""
    async with stage(home, kind=Player, clock=Hour()) as here:
        player = cast("Player", here.computer)
        player.words = words
        work = asyncio.ensure_future(player.run())
        try:
            opened = Scene(here=here, browser=browser, words=words)
            await opened.begin()
            yield opened
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work


async def finished(page: Page, words: Words) -> None:
    """Go to the task that is finished."""
    row = page.get_by_role("link").filter(has_text=words.finished).locator("visible=true").first
    await row.click()
    await expect(page.get_by_role("button").filter(has_text=words.file)).to_be_visible()


async def keep(page: Page, name: str) -> None:
    """Write a picture once nothing moves."""
    await page.evaluate(DRAWN)
    path = PICTURES / f"{name}.png"
    await page.screenshot(path=str(path), animations="disabled", caret="hide")
    size = path.stat().st_size
    sys.stdout.write(f"{path.relative_to(ROOT)}  {size:,} bytes\n")
    if size > BYTES_MAX:
        sys.exit(f"{path.name} is heavier than {BYTES_MAX:,} bytes")
    await page.context.close()


async def english(here: Scene) -> None:
    """The finished task on the phone and at the desk, the sheet of an approval, and what waits, in the dark."""
    page = await here.page()
    await finished(page, here.words)
    await keep(page, "phone")

    page = await here.page(desktop=True)
    await finished(page, here.words)
    await keep(page, "desktop")

    page = await here.page()
    await page.get_by_role("navigation").first.get_by_role("link", name=here.words.needs).click()
    await page.get_by_role("button", name="Review").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await keep(page, "approval")

    page = await here.page(dark=True)
    await page.get_by_role("navigation").first.get_by_role("link", name=here.words.needs).click()
    await expect(page.get_by_text(here.words.question, exact=True)).to_be_visible()
    await keep(page, "dark")


async def korean(here: Scene) -> None:
    """The same in Korean."""
    page = await here.page()
    await finished(page, here.words)
    await keep(page, "korean")


async def main() -> None:
    """Make all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        for words, draw in ((ENGLISH, english), (KOREAN, korean)):
            with tempfile.TemporaryDirectory() as home:
                async with scene(Path(home), browser, words) as here:
                    await draw(here)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
