"""A conversation that is taken up again: days later, from another device, after the hub was restarted."""

from __future__ import annotations

import pytest

from deskhand.protocol import events as ev
from deskhand.protocol.events import body_of
from deskhand.protocol.tasks import Brief, Task, Verdict
from deskhand.protocol.wire import JsonObject
from deskhand.testing.world.laptops import AGENT
from deskhand.testing.world.world import World, simulate

pytestmark = pytest.mark.timeout(120)  # a world takes seconds, on a busy machine many

SEED = 1
"""A seed whose world has two computers and two phones."""
DAYS = 3 * 24 * 3600


async def _ended(world: World, count: int) -> list[Task]:
    def final() -> list[Task]:
        return [task for task in world.phones[1].account.find(Task) if task.final]

    assert await world.until(lambda: len(final()) == count)
    return final()


async def _briefs(world: World) -> list[Brief]:
    bodies = [body_of(event) for event in await world.house.events()]
    return [body.brief for body in bodies if isinstance(body, ev.TaskAssigned)]


def test_make_the_second_one_shorter_works_days_later_from_another_device() -> None:
    """A-09: what was said and made before is in the brief, newest last, and the work goes on in the same folder."""

    async def story(world: World) -> None:
        first, second = world.phones[:2]
        folder = world.laptops[0].folder("usr")
        body: JsonObject = {"text": "x idem", "agent": AGENT, "folder": folder}
        first.want("message.post", body)
        (task,) = await _ended(world, 1)

        for machine in world.machines:
            machine.crash("in the story", away=DAYS)
        await world.clock.sleep(DAYS + 60)
        body = {"text": "x probe", "agent": AGENT, "mode": "read-only"}
        second.want("message.post", body, thread=task.thread)
        await _ended(world, 2)

        brief = (await _briefs(world))[-1]
        assert task.verdict is Verdict.VERIFIED
        assert [(item.role, item.text.splitlines()[0]) for item in brief.context] == [
            ("user", "x idem"),
            ("result", "verified"),
        ]
        assert "x idem" in brief.context[-1].text
        assert (brief.folder, brief.mode) == (folder, "read-only")

    assert simulate(SEED, story).violations == ()
