"""Clocks that somebody sets, in virtual time: what waits for a moment waits no longer for it, and happens once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import Engine

from deskhand.clock import Ids
from deskhand.core.delivery import Announcement
from deskhand.errors import DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.credentials import Pairing, Peer, admit
from deskhand.hub.delivering import plan
from deskhand.ports import Notice, PushSubscription, SendOutcome
from deskhand.protocol.events import HUB
from deskhand.protocol.objects import Device, Role
from deskhand.protocol.requests import InviteAsk, PairAsk
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from deskhand.testing.promises import note
from deskhand.testing.world.loop import SimClock, VirtualLoop

A = "acc_home"
HOURS = (-24, -1, 1, 24)
SOON = 120.0
"""Seconds within which a notification goes out whose push service is well again."""
LONGEST = 4500.0
"""The longest wait between two tries."""


@dataclass
class Push:
    """A push service that refuses as often as it is told to, and takes everything after that."""

    refusals: int
    road: str = "webpush"
    tried: list[str] = field(default_factory=list[str])
    taken: list[str] = field(default_factory=list[str])

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Take it or not."""
        del subscription
        self.tried.append(notice.id)
        if len(self.tried) <= self.refusals:
            return SendOutcome(status="retry", reason="503")
        self.taken.append(notice.id)
        return SendOutcome(status="accepted")


@dataclass(kw_only=True)
class House:
    """A hub process with a clock that can be set."""

    hub: Hub
    clock: SimClock
    push: Push

    async def taken(self, *, within: float) -> float:
        """Wait until the push service has it; return after how many seconds."""
        began = self.clock.elapsed()
        while not self.push.taken:
            assert self.clock.elapsed() - began <= within
            await self.clock.sleep(1)
        return self.clock.elapsed() - began

    async def tried(self, times: int) -> None:
        """Wait until the push service was asked so often."""
        async with asyncio.timeout(SOON):
            while len(self.push.tried) < times:
                await self.clock.sleep(0.5)

    async def announce(self) -> None:
        """Plan one notification for the one phone."""
        store, ids = self.hub.store, self.hub.ids
        await store.write(A, lambda tx: plan(tx, Announcement(kind="test", tag="tag"), ids=ids))
        self.hub.courier.woken.set()


async def _live(loop: VirtualLoop, disk: Engine, push: Push, *, ahead: float) -> House:
    clock = SimClock(loop)
    clock.ahead = timedelta(hours=ahead)
    hub = Hub(
        store=open_memory_store(disk, clock),
        blobs=MemoryBlobs(),
        clock=clock,
        ids=Ids(clock, Random(1).randbytes),
        notifiers={push.road: push},
        spread=lambda: 0.5,
    )
    await hub.store.create_account(A)
    phone = Device(id="dev_phone", name="phone", kind="page", role=Role.OWNER, created_at="2026-01-01T00:00:00Z")
    await hub.store.write(A, lambda tx: admit(tx, phone, token_sha256="0" * 64, actor=HUB))
    keys = {"endpoint": "https://push.invalid/phone", "p256dh": "k", "auth": "a"}
    await hub.store.put_subscription(PushSubscription(id="sub_1", account=A, device="dev_phone", **keys))
    await hub.start()
    return House(hub=hub, clock=clock, push=push)


def in_virtual_time(story: Callable[[House], Awaitable[None]], *, refusals: int = 0, ahead: float = 0) -> Push:
    """Run a story at a hub; ``ahead`` is by how many hours its clock is wrong at the beginning."""
    loop, push = VirtualLoop(), Push(refusals)

    async def run() -> Push:
        house = await _live(loop, open_memory_disk(), push, ahead=ahead)
        await story(house)
        await house.hub.stop()
        return push

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


@pytest.mark.survives(
    "The computer's clock is set by an hour or a day, in either direction",
    "Nothing is done twice, nothing waits until tomorrow, and the order of a conversation stays.",
)
@pytest.mark.parametrize("hours", HOURS)
def test_a_notification_goes_out_once_and_soon_whatever_the_clock_does(hours: int) -> None:
    """R6, R8: the clock is set between two tries; the next one is not put off until the old time comes again."""
    took: list[float] = []

    async def story(house: House) -> None:
        await house.announce()
        await house.tried(2)
        house.clock.ahead += timedelta(hours=hours)
        took.append(await house.taken(within=SOON))
        house.clock.ahead -= timedelta(hours=hours)
        await house.clock.sleep(2 * LONGEST)

    push = in_virtual_time(story, refusals=2)

    note(
        "R8",
        f"hub's clock set by {hours:+d} h between two tries of a notification: sent once, {took[0]:.0f} s later",
        runs=1,
        of=f"clock set by {hours:+d} h",
    )
    assert len(push.taken) == 1
    assert len(push.tried) == 3


def test_a_hub_that_ends_with_a_wrong_clock_and_begins_with_a_right_one_waits_no_longer_than_ever() -> None:
    """What waits is on the disk in the time of a day that has not come: it is tried within the longest wait."""
    took: list[float] = []

    async def story(house: House) -> None:
        await house.announce()
        await house.tried(1)
        await house.hub.stop()
        house.clock.ahead -= timedelta(hours=24)
        await house.hub.start()
        took.append(await house.taken(within=LONGEST + 60))

    push = in_virtual_time(story, refusals=1, ahead=24)

    assert len(push.taken) == 1


@pytest.mark.parametrize(("hours", "valid"), [(-24, False), (-1, False), (0, True), (1, False)])
def test_an_invitation_lives_minutes_also_when_the_clock_is_set_back(hours: int, *, valid: bool) -> None:
    """A clock that was a day ahead must not have made invitations that are good for a day (PA-03)."""
    joined: list[bool] = []

    async def story(house: House) -> None:
        pairing = Pairing(house.hub.store, house.clock, house.hub.ids)
        made = await pairing.create_invite(A, InviteAsk(kind="page", admits_alone=True))
        house.clock.ahead += timedelta(hours=hours)
        try:
            wish = PairAsk(invite=made.invite, name="phone")
            joined.append(bool(await pairing.ask(wish, peer=Peer(address="::1"))))
        except DeskhandError:
            joined.append(False)

    in_virtual_time(story)

    assert joined == [valid]
