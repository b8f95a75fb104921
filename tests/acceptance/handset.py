"""A browser that takes notifications: a test carries to its worker what a push service took for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from playwright.async_api import Page, expect

from deskhand.clock import SystemClock
from deskhand.testing.push.service import FakePushService

SHOWN = """async () => {
  const ready = await navigator.serviceWorker.ready;
  return (await ready.getNotifications()).map((one) => `${one.tag} ${one.title}: ${one.body}`).sort();
}"""
HIDE = """state => {
  Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
SUBSCRIBE = """() => {
  PushManager.prototype.subscribe = async ({ applicationServerKey: key }) => {
    const made = await window.subscribed(key);
    const kept = { toJSON: () => made };
    PushManager.prototype.getSubscription = async () => kept;
    return kept;
  };
}"""
"""The vendor's side of a subscription; a browser without a vendor has none."""


@dataclass(kw_only=True)
class Handset:
    """A page with its worker; ``endpoint`` is where the service takes messages for it."""

    page: Page
    session: Any
    registration: str
    origin: str
    endpoint: str = ""
    device: str = ""
    given: int = 0

    async def shown(self) -> list[str]:
        """Return what stands on its screen."""
        return cast("list[str]", await self.page.evaluate(SHOWN))

    async def until(self, count: int) -> list[str]:
        """Wait until so many notifications stand on its screen."""
        async with asyncio.timeout(30):
            while len(found := await self.shown()) != count:
                await SystemClock().sleep(0.1)
        return found

    async def give(self, text: str) -> None:
        """Hand its worker a message, as the browser does."""
        message = {"origin": self.origin, "registrationId": self.registration, "data": text}
        await self.session.send("ServiceWorker.deliverPushMessage", message)
        self.given += 1

    async def hide(self) -> None:
        """Put it into a pocket."""
        await self.page.evaluate(HIDE, "hidden")

    async def turn_on(self, service: FakePushService) -> None:
        """Turn notifications on in the settings; the service is the browser's vendor."""

        def subscribed(key: str) -> dict[str, Any]:
            made = service.subscribe(key)
            self.endpoint = made["endpoint"]
            return made

        await cast("Any", self.page).expose_function("subscribed", subscribed)
        await self.page.evaluate(SUBSCRIBE)
        await self.page.get_by_role("link", name="Settings").click()
        await self.page.get_by_role("button", name="Turn on", exact=True).click()
        await expect(self.page.get_by_text("On for this device")).to_be_visible()


async def handset(page: Page, origin: str) -> Handset:
    """Return what stands behind a page, as soon as its worker does."""
    await page.context.grant_permissions(["notifications"], origin=origin)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    session = cast("Any", await page.context.new_cdp_session(page))
    registrations: list[str] = []

    def note(said: dict[str, list[dict[str, str]]]) -> None:
        registrations.extend(one["registrationId"] for one in said["registrations"])

    session.on("ServiceWorker.workerRegistrationUpdated", note)
    await session.send("ServiceWorker.enable")
    await page.wait_for_function("navigator.serviceWorker.controller !== null")
    async with asyncio.timeout(20):
        while not registrations:
            await SystemClock().sleep(0.05)
    return Handset(page=page, session=session, registration=registrations[0], origin=origin)


async def carry(service: FakePushService, handsets: Sequence[Handset]) -> None:
    """Bring what the service took to whom it is for, for ever."""
    done = 0
    while True:
        for message in (await service.received(done + 1))[done:]:
            done += 1
            [to] = [one for one in handsets if one.endpoint == message.endpoint]
            await to.give(message.text)
