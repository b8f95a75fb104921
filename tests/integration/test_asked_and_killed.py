"""What is asked stays asked, and what nobody allowed never happens, whatever dies in between."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskhand.ports import Done
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import TaskState
from deskhand.testing.agents import Obedient, call, wish
from deskhand.texts import text
from tests.laptop import Fuse, Laptop, until

MOVES = [
    wish(call("run_command", argv=["deploy"])),
    wish(call("write_file", path="a.md", content="x")),
    Done(summary="x"),
]
COMMITS_MAX = 7


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, COMMITS_MAX))
async def test_without_a_decision_nothing_runs_wherever_it_dies(tmp_path: Path, at: int, *, after: bool) -> None:
    """AP-05: killed before or after each commit and started again, it asks and does nothing."""
    laptop, fuse = Laptop(tmp_path, [Obedient(MOVES)]), Fuse(at=at, after=after)
    folder = laptop.grant(FolderMode.ASK)
    laptop.before_commit, laptop.after_commit = fuse.before_commit, fuse.after_commit
    task = laptop.hub.assign("x", agent="scripted", folder=folder.id)

    await laptop.start()
    await until(lambda: fuse.blown or laptop.hub.approvals())
    await laptop.kill()
    async with laptop:
        await until(laptop.hub.approvals)
        await until(lambda: laptop.runner and not laptop.runner.workflow.under_way)

    assert laptop.box.ran == []
    assert [*laptop.folder.iterdir()] == []
    assert laptop.hub.task(task).state is TaskState.INPUT_REQUIRED
    assert len(laptop.hub.approvals()) == 1


async def test_a_yes_that_comes_after_its_deadline_is_asked_for_again(tmp_path: Path) -> None:
    """AP-04: a deadline that passed while the hub was away denies at the next start; the late yes does nothing, all hear it."""
    laptop = Laptop(tmp_path, [Obedient(MOVES)])
    folder = laptop.grant(FolderMode.ASK)
    await laptop.start()
    laptop.hub.assign("x", agent="scripted", folder=folder.id)
    await until(laptop.hub.approvals)
    await until(lambda: laptop.runner and not laptop.runner.workflow.under_way)
    (first,) = laptop.hub.approvals()
    await laptop.stop()
    with closing(sqlite3.connect(laptop.home / "runner.db")) as journal, journal:
        journal.execute(
            "UPDATE steps SET wish = json_set(wish, '$.approval.expires_at', ?) WHERE kind = 'wait'",
            ["2026-01-02T03:04:05.000Z"],
        )
    laptop.hub.decide(first, "allow")

    async with laptop:
        await until(lambda: laptop.hub.approvals("void"))
        await until(laptop.hub.approvals)

    assert laptop.box.ran == []
    (void,) = laptop.hub.approvals("void")
    assert (void.id, void.reason) == (first.id, text("trust.expired"))
    assert laptop.hub.approvals()[0].nonce != first.nonce


async def test_what_a_prompt_names_by_a_link_is_not_asked_and_not_done(tmp_path: Path) -> None:
    """FS-07: a link in the folder is refused before anybody is shown a harmless name for it."""
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    laptop = Laptop(
        tmp_path, [Obedient([wish(call("write_file", path="link.md", content="x", replace=True)), MOVES[-1]])]
    )
    folder = laptop.grant(FolderMode.ASK)
    (laptop.folder / "link.md").symlink_to(outside)

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(lambda: laptop.hub.task(task).final or laptop.hub.approvals())
        for approval in laptop.hub.approvals():
            laptop.hub.decide(approval, "allow")
        await laptop.finish(task)

    assert outside.read_text() == "mine"
    assert (laptop.folder / "link.md").is_symlink()
