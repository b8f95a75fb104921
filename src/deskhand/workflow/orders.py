"""What an order means for the journal, inside the one transaction that stores it, and the statements it consists of.

Pure SQL on an open connection: nothing here waits, sends or works. It refuses to believe a decision that does not
name exactly what was asked: such an order is stored, and decides nothing. A journal that came out of a backup begins
another life, in which no yes of the old one counts: the permission may have been used since.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, text

from deskhand.errors import DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, TaskState
from deskhand.store.tables import json_text
from deskhand.workflow.rows import AttemptKey, Status

_SAID: Final = Path(__file__).with_name("journal.sql").read_text("utf-8")
_PARTS: Final = re.split(r"^-- (\w+)(?::.*)?\n", _SAID, flags=re.MULTILINE)
STATEMENTS: Final = dict(zip(_PARTS[1::2], map(text, _PARTS[2::2]), strict=True))


def run(connection: Connection, statement: str, /, **asked: object) -> CursorResult[Any]:
    """Run a statement of ``journal.sql`` with what it asks for."""
    return connection.execute(STATEMENTS[statement], asked)


def receive(connection: Connection, event: ev.Event, *, op_id: str) -> tuple[AttemptKey, ...] | None:
    """Store an order with its consequences, move the cursor, and return the attempts that must not go on.

    An order that is there already changes nothing, and returns nothing. One of an unknown kind or shape is kept, moves
    the cursor and means nothing.
    """
    try:
        body = ev.body_of(event)
    except DeskhandError:
        body = None
    row = {
        "seq": event.seq,
        "kind": event.kind,
        "task": event.task,
        "ref": _decided(connection, body),
        "event": json_text(event.to_json()),
    }
    if run(connection, "receive", **row).rowcount != 1:
        return None
    put_meta(connection, "cursor", str(event.seq))
    return _follow(connection, event, body, op_id)


def change_log(connection: Connection, log: str) -> None:
    """Take orders from another log, from its beginning: its numbers mean other events.

    The orders of the old one keep their place before it. What was ordered already comes to nothing a second time.
    """
    put_meta(connection, "log", log)
    put_meta(connection, "cursor", "0")
    run(connection, "move_down")


def _begin(connection: Connection, brief: Brief, *, seq: int, op_id: str) -> tuple[AttemptKey, ...]:
    """Store an attempt and the op that accepts it; older attempts of the task have lost their epoch.

    It takes over what the last of them did, so that no effect is done twice; waits without a decision stay behind.
    """
    task, epoch = brief.task, brief.epoch
    stopped = stop(connection, status="superseded", task=task, below=epoch)
    newest = run(connection, "newest", task=task).scalar() or 0
    if newest == epoch:  # the same attempt, assigned again after a pause
        run(connection, "pause", task=task, paused=False)
    if newest >= epoch:
        return stopped
    before = run(connection, "superseded", task=task).first()
    place = before.place if before else None
    said = json_text(brief.to_json())
    run(connection, "begin", task=task, epoch=epoch, brief=said, place=place, received=seq)
    if before is not None:
        run(connection, "drop_waits", task=task, epoch=before.epoch)
        run(connection, "adopt", task=task, epoch=before.epoch, to=epoch)
    accept = Op(op_id=op_id, kind="task.accept", thread=brief.thread, task=task, body={"epoch": epoch})
    put_op(connection, accept, key=AttemptKey(task=task, epoch=epoch))
    return stopped


def stop(connection: Connection, *, status: Status, task: str | None = None, below: int = 0) -> tuple[AttemptKey, ...]:
    """Mark the open attempts of a task below an epoch, or of all tasks, as over, and return them."""
    found = run(connection, "open_ones", task=task, below=below).all()
    keys = tuple(AttemptKey(task=row.task, epoch=row.epoch) for row in found)
    for key in keys:
        run(connection, "end", status=status, **asdict(key))
    return keys


def begin_anew(connection: Connection, incarnation: str) -> tuple[AttemptKey, ...]:
    """Begin another life of this home, which sends nothing of the former one, and return what it held."""
    old = run(connection, "fact", name="incarnation").scalar() or ""
    put_meta(connection, "incarnation", max(incarnation, f"{old}0"))  # a clock may have gone back
    run(connection, "forget_all")
    return stop(connection, status="superseded")


def put_op(connection: Connection, op: Op, *, key: AttemptKey) -> None:
    """Put an op into the outbox, and keep which one was the last for ever."""
    run(connection, "put", op_id=op.op_id, op=json_text(op.to_json()), **asdict(key))
    run(connection, "keep_highest", name="said", value=op.op_id)


def put_meta(connection: Connection, name: str, value: str) -> None:
    """Keep one fact: about the journal itself, or what the hub said of a setting or folder."""
    run(connection, "keep", name=name, value=value)


def settle_journal(connection: Connection) -> None:
    """Let the next ``open`` begin a new life, and take back what was allowed in attempts that are not over."""
    for statement in ("forget_home", "forget_unused_yes", "narrow_yes"):
        run(connection, statement)


def _follow(connection: Connection, event: ev.Event, body: ev.Body | None, op_id: str) -> tuple[AttemptKey, ...]:
    """Do what an order says, as far as it concerns the journal; return the attempts it stops."""
    task = event.task or ""
    match body:
        case ev.TaskAssigned():
            brief = body.brief.but(epoch=body.epoch)
            return _begin(connection, brief, seq=event.seq, op_id=op_id)
        case ev.TaskFinished(state=TaskState.CANCELED):  # any other end is the echo of our own
            return stop(connection, status="canceled", task=task, below=body.epoch + 1)
        case ev.TaskPaused() | ev.TaskResumed():
            run(connection, "pause", task=task, paused=isinstance(body, ev.TaskPaused))
        case ev.FolderPut(folder=folder):
            mode = folder.mode if folder.state == "granted" else None
            put_meta(connection, f"folder/{folder.id}", json_text(mode))
        case ev.FolderRemoved():
            put_meta(connection, f"folder/{body.folder}", json_text(None))
        case ev.SettingChanged():
            put_meta(connection, f"setting/{body.name}", json_text(body.value))
        case _:
            pass
    return ()


def _decided(connection: Connection, body: ev.Body | None) -> str | None:
    """Return the approval or question that this order validly decides, for the first time."""
    match body:
        case ev.ApprovalDecided(approval=ref) | ev.QuestionAnswered(question=ref):
            wish = run(connection, "undecided", ref=ref).scalar()
        case _:
            return None
    if wish is None or isinstance(body, ev.QuestionAnswered):
        return ref if wish else None
    asked = json.loads(wish).get("approval", {})
    same = asked.get("action_sha256") == body.action_sha256
    return ref if same and body.scope in asked.get("scopes", ()) else None
