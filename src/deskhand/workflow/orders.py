"""What an order means for the journal, inside the one transaction that stores it.

Pure SQL on an open connection: nothing here waits, sends or works. It refuses to believe a decision that does not
name exactly what was asked: such an order is stored, and decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from deskhand.errors import DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol.events import Event, body_of
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, TaskState
from deskhand.workflow.rows import AttemptKey, Received, Status
from deskhand.workflow.tables import ATTEMPTS, HUB_FOLDERS, INBOX, META, OUTBOX, SETTINGS, STEPS

_Consequence = Callable[[Connection, Event, Any, str], tuple[AttemptKey, ...]]


def receive(connection: Connection, event: Event, *, op_id: str) -> Received:
    """Store an order with its consequences and move the cursor; an order that is there already changes nothing."""
    body = _understood(event)
    row = {
        "seq": event.seq,
        "kind": event.kind,
        "task": event.task,
        "ref": _decided(connection, body),
        "event": json.dumps(event.to_json(), ensure_ascii=False),
    }
    new = connection.execute(insert(INBOX).values(row).on_conflict_do_nothing()).rowcount == 1
    if not new:
        return Received(new=False, event=event)
    put_meta(connection, "cursor", str(event.seq))
    consequence = _CONSEQUENCES.get(type(body)) if body else None
    stopped = consequence(connection, event, body, op_id) if consequence else ()
    return Received(new=True, stopped=stopped, event=event)


def _understood(event: Event) -> ev.Body | None:
    """Return the body; an order of an unknown kind or shape is kept, moves the cursor and means nothing."""
    try:
        return body_of(event)
    except DeskhandError:
        return None


def begin(connection: Connection, brief: Brief, *, seq: int, op_id: str) -> tuple[AttemptKey, ...]:
    """Store an attempt and the op that accepts it; older attempts of the task have lost their epoch."""
    stopped = stop(connection, brief.task, below=brief.epoch, status="superseded")
    later = select(ATTEMPTS.c.epoch).where(
        ATTEMPTS.c.task == brief.task, ATTEMPTS.c.epoch > brief.epoch
    )
    if connection.execute(later).first():
        return stopped
    row = {
        "task": brief.task,
        "epoch": brief.epoch,
        "thread": brief.thread,
        "brief": json.dumps(brief.to_json(), ensure_ascii=False),
        "status": "open",
        "accepted": False,
        "paused": False,
        "received": seq,
    }
    new = connection.execute(insert(ATTEMPTS).values(row).on_conflict_do_nothing()).rowcount == 1
    if new:
        accept = Op(
            op_id=op_id,
            kind="task.accept",
            thread=brief.thread,
            task=brief.task,
            body={"epoch": brief.epoch},
        )
        put_op(connection, accept, key=(brief.task, brief.epoch))
    else:
        _unpause(connection, brief.task)  # the same attempt, assigned again after a pause
    return stopped


def stop(
    connection: Connection, task: str, *, below: int, status: Status
) -> tuple[AttemptKey, ...]:
    """Mark the open attempts of a task below an epoch as over, and return them."""
    mine = (ATTEMPTS.c.task == task, ATTEMPTS.c.epoch < below, ATTEMPTS.c.status == "open")
    found = connection.execute(select(ATTEMPTS.c.epoch).where(*mine)).scalars().all()
    if found:
        connection.execute(update(ATTEMPTS).where(*mine).values(status=status))
    return tuple(AttemptKey(task=task, epoch=epoch) for epoch in sorted(found))


def adopt(connection: Connection, task: str, epoch: int) -> bool:
    """Give the rows of the newest superseded attempt to this one, unless it has rows of its own."""
    own = select(STEPS.c.n).where(STEPS.c.task == task, STEPS.c.epoch == epoch).limit(1)
    last = (
        select(ATTEMPTS.c.epoch, ATTEMPTS.c.place)
        .where(ATTEMPTS.c.task == task, ATTEMPTS.c.epoch < epoch, ATTEMPTS.c.status == "superseded")
        .order_by(ATTEMPTS.c.epoch.desc())
    )
    before = connection.execute(last).first()
    if before is None or connection.execute(own).first():
        return False
    theirs = (STEPS.c.task == task, STEPS.c.epoch == before.epoch)
    connection.execute(
        delete(STEPS).where(*theirs, STEPS.c.kind == "wait", STEPS.c.result.is_(None))
    )
    moved = connection.execute(update(STEPS).where(*theirs).values(epoch=epoch)).rowcount
    connection.execute(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.task == task, ATTEMPTS.c.epoch == epoch)
        .values(place=before.place)
    )
    return moved > 0


def put_op(connection: Connection, op: Op, *, key: tuple[str, int]) -> None:
    """Put an op into the outbox."""
    task, epoch = key
    text = json.dumps(op.to_json(), ensure_ascii=False, separators=(",", ":"))
    row = {"op_id": op.op_id, "task": task, "epoch": epoch, "op": text}
    connection.execute(insert(OUTBOX).values(row))


def put_meta(connection: Connection, name: str, value: str) -> None:
    """Keep one fact about the journal itself."""
    statement = insert(META).values(name=name, value=value)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )


# --- decisions ---------------------------------------------------------------------------------------------------


def _decided(connection: Connection, body: ev.Body | None) -> str | None:
    """Return the approval or question that this order validly decides, for the first time."""
    if isinstance(body, ev.ApprovalDecided):
        wait = _open_wait(connection, body.approval)
        if wait is None:
            return None
        approval = json.loads(wait.wish).get("approval", {})
        same = approval.get("action_sha256") == body.action_sha256
        return body.approval if same and body.scope in approval.get("scopes", ()) else None
    if isinstance(body, ev.QuestionAnswered):
        return body.question if _open_wait(connection, body.question) else None
    return None


def _open_wait(connection: Connection, ref: str) -> Row[tuple[object, ...]] | None:
    """Return the wait for this, if it belongs to a living attempt and nobody has decided it."""
    if connection.execute(select(INBOX.c.seq).where(INBOX.c.ref == ref)).first():
        return None
    query = (
        select(STEPS)
        .join(ATTEMPTS, (ATTEMPTS.c.task == STEPS.c.task) & (ATTEMPTS.c.epoch == STEPS.c.epoch))
        .where(
            STEPS.c.ref == ref,
            STEPS.c.kind == "wait",
            STEPS.c.result.is_(None),
            ATTEMPTS.c.status == "open",
        )
    )
    return connection.execute(query).first()


# --- consequences ------------------------------------------------------------------------------------------------


def _assigned(
    connection: Connection, event: Event, body: ev.TaskAssigned, op_id: str
) -> tuple[AttemptKey, ...]:
    brief = body.brief.but(epoch=body.epoch)
    return begin(connection, brief, seq=event.seq, op_id=op_id)


def _finished(
    connection: Connection, event: Event, body: ev.TaskFinished, _: str
) -> tuple[AttemptKey, ...]:
    """End attempts only by a cancellation; the echo of our own end changes nothing."""
    if body.state is not TaskState.CANCELED or event.task is None:
        return ()
    return stop(connection, event.task, below=body.epoch + 1, status="canceled")


def _paused(connection: Connection, event: Event, _: ev.TaskPaused, __: str) -> tuple[()]:
    connection.execute(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.task == event.task, ATTEMPTS.c.status == "open")
        .values(paused=True)
    )
    return ()


def _resumed(connection: Connection, event: Event, _: ev.TaskResumed, __: str) -> tuple[()]:
    _unpause(connection, event.task or "")
    return ()


def _unpause(connection: Connection, task: str) -> None:
    connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.task == task).values(paused=False))


def _folder_put(connection: Connection, _: Event, body: ev.FolderPut, __: str) -> tuple[()]:
    folder = body.folder
    _put_folder(connection, folder.id, {"mode": folder.mode.value, "state": folder.state})
    return ()


def _folder_removed(connection: Connection, _: Event, body: ev.FolderRemoved, __: str) -> tuple[()]:
    _put_folder(connection, body.folder, {"mode": "read-only", "state": "removed"})
    return ()


def _put_folder(connection: Connection, name: str, values: Mapping[str, str]) -> None:
    statement = insert(HUB_FOLDERS).values(id=name, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=dict(values)))


def _setting(connection: Connection, _: Event, body: ev.SettingChanged, __: str) -> tuple[()]:
    value = json.dumps(body.value)
    statement = insert(SETTINGS).values(name=body.name, value=value)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
    )
    return ()


_CONSEQUENCES: Mapping[type[ev.Body], _Consequence] = {
    ev.TaskAssigned: _assigned,
    ev.TaskFinished: _finished,
    ev.TaskPaused: _paused,
    ev.TaskResumed: _resumed,
    ev.FolderPut: _folder_put,
    ev.FolderRemoved: _folder_removed,
    ev.SettingChanged: _setting,
}
