"""Notifications end to end: a real hub, a push service that decrypts, and the worker of a real browser that shows them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from playwright.async_api import Browser, expect

from deskhand.clock import SystemClock
from deskhand.core import delivery
from deskhand.notify.webpush import WebPush, public_key_b64url
from deskhand.protocol.objects import Delivery, Device, Setting
from deskhand.protocol.signing import new_key
from deskhand.protocol.tasks import Question, Task
from deskhand.testing.push.service import FakePushService
from tests.acceptance.handset import HIDE, Handset, carry, handset
from tests.acceptance.stage import Stage
from tests.acceptance.test_page import AXE, DRAWN, faults, opened, phone, shot
from tests.contract.roads import stored

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(120)]


@dataclass(kw_only=True)
class Town:
    """The hub, the push service and the phones."""

    here: Stage
    browser: Browser
    service: FakePushService
    key: str
    phones: list[Handset]

    async def phone(self) -> Handset:
        """Add a phone that takes notifications."""
        made = await handset(await phone(self.here, self.browser), self.here.url)
        subscribed = self.service.subscribe(public_key_b64url(self.key))
        account, made.endpoint = self.here.rim.owner.account, subscribed["endpoint"]
        pages = [one for one in await self.here.rim.hub.store.find(account, Device, limit=50) if one.kind == "page"]
        made.device = next(one.id for one in pages if one.id not in {known.device for known in self.phones})
        subscription = stored(subscribed, account=account, device=made.device)
        await self.here.rim.hub.store.put_subscription(subscription)
        self.phones.append(made)
        return made

    async def post(self, text: str, *, thread: str | None = None) -> tuple[str, str]:
        """Post a task from the command line; return it and its thread."""
        await self.here.owner("message.post", {"text": text}, thread=thread)
        [newest] = await self.here.rim.hub.store.find(self.here.rim.owner.account, Task, limit=1)
        return newest.id, newest.thread

    async def looked_at(self, thread: str) -> None:
        """Wait until the hub knows that a page shows it."""
        hub, account = self.here.rim.hub, self.here.rim.owner.account
        async with asyncio.timeout(20):
            while thread not in {one.live for one in hub.streams.screens(account)}:
                await SystemClock().sleep(0.05)

    async def ledger(self) -> list[Delivery]:
        """Return the deliveries, oldest first."""
        found = await self.here.rim.hub.store.deliveries(self.here.rim.owner.account, before=None, limit=100)
        return found[::-1]

    async def settled(self, *fates: str) -> list[Delivery]:
        """Wait until every row has one of these fates."""
        async with asyncio.timeout(40):
            while not (rows := await self.ledger()) or {one.fate for one in rows} - {*fates}:
                await SystemClock().sleep(0.1)
        return rows


@asynccontextmanager
async def town(home: Path, *, failing: float = 0.0) -> AsyncGenerator[Town]:
    """Everything, with a push service that fails so often."""
    key = new_key()
    chance = random.Random(3)
    async with opened(home) as (here, browser), FakePushService(chance=chance, failure_rate=failing) as service:
        said = {"notify.subject": "mailto:owner@deskhand.example", "notify.allow_private_endpoints": True}
        push = WebPush(vapid_key=key, said=said.get, app_url=here.url, clock=SystemClock())
        cast("dict[str, object]", here.rim.hub.notifiers)["webpush"] = push
        made = Town(here=here, browser=browser, service=service, key=key, phones=[])
        carrying = asyncio.ensure_future(carry(service, made.phones))
        try:
            yield made
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)


async def test_every_notification_arrives_is_shown_once_and_is_explained(tmp_path: Path) -> None:
    """R6, PU-01, PU-03: two phones, half of the attempts failing: each shows each thing once, and the ledger says so."""
    async with town(tmp_path, failing=0.5) as here:
        phones = [await here.phone(), await here.phone()]
        _, thread = await here.post("/run the packing")
        await here.post("ask how long", thread=thread)

        rows = await here.settled("shown")
        screens = [await one.until(2) for one in phones]

        asked = {one.tag for one in rows}
        assert len(rows) == 4
        assert [{line.split()[0] for line in screen} for screen in screens] == [asked, asked]
        assert all(line.endswith("Deskhand needs you: A task waits for your decision.") for line in screens[0])
        assert sum(one.attempts for one in rows) > 4
        assert [one.given for one in phones] == [2, 2]
        assert "meeting-pack" not in "".join(message.text for message in here.service.messages)
        await shot(phones[0].page, "notify-shown")


async def test_the_same_message_twice_stands_once(tmp_path: Path) -> None:
    """R6: at least once over the air, once on the screen."""
    async with town(tmp_path) as here:
        one = await here.phone()
        await here.post("/run the packing")
        await one.until(1)

        await one.give(here.service.messages[0].text)

        assert len(await one.until(1)) == 1


async def test_what_is_decided_on_one_device_goes_from_the_others(tmp_path: Path) -> None:
    """P-05: a page that is looked at closes it at once; a phone in a pocket with the next push, the badge beside it."""
    async with town(tmp_path) as here:
        looked_at, pocket = await here.phone(), await here.phone()
        _, thread = await here.post("ask how long")
        before = await asyncio.gather(looked_at.until(1), pocket.until(1))
        await pocket.hide()
        [asked] = await here.here.rim.hub.store.find(here.here.rim.owner.account, Question, states=("open",))

        await here.here.owner("question.answer", {"question": asked.id, "answer": "One page"}, thread=thread)
        await looked_at.until(0)
        kept = await pocket.shown()
        await here.post("/run the packing", thread=thread)
        async with asyncio.timeout(20):
            while not any(line.startswith("apr_") for line in await pocket.shown()):
                await SystemClock().sleep(0.1)

        assert before[1] == kept
        assert not [line for line in await pocket.shown() if line.startswith("qst_")]
        assert here.service.messages[-1].payload["app_badge"] == 1


async def test_a_screen_with_the_very_conversation_keeps_the_phones_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: suppressed on the hub before it is sent, with the reason in the ledger on the page."""
    # This machine may be slow to show it.
    monkeypatch.setattr(delivery, "SEEN_SECONDS", 20)
    async with town(tmp_path) as here:
        one, other = await here.phone(), await here.phone()
        _, thread = await here.post("wait a little")
        await one.page.goto(f"{here.here.url}/#/threads/{thread}")
        await expect(one.page.get_by_role("region", name="Conversation")).to_be_visible()
        await here.looked_at(thread)
        await here.post("ask how long", thread=thread)

        rows = await here.settled("suppressed")

        assert {(row.device, row.reason) for row in rows} == {(one.device, "on_screen"), (other.device, "on_screen")}
        assert here.service.attempts == []
        await other.page.get_by_role("link", name="Settings").click()
        await other.page.get_by_text("Last notifications").click()
        await expect(other.page.get_by_text("it was on a screen").first).to_be_visible()


