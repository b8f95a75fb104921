"""The web app in a real browser, against the real hub over HTTP: what a person sees and does, by roles and labels."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, async_playwright, expect

from deskhand.protocol.objects import Device, Role
from deskhand.protocol.ops import Principal
from tests.acceptance.handset import handset
from tests.acceptance.stage import Computer, Stage, stage
from tests.needs import chromium_path

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(90)]

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
PHONE = ViewportSize(width=390, height=844)
DRAWN = """new Promise(done => {
  const moving = () => document.getAnimations().some(one => one.playState === "running");
  const look = () => moving() ? requestAnimationFrame(look) : done();
  requestAnimationFrame(() => requestAnimationFrame(look));
})"""
"""Wait until nothing moves any more: half-way through a change of colours every contrast is wrong."""


@asynccontextmanager
async def opened(
    home: Path, *, working: bool = True, kind: type[Computer] = Computer
) -> AsyncGenerator[tuple[Stage, Browser]]:
    """A hub, its computer at work, and a browser."""
    async with stage(home, kind=kind) as here, async_playwright() as driver:
        work = asyncio.ensure_future(here.computer.run()) if working else None
        browser = await driver.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield here, browser
        finally:
            await browser.close()
            if work is not None:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work


async def phone(here: Stage, browser: Browser, *, language: str = "en-US") -> Page:
    """A page that was added by its link."""
    context = await browser.new_context(viewport=PHONE, locale=language, has_touch=True)
    page = await context.new_page()
    await page.goto(await here.link())
    await expect(page.get_by_role("textbox")).to_be_visible()
    return page


async def hand_over(page: Page, text: str) -> None:
    """Type into the composer and send."""
    await page.get_by_role("textbox", name="What should be done?").fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()


def talk(page: Page) -> Locator:
    """The conversation, without the list beside it."""
    return page.get_by_role("region", name="Conversation")


async def shot(page: Page, name: str) -> None:
    """Keep a picture for whoever wants to look."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=str(SHOTS / f"{name}.png"))


async def test_a_link_adds_a_phone_and_leaves_no_invitation_in_its_address(tmp_path: Path) -> None:
    """S-11: the fragment is wiped first thing, and the phone stands before the composer (PA-01)."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)

        address = page.url
        joined = [device.name for device in await _devices(here)]

        assert "join" not in address
        assert "Chrome on Linux" in joined


async def test_the_inviting_screen_shows_the_number_that_the_new_device_shows(tmp_path: Path) -> None:
    """PA-02: without a yes nobody is in; both screens show the same number; the yes is a tap."""
    async with opened(tmp_path) as (here, browser):
        first = await phone(here, browser)
        stranger = await (await browser.new_context(locale="en-US")).new_page()
        await stranger.goto(await here.link(alone=False))
        shown = stranger.get_by_role("img", name=re.compile(r"Number to compare: \d{4}"))
        number = ((await shown.get_attribute("aria-label")) or "")[-4:]

        await first.get_by_role("link", name=re.compile("Needs you")).click()
        await expect(first.get_by_text(number)).to_be_visible()
        await first.get_by_role("button", name="Add", exact=True).click()

        await expect(stranger.get_by_role("textbox", name="What should be done?")).to_be_visible()


async def test_a_used_invitation_says_so_and_what_to_do(tmp_path: Path) -> None:
    """PA-03: an invitation works once; the second visitor learns the cause and the cure."""
    async with opened(tmp_path) as (here, browser):
        link = await here.link()
        await (await browser.new_page(locale="en-US")).goto(link)
        second = await (await browser.new_context(locale="en-US")).new_page()
        await expect_devices(here, 3)

        await second.goto(link)

        await expect(second.get_by_text("used up or out of date")).to_be_visible()


async def test_a_brief_in_a_folder_comes_back_verified_with_a_file_to_open(tmp_path: Path) -> None:
    """S-11: hand over, see the card reach *verified*, read the evidence, open the file; agent text calls nobody."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        outside: list[str] = []
        page.on("request", lambda request: outside.append(request.url))
        await page.get_by_label("Folder").select_option(label="Meetings")

        await hand_over(page, "/brief notes/ --pages 1")
        card = page.get_by_role("article", name=re.compile(r"Task: \/brief"))
        await expect(card.get_by_text("Verified", exact=True)).to_be_visible()
        await shot(page, "verified")
        await card.get_by_text("2 checks passed").click()
        await expect(card.get_by_text("11 of 11 lines")).to_be_visible()
        await card.get_by_role("button", name=re.compile("briefing.md")).click()
        file = page.get_by_role("dialog", name="briefing.md")
        await expect(file.get_by_role("heading", name="Briefing, 22 November")).to_be_visible()
        await expect(file.get_by_text("(evil.example)")).to_be_visible()

        assert await file.locator("img").count() == 0
        assert await page.evaluate("window.hacked") is None
        assert [url for url in outside if not url.startswith((here.url, "blob:"))] == []


