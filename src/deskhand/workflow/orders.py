"""What an order means for the journal, inside the one transaction that stores it.

Pure SQL on an open connection: nothing here waits, sends or works. It refuses to believe a decision that does not
name exactly what was asked: such an order is stored, and decides nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from deskhand.errors import DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol.events import Event, body_of
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief, TaskState
from deskhand.protocol.wire import Json
from deskhand.workflow.rows import AttemptKey, Status
from deskhand.workflow.tables import ATTEMPTS, INBOX, META, OUTBOX, STEPS

MINE: Final = {
    table: (table.c.task == bindparam("of")) & (table.c.epoch == bindparam("its"))
    for table in (ATTEMPTS, STEPS)
}
"""The condition for the rows of one attempt; ``mine`` says which."""
OF_ATTEMPT: Final = (STEPS.c.task == ATTEMPTS.c.task) & (STEPS.c.epoch == ATTEMPTS.c.epoch)
UNDECIDED: Final = OF_ATTEMPT & (STEPS.c.kind == "wait") & STEPS.c.result.is_(None)
"""The condition for what an attempt waits for a person to say."""
_OPEN: Final = (
    ATTEMPTS.c.task == bindparam("of"),
    ATTEMPTS.c.epoch < bindparam("below"),
    ATTEMPTS.c.status == "open",
)
_FIND_OPEN: Final = select(ATTEMPTS.c.epoch).where(*_OPEN)
_STOP: Final = update(ATTEMPTS).where(*_OPEN).values(status=bindparam("now"))
_RECEIVE: Final = insert(INBOX).on_conflict_do_nothing()
_LATER: Final = select(ATTEMPTS.c.epoch).where(
    ATTEMPTS.c.task == bindparam("of"), ATTEMPTS.c.epoch > bindparam("its")
)
_BEGIN: Final = insert(ATTEMPTS).on_conflict_do_nothing()
_SUPERSEDED: Final = (
    select(ATTEMPTS)
    .where(ATTEMPTS.c.task == bindparam("of"), ATTEMPTS.c.status == "superseded")
    .order_by(ATTEMPTS.c.epoch.desc())
)
_PUT_OP: Final = insert(OUTBOX)
_META: Final = insert(META)
_PUT_META: Final = _META.on_conflict_do_update(
    index_elements=["name"], set_={"value": _META.excluded.value}
)
_PUT_SAID: Final = _META.on_conflict_do_update(
    index_elements=["name"], set_={"value": func.max(META.c.value, _META.excluded.value)}
)


def receive(connection: Connection, event: Event, *, op_id: str) -> tuple[AttemptKey, ...] | None:
    """Store an order with its consequences, move the cursor, and return the attempts that must not go on.

    An order that is there already changes nothing, and returns nothing.
    """
    body = _understood(event)
    row = {
        "seq": event.seq,
        "kind": event.kind,
        "task": event.task,
        "ref": _decided(connection, body),
        "event": dump(event.to_json()),
    }
    if connection.execute(_RECEIVE, row).rowcount != 1:
        return None
    put_meta(connection, "cursor", str(event.seq))
    return _follow(connection, event, body, op_id)


def change_log(connection: Connection, log: str) -> None:
    """Take orders from another log, from its beginning: its numbers mean other events.

    The orders of the old one keep their place before it. What was ordered already comes to nothing a second time.
    """
    put_meta(connection, "log", log)
    put_meta(connection, "cursor", "0")
    span = connection.execute(select(func.min(INBOX.c.seq), func.max(INBOX.c.seq))).one()
    if None not in span:
        # Below one, and none on its way where another still is.
        down = span[1] - min(span[0], 1) + 1
        connection.execute(update(INBOX).values(seq=INBOX.c.seq - down))


def begin(connection: Connection, brief: Brief, *, seq: int, op_id: str) -> tuple[AttemptKey, ...]:
    """Store an attempt and the op that accepts it; older attempts of the task have lost their epoch.

    It takes over what the last of them did, so that no effect is done twice.
    """
    key = AttemptKey(task=brief.task, epoch=brief.epoch)
    stopped = stop(connection, key.task, below=key.epoch, status="superseded")
    if connection.execute(_LATER, mine(key)).first():
        return stopped
    said = dump(brief.to_json())
    new = {"task": key.task, "epoch": key.epoch, "brief": said, "received": seq}
    if connection.execute(_BEGIN, new).rowcount == 1:
        _adopt(connection, key)
        accept = Op(
            op_id=op_id,
            kind="task.accept",
            thread=brief.thread,
            task=key.task,
            body={"epoch": key.epoch},
        )
        put_op(connection, accept, key=(key.task, key.epoch))
    else:
        _pause(connection, key.task, paused=False)  # the same attempt, assigned again after a pause
    return stopped


def stop(
    connection: Connection, task: str, *, below: int, status: Status
) -> tuple[AttemptKey, ...]:
    """Mark the open attempts of a task below an epoch as over, and return them."""
    asked = {"of": task, "below": below}
    found = connection.scalars(_FIND_OPEN, asked).all()
    if found:
        connection.execute(_STOP, {**asked, "now": status})
    return tuple(AttemptKey(task=task, epoch=epoch) for epoch in sorted(found))


def begin_anew(connection: Connection, incarnation: str) -> tuple[AttemptKey, ...]:
    """Begin another life of this home, which sends nothing of the former one, and return what it held."""
    before = select(META.c.value).where(META.c.name == "incarnation")
    old = connection.execute(before).scalar() or ""
    put_meta(connection, "incarnation", max(incarnation, f"{old}0"))  # a clock may have gone back
    connection.execute(delete(OUTBOX))
    mine = ATTEMPTS.c.status == "open"
    held = connection.execute(select(ATTEMPTS.c.task, ATTEMPTS.c.epoch).where(mine)).all()
    connection.execute(update(ATTEMPTS).where(mine).values(status="superseded"))
    return tuple(AttemptKey(task=row.task, epoch=row.epoch) for row in held)


def put_op(connection: Connection, op: Op, *, key: tuple[str, int]) -> None:
    """Put an op into the outbox, and keep which one was the last for ever."""
    task, epoch = key
    row = {"op_id": op.op_id, "task": task, "epoch": epoch, "op": dump(op.to_json())}
    connection.execute(_PUT_OP, row)
    connection.execute(_PUT_SAID, {"name": "said", "value": op.op_id})


def put_meta(connection: Connection, name: str, value: str) -> None:
    """Keep one fact: about the journal itself, or what the hub said of a setting or folder."""
    connection.execute(_PUT_META, {"name": name, "value": value})


def mine(key: AttemptKey) -> dict[str, str | int]:
    """Return what ``MINE`` asks for."""
    return {"of": key.task, "its": key.epoch}


def dump(value: Json) -> str:
    """Return JSON as a row keeps it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _understood(event: Event) -> ev.Body | None:
    """Return the body; an order of an unknown kind or shape is kept, moves the cursor and means nothing."""
    try:
        return body_of(event)
    except DeskhandError:
        return None


