"""This computer's own file and settings are the ceiling, whatever a hub says: who may have work done, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from deskhand.errors import Code
from deskhand.ports import Done, Move, Turn
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Folder, FolderMode
from deskhand.protocol.tasks import Budget, TaskState
from deskhand.runner.ceiling import Lending, grant_folder
from deskhand.testing.agents import Obedient, call, wish
from deskhand.testing.links import RUNNER
from tests.laptop import Laptop

WRITE = wish(call("write_file", path="report.md", content="hello\n"))
END = Done(summary="x")


@pytest.mark.parametrize("lent", [(), ("dev_another",)])
async def test_a_lying_hub_cannot_lend(tmp_path: Path, lent: tuple[str, ...]) -> None:
    """PA-03, IS-02: work for a member to whom nothing is lent here is refused, whatever the hub calls lent."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, END])])
    folder = grant_folder(laptop.home, laptop.folder, mode=FolderMode.WORKSPACE, lending=Lending(to=lent))

    async with laptop:
        said = Folder(
            id=folder.id, runner=RUNNER, root=folder.root, label="W", mode=folder.mode, lent_to=("dev_member",)
        )  # fmt: skip
        laptop.hub.narrow(said)
        there = laptop.hub.assign("x", agent="scripted", folder=folder.id, member="dev_member")
        nowhere = laptop.hub.assign("x", agent="scripted", member="dev_member", thread="thr_2")
        ends = [await laptop.finish(task) for task in (there, nowhere)]

    assert [end.state for end in ends] == [TaskState.FAILED, TaskState.FAILED]
    assert not (laptop.folder / "report.md").exists()
    assert not laptop.documents.exists()


async def test_work_for_a_member_is_done_where_it_is_lent(tmp_path: Path) -> None:
    """The same gate, the same mode as for the owner."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, END])])
    lending = Lending(to=("dev_member",))
    folder = grant_folder(laptop.home, laptop.folder, mode=FolderMode.WORKSPACE, lending=lending)

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, member="dev_member")
        end = await laptop.finish(task)

    assert end.state is TaskState.COMPLETED
    assert (laptop.folder / "report.md").exists()


@pytest.mark.parametrize("with_folder", [True, False])
async def test_lending_that_is_taken_back_stops_the_work(tmp_path: Path, *, with_folder: bool) -> None:
    """RO-05: also where the results go to a place of their own."""
    laptop = Laptop(tmp_path, [])
    lending = Lending(to=("dev_member",))
    folder = grant_folder(laptop.home, laptop.folder, mode=FolderMode.WORKSPACE, lending=lending)

    def take_back(_: Sequence[Turn]) -> Move:
        grant_folder(laptop.home, laptop.folder, mode=FolderMode.WORKSPACE, lending=Lending(to=()))
        return WRITE

    laptop.agents = [agent := Obedient([take_back, END])]
    async with laptop:
        where = folder.id if with_folder else None
        task = laptop.hub.assign("x", agent="scripted", folder=where, member="dev_member")
        end = await laptop.finish(task)

    assert agent.seen[-1][-1].results[-1].value == {"code": Code.FOLDER_REFUSED}
    assert end.changes.created == 0


async def test_checks_of_a_member_are_not_run(tmp_path: Path) -> None:
    """A check is a command; only the owner's are run, also when a hub sends others along."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, END])])
    lending = Lending(to=("dev_member",))
    folder = grant_folder(laptop.home, laptop.folder, mode=FolderMode.WORKSPACE, lending=lending)

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, member="dev_member", checks=("touch owned",))
        await laptop.finish(task)

    assert laptop.box.ran == []


async def test_the_account_narrows_every_folder_at_once(tmp_path: Path) -> None:
    """The ceiling of the account holds in each folder, and never widens one."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, END]), Obedient([WRITE, END], name="again")])
    folder = laptop.grant(FolderMode.WORKSPACE)

    async with laptop:
        laptop.hub.tell(ev.SettingChanged(name="ceiling.mode", value="read-only"))
        first = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await laptop.finish(first)
        written = (laptop.folder / "report.md").exists()
        laptop.hub.tell(ev.SettingChanged(name="ceiling.mode", value="trusted"))
        second = laptop.hub.assign("x", agent="again", folder=folder.id, thread="thr_2")
        await laptop.finish(second)

    assert not written
    assert (laptop.folder / "report.md").exists()


@pytest.mark.parametrize("value", ["everything", None, 7, "", ["trusted"]])
async def test_a_ceiling_that_makes_no_sense_allows_nothing(tmp_path: Path, value: object) -> None:
    """What a hub says and nobody understands is taken for the narrowest."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, END])])
    folder = laptop.grant(FolderMode.WORKSPACE)

    async with laptop:
        changed = ev.SettingChanged.from_json({"name": "ceiling.mode", "value": value})
        laptop.hub.tell(changed)
        await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

    assert not (laptop.folder / "report.md").exists()


async def test_no_hub_lifts_this_computers_own_limits(tmp_path: Path) -> None:
    """R15: a budget of none, or a yes to go on, spends no more than the person at the machine allows."""

    def write_on(turns: Sequence[Turn]) -> Move:
        return wish(call("write_file", path=f"{len(turns)}.md", content="x"))

    laptop = Laptop(tmp_path, [Obedient([write_on] * 9)], most=lambda _: 4)
    folder = laptop.grant()

    async with laptop:
        laptop.hub.tell(ev.SettingChanged(name="budget.steps", value=0))
        budget = Budget(steps=0)
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, budget=budget)
        end = await laptop.finish(task)

    assert end.state is TaskState.FAILED
    assert end.usage.steps == 4
    assert "4 of 4 steps" in end.not_done_because[0]