async def test_what_is_written_offline_survives_a_reload_and_is_sent_once(tmp_path: Path) -> None:
    """R3: the app closed, the network gone: nothing is lost and nothing happens twice."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.reload()
        await expect(page.get_by_role("textbox", name="What should be done?")).to_be_visible()
        await page.context.set_offline(True)

        await hand_over(page, "/brief while the network is gone")
        await expect(page.get_by_text("Waiting on this device")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("Waiting on this device")).to_be_visible()
        await shot(page, "offline")
        await page.context.set_offline(False)

        card = page.get_by_role("article", name=re.compile(r"Task: \/brief while"))
        await expect(card.get_by_text("Verified", exact=True)).to_be_visible(timeout=20_000)
        assert len([e for e in await _events(here) if e.kind == "task.created"]) == 1


async def test_an_approval_is_decided_on_the_page_and_the_other_screen_says_by_whom(tmp_path: Path) -> None:
    """AP-01: the sheet shows exactly what will run; the first decision wins and is seen everywhere."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        other = await phone(here, browser)

        await hand_over(page, "/run zip")
        await page.get_by_role("button", name="Review").click()
        sheet = page.get_by_role("dialog", name="Approval")
        await expect(sheet.get_by_text("What is shown is what will run.")).to_be_visible()
        await expect(sheet.get_by_text("meeting-pack.zip").first).to_be_visible()
        await expect(sheet.get_by_text("every command is asked first")).to_be_visible()
        await expect(sheet.get_by_role("button", name="Allow always")).to_have_count(0)
        deny = await sheet.get_by_role("button", name="Deny").bounding_box()
        allow = await sheet.get_by_role("button", name="Allow once").bounding_box()
        await shot(page, "approval")
        await sheet.get_by_role("button", name="Allow once").click()

        await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible()
        await other.get_by_role("link", name=re.compile(r"\/run zip")).first.click()
        await expect(other.get_by_text(re.compile("Allowed by Chrome on Linux"))).to_be_visible()
        assert deny is not None
        assert allow is not None
        assert deny["x"] + deny["width"] + 40 < allow["x"]
        assert min(deny["height"], allow["height"]) >= 44


async def test_always_shows_the_line_that_it_would_write(tmp_path: Path) -> None:
    """AP-10: beside the button stands what is allowed from then on, where, and until when."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)

        await hand_over(page, "/run always")
        await page.get_by_role("button", name="Review").click()
        sheet = page.get_by_role("dialog", name="Approval")
        line = sheet.get_by_text("allow shell until=2026-12-22 -- python3 -m zipfile")
        await expect(line).to_be_visible()
        await expect(sheet.get_by_text("until 2026-12-22")).to_be_visible()
        await shot(page, "approval-always")
        await sheet.get_by_role("button", name="Allow always").click()

        await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible()
        decided = [one for one in await _events(here) if one.kind == "approval.decided"]
        assert [one.body["scope"] for one in decided] == ["always"]


async def test_an_action_that_is_not_what_was_hashed_cannot_be_allowed(tmp_path: Path) -> None:
    """AP-02: the page hashes what it shows; when that is not what would run, there is no yes, only a no."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)

        await hand_over(page, "/run forged")
        await page.get_by_role("button", name="Review").click()
        sheet = page.get_by_role("dialog", name="Approval")

        await expect(sheet.get_by_text("It cannot be allowed")).to_be_visible()
        await expect(sheet.get_by_role("button", name="Allow once")).to_be_disabled()
        await sheet.get_by_role("textbox", name="Reason").fill("not what I see")
        await sheet.get_by_role("button", name="Deny").click()
        await expect(page.get_by_text("not what I see").last).to_be_visible()


