"""A whole runner against a hub in memory, with scripted agents and the real tools."""

from __future__ import annotations

from pathlib import Path

from deskhand.ports import Done
from deskhand.protocol.tasks import TaskState, Verdict
from deskhand.testing.agents import Obedient, call, wish
from tests.laptop import Laptop, until


async def test_a_task_goes_from_order_to_result(tmp_path: Path) -> None:
    """What the agent wished for lies in the folder, is on the hub, and the task has its one end."""
    agent = Obedient(
        [
            wish(call("list_files", path="."), say="Looking around."),
            wish(call("write_file", "write report.md", path="report.md", content="hello\n")),
            Done(summary="Wrote it.", outputs=("report.md",)),
        ]
    )
    laptop = Laptop(tmp_path, [agent])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("write a report", agent="scripted", folder=folder.id)
        await until(lambda: laptop.hub.task(task).final)

    seen = laptop.hub.task(task)
    assert (seen.state, seen.verdict) == (TaskState.COMPLETED, Verdict.UNVERIFIED)
    assert (laptop.folder / "report.md").read_text() == "hello\n"
    assert [artifact.name for artifact in seen.artifacts] == ["report.md"]
    assert seen.changes.created == 1
    assert laptop.hub.kinds(task) == [
        "task.created",
        "task.assigned",
        "task.accepted",
        "message.posted",
        "step.started",
        "step.finished",
        "step.started",
        "step.finished",
        "task.moved",
        "artifact.created",
        "task.finished",
    ]
