"""A hub that was restored says other things under the same numbers: nobody takes them for what they know."""

from __future__ import annotations

from pathlib import Path

import pytest

from deskhand.clock import Ids, SystemClock
from deskhand.ports import Done
from deskhand.protocol.events import SettingChanged
from deskhand.protocol.tasks import TaskState
from deskhand.testing.agents import Obedient, call, wish
from deskhand.testing.links import MemoryHub
from tests.laptop import Laptop, until

LOOK = wish(call("list_files", path="."))


@pytest.mark.parametrize("name", ["log_restored", ""], ids=["another log", "a shorter log"])
async def test_a_computer_misses_no_order_of_a_restored_hub(tmp_path: Path, name: str) -> None:
    """BR-02, R3: orders whose numbers the computer has seen before, in the log that was replaced, are carried out."""
    laptop = Laptop(tmp_path, [Obedient([LOOK, Done(summary="x")])])
    laptop.grant()
    async with laptop:
        for word in ("one", "two"):
            await laptop.finish(laptop.hub.assign(word, agent="scripted"))
        reached = laptop.rows.cursor
    restored = laptop.hub = MemoryHub(Ids(SystemClock()))
    restored.incarnation = name
    tasks = [restored.assign(word, agent="scripted") for word in "abc"]
    known = len(restored.account.log)
    for _ in range(reached + 10 if name else 0):  # grown past the old one already
        restored.tell(SettingChanged(name="lease_seconds", value=30))

    async with laptop:
        seen = [await laptop.finish(task) for task in tasks]

    assert known < reached
    assert [one.state for one in seen] == [TaskState.COMPLETED] * 3


async def test_what_a_restored_hub_orders_again_is_not_done_again(tmp_path: Path) -> None:
    """R4: the orders of before the restore come a second time under the new name, and mean nothing new."""
    done: list[str] = []

    def note(_: object) -> Done:
        done.append("asked")
        return Done(summary="x")

    laptop = Laptop(tmp_path, [Obedient([note])])
    async with laptop:
        task = laptop.hub.assign("once", agent="scripted")
        await laptop.finish(task)
    laptop.hub.incarnation = "log_restored"

    async with laptop:
        later = await laptop.finish(laptop.hub.assign("later", agent="scripted"))

    assert later.state is TaskState.COMPLETED
    assert done == ["asked", "asked"]
    assert laptop.hub.kinds(task).count("task.finished") == 1


async def test_a_changed_setting_counts_at_once(tmp_path: Path) -> None:
    """What was read of a setting before is forgotten with the order that changes it."""
    laptop = Laptop(tmp_path, [])
    async with laptop:
        before = laptop.rows.setting("lease_seconds")
        laptop.hub.tell(SettingChanged(name="lease_seconds", value=45))
        await until(lambda: laptop.rows.setting("lease_seconds") == 45)

    assert before is None
