"""What holds of attempts however they are interrupted: begun once, ended once, each effect once or told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deskhand.permissions.rules import Kind
from deskhand.ports import Done, Effect, Place, ToolResult, Turn
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.testing.agents import Obedient, call, wish
from tests.laptop import Fuse, Laptop, until

COMMITS_MAX = 12


@dataclass(slots=True)
class Counter:
    """A tool whose effects are counted outside of everything that may crash."""

    effect: Effect
    name: str
    writes: bool = True
    kind: Kind = "safe"
    done: list[str] = field(default_factory=list[str])

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return a file in the results place."""
        return str(place.results.root / str(arguments["path"]))

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Have the effect once."""
        del place
        self.done.append(str(arguments["path"]))
        return ToolResult(outcome="ok", value={})


async def test_the_same_attempt_started_twice_runs_once(tmp_path: Path) -> None:
    """An order for a task and epoch that is known begins nothing."""
    agent = Obedient([Done(summary="x")])
    laptop = Laptop(tmp_path, [agent])

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        laptop.hub.order(task, epoch=1)
        await laptop.finish(task)
        laptop.hub.order(task, epoch=1)
        await until(lambda: laptop.rows.cursor == laptop.hub.account.log[-1].seq)

        assert laptop.open_attempts() == []

    assert agent.asked == 1


async def test_cancel_stops_the_attempt_and_nothing_else(tmp_path: Path) -> None:
    """What runs is killed, and the attempt is over for good."""
    laptop = Laptop(tmp_path, [Obedient([wish(call("run_command", argv=["sleep", "60"]))])])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        tasks = [laptop.hub.assign("x", agent="scripted") for _ in range(2)]
        await until(lambda: len(laptop.box.ran) == 2)
        assert laptop.runner
        laptop.hub.cancel(tasks[0])
        await until(lambda: laptop.box.killed == 1)

        assert [key.task for key in laptop.runner.workflow.under_way] == [tasks[1]]


async def test_an_order_that_comes_twice_is_one_order(tmp_path: Path) -> None:
    """A stream that begins again before the cursor changes nothing."""
    agent = Obedient([Done(summary="x")])
    laptop = Laptop(tmp_path, [agent])

    async with laptop:
        await laptop.finish(laptop.hub.assign("x", agent="scripted"))
        (order,) = [e for e in laptop.hub.account.log if e.kind == "task.assigned"]
        again = await laptop.rows.receive(order)

    assert again is None
    assert agent.asked == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, COMMITS_MAX + 1))
async def test_a_crash_at_any_commit_loses_nothing_and_repeats_nothing(tmp_path: Path, at: int, *, after: bool) -> None:
    """Killed at any commit and started again: one end, each effect once or said to be unknown (R1, R3, R4, R18)."""
    mail, note = Counter(effect="unknown", name="mail"), Counter(effect="idempotent", name="note")
    heard: list[str] = []

    def end(history: Sequence[Turn]) -> Done:
        heard[:] = [result.outcome for turn in history for result in turn.results]
        return Done(summary="x")

    agent = Obedient(
        [wish(call("list_files", path=".")), wish(call("mail", path="a"), call("note", path="b"), say="Sending."), end]
    )
    laptop = Laptop(tmp_path, [agent], tools={"mail": mail, "note": note})
    folder = laptop.grant(FolderMode.ASK)
    fuse = Fuse(at=at, after=after)
    laptop.before_commit, laptop.after_commit = fuse.before_commit, fuse.after_commit
    task = laptop.hub.assign("x", agent="scripted", folder=folder.id)

    await laptop.start()
    await _say_yes_until(laptop, task, lambda: laptop.ended)
    await laptop.kill()
    async with laptop:
        await _say_yes_until(laptop, task, lambda: False)

    seen = laptop.hub.task(task)
    assert fuse.blown
    assert seen.state is TaskState.COMPLETED
    assert laptop.hub.kinds(task).count("task.finished") == 1
    assert heard[0] == "ok"
    assert (mail.done == ["a"]) or (heard[1] == "unknown" and mail.done == [])
    assert set(note.done) == {"b"}
    assert len(note.done) <= 2
    assert {one.state for one in laptop.hub.approvals("allowed")} == {"allowed"}


async def _say_yes_until(laptop: Laptop, task: str, ended: Callable[[], bool]) -> None:
    """Say yes to whatever is asked, until the task or the process has ended."""

    def over() -> bool:
        for approval in laptop.hub.approvals():
            laptop.hub.decide(approval, "allow")
        return laptop.hub.task(task).final or ended()

    await until(over)
