"""Walking away: time passes, the network goes, a computer comes back late. Told in simulated time, judged at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from deskhand.clock import stamp, unstamp
from deskhand.ports import View
from deskhand.protocol.events import Event
from deskhand.protocol.tasks import Task, TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.testing.world.hub import ACCOUNT
from deskhand.testing.world.laptops import AGENT, Laptop
from deskhand.testing.world.phones import Phone
from deskhand.testing.world.world import Outcome, World, simulate

TWO_COMPUTERS = 1
"""A seed whose world has two computers and two phones."""
HOUR = 3600.0


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
    view = View(account=ACCOUNT, owner=True)
    return (await world.house.store.events(view, after=0, limit=500)).events


async def _ended(world: World, phone: Phone, *, seconds: float = 3 * HOUR) -> Task:
    assert await world.until(
        lambda: any(task.final for task in phone.account.find(Task)), seconds=seconds
    )
    return _task(phone)


@pytest.mark.parametrize("what", ["nothing", "hub restarts", "hub is down", "clock set forward"])
def test_what_waits_for_its_time_begins_then_by_itself_and_once(what: str) -> None:
    """R7: a task for later begins at its time, whatever happens to the hub or its clock meanwhile, exactly once."""

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        await world.clock.sleep(30)
        due = world.house.clock.now() + timedelta(hours=1)
        late = 2.0
        _post(phone, laptop, "x once", not_before=stamp(due))
        await world.clock.sleep(60)
        assert _task(phone).state is TaskState.QUEUED
        if what == "hub restarts":
            world.house.crash("in the story", away=30)
        elif what == "hub is down":
            world.house.crash("in the story", away=HOUR + 600)
            late = 665.0  # within 5 s of the next moment at which hub and computer are there
        elif what == "clock set forward":
            world.house.clock.ahead += timedelta(hours=5)
            due = world.house.clock.now()
            late = 31.0
        task = await _ended(world, phone)

        begun = [event for event in await _log(world) if event.kind == "task.assigned"]
        assert len(begun) == 1
        assert 0 <= (unstamp(begun[0].at) - due).total_seconds() <= late
        assert task.state is TaskState.COMPLETED
        assert sum(world.effects.times.values()) == 1

    _told(story)