async def test_a_phone_in_a_pocket_is_told_of_the_shortest_task(tmp_path: Path) -> None:
    """P-05: a page that is hidden hears nothing, so the hub knows that nobody looks."""
    async with town(tmp_path) as here:
        one = await here.phone()
        await one.hide()
        await here.post("/brief notes")

        rows = await here.settled("shown")

        assert [(row.kind, row.fate) for row in rows] == [("finished", "shown")]
        assert await one.until(1)


async def test_a_tap_opens_the_place_and_the_ledger_says_tapped(tmp_path: Path) -> None:
    """P-06: planned, sent, accepted, shown, tapped."""
    async with town(tmp_path) as here:
        one = await here.phone()
        task, thread = await here.post("/run the packing")
        await one.until(1)

        worker = one.page.context.service_workers[0]
        await worker.evaluate("""async () => {
            const [shown] = await self.registration.getNotifications();
            self.dispatchEvent(new NotificationEvent("notificationclick", { notification: shown }));
        }""")

        rows = await here.settled("tapped")
        await expect(one.page).to_have_url(f"{here.here.url}/#/threads/{thread}/tasks/{task}")
        assert len(rows) == 1


async def test_what_a_page_has_not_heard_of_is_not_taken_for_decided(tmp_path: Path) -> None:
    """R6: a push is faster than the page's own stream, or that stands still: nothing is closed before the page knows."""
    async with town(tmp_path) as here:
        one = await here.phone()
        for tag in ("apr_just_asked", "digest"):
            await one.give(json.dumps({"notification": {"title": "Deskhand", "tag": tag}}))
        await one.until(2)

        await here.post("/brief notes")  # whatever is heard makes the page look what is over

        assert await one.until(1) == ["apr_just_asked Deskhand: "]
        await one.hide()
        await one.page.evaluate(HIDE, "visible")
        await one.until(0)  # back again it asked for everything, and the hub knows of no such approval


