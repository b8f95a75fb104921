"""A hub, a computer that plays what a person may meet, and browsers: opened once for all tests of a module."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast

from playwright.async_api import Browser, BrowserContext, Locator, Page, ViewportSize, async_playwright, expect
from typing_extensions import override

from deskhand.clock import stamp
from deskhand.protocol import events as ev
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Folder, Origin, Runner, Trust
from deskhand.protocol.tasks import Action, Approval, Artifact, Brief
from deskhand.protocol.wire import sha256_of
from tests.acceptance.stage import Stage, stage
from tests.acceptance.test_page import FLAGS, PHONE
from tests.acceptance.thinker import Thinker
from tests.needs import chromium_path
from tests.papers import armed, pdf, sealed

DESKTOP = ViewportSize(width=1280, height=800)
DIFF = """--- a/offer.md
+++ b/offer.md
@@ -1,3 +1,3 @@
 Dear Hana
-We ask 1,200
+We ask 1,400
 Yours
"""
FOREIGN = (
    "<h1>Report</h1><p onclick='top.hacked=1'>Sales grew.</p><script>top.hacked = 1; parent.hacked = 1</script>"
    "<img src='https://evil.example/pixel.png'><img src=x onerror='top.hacked=1'>"
    "<meta http-equiv='refresh' content='0;url=https://evil.example/'><a href='https://evil.example/'>more</a>"
)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fccff0bf1e00057f0280a5a9c8e"
    "50000000049454e44ae426082"
)
PDF = armed(
    pdf("Sales grew", "by a tenth"), script="app.launchURL('https://evil.example/')", address="https://evil.example/"
)
RESULTS = {
    "notes.md": b"# Notes\n\nAll is **well**.",
    "dot.png": PIXEL,
    "sales.csv": "city,sum\nSeoul,12\n부산,7\n".encode(),
    "offer.diff": DIFF.encode(),
    "report.html": FOREIGN.encode(),
    "pages.pdf": PDF,
    "sealed.pdf": sealed(PDF, password="x"),
}


@dataclass(kw_only=True)
class Hand(Thinker):
    """Plays each task by its first word, and keeps the brief of each for a test that goes on by itself."""

    late: set[str] = field(default_factory=set[str])
    """First words of tasks that it does not pick up yet."""
    standing: str = "up"
    saying: asyncio.Lock = field(default_factory=asyncio.Lock)

    @override
    def described(self) -> Runner:
        return super(Thinker, self).described()

    @override
    def lent(self) -> tuple[Folder, ...]:
        [one] = super(Thinker, self).lent()
        return tuple(one.but(id=f"fld_{name}", root=f"/home/me/{name}", label=name) for name in ("Meetings", "Offers"))

    @override
    async def hear(self, event: Event) -> None:
        if event.kind in {"approval.decided", "question.answered"}:
            name = str(event.body.get("approval") or event.body["question"])
            if name in self.waiting:
                await super(Thinker, self).hear(event)
        elif event.kind == "task.assigned":
            brief = Brief.from_json(event.body["brief"])
            self.briefs.append(brief)
            if brief.text.split()[0] not in self.late:
                await self.begin(brief)

    @override
    async def begin(self, brief: Brief) -> None:
        first = brief.text.split()[0]
        if first not in {"high", "soon", "change", "files"}:
            await super().begin(brief)
            return
        await self.op("task.accept", {"epoch": brief.epoch}, task=brief.task)
        if first == "files":
            for name, data in RESULTS.items():
                await self.hand_in(brief, name, data)
            await self.deliver(brief)
        else:
            await self.want(brief, first)

    async def want(self, brief: Brief, what: str) -> None:
        """Ask for something of a high risk, for little time, or with the change it would make."""
        argv = ("python3", "send.py", "offer.md")
        action = Action(tool="shell", arguments={"argv": list(argv)}, argv=argv, target="hana@example.com")
        if what == "change":
            action = action.but(preview=DIFF)
        soon = self.rim.hub.clock.now() + timedelta(minutes=4)
        approval = Approval(
            id=self.rim.ids.new("apr"),
            task=brief.task,
            thread=brief.thread,
            runner=self.id,
            epoch=brief.epoch,
            sentence=f"Send the offer to Hana ({brief.text})",
            action=action,
            action_sha256=sha256_of(action.to_json()),
            nonce="0" * 32,
            risk="high" if what == "high" else "medium",
            scopes=("once",),
            rule="ask_first",
            why="It leaves this computer.",
            expires_at=stamp(soon) if what == "soon" else None,
            then="deny" if what == "soon" else "wait",
            requested_at=self.now(),
        )
        self.waiting[approval.id] = brief
        await self.about(brief, ev.ApprovalRequested(epoch=brief.epoch, approval=approval))

    async def hand_in(self, brief: Brief, name: str, data: bytes) -> None:
        """Make one file a result."""
        sha256 = hashlib.sha256(data).hexdigest()
        await self.link.upload_blob(_whole(data), sha256=sha256, size=len(data))
        ending = name.rsplit(".", 1)[-1]
        artifact = Artifact(
            id=self.rim.ids.new("art"),
            task=brief.task,
            name=name,
            media_type=TYPES.get(ending, "text/plain"),
            size=len(data),
            sha256=sha256,
            runner=self.id,
            path=f"{self.root}/{name}",
            origin=Origin(surface="agent", device=self.id),
            trust=Trust.UNTRUSTED,
            created_at=self.now(),
        )
        await self.about(brief, ev.ArtifactCreated(epoch=brief.epoch, artifact=artifact))

    async def note(self, state: str) -> None:
        """Say how the computer itself stands."""
        async with self.saying:  # a beat under way may not be heard after it
            self.standing = state
            await self.op("presence.note", {"state": state})

    async def beat(self) -> None:
        """Be heard until cancelled: who is silent for long is taken to be asleep."""
        while True:
            await self.rim.hub.clock.sleep(5)
            async with self.saying:
                await self.op("presence.note", {"state": self.standing})


TYPES = {
    "md": "text/markdown",
    "png": "image/png",
    "csv": "text/csv",
    "html": "text/html",
    "pdf": "application/pdf",
}


async def _whole(data: bytes) -> AsyncGenerator[bytes]:
    yield data


@dataclass(kw_only=True)
class Hands:
    """The stage with its browser; every test has devices of its own."""

    here: Stage
    browser: Browser

    @property
    def computer(self) -> Hand:
        """The computer that plays."""
        return cast("Hand", self.here.computer)

    async def device(self, *, language: str = "en-US", desktop: bool = False, script: str = "") -> Page:
        """Add a phone, or a screen on a desk; ``script`` runs before the page's own."""
        view = DESKTOP if desktop else PHONE
        context = await self.browser.new_context(
            viewport=view, locale=language, has_touch=not desktop, reduced_motion="reduce"
        )
        if script:
            await context.add_init_script(script)
        page = await context.new_page()
        await page.goto(await self.here.link())
        await expect(page.locator("#compose")).to_be_visible()
        return page


@asynccontextmanager
async def hands(home: Path) -> AsyncGenerator[Hands]:
    """Open the hub, its computer at work, and a browser."""
    async with stage(home, kind=Hand) as here, async_playwright() as driver:
        computer = cast("Hand", here.computer)
        work = asyncio.gather(computer.run(), computer.beat())
        browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield Hands(here=here, browser=browser)
        finally:
            await browser.close()
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work


async def tell(page: Page, text: str) -> Locator:
    """Hand a task over; return its card once it is there."""
    await page.locator("#compose").fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()
    card = page.get_by_role("article", name=f"Task: {text}")
    await expect(card).to_be_visible()
    return card


async def kept(page: Page) -> None:
    """Wait until the page's own files are here, so that it opens without a network."""
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await page.reload()
    await expect(page.locator("#compose")).to_be_visible()
    await page.wait_for_function("navigator.serviceWorker.controller !== null")


async def picture(page: Page, name: str) -> None:
    """Keep a picture where the environment says, for whoever wants to look."""
    folder = os.environ.get("DESKHAND_SHOTS")
    if folder:
        await page.screenshot(path=str(Path(folder) / f"{name}.png"))


async def left(context: BrowserContext) -> None:
    """Close what a test opened."""
    await context.close()
