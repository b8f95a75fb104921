"""One write of one account: reads are current, folds happen in memory, what was emitted is flushed at the end.

Between the lock on the account's row and the commit there is nothing but SQL and pure folding. It refuses to erase a
thread without the event that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Executable, bindparam, insert, select, update

from deskhand.core.folding import Key, fold, touched
from deskhand.errors import Code, DeskhandError
from deskhand.ports import (
    Committed,
    Credential,
    Draft,
    Invite,
    Joining,
    PlannedDelivery,
    PushSubscription,
)
from deskhand.protocol.events import KIND_OF, Event, MessagePosted, TaskFinished, ThreadErased
from deskhand.protocol.objects import Device, Presence, Thread, Upload
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.tasks import Task
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.log import erasing
from deskhand.store.log.known import Known, Memory, listed
from deskhand.store.own import access, deliveries, uploads
from deskhand.store.rows import (
    Appended,
    RowValues,
    appended,
    object_row,
    object_text,
    read_event,
    read_object,
)
from deskhand.store.statements import upsert

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
        """Keep what ``begin`` found."""
        self._connection = connection
        self._account = account
        self._now = now
        self._seq = head
        self._hash = known.hash
        self._known = known
        self._dialect = connection.dialect.name
        self._appended: list[Appended] = []
        self._changed: dict[Key, Wire | None] = {}
        self._changed_at: dict[Key, int] = {}
        self._erased: dict[str, int | None] = {}
        # Rows whose foreign keys may point at what this write itself creates: written after the projections.
        self._later: list[tuple[Executable, RowValues]] = []

    @property
    def account(self) -> str:
        """The account this write belongs to."""
        return self._account

    @property
    def now(self) -> str:
        """The stamp that every event of this write gets."""
        return self._now

    # --- objects and events ---------------------------------------------------------------------------------

    def get(self, kind: type[W], name: str) -> W | None:
        """Return one object of this account, with what this write already emitted folded in."""
        key: Key = (kind, name)
        if key in self._changed:
            return cast("W | None", self._changed[key])
        if key not in self._known.objects:
            row = self._connection.execute(
                _ONE[kind], {"account": self._account, "name": name}
            ).first()
            self._known.objects[key] = read_object(kind, row.object) if row else None
        return cast("W | None", self._known.objects[key])

    def find(self, kind: type[W], *, states: Sequence[str] = (), limit: int = 500) -> list[W]:
        """Return the objects of one kind in these states (all when empty), oldest first."""
        found = dict(self._listing(kind, tuple(states), limit=limit))
        for (changed, name), thing in self._changed.items():
            if changed is kind:
                found.pop(name, None)
                if thing is not None and listed(thing, states):
                    found[name] = thing
        return [cast("W", found[name]) for name in sorted(found)][:limit]

    def emit(self, draft: Draft) -> Event:
        """Append an event, fold it, and return it with its seq.

        What is about a task carries the task's thread, so that erasing the thread finds it.
        """
        if draft.task and draft.thread is None:
            task = self.get(Task, draft.task)
            draft = replace(draft, thread=task.thread if task else None)
        new = appended(
            draft, account=self._account, seq=self._seq + 1, at=self._now, before=self._hash
        )
        event = new.committed.event
        for key in touched(event):
            self._changed[key] = fold(key, self.get(key[0], key[1]), event)
            self._changed_at[key] = event.seq
        self._seq += 1
        self._hash = new.row["hash"]
        self._appended.append(new)
        if isinstance(draft.body, MessagePosted) and draft.body.files:
            uploads.keep(self._connection, self._account, [file.id for file in draft.body.files])
        if isinstance(draft.body, ThreadErased) and draft.thread:
            self._erased[draft.thread] = event.seq
        return event

    def context(self, thread: str, *, limit: int) -> list[Event]:
        """Return the thread's newest ``message.posted`` and ``task.finished`` events, oldest first."""
        query = (
            select(tables.events)
            .where(
                _e.account == self._account,
                _e.thread == thread,
                tables.SAID_ONLY,
            )
            .order_by(_e.seq.desc())
            .limit(limit)
        )
        rows = self._connection.execute(query).mappings().all()
        stored = [read_event(row) for row in reversed(rows)]
        fresh = [
            new.committed.event
            for new in self._appended
            if new.row["thread"] == thread and new.row["kind"] in _SAID_KINDS
        ]
        return [*stored, *fresh][-limit:] if limit > 0 else []

    def erase_thread(self, thread: str) -> None:
        """Blank the bodies of the thread's events before this one and drop references to its blobs.

        It happens with the ``thread.erased`` of this same write, wherever in the write that is emitted.
        """
        self._erased.setdefault(thread, None)

    # --- ops ------------------------------------------------------------------------------------------------

    def op_result(self, principal: str, op_id: str) -> tuple[str, OpResult] | None:
        """Return (fingerprint, result) of an op that was handled before."""
        named = {"account": self._account, "principal": principal, "op_id": op_id}
        row = self._connection.execute(_OP, named).first()
        return (row.fingerprint, read_object(OpResult, row.result)) if row else None

    def remember_op(self, principal: str, op: Op, result: OpResult) -> None:
        """Keep the result of an op for ``OP_KEPT_DAYS``."""
        row: RowValues = {
            "account": self._account,
            "principal": principal,
            "op_id": op.op_id,
            "fingerprint": op.fingerprint(),
            "result": object_text(result),
            "at": self._now,
        }
        self._connection.execute(upsert(self._dialect, tables.ops), row)

    # --- own truth ------------------------------------------------------------------------------------------

    def plan_delivery(self, planned: PlannedDelivery) -> None:
        """Store a notification to send, once per (account, tag, class, subscription)."""
        deliveries.plan(self._connection, self._account, planned)

    def subscriptions(self) -> list[PushSubscription]:
        """Return the account's push subscriptions of active devices."""
        found = deliveries.subscriptions(self._connection, self._account)
        devices = self.find(Device, states=("active",)) if found else []
        active = {device.id for device in devices}
        return [subscription for subscription in found if subscription.device in active]

    def acknowledge_delivery(self, name: str, *, fate: str, device: str) -> bool:
        """Record shown or tapped; return whether it was this device's and moved forward."""
        return deliveries.acknowledge(
            self._connection, self._account, name, fate=fate, device=device
        )

    def mark_read(self, principal: str, thread: str, seq: int) -> None:
        """Keep the highest seq this principal has seen in the thread."""
        row: RowValues = {
            "account": self._account,
            "principal": principal,
            "thread": thread,
            "seq": seq,
        }
        self._later.append((access.higher_mark(self._dialect), row))

    def renew_lease(self, task: str, *, runner: str, epoch: int) -> None:
        """Note that the runner still works on it."""
        row: RowValues = {
            "account": self._account,
            "task": task,
            "runner": runner,
            "epoch": epoch,
            "renewed_at": self._now,
        }
        self._later.append((upsert(self._dialect, tables.leases), row))

    def presence(self) -> dict[str, Presence]:
        """Return the links of the account's runners."""
        return access.presence(self._connection, self._account)

    def add_credential(self, credential: Credential) -> None:
        """Let a principal in."""
        access.add_credential(self._connection, self._account, credential)

    def revoke_credentials(self, principal: str) -> None:
        """Shut a principal out, with its subscriptions, leases and joinings."""
        access.revoke(self._connection, self._account, principal)

    def put_invite(self, invite: Invite) -> None:
        """Create an invitation, or replace it by its used form."""
        access.put_invite(self._connection, self._account, invite)

    def invite(self, name: str) -> Invite | None:
        """Return an invitation by id as it is now, used or not."""
        return access.invite_by_id(self._connection, self._account, name)

    def put_joining(self, joining: Joining) -> None:
        """Create the private side of a pair request, or replace it."""
        access.put_joining(self._connection, self._account, joining)

    def joining(self, request: str) -> Joining | None:
        """Return the private side of a pair request as it is now."""
        return access.joining(self._connection, request, account=self._account)

    def upload(self, name: str, *, principal: str) -> Upload | None:
        """Return a finished upload of exactly this principal."""
        return uploads.find(self._connection, self._account, principal, name, finished=True)

    # --- the end --------------------------------------------------------------------------------------------

    def flush(self) -> tuple[Committed, ...]:
        """Write events, projections and what hangs on them; return what the commit will make true.

        Raises:
            DeskhandError: ``internal`` when a thread is erased without the event that says so.
        """
        if self._appended:
            self._connection.execute(_APPEND, [new.row for new in self._appended])
            self._erase()
            self._write_projections()
            moved = {"account": self._account, "to_head": self._seq, "to_hash": self._hash}
            self._connection.execute(_MOVE_HEAD, moved)
        elif self._erased:
            raise DeskhandError(Code.INTERNAL)
        for statement, row in self._later:
            self._connection.execute(statement, row)
        self._known.absorb(self._hash, self._changed.items())
        return tuple(new.committed for new in self._appended)

    def _erase(self) -> None:
        for thread, seq in self._erased.items():
            if seq is None:
                raise DeskhandError(Code.INTERNAL)
            erasing.erase(self._connection, self._account, thread, before=seq)
            self._forget_objects_of(thread)

    def _forget_objects_of(self, thread: str) -> None:
        """What is erased is neither written nor remembered; the thread itself stays as its stub."""
        tasks = {
            name
            for (_, name), thing in (*self._changed.items(), *self._known.objects.items())
            if getattr(thing, "thread", None) == thread
        }
        for key, thing in list(self._changed.items()):
            mine = getattr(thing, "thread", None) == thread or getattr(thing, "task", None) in tasks
            if mine and key[0] is not Thread:
                del self._changed[key]
        self._known.objects.clear()
        self._known.listings.clear()

    def _write_projections(self) -> None:
        rows: dict[type[Wire], list[RowValues]] = {}
        for (kind, name), thing in self._changed.items():
            if thing is not None:
                seq = self._changed_at[kind, name]
                row = object_row(self._account, thing, name=name, seq=seq)
                rows.setdefault(kind, []).append(row)
        for kind, table in tables.projections.items():
            if kind in rows:
                self._connection.execute(upsert(self._dialect, table), rows[kind])

    def _listing(self, kind: type[Wire], states: tuple[str, ...], *, limit: int) -> dict[str, Wire]:
        """Return what is stored of a listing; a complete one is remembered."""
        found = self._known.listings.get((kind, states))
        if found is not None:
            return found
        table = tables.projections[kind]
        query = select(table.c.id, table.c.object).where(table.c.account == self._account)
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