async def test_the_owner_says_what_comes_where_and_when(tmp_path: Path) -> None:
    """Behaviour 24: class by device, quiet hours with their zone, how much is said; each switch is a setting at once."""
    async with town(tmp_path) as here:
        one = await here.phone()
        page = one.page
        await page.get_by_role("link", name="Settings").click()
        mine = page.get_by_role("group", name="Chrome on Linux")
        await expect(mine.get_by_label("Finished")).to_be_checked()

        await mine.get_by_label("Finished").uncheck()
        await page.get_by_label("Hold notifications, and send one message afterwards").check()
        await page.get_by_label("From").fill("23:15")
        await page.get_by_label("What needs me comes through").check()
        await page.get_by_label("Title and result too").check()
        await page.get_by_label("From").press("Tab")

        expected = {
            "notify.off": [f"finished {one.device}"],
            "notify.quiet": "23:15-07:00",
            "notify.quiet_needs_you": True,
            "notify.text": "full",
            "notify.zone": await page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone"),
        }
        async with asyncio.timeout(10):
            while (await settings(here)) != expected:
                await SystemClock().sleep(0.1)
        await page.reload()
        await expect(mine.get_by_label("Finished")).not_to_be_checked()
        await expect(page.get_by_label("From")).to_have_value("23:15")
        await shot(page, "notify-settings")
        if AXE.is_file():
            await page.evaluate(DRAWN)
            assert await faults(page) == []


async def settings(here: Town) -> dict[str, object]:
    """Return the settings of notifications that were changed."""
    found = await here.here.rim.hub.store.find(here.here.rim.owner.account, Setting, limit=100)
    return {one.id: one.value for one in found}


async def test_a_conversation_is_muted_from_its_menu(tmp_path: Path) -> None:
    """P-05: muted on the page, still on the phone, and the ledger says why."""
    async with town(tmp_path) as here:
        one = await here.phone()
        _, thread = await here.post("wait a little")
        await one.page.goto(f"{here.here.url}/#/threads/{thread}")
        await one.page.get_by_role("button", name="About this thread").click()
        await one.page.get_by_role("button", name="Mute", exact=True).click()
        await expect(one.page.get_by_role("dialog")).to_have_count(0)
        await one.hide()

        await here.post("ask how long", thread=thread)
        rows = await here.settled("suppressed")

        assert [row.reason for row in rows] == ["muted"]


async def test_the_settings_speak_korean(tmp_path: Path) -> None:
    """Behaviour 23: every word of the screen has its Korean, the reasons of the ledger too."""
    async with town(tmp_path) as here:
        page = await phone(here.here, here.browser, language="ko-KR")

        await page.get_by_role("link", name="설정").click()

        await expect(page.get_by_label("알림을 모아 두었다가 끝나면 한 번에 보내기")).to_be_visible()
        await expect(page.get_by_role("group").get_by_label("컴퓨터 연결 끊김").first).to_be_visible()
        await shot(page, "notify-korean")
