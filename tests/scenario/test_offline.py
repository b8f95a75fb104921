"""Walking away: time passes, the network goes, a computer comes back late. Told in simulated time, judged at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from deskhand.clock import stamp, unstamp
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Task, TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.testing.promises import note
from deskhand.testing.world import links
from deskhand.testing.world.hub import ACCOUNT
from deskhand.testing.world.laptops import AGENT, Laptop
from deskhand.testing.world.patching import patched
from deskhand.testing.world.phones import Phone
from deskhand.testing.world.world import Outcome, World, simulate

pytestmark = pytest.mark.timeout(120)  # a world takes seconds, on a busy machine many

TWO_COMPUTERS = 1
"""A seed whose world has two computers and two phones."""
HOUR = 3600.0
CONNECT_SECONDS = 3.0
"""How long a try to connect that began without a network holds up the next one (``runner/http_link``)."""


def _told(story: Callable[[World], Awaitable[None]]) -> Outcome:
    outcome = simulate(TWO_COMPUTERS, story)
    assert outcome.violations == ()
    return outcome


def _post(phone: Phone, laptop: Laptop, text: str, **more: str) -> None:
    body: JsonObject = {"text": text, "agent": AGENT, "folder": laptop.folder("usr"), **more}
    phone.want("message.post", body)


def _task(phone: Phone) -> Task:
    (task,) = phone.account.find(Task)
    return task


async def _log(world: World) -> tuple[Event, ...]:
    assert world.house.store is not None
    view = Principal(account=ACCOUNT, id="dev_any", role=Role.OWNER)
    return (await world.house.store.events(view, after=0, limit=500)).events


async def _connected(world: World, laptop: Laptop) -> bool:
    assert world.house.store is not None
    return (await world.house.store.presence(ACCOUNT))[laptop.name].connected


async def _ended(world: World, phone: Phone, *, seconds: float = 3 * HOUR) -> Task:
    assert await world.until(lambda: any(task.final for task in phone.account.find(Task)), seconds=seconds)
    return _task(phone)


@pytest.mark.parametrize("what", ["nothing", "hub restarts", "hub is down", "clock set forward"])
def test_what_waits_for_its_time_begins_then_by_itself_and_once(what: str) -> None:
    """R7: a task for later begins at its time, whatever happens to the hub or its clock meanwhile, exactly once."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        await world.clock.sleep(30)
        due = world.house.clock.now() + timedelta(minutes=4)
        late = 2.0
        _post(phone, laptop, "x once", not_before=stamp(due))
        await world.clock.sleep(60)
        assert _task(phone).state is TaskState.QUEUED
        if what == "hub restarts":
            world.house.crash("in the story", away=30)
        elif what == "hub is down":
            world.house.crash("in the story", away=360)
            late = 185.0  # within 5 s of the next moment at which hub and computer are there
        elif what == "clock set forward":
            world.house.clock.ahead += timedelta(hours=2)
            due = world.house.clock.now()
            late = 31.0
        task = await _ended(world, phone)

        begun = [event for event in await _log(world) if event.kind == "task.assigned"]
        assert len(begun) == 1
        assert 0 <= (unstamp(begun[0].at) - due).total_seconds() <= late
        assert task.state is TaskState.COMPLETED
        assert sum(world.effects.times.values()) == 1

    _told(story)


@pytest.mark.survives(
    "The network is gone for 10 minutes while a computer works",
    "It finishes alone. Within 5 seconds of the return every device shows the result, with the time it really happened.",
)
def test_ten_minutes_without_network_in_mid_task_change_nothing_but_when_it_is_shown() -> None:
    """L-05: the computer goes on alone; nothing is taken from it; its news come at once on the return, truly dated."""

    async def story(world: World) -> None:
        phone, laptop, weather = world.phones[0], world.laptops[0], world.weather
        weather.latency = 0.05
        await world.clock.sleep(30)
        _post(phone, laptop, "x once idem once")
        assert await world.until(lambda: len(world.effects.happened) == 1)
        weather.apart[laptop.name] = True
        gone_at = world.clock.now()
        assert await world.until(lambda: len(world.effects.happened) == 3, seconds=120)
        shown = _task(phone)
        await world.clock.sleep(600 - (world.clock.now() - gone_at).total_seconds())
        assert (shown.final, _task(phone).final) == (False, False)

        weather.apart.clear()
        back_at = world.clock.now()
        task = await _ended(world, phone, seconds=60)
        late = (world.clock.now() - back_at).total_seconds()

        figure = f"a result made offline was on the phone {late:.1f} s after 10 minutes without network"
        note("R5", figure, runs=1, of="outages")
        assert late <= 5
        assert task.state is TaskState.COMPLETED
        assert task.epoch == 1
        assert (gone_at - timedelta(seconds=60)) < unstamp(task.finished_at or "")
        assert unstamp(task.finished_at or "") < back_at - timedelta(seconds=300)
        assert sorted(world.effects.times.values()) == [1, 1, 1]

    with patched(links, _GIVE_UP_SECONDS=CONNECT_SECONDS):
        _told(story)


def test_a_computer_that_comes_back_after_its_task_was_canceled_changes_nothing() -> None:
    """R9: its silence changes only what is shown; what it says after its task was taken is kept and never state."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        await world.clock.sleep(30)
        _post(phone, laptop, "x once look idem look ask")
        assert await world.until(lambda: len(world.effects.happened) == 1)
        world.weather.apart[laptop.name] = True
        away = 0
        while await _connected(world, laptop):
            await world.clock.sleep(1)
            away += 1
        await world.clock.sleep(120)
        assert (_task(phone).runner, _task(phone).epoch) == (laptop.name, 1)
        phone.want("task.cancel", {}, task=_task(phone).id)
        await _ended(world, phone)
        ended = _task(phone)
        head = len(await _log(world))
        world.weather.apart.clear()
        assert await world.until(lambda: laptop.journal is not None and not laptop.journal.outbox())
        await world.clock.sleep(30)

        late = [e for e in (await _log(world))[head:] if e.actor == laptop.name and e.task]
        taken = [f"{e.seq} {e.kind}" for e in late if e.kind != "event.superseded"]
        figure = f"shown as away after {away} s; {len(late) - len(taken)} of its {len(late)} late words"
        note("R9", f"{figure} were kept, none was state", runs=1, of="zombies", failing=taken)
        assert away <= 45
        assert len(late) > 3
        assert taken == []
        assert _task(phone).to_json() == ended.to_json()

    _told(story)
