"""Eight hours of sleep in the middle of a task, in virtual time, with the pulse that the product really has."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from deskhand.hub import timing as attendance
from deskhand.protocol.objects import Presence
from deskhand.protocol.tasks import Task, Verdict
from deskhand.runner import app
from deskhand.testing.promises import note
from deskhand.testing.world.hub import ACCOUNT
from deskhand.testing.world.laptops import AGENT, Laptop
from deskhand.testing.world.patching import patched
from deskhand.testing.world.world import World, simulate

pytestmark = pytest.mark.timeout(120)  # a world takes seconds, on a busy machine many

NIGHT_SECONDS = 8 * 3600.0
SHOWN_SECONDS_MAX = 45.0
RESUMED_SECONDS_MAX = 30.0
SEEDS = (1, 2)


@contextmanager
def real_pulse() -> Generator[None]:
    """Look as often as the product does; through a whole night that would be too much to wait for."""
    with (
        patched(app, _LOOK_SECONDS=1.0, _NAP_SECONDS=1.0, _WORD_SECONDS=10.0),
        patched(attendance, _SILENT_SECONDS=25.0, _GONE_SECONDS=2.0, _LOOK_SECONDS=2.0),
    ):
        yield


async def _link(world: World, laptop: Laptop) -> Presence:
    assert world.house.store is not None
    return (await world.house.store.presence(ACCOUNT))[laptop.name]


async def _seconds_until(world: World, laptop: Laptop, state: str) -> float:
    began = world.clock.elapsed()
    while (await _link(world, laptop)).state != state:
        assert world.clock.elapsed() - began < 600
        await world.clock.sleep(0.5)
    return world.clock.elapsed() - began


@pytest.mark.parametrize("suspended", [True, False], ids=["suspended", "stopped"])
def test_after_a_night_of_sleep_the_task_goes_on_within_seconds(*, suspended: bool) -> None:
    """R8: asleep within 45 s, on again within 30 s of waking, no step lost, every effect once, and how long it slept."""
    shown: list[float] = []
    resumed: list[float] = []

    async def story(world: World) -> None:
        phone, laptop = world.phones[0], world.laptops[0]
        folder = laptop.folder("usr")
        body = {"text": "x once probe idem", "agent": AGENT, "folder": folder}
        with real_pulse():
            await world.clock.sleep(61)  # until nobody naps as long as before
            phone.want("message.post", dict(body))
            assert await world.until(lambda: sum(world.effects.times.values()) >= 1)
            frozen = world.clock.elapsed()
            laptop.freeze(NIGHT_SECONDS, suspended=suspended)
            shown.append(await _seconds_until(world, laptop, "asleep"))
        await world.clock.sleep(frozen + NIGHT_SECONDS - world.clock.elapsed() - 1)
        with real_pulse():
            await world.clock.sleep(1)
            resumed.append(await _seconds_until(world, laptop, "up"))
        assert await world.until(lambda: all(task.final for task in phone.account.find(Task)))

        (task,) = phone.account.find(Task)
        slept = (await _link(world, laptop)).slept_seconds
        assert task.verdict is Verdict.VERIFIED
        assert sorted(world.effects.times.values()) == [1, 1, 1]
        assert slept == pytest.approx(NIGHT_SECONDS, abs=5)

    failing = [seed for seed in SEEDS if simulate(seed, story).violations]

    note(
        "R8",
        f"8 h of sleep in mid-task: shown asleep after at most {max(shown):.0f} s, up again at "
        f"most {max(resumed):.0f} s after waking, no step lost, every effect once",
        runs=len(SEEDS),
        of=f"nights ({'suspended' if suspended else 'stopped'})",
        failing=failing,
    )
    assert failing == []
    assert max(shown) <= SHOWN_SECONDS_MAX
    assert max(resumed) <= RESUMED_SECONDS_MAX