async def test_a_question_is_answered_by_a_tap(tmp_path: Path) -> None:
    """Behaviour 13: choices are chips, and the work goes on."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)

        await hand_over(page, "ask me something")
        await page.get_by_role("button", name="One page").click()

        await expect(talk(page).get_by_text("Verified", exact=True)).to_be_visible()


async def test_a_removed_device_is_told_and_sees_the_way_back(tmp_path: Path) -> None:
    """PA-07: revoking cuts the page at once, and the page says so."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        mine = next(one for one in await _devices(here) if one.kind == "page")

        await here.owner("device.revoke", {"device": mine.id})

        await expect(page.get_by_role("heading", name="Add this device")).to_be_visible(timeout=15_000)


async def test_a_push_is_always_shown_and_its_fate_comes_back(tmp_path: Path) -> None:
    """PU-04: the worker shows what arrives, empty messages too, and never holds one back."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        one = await handset(page, here.url)

        for data in ('{"notification":{"title":"Finished","tag":"t1"}}', "not even JSON"):
            await one.give(data)

        # One list, looked at again until both are in it: a second look may find the browser busy with them.
        titles = await page.evaluate(
            """async () => {
                const ready = await navigator.serviceWorker.ready;
                for (;;) {
                    const shown = await ready.getNotifications();
                    if (shown.length === 2) return shown.map((one) => one.title).sort();
                    await new Promise((again) => setTimeout(again, 50));
                }
            }"""
        )
        assert titles == ["Deskhand", "Finished"]


async def test_everything_is_in_korean_for_who_speaks_it(tmp_path: Path) -> None:
    """Behaviour 23: Korean from the first page, by the browser's language."""
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser, language="ko-KR")

        await page.get_by_role("textbox", name="무엇을 할까요?").fill("/brief notes/")
        await page.get_by_role("button", name="보내기").click()

        await expect(page.get_by_role("article").get_by_text("검증됨", exact=True)).to_be_visible()
        assert await page.evaluate("document.documentElement.lang") == "ko"
        await shot(page, "korean")


async def test_no_screen_has_an_accessibility_fault(tmp_path: Path) -> None:
    """Behaviour 22: the axe gate is at zero on every screen, light and dark, phone and desktop."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci in web/")
    async with opened(tmp_path) as (here, browser):
        page = await phone(here, browser)
        await hand_over(page, "/run zip")
        await page.get_by_role("button", name="Review").wait_for()
        thread = page.url

        found: list[str] = []
        for scheme, width in (("light", 390), ("dark", 390), ("light", 1280)):
            await page.emulate_media(color_scheme=cast("Any", scheme), reduced_motion="reduce")
            await page.set_viewport_size({"width": width, "height": 844})
            for place in ("#/", "#/needs", "#/computers", "#/settings", thread):
                await page.evaluate("place => { location.hash = new URL(place, location.href).hash }", place)
                await page.get_by_role("main").wait_for()
                await page.evaluate(DRAWN)
                found += [f"{scheme} {width} {place}: {one}" for one in await faults(page)]
        await page.get_by_role("button", name="Review").click()
        await page.get_by_role("dialog").wait_for()
        found += await faults(page)

        assert found == []


async def faults(page: Page) -> list[str]:
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    said = "axe.run().then(r => r.violations.map(v => [v.id, ...v.nodes.map(n => n.target + ' ' + n.any.map(a => a.message))].join(' ')))"
    return cast("list[str]", await page.evaluate(said))


async def _devices(here: Stage) -> list[Any]:
    return list(await here.rim.hub.store.find(here.rim.owner.account, Device))


async def expect_devices(here: Stage, count: int) -> None:
    """Wait until the account has so many devices."""
    async with asyncio.timeout(10):
        while len(await _devices(here)) < count:
            await here.rim.hub.clock.sleep(0.02)


async def _events(here: Stage) -> list[Any]:
    view = Principal(account=here.rim.owner.account, id="dev_any", role=Role.OWNER)
    return list((await here.rim.hub.store.events(view, after=0, limit=500)).events)
