"""Whether a computer is there and why not, as the hub tells it, in virtual time: no test waits for a clock."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from sqlalchemy import Engine

from deskhand.clock import Ids
from deskhand.core.drafting import Draft
from deskhand.hub.app import Hub
from deskhand.hub.http.app import all_acknowledged
from deskhand.limits import HEARTBEAT_SECONDS
from deskhand.ports import Frame
from deskhand.protocol.events import HUB, SettingChanged
from deskhand.protocol.objects import Presence, Role
from deskhand.protocol.ops import Op, Principal
from deskhand.protocol.wire import JsonObject
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from deskhand.testing.world.loop import SimClock, VirtualLoop

A = "acc_home"
LAPTOP = Principal(account=A, id="run_laptop", role=Role.RUNNER)
OWNER = Principal(account=A, id="dev_phone", role=Role.OWNER)
IN_TIME = 45.0
"""Seconds within which a page must show what became of a computer."""


@dataclass(kw_only=True)
class House:
    """A hub in virtual time, what a page saw of the laptop's presence, and when."""

    hub: Hub
    clock: SimClock
    loop: VirtualLoop
    seen: list[tuple[float, Presence]] = field(default_factory=list[tuple[float, Presence]])
    frames: list[Frame] = field(default_factory=list[Frame])

    @property
    def now(self) -> Presence:
        """How the page shows the laptop."""
        return self.seen[-1][1]

    @property
    def states(self) -> list[str]:
        """What the page showed, one after the other, whenever it became another."""
        said = [one.state for _, one in self.seen]
        return [one for place, one in enumerate(said) if place == 0 or one != said[place - 1]]

    async def note(self, **body: str | int) -> None:
        """Let the laptop say how it stands."""
        said: JsonObject = dict(body)
        op = Op(op_id=self.hub.ids.new("op"), kind="presence.note", body=said)
        (result,) = await self.hub.submit(LAPTOP, [op])
        assert result.status == "ok"

    async def until(self, state: str, *, within: float = IN_TIME) -> float:
        """Wait until the page shows a state; return after how many seconds it did."""
        began = self.loop.time()
        while not self.seen or self.now.state != state:
            assert self.loop.time() - began <= within, self.seen
            await self.clock.sleep(0.5)
        return self.seen[-1][0] - began

    async def look(self) -> None:
        """Be a page: hear everything, ask nothing."""
        async with aclosing(self.hub.stream(OWNER, after=0)) as frames:
            async for frame in frames:
                self.frames.append(frame)
                if frame.kind == "presence":
                    self.seen.append((self.loop.time(), Presence.from_json(frame.data)))

    @asynccontextmanager
    async def link(self, *, acknowledged: bool = True) -> AsyncGenerator[None]:
        """The laptop's stream, open until the block ends; its system takes what is sent, or not."""

        async def listen() -> None:
            frames = self.hub.stream(LAPTOP, after=0, acknowledged=lambda: acknowledged)
            async with aclosing(frames):
                async for _ in frames:
                    pass

        listening = asyncio.ensure_future(listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait({listening})


def _hub(loop: VirtualLoop, disk: Engine, *, seed: int = 1) -> tuple[Hub, SimClock]:
    clock = SimClock(loop)
    ids = Ids(clock, Random(seed).randbytes)
    store = open_memory_store(disk, clock)
    hub = Hub(store=store, blobs=MemoryBlobs(), clock=clock, ids=ids, notifiers={}, spread=lambda: 0.5)
    return hub, clock


def in_virtual_time(story: Callable[[House], Awaitable[None]], disk: Engine | None = None) -> House:
    """Run a story with a hub and a page that looks."""
    loop = VirtualLoop()

    async def run() -> House:
        hub, clock = _hub(loop, disk or open_memory_disk())
        await hub.store.create_account(A)
        await hub.start()
        house = House(hub=hub, clock=clock, loop=loop)
        looking = asyncio.ensure_future(house.look())
        await clock.sleep(0.1)
        await story(house)
        await hub.stop()
        await asyncio.wait({looking})
        return house

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


@pytest.mark.parametrize("goodbye", ["asleep", "off", "stopped"])
def test_a_goodbye_is_shown_at_once_and_stays_when_the_link_ends(goodbye: str) -> None:
    """R8: what a computer said before it went is what the page shows, however its link ends."""
    took: list[float] = []

    async def story(house: House) -> None:
        async with house.link():
            await house.until("up")
            await house.note(state=goodbye)
            took.append(await house.until(goodbye))
        await house.clock.sleep(120)

    house = in_virtual_time(story)

    assert took[0] <= 1
    assert house.states == ["up", goodbye]
    assert not house.now.connected


def test_a_link_that_ends_without_a_word_means_that_the_program_has_ended() -> None:
    """R8: when a process dies its system closes the line: the computer is on and Deskhand has stopped."""
    took: list[float] = []

    async def story(house: House) -> None:
        async with house.link():
            await house.until("up")
        took.append(await house.until("stopped"))

    house = in_virtual_time(story)

    assert took[0] <= IN_TIME
    assert not house.now.connected


def test_who_comes_back_over_another_road_at_once_was_never_away() -> None:
    """A change of network is not shown as an end."""

    connected: list[bool] = []

    async def story(house: House) -> None:
        for _ in range(3):
            async with house.link():
                await house.until("up")
            await house.clock.sleep(0.3)
        async with house.link():
            await house.clock.sleep(10)
            connected.append(house.now.connected)

    house = in_virtual_time(story)

    assert house.states == ["up"]
    assert connected == [True]


@pytest.mark.parametrize(("acknowledged", "shown"), [(True, "asleep"), (False, "no_network")])
def test_silence_is_told_apart_by_whether_the_system_still_takes_what_is_sent(
    *, acknowledged: bool, shown: str
) -> None:
    """R8: within 45 s of the last word, without anybody asking."""
    took: list[float] = []

    async def story(house: House) -> None:
        async with house.link(acknowledged=acknowledged):
            for _ in range(6):
                await house.clock.sleep(10)
                await house.note(state="up")
            took.append(await house.until(shown))
            await house.clock.sleep(3600)

    house = in_virtual_time(story)

    assert took[0] <= IN_TIME
    assert house.states == ["up", shown]
    assert not house.now.connected


def test_an_unreachable_computer_has_not_ended_when_our_side_gives_up_on_it() -> None:
    """After a quarter of an hour the hub's own system closes a dead line: nothing new was learnt by that."""

    async def story(house: House) -> None:
        async with house.link(acknowledged=False):
            await house.until("no_network", within=60)
            await house.clock.sleep(900)
        await house.clock.sleep(60)

    assert in_virtual_time(story).states == ["up", "no_network"]


def test_a_computer_that_wakes_says_how_long_it_slept_and_when_it_went_on() -> None:
    """R8: the page can say "slept 8 h, went on at 16:00"."""
    shown: list[Presence] = []

    async def story(house: House) -> None:
        async with house.link():
            await house.until("up")
            await house.note(state="asleep")
            await house.clock.sleep(8 * 3600)
        async with house.link():
            await house.until("up", within=5)
            await house.note(state="up", slept_seconds=8 * 3600)
            await house.clock.sleep(1)
            shown.append(house.now)

    in_virtual_time(story)

    (one,) = shown
    assert (one.connected, one.state, one.slept_seconds) == (True, "up", 8 * 3600)
    assert (one.woke_at or "")[:16] == "2026-01-05T16:00"


def test_a_frozen_process_that_goes_on_over_its_old_line_is_up_again() -> None:
    """A program that was stopped and continued may still have its line: its first word is enough."""
    connected: list[bool] = []

    async def story(house: House) -> None:
        async with house.link():
            await house.until("asleep", within=60)
            await house.note(state="up", slept_seconds=60)
            await house.until("up", within=1)
            connected.append(house.now.connected)

    house = in_virtual_time(story)

    assert house.states == ["up", "asleep", "up"]
    assert connected == [True]


def test_a_second_sleep_over_the_same_line_is_shown_as_soon_as_the_first() -> None:
    """R8: what the hub itself wrote down when the computer woke is not taken for the word of another hub."""
    took: list[float] = []

    async def story(house: House) -> None:
        async with house.link():
            took.append(await house.until("asleep"))
            await house.note(state="up", slept_seconds=300)
            await house.until("up")
            took.append(await house.until("asleep"))

    in_virtual_time(story)

    assert took[1] == pytest.approx(took[0], abs=4)


def test_a_hub_that_slept_itself_calls_nobody_silent() -> None:
    """Who did not listen for eight hours has not heard silence."""

    async def story(house: House) -> None:
        async with house.link():
            await house.until("up")
            house.loop._skip(8 * 3600)
            await house.clock.sleep(20)

    assert in_virtual_time(story).states == ["up"]


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_a_clock_set_by_an_hour_or_a_day_changes_nothing_about_who_is_there(hours: int) -> None:
    """R7, R8: silence is measured in seconds that nobody can set."""

    async def story(house: House) -> None:
        async with house.link():
            await house.until("up")
            house.clock.ahead += timedelta(hours=hours)
            for _ in range(6):
                await house.clock.sleep(10)
                await house.note(state="up")
            await house.until("asleep")

    assert in_virtual_time(story).states == ["up", "asleep"]


def test_a_hub_that_begins_knows_nobody_until_they_say_so_themselves() -> None:
    """A row of a former life must not show a computer as connected that died meanwhile."""
    disk = open_memory_disk()
    found: list[Presence] = []

    async def lived(house: House) -> None:
        async with house.link():
            await house.until("up")
            await house.hub.stop()

    async def lives(house: House) -> None:
        found.extend((await house.hub.store.presence(A)).values())

    in_virtual_time(lived, disk)
    in_virtual_time(lives, disk)

    assert [(one.connected, one.state) for one in found] == [(False, "no_network")]


def test_what_another_hub_heard_is_no_silence() -> None:
    """With several hubs the words of a computer may go to one and its stream to the other."""
    disk = open_memory_disk()

    async def story(house: House) -> None:
        other, _ = _hub(house.loop, disk, seed=2)
        async with house.link():
            await house.until("up")
            for _ in range(12):
                await house.clock.sleep(10)
                op = Op(op_id=other.ids.new("op"), kind="presence.note", body={"state": "up"})
                await other.submit(LAPTOP, [op])

    assert in_virtual_time(story, disk).states == ["up"]


def test_the_last_word_of_a_hub_that_ends_is_why() -> None:
    """A page knows that the hub was ended and did not vanish."""

    async def story(house: House) -> None:
        await house.clock.sleep(1)

    last = in_virtual_time(story).frames[-1]

    assert (last.kind, last.data) == ("bye", {"reason": "stopped"})


def test_what_a_reader_may_not_see_does_not_keep_its_heartbeats_away() -> None:
    """A computer in a busy account hears from its hub as often as in a quiet one, or it would call the line dead."""
    heard: list[float] = []

    async def story(house: House) -> None:
        async def listen() -> None:
            async with aclosing(house.hub.stream(LAPTOP, after=0)) as frames:
                while await anext(frames, None):
                    heard.append(house.loop.time())

        listening = asyncio.ensure_future(listen())
        draft = Draft(body=SettingChanged(name="x", value=1), actor=HUB)
        for _ in range(30):
            await house.clock.sleep(5)
            await house.hub.store.write(A, lambda tx: tx.emit(draft))
        listening.cancel()

    in_virtual_time(story)

    gaps = [after - before for before, after in pairwise(heard)]
    assert gaps
    assert max(gaps) <= HEARTBEAT_SECONDS + 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked")
def test_bytes_that_the_other_side_has_no_room_for_are_not_acknowledged() -> None:
    """What tells a frozen program (its system takes a heartbeat) from a lost network (nobody takes anything)."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as mine,
        listener.accept()[0],
    ):
        mine.setblocking(False)  # noqa: FBT003 - the name of the call says it

        mine.send(b"heartbeat")
        taken = all_acknowledged(mine)
        with suppress(BlockingIOError):
            while True:
                mine.send(b"x" * 65536)
        full = all_acknowledged(mine)

    assert (taken, full) == (True, False)