def _follow(
    connection: Connection, event: Event, body: ev.Body | None, op_id: str
) -> tuple[AttemptKey, ...]:
    """Do what an order says, as far as it concerns the journal; return the attempts it stops."""
    task = event.task or ""
    match body:
        case ev.TaskAssigned():
            brief = body.brief.but(epoch=body.epoch)
            return begin(connection, brief, seq=event.seq, op_id=op_id)
        case ev.TaskFinished(state=TaskState.CANCELED):  # any other end is the echo of our own
            return stop(connection, task, below=body.epoch + 1, status="canceled")
        case ev.TaskPaused() | ev.TaskResumed():
            _pause(connection, task, paused=isinstance(body, ev.TaskPaused))
        case ev.FolderPut(folder=folder):
            mode = folder.mode.value if folder.state == "granted" else None
            put_meta(connection, f"folder/{folder.id}", dump(mode))
        case ev.FolderRemoved():
            put_meta(connection, f"folder/{body.folder}", dump(None))
        case ev.SettingChanged():
            put_meta(connection, f"setting/{body.name}", dump(body.value))
        case _:
            pass
    return ()


def _pause(connection: Connection, task: str, *, paused: bool) -> None:
    connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.task == task).values(paused=paused))


def _adopt(connection: Connection, key: AttemptKey) -> None:
    """Give the rows of the task's newest superseded attempt to this one.

    Waits without a decision stay behind: their approvals belonged to the old epoch.
    """
    before = connection.execute(_SUPERSEDED, {"of": key.task}).first()
    if before is None:
        return
    theirs = mine(AttemptKey(task=key.task, epoch=before.epoch))
    waits = (STEPS.c.kind == "wait") & STEPS.c.result.is_(None)
    connection.execute(delete(STEPS).where(MINE[STEPS], waits), theirs)
    connection.execute(update(STEPS).where(MINE[STEPS]).values(epoch=key.epoch), theirs)
    place = update(ATTEMPTS).where(MINE[ATTEMPTS]).values(place=before.place)
    connection.execute(place, mine(key))


def _decided(connection: Connection, body: ev.Body | None) -> str | None:
    """Return the approval or question that this order validly decides, for the first time."""
    match body:
        case ev.ApprovalDecided():
            wait = _open_wait(connection, body.approval)
            if wait is None:
                return None
            approval = json.loads(wait.wish).get("approval", {})
            same = approval.get("action_sha256") == body.action_sha256
            return body.approval if same and body.scope in approval.get("scopes", ()) else None
        case ev.QuestionAnswered():
            return body.question if _open_wait(connection, body.question) else None
        case _:
            return None


def _open_wait(connection: Connection, ref: str) -> Row[Any] | None:
    """Return the wait for this, if it belongs to a living attempt and nobody has decided it."""
    if connection.execute(select(INBOX.c.seq).where(INBOX.c.ref == ref)).first():
        return None
    living = ATTEMPTS.c.status == "open"
    query = select(STEPS).join(ATTEMPTS, UNDECIDED).where(STEPS.c.ref == ref, living)
    return connection.execute(query).first()
