"""A home with a long history: a few conversations held for real with a hub, then multiplied row by row.

What is multiplied is what the hub itself wrote, with other ids and the chain of hashes laid anew, so that `log verify`
finds nothing to say about it. It refuses to invent a row.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from typing_extensions import override

from deskhand.core.folding import COLLECTIONS
from deskhand.hub.app import Participant
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Op, Principal
from deskhand.protocol.tasks import Brief, Changes, Check, TaskState, Verdict
from deskhand.store.opening import FILE
from deskhand.store.tables import chained, digest
from tests.acceptance.stage import Computer
from tests.rim import Rim, open_rim

THREADS = 500
TASKS_EACH = 20
WAITING = 60
"""Of the conversations, how many have something open: at work, an approval, a question, queued."""
COMPUTERS = 10
SCREENS = 40

_NAMES = re.compile(r"\b(thr|tsk|msg|apr|qst|art|op)_([0-9a-z]{10})([0-9a-z]{16})\b")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_HOUR = 3_600_000
_WAITS = {
    "wait for it": "step.started",
    "/run a command": "approval.requested",
    "ask me": "question.asked",
    "one more behind the others": "task.queued",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BigHome:
    """Where it lies, who may come in, and how much is in it."""

    path: Path
    owner: str
    computers: tuple[str, ...]
    screens: tuple[str, ...]
    events: int
    tasks: int

    def copy(self, to: Path) -> BigHome:
        """Return the same home somewhere else."""
        shutil.copytree(self.path, to)
        return BigHome.read(to)

    @classmethod
    def read(cls, path: Path) -> BigHome:
        """Return a home that was made before."""
        said = json.loads((path / "big.json").read_text(encoding="utf-8"))
        computers, screens = tuple(said.pop("computers")), tuple(said.pop("screens"))
        return cls(**said, computers=computers, screens=screens, path=path)


class Quick(Computer):
    """A computer that says as little as one can; with `full` in the text as much as in real life."""

    @override
    async def begin(self, brief: Brief) -> None:
        if "quick" not in brief.text:
            await super().begin(brief)
            return
        epoch = brief.epoch
        await self.op("task.accept", {"epoch": epoch}, task=brief.task)
        said = (
            ev.StepStarted(epoch=epoch, step=1, tool="files.read", title="read notes/call.md"),
            ev.StepFinished(epoch=epoch, step=1, outcome="ok", summary="12 lines"),
            ev.TaskMoved(epoch=epoch, state=TaskState.VERIFYING),
            ev.CheckFinished(epoch=epoch, check=Check(name="One page", passed=True, evidence="11")),
            ev.TaskFinished(
                state=TaskState.COMPLETED,
                verdict=Verdict.VERIFIED,
                summary="Three actions, each with file and line.",
                changes=Changes(created=1),
                epoch=epoch,
            ),
        )
        for body in said:
            await self.about(brief, body)


async def make(path: Path, *, threads: int = THREADS, tasks_each: int = TASKS_EACH) -> BigHome:
    """Make a home with this many conversations of so many tasks, in an empty private directory."""
    async with open_rim(path, on_disk=True) as rim:
        computers = [await rim.device(Role.RUNNER, "runner") for _ in range(COMPUTERS)]
        screens = [await rim.device(Role.OWNER, "cli") for _ in range(SCREENS)]
        past, waiting = await _held(rim, computers[0][0], tasks_each)
        account = rim.owner.account
        owner = rim.owner.token
    with sqlite3.connect(path / FILE) as driver:
        driver.execute("PRAGMA foreign_keys=ON")
        copies = [past] * (threads - 1) + [waiting] * WAITING
        _multiply(driver, account, copies)
        events = driver.execute("SELECT head FROM accounts").fetchone()[0]
        tasks = driver.execute("SELECT count(*) FROM tasks").fetchone()[0]
    driver.close()
    made = BigHome(
        path=path,
        owner=owner,
        computers=tuple(token for _, token in computers),
        screens=tuple(token for _, token in screens),
        events=events,
        tasks=tasks,
    )
    said = asdict(made)
    del said["path"]
    (path / "big.json").write_text(json.dumps(said), encoding="utf-8")
    return made


async def _held(rim: Rim, device: str, tasks: int) -> tuple[str, str]:
    """Hold a conversation whose tasks are all over, and one in which everything is open; return their ids."""
    account = rim.owner.account
    link = Participant(rim.hub, Principal(account=account, id=device, role=Role.RUNNER))
    computer = Quick(rim=rim, link=link, id=device, name="laptop", root="/home/me/Meetings")
    await computer.advertise()
    work = asyncio.ensure_future(computer.run())
    past = waiting = None
    for number in range(tasks):
        length = "full" if number % 4 == 0 else "quick"
        past = await _post(rim, f"{length}: brief me {number}", past, until="task.finished")
    for text, kind in _WAITS.items():
        waiting = await _post(rim, text, waiting, until=kind)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    return past or "", waiting or ""


async def _post(rim: Rim, text: str, thread: str | None, *, until: str) -> str:
    """Delegate a task, wait for an event of this kind about it, and return its thread."""
    owner = Principal(account=rim.owner.account, id=rim.owner.device, role=Role.OWNER)
    op = Op(op_id=rim.ids.new("op"), kind="message.post", thread=thread, body={"text": text})
    (result,) = await rim.hub.submit(owner, [op], surface="page")
    async with asyncio.timeout(20), aclosing(rim.hub.stream(owner, after=0)) as frames:
        async for frame in frames:
            event = frame.event
            if event is not None and (event.task, event.kind) == (result.task, until):
                return event.thread or ""
    raise AssertionError(text)


# --- multiplying -------------------------------------------------------------------------------------------------

Rows = dict[str, list[dict[str, Any]]]


def _multiply(driver: sqlite3.Connection, account: str, threads: Sequence[str]) -> None:
    """Append each conversation once more, in this order, under ids that are an hour older each time."""
    driver.row_factory = sqlite3.Row
    held = {thread: json.dumps(_rows_of(driver, thread)) for thread in set(threads)}
    query = "SELECT head, hash FROM accounts WHERE id = ?"
    head, before = driver.execute(query, (account,)).fetchone()
    for number, thread in enumerate(threads, start=1):
        rows = cast("Rows", json.loads(_renamed(held[thread], hours=number)))
        seqs: dict[int, int] = {}
        for row in rows["events"]:
            head += 1
            seqs[row["seq"]] = row["seq"] = head
            row["body_sha256"] = digest(row["body"])
            row["hash"] = before = chained(before, row)
        for table, found in rows.items():
            for row in found if table in COLLECTIONS.values() else ():
                row["seq"] = seqs[row["seq"]]
            _insert(driver, table, found)
    driver.execute("UPDATE accounts SET head = ?, hash = ? WHERE id = ?", (head, before, account))


def _rows_of(driver: sqlite3.Connection, thread: str) -> Rows:
    """Return every row that hangs on a conversation, in an order that foreign keys allow."""
    tasks = "SELECT id FROM tasks WHERE thread = :thread"
    wheres = {
        "events": "thread = :thread",
        "threads": "id = :thread",
        "tasks": "thread = :thread",
        "approvals": "thread = :thread",
        "questions": "thread = :thread",
        "artifacts": f"task IN ({tasks})",
        "leases": f"task IN ({tasks})",
        "ops": f"json_extract(result, '$.task') IN ({tasks})",
    }
    return {
        table: [
            dict(row)
            for row in driver.execute(f"SELECT * FROM {table} WHERE {where}", {"thread": thread})  # noqa: S608 - our own names
        ]
        for table, where in wheres.items()
    }


def _insert(driver: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        names = ", ".join(f'"{name}"' for name in rows[0])
        places = ", ".join("?" for _ in rows[0])
        driver.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608 - our own names
            [tuple(row.values()) for row in rows],
        )


def _renamed(held: str, *, hours: int) -> str:
    """Return rows with ids that were made some hours earlier."""

    @functools.cache
    def earlier(time: str) -> str:
        return _digits(_number(time) - hours * _HOUR)

    return _NAMES.sub(lambda found: f"{found[1]}_{earlier(found[2])}{found[3]}", held)


def _number(digits: str) -> int:
    return functools.reduce(lambda sofar, digit: sofar * 32 + _ALPHABET.index(digit), digits, 0)


def _digits(number: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(45, -1, -5))
