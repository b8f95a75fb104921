"""One write of one account: reads are current, folds happen in memory, what was emitted is flushed at the end.

Between the lock on the account's row and the commit there is nothing but SQL and pure folding. It refuses to erase a
thread without the event that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, bindparam, insert, select, update

from deskhand.core.folding import Key, fold, touched
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed, Draft, PushSubscription
from deskhand.protocol.events import KIND_OF, Event, MessagePosted, TaskFinished, ThreadErased
from deskhand.protocol.objects import Device
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.tasks import Task
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.log.erasing import erase
from deskhand.store.log.known import Known, Memory, amend
from deskhand.store.own import access, deliveries, uploads
from deskhand.store.rows import (
    RowValues,
    appended,
    object_row,
    object_text,
    read_event,
    read_object,
)
from deskhand.store.tables import put

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W", bound=Wire)

_a = tables.accounts.c
_e = tables.events.c
_o = tables.ops.c

_LOCK = select(_a.head, _a.hash).where(_a.id == bindparam("account")).with_for_update()
_MOVE_HEAD = (
    update(tables.accounts)
    .where(_a.id == bindparam("account"))
    .values(head=bindparam("to_head"), hash=bindparam("to_hash"))
)
_APPEND = insert(tables.events)
_OP = select(_o.fingerprint, _o.result).where(
    _o.account == bindparam("account"),
    _o.principal == bindparam("principal"),
    _o.op_id == bindparam("op_id"),
)
_ONE = {
    kind: select(table.c.object).where(
        table.c.account == bindparam("account"), table.c.id == bindparam("name")
    )
    for kind, table in tables.projections.items()
}
_SAID_KINDS = (KIND_OF[MessagePosted], KIND_OF[TaskFinished])


class SqlTx:
    """The ``Tx`` port on a connection. Made by ``begin``; after ``flush`` it is spent."""

    def __init__(
        self, connection: Connection, account: str, *, now: str, head: int, known: Known
    ) -> None:
        self._connection = connection
        self.account = account
        self.now = now
        self._seq = head
        self._hash = known.hash
        self._known = known
        self._committed: list[Committed] = []
        self._unwritten: list[RowValues] = []
        self._changed: dict[Key, Wire | None] = {}
        self._changed_at: dict[Key, int] = {}
        self._erasing: set[str] = set()
        # Rows whose foreign keys may point at what this write itself creates: written after the projections.
        self._later: list[Callable[[Connection, str], None]] = []

    # --- objects and events ---------------------------------------------------------------------------------

    def get(self, kind: type[W], name: str) -> W | None:
        """Return one object of this account, with what this write already emitted folded in."""
        key: Key = (kind, name)
        if key in self._changed:
            return cast("W | None", self._changed[key])
        known = self._known.objects
        if key not in known:
            asked = {"account": self.account, "name": name}
            stored = self._connection.execute(_ONE[kind], asked).scalar()
            known[key] = None if stored is None else read_object(kind, stored)
        return cast("W | None", known[key])

    def find(self, kind: type[W], *, states: Sequence[str] = (), limit: int = 500) -> list[W]:
        """Return the objects of one kind in these states (all when empty), oldest first."""
        found = dict(self._listing(kind, tuple(states), limit=limit))
        amend(found, kind, self._changed, states=states)
        return [cast("W", found[name]) for name in sorted(found)][:limit]

    def emit(self, draft: Draft) -> Event:
        """Append an event, fold it, and return it with its seq.

        What is about a task carries the task's thread, so that erasing the thread finds it.
        """
        if draft.task and draft.thread is None:
            task = self.get(Task, draft.task)
            draft = replace(draft, thread=task.thread if task else None)
        committed, row = appended(
            draft, account=self.account, seq=self._seq + 1, at=self.now, before=self._hash
        )
        event = committed.event
        for key in touched(event):
            self._changed[key] = fold(key, self.get(key[0], key[1]), event)
            self._changed_at[key] = event.seq
        self._seq, self._hash = event.seq, row["hash"]
        self._committed.append(committed)
        self._unwritten.append(row)
        if isinstance(draft.body, MessagePosted) and draft.body.files:
            uploads.keep(self._connection, self.account, [file.id for file in draft.body.files])
        if isinstance(draft.body, ThreadErased) and draft.thread:
            self._erase(draft.thread, before=event.seq)
        return event

    def context(self, thread: str, *, limit: int) -> list[Event]:
        """Return the thread's newest ``message.posted`` and ``task.finished`` events, oldest first."""
        query = (
            select(tables.events)
            .where(_e.account == self.account, _e.thread == thread, tables.SAID_ONLY)
            .order_by(_e.seq.desc())
            .limit(limit)
        )
        stored = self._connection.execute(query).mappings().all()
        rows = [
            *reversed(stored),
            *(
                row
                for row in self._unwritten
                if row["thread"] == thread and row["kind"] in _SAID_KINDS
            ),
        ]
        return [read_event(row) for row in rows[-limit:]] if limit > 0 else []

    def erase_thread(self, thread: str) -> None:
        """Expect the ``thread.erased`` of this write, which blanks the thread's bodies and drops what hangs on it."""
        self._erasing.add(thread)

    # --- ops ------------------------------------------------------------------------------------------------

    def op_result(self, principal: str, op_id: str) -> tuple[str, OpResult] | None:
        """Return (fingerprint, result) of an op that was handled before."""
        asked = {"account": self.account, "principal": principal, "op_id": op_id}
        row = self._connection.execute(_OP, asked).first()
        return None if row is None else (row.fingerprint, read_object(OpResult, row.result))

    def spoke(self, principal: str, *, after: str, before: str) -> bool:
        """Return whether an op with an id between these two was handled."""
        mine = (_o.account == self.account) & (_o.principal == principal)
        between = (_o.op_id > after) & (_o.op_id < before)
        query = select(_o.op_id).where(mine & between).limit(1)
        return self._connection.execute(query).first() is not None

    def remember_op(self, principal: str, op: Op, result: OpResult) -> None:
        """Keep the result of an op for ``OP_KEPT_DAYS``."""
        row: RowValues = {
            "account": self.account,
            "principal": principal,
            "op_id": op.op_id,
            "fingerprint": op.fingerprint(),
            "result": object_text(result),
            "at": self.now,
        }
        put(self._connection, tables.ops, row)

    # --- own truth ------------------------------------------------------------------------------------------

    @staticmethod
    def _owned(
        work: Callable[Concatenate[Connection, str, P], R],
    ) -> Callable[Concatenate[SqlTx, P], R]:
        """Make a method of a function on the account's own truth."""

        @wraps(work)
        def method(self: SqlTx, *args: P.args, **kwargs: P.kwargs) -> R:
            return work(self._connection, self.account, *args, **kwargs)

        return method

    plan_delivery = _owned(deliveries.plan)
    acknowledge_delivery = _owned(deliveries.acknowledge)
    presence = _owned(access.presence)
    add_credential = _owned(access.add_credential)
    revoke_credentials = _owned(access.revoke)
    put_invite = _owned(access.put_invite)
    invite = _owned(access.invite)
    put_joining = _owned(access.put_joining)
    joining = _owned(access.own_joining)
    upload = _owned(uploads.finished)

    def subscriptions(self) -> list[PushSubscription]:
        """Return the account's push subscriptions of active devices."""
        found = deliveries.subscriptions(self._connection, self.account)
        active = {device.id for device in self.find(Device, states=("active",))} if found else ()
        return [subscription for subscription in found if subscription.device in active]

    def mark_read(self, principal: str, thread: str, seq: int) -> None:
        """Keep the highest seq this principal has seen in the thread."""
        self._later.append(partial(access.mark_read, principal=principal, thread=thread, seq=seq))

    def renew_lease(self, task: str, *, runner: str, epoch: int) -> None:
        """Note that the runner still works on it."""
        self._later.append(
            partial(access.renew_lease, task=task, runner=runner, epoch=epoch, now=self.now)
        )

    # --- the end --------------------------------------------------------------------------------------------

    def flush(self) -> tuple[Committed, ...]:
        """Write events, projections and what hangs on them; return what the commit will make true.

        Raises:
            DeskhandError: ``internal`` when a thread is erased without the event that says so.
        """
        if self._erasing:
            raise DeskhandError(Code.INTERNAL)
        self._write_out()
        if self._committed:
            moved = {"account": self.account, "to_head": self._seq, "to_hash": self._hash}
            self._connection.execute(_MOVE_HEAD, moved)
        for write in self._later:
            write(self._connection, self.account)
        self._known.absorb(self._hash, self._changed)
        return tuple(self._committed)

    def _erase(self, thread: str, *, before: int) -> None:
        """Erase what is there so far, so that whatever this write still says about the thread begins anew."""
        self._erasing.discard(thread)
        self._write_out()
        erase(self._connection, self.account, thread, before=before)
        self._changed.clear()
        # Apart from the memory: what is read from now on is not committed yet.
        self._known = Known(hash=self._hash)

    def _write_out(self) -> None:
        """Write events and projections that are not in the tables yet."""
        if self._unwritten:
            self._connection.execute(_APPEND, self._unwritten)
            self._unwritten = []
        rows: dict[type[Wire], list[RowValues]] = {}
        for (kind, name), thing in self._changed.items():
            if thing is not None:
                seq = self._changed_at[kind, name]
                row = object_row(self.account, thing, name=name, seq=seq)
                rows.setdefault(kind, []).append(row)
        for kind, table in tables.projections.items():
            if kind in rows:
                put(self._connection, table, rows[kind])

    def _listing(self, kind: type[Wire], states: tuple[str, ...], *, limit: int) -> dict[str, Wire]:
        """Return what is stored of a listing; a complete one is remembered."""
        found = self._known.listings.get((kind, states))
        if found is not None:
            return found
        table = tables.projections[kind]
        query = select(table.c.id, table.c.object).where(table.c.account == self.account)
        if states:
            query = query.where(table.c.state.in_(states))
        # What this write changed may push stored rows out of the listing: read as many more.
        ask = limit + len(self._changed) + 1
        rows = self._connection.execute(query.order_by(table.c.id).limit(ask)).all()
        found = {row.id: self._remembered(kind, row.id, row.object) for row in rows}
        if len(rows) < ask:
            self._known.listings[kind, states] = found
        return found

    def _remembered(self, kind: type[Wire], name: str, stored: str) -> Wire:
        thing = self._known.objects.get((kind, name))
        if thing is None:
            thing = self._known.objects[kind, name] = read_object(kind, stored)
        return thing


def begin(connection: Connection, account: str, *, now: str, memory: Memory) -> SqlTx:
    """Lock the account's row until the commit and start a write.

    Raises:
        DeskhandError: ``not_found`` for an unknown account.
    """
    row: Any = connection.execute(_LOCK, {"account": account}).first()
    if row is None:
        raise DeskhandError(Code.NOT_FOUND)
    known = memory.of(account, row.hash)
    return SqlTx(connection, account, now=now, head=row.head, known=known)
