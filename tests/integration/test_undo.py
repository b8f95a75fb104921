"""``/undo``: shown, asked, done and looked at again, by a whole runner."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path
from typing import cast

import pytest

from deskhand.agents.commands.agent import CommandAgent
from deskhand.clock import SystemClock
from deskhand.ports import Done, Wishes
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import TaskState, Verdict
from deskhand.sandbox.walls import choose_sandbox
from deskhand.testing.agents import Obedient, call, wish
from tests.driven import offloaded
from tests.laptop import Box, Laptop, inline, until

AGENT = CommandAgent(offload=offloaded)
DONE = Done(summary="Done.")
FILES = 2_000
SECONDS_MAX = 5.0
PATIENCE_SECONDS = 100

Tree = dict[str, tuple[int, bytes]]


def tree(root: Path) -> Tree:
    """Return every name with its permissions and bytes."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes() if path.is_file() else b"/")
        for path in sorted(root.rglob("*"))
    }


async def undo(laptop: Laptop, folder: str, line: str) -> str:
    """Type an undo and allow what it shows; return what was shown."""
    task = laptop.hub.assign(line, agent="commands", folder=folder)
    await until(lambda: laptop.hub.approvals() or laptop.hub.task(task).final)
    shown = ""
    for approval in laptop.hub.approvals():
        shown = approval.action.preview or ""
        laptop.hub.decide(approval, "allow")
    await laptop.finish(task)
    return shown


def work(*moves: Wishes) -> Obedient:
    return Obedient([*moves, DONE])


async def test_what_an_agent_did_is_shown_asked_and_taken_back(tmp_path: Path) -> None:
    """G-09: write, edit, move and trash in a folder of one's own; the undo asks even where work is free (R1)."""
    moves = (
        wish(call("write_file", path="a.md", content="new\n", replace=True)),
        wish(call("edit_file", path="b.md", old="two", new="2")),
        wish(call("move_file", path="c.md", to="deep/er/c.md")),
        wish(call("trash_file", path="d")),
    )
    laptop = Laptop(tmp_path, [work(*moves), AGENT])
    folder = laptop.grant(FolderMode.WORKSPACE)
    for name in ("a.md", "b.md", "c.md"):
        (laptop.folder / name).write_text(f"one {name}\ntwo\n", encoding="utf-8")
    (laptop.folder / "d" / "empty").mkdir(parents=True)
    before = tree(laptop.folder)

    async with laptop:
        task = laptop.hub.assign("work", agent="scripted", folder=folder.id)
        await laptop.finish(task)
        changed = tree(laptop.folder)
        shown = await undo(laptop, folder.id, f"/undo {task}")

    assert changed != before
    assert tree(laptop.folder) == before
    assert "  -2\n  +two" in shown
    assert "deep/er/c.md → c.md" in shown


async def test_a_no_takes_nothing_back(tmp_path: Path) -> None:
    """G-09: an undo that is denied changes nothing."""
    laptop = Laptop(tmp_path, [work(wish(call("write_file", path="a.md", content="x"))), AGENT])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("work", agent="scripted", folder=folder.id)
        await laptop.finish(task)
        undone = laptop.hub.assign(f"/undo {task}", agent="commands", folder=folder.id)
        await until(laptop.hub.approvals)
        laptop.hub.decide(laptop.hub.approvals()[0], "deny")
        seen = await laptop.finish(undone)

    assert seen.state is TaskState.FAILED
    assert (laptop.folder / "a.md").read_text() == "x"


async def test_a_yes_does_not_outlive_a_change_of_what_it_was_given_for(tmp_path: Path) -> None:
    """AP-02: a file that the person changes between question and answer is asked about anew."""
    laptop = Laptop(tmp_path, [work(wish(call("write_file", path="a.md", content="x"))), AGENT])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("work", agent="scripted", folder=folder.id)
        await laptop.finish(task)
        laptop.hub.assign(f"/undo {task}", agent="commands", folder=folder.id)
        await until(laptop.hub.approvals)
        (first,) = laptop.hub.approvals()
        (laptop.folder / "a.md").write_text("mine")
        laptop.hub.decide(first, "allow")
        await until(laptop.hub.approvals)
        (second,) = laptop.hub.approvals()

    assert "changed since" in (second.action.preview or "")
    assert (laptop.folder / "a.md").read_text() == "mine"


async def test_steps_are_points_to_go_back_to(tmp_path: Path) -> None:
    """G-09: ``--turn`` keeps what the task did up to that step."""
    writes = [wish(call("write_file", path="a.md", content=str(n), replace=True)) for n in (1, 2, 3)]
    laptop = Laptop(tmp_path, [work(*writes), AGENT])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("work", agent="scripted", folder=folder.id)
        await laptop.finish(task)
        await undo(laptop, folder.id, f"/undo {task} --turn 2")

    assert (laptop.folder / "a.md").read_text() == "2"


COMMAND = f"""
import os
from pathlib import Path
for i in range({FILES}):
    f = Path(f"data/f{{i}}.txt")
    moved, new = Path(f"moved/{{i % 7}}"), Path(f"new/{{i % 9}}")
    if i % 4 == 0:
        f.write_text(f"changed {{i}}")
    elif i % 4 == 1:
        f.unlink()
    elif i % 4 == 2:
        moved.mkdir(parents=True, exist_ok=True)
        f.rename(moved / f.name)
    else:
        new.mkdir(parents=True, exist_ok=True)
        (new / f.name).write_text(f"new {{i}}")
        f.chmod(0o750)
os.rmdir("empty")
"""


async def ended(laptop: Laptop, task: str, *, asked: bool = False) -> None:
    """Wait for a task that has much to do."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (laptop.hub.task(task).final or (asked and laptop.hub.approvals())):
            await SystemClock().sleep(0.002)


@pytest.mark.needs("bubblewrap")
@pytest.mark.needs("overlay")
@pytest.mark.timeout(240)
async def test_two_thousand_files_of_a_command_come_back_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G-09: changed, created, renamed and deleted behind the wall; contents, permissions, directories, in 5 s."""
    # The disk is shared with other tests: processor time is counted, and nobody waits for it.
    monkeypatch.setattr(os, "fsync", int)
    run = wish(call("run_command", argv=["python3", "-c", COMMAND]))
    box = await choose_sandbox(tmp_path / "state", clock=SystemClock(), offload=inline)
    laptop = Laptop(tmp_path, [work(run), AGENT], box=cast("Box", box))
    folder = laptop.grant()
    for number in range(FILES):
        path = laptop.folder / "data" / f"f{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"line {number}\n", encoding="utf-8")
        path.chmod(0o600 if number % 5 else 0o755)
    (laptop.folder / "empty").mkdir(mode=0o750)
    before = tree(laptop.folder)

    async with laptop:
        task = laptop.hub.assign("work", agent="scripted", folder=folder.id)
        await ended(laptop, task)
        changed = tree(laptop.folder)
        undone = laptop.hub.assign(f"/undo {task}", agent="commands", folder=folder.id)
        await ended(laptop, undone, asked=True)
        started = time.process_time()
        laptop.hub.decide(laptop.hub.approvals()[0], "allow")
        await ended(laptop, undone)
        taken = time.process_time() - started

    assert len(changed.items() ^ before.items()) > FILES
    assert tree(laptop.folder) == before
    assert laptop.hub.task(undone).verdict is Verdict.VERIFIED
    assert taken < SECONDS_MAX
