"""One write of one account: reads are current, folds happen in memory, what was emitted is flushed at the end.

Between the lock on the account's row and the commit there is nothing but SQL and pure folding. Only the event that says
so erases a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from deskhand.core.folding import ERASED, Key, fold, touched
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed, Draft, PushSubscription, W
from deskhand.protocol.events import EVENTS, KIND_OF, Event, MessagePosted, ThreadErased
from deskhand.protocol.objects import EVERYBODY, Device, Thread
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.tasks import Approval, Artifact, Question, Task
from deskhand.protocol.wire import Wire
from deskhand.store import own, tables

P = ParamSpec("P")
R = TypeVar("R")

_a = tables.accounts.c
_e = tables.events.c
_o = tables.ops.c
# Of every write: built once.
_MINE = _a.id == bindparam("account")
_LOCK = select(_a.head, _a.hash).where(_MINE).with_for_update()
_MOVE = update(tables.accounts).where(_MINE).values(head=bindparam("seq"), hash=bindparam("sha"))

_OF_THE_ACCOUNT = ("device", "folder", "pair", "runner", "setting")
_KEPT_KINDS = (ERASED, *(kind for kind in EVENTS if kind.partition(".")[0] in _OF_THE_ACCOUNT))
"""What stays whatever thread its envelope names: facts about the account, not about a conversation."""
_HANGING = (tables.leases, tables.deliveries, *(tables.projections[kind] for kind in (Artifact, Approval, Question)))
"""What goes with the tasks of a thread."""

OBJECTS_MAX = 10_000

Objects = dict[Key, Wire | None]
"""Objects by key, absent ones too."""


class Memory(dict[str, tuple[str, Objects]]):
    """What this process read of the accounts that wrote lately, each valid for exactly one hash of its log.

    Projections are a fold of the log, so the same last hash means the same objects, whoever else writes. It refuses to
    remember what no event changes, and forgets an account that grew large.
    """

    def of(self, account: str, stored: str) -> Objects:
        """Return what is known of the account at this hash; nothing when its log moved meanwhile."""
        at, known = self.get(account, ("", Objects()))
        return known if at == stored and len(known) <= OBJECTS_MAX else {}


class SqlTx:
    """One write of one account, inside the transaction: all it reads is current, all it emits commits together.

    It locks the account's row until the commit; after ``flush`` it is spent. ``seq`` of what is emitted is final only
    after the commit. Work done with it is plain and synchronous.

    Raises:
        DeskhandError: ``not_found`` for an unknown account.
    """

    def __init__(self, connection: Connection, account: str, *, now: str, memory: Memory) -> None:
        row: Any = connection.execute(_LOCK, {"account": account}).first()
        if row is None:
            raise DeskhandError(Code.NOT_FOUND)
        self._connection = connection
        self.account = account
        self.now = now
        self._seq: int = row.head
        self._hash: str = row.hash
        self._memory = memory
        self._known = memory.of(account, row.hash)
        self._committed: list[Committed] = []
        self._unwritten: list[dict[str, Any]] = []
        self._changed: Objects = {}
        self._unwritten_at: dict[Key, int] = {}

    # --- objects and events ---------------------------------------------------------------------------------

    def get(self, kind: type[W], name: str) -> W | None:
        """Return one object of this account, with what this write already emitted folded in."""
        key: Key = (kind, name)
        if key in self._changed:
            return cast("W | None", self._changed[key])
        if key not in self._known:
            self._known[key] = tables.get(self._connection, self.account, kind, name)
        return cast("W | None", self._known[key])

    def find(self, kind: type[W], *, states: Sequence[str] = (), limit: int = 500) -> list[W]:
        """Return the objects of one kind in these states (all when empty), oldest first."""
        self._write_out()
        asked = {"account": self.account, "most": limit}
        found = self._connection.execute(_oldest(kind, tuple(states)), asked).all()
        for name, stored in found:
            if (kind, name) not in self._known:
                self._known[kind, name] = tables.read_object(kind, stored)
        return [cast("W", self.get(kind, name)) for name, _ in found]

    def emit(self, draft: Draft) -> Event:
        """Append an event, fold it, and return it with its seq.

        What is about a task carries the task's thread, so that erasing the thread finds it.
        """
        if draft.task and draft.thread is None:
            task = self.get(Task, draft.task)
            draft = replace(draft, thread=task.thread if task else None)
        event, row = tables.appended(draft, account=self.account, seq=self._seq + 1, at=self.now, before=self._hash)
        for key in touched(event):
            self._changed[key] = fold(key, self.get(key[0], key[1]), event)
            self._unwritten_at[key] = event.seq
        self._seq, self._hash = event.seq, row["hash"]
        thread = self.get(Thread, event.thread) if event.thread else None
        whose = thread.seen_by if thread else "" if event.thread else EVERYBODY
        self._committed.append(tables.committed(row, event, whose=whose))
        self._unwritten.append(row)
        if isinstance(draft.body, MessagePosted) and draft.body.files:
            own.keep_uploads(self._connection, self.account, [file.id for file in draft.body.files])
        if isinstance(draft.body, ThreadErased) and draft.thread:
            self._erase(draft.thread, before=event.seq)
        return event

    def context(self, thread: str, *, limit: int) -> list[Event]:
        """Return the thread's newest ``message.posted`` and ``task.finished`` events, oldest first."""
        self._append()
        return tables.context(self._connection, self.account, thread, limit=limit)

    # --- ops ------------------------------------------------------------------------------------------------

    def op_result(self, principal: str, op_id: str) -> tuple[str, OpResult] | None:
        """Return (fingerprint, result) of an op that was handled before."""
        asked = {"account": self.account, "principal": principal, "op_id": op_id}
        row = tables.one(self._connection, tables.ops, **asked)
        return None if row is None else (row["fingerprint"], tables.read_object(OpResult, row["result"]))

    def spoke(self, principal: str, *, after: str, before: str) -> bool:
        """Return whether an op with an id between these two was handled."""
        mine = select(_o.op_id).filter_by(account=self.account, principal=principal)
        between = mine.where(_o.op_id > after, _o.op_id < before).limit(1)
        return self._connection.execute(between).first() is not None

    def remember_op(self, principal: str, op: Op, result: OpResult) -> None:
        """Keep the result of an op for ``OP_KEPT_DAYS``."""
        key = {"account": self.account, "principal": principal, "op_id": op.op_id}
        said = {"fingerprint": op.fingerprint(), "result": tables.object_text(result), "at": self.now}
        tables.put(self._connection, tables.ops, key | said)

    # --- own truth ------------------------------------------------------------------------------------------

    @staticmethod
    def _owned(work: Callable[Concatenate[Connection, str, P], R]) -> Callable[Concatenate[SqlTx, P], R]:
        """Make a method of a function on the account's own truth."""

        @wraps(work)
        def method(self: SqlTx, *args: P.args, **kwargs: P.kwargs) -> R:
            return work(self._connection, self.account, *args, **kwargs)

        return method

    plan_delivery = _owned(own.plan_delivery)
    acknowledge_delivery = _owned(own.acknowledge_delivery)
    presence = _owned(own.presence)
    add_credential = _owned(own.add_credential)
    revoke_credentials = _owned(own.revoke)
    put_invite = _owned(own.put_invite)
    invite = _owned(own.invite)
    put_joining = _owned(own.put_joining)
    joining = _owned(own.own_joining)
    upload = _owned(own.finished_upload)

    def subscriptions(self) -> list[PushSubscription]:
        """Return the account's push subscriptions of active devices."""
        found = own.subscriptions(self._connection, self.account)
        active = {device.id for device in self.find(Device, states=("active",))} if found else ()
        return [subscription for subscription in found if subscription.device in active]

    def mark_read(self, principal: str, thread: str, seq: int) -> None:
        """Keep the highest seq this principal has seen in the thread."""
        self._write_out()  # the thread may be of this write
        own.mark_read(self._connection, self.account, principal, thread, seq)

    def renew_lease(self, task: str, *, runner: str, epoch: int) -> None:
        """Note that the runner still works on it."""
        self._write_out()  # the task may be of this write
        said = {"task": task, "runner": runner, "epoch": epoch, "renewed_at": self.now}
        tables.put(self._connection, tables.leases, {**said, "account": self.account})

    # --- the end --------------------------------------------------------------------------------------------

    def flush(self) -> tuple[Committed, ...]:
        """Write events and projections; return what the commit will make true."""
        self._write_out()
        if self._committed:
            moved = {"account": self.account, "seq": self._seq, "sha": self._hash}
            self._connection.execute(_MOVE, moved)
        self._memory[self.account] = self._hash, self._known | self._changed
        return tuple(self._committed)

    def _erase(self, thread: str, *, before: int) -> None:
        """Erase what is there so far, so that whatever this write still says about the thread begins anew."""
        self._write_out()
        _erase(self._connection, self.account, thread, before=before)
        self._changed, self._known = {}, {}

    def _append(self) -> None:
        """Write events that are not in the table yet."""
        if self._unwritten:
            self._connection.execute(insert(tables.events), self._unwritten)
            written = (one.event for one in self._committed[-len(self._unwritten) :])
            tables.keep_words(self._connection, self.account, written)
            self._unwritten = []

    def _write_out(self) -> None:
        """Write events and projections that are not in the tables yet."""
        self._append()
        for kind, table in tables.projections.items():
            rows = [
                tables.object_row(self.account, thing, name=key[1], seq=seq)
                for key, seq in self._unwritten_at.items()
                if key[0] is kind and (thing := self._changed.get(key)) is not None
            ]
            if rows:
                tables.put(self._connection, table, rows)
        self._unwritten_at = {}


@cache
def _oldest(kind: type[Wire], states: tuple[str, ...]) -> Select[str, str]:
    """Ask for objects in these states, oldest first; many writes do, so it is built once."""
    table = tables.projections[kind]
    query = select(table.c.id, table.c.object).where(table.c.account == bindparam("account"))
    if states:
        query = query.where(table.c.state.in_(states))
    return query.order_by(table.c.id).limit(bindparam("most"))


def _erase(connection: Connection, account: str, thread: str, *, before: int) -> None:
    """Blank the thread's events below the seq ``before``, never later ones, and forget what hung on them.

    Bodies become ``{"redacted": true}``, objects and references go, seqs and hashes stay.
    """
    said = select(_e.body).filter_by(account=account, thread=thread, kind=KIND_OF[MessagePosted])
    files = {
        str(file["id"])
        for body in connection.execute(said.where(_e.seq < before)).scalars()
        for file in json.loads(body).get("files", [])
    }
    uploads = delete(tables.uploads).filter_by(account=account)
    connection.execute(uploads.where(tables.uploads.c.id.in_(sorted(files))))
    mine = update(tables.events).filter_by(account=account, thread=thread)
    blanked = mine.where(_e.seq < before, _e.kind.not_in(_KEPT_KINDS))
    connection.execute(blanked.values(body=tables.REDACTED_TEXT))
    tasks = tables.projections[Task]
    its_tasks = select(tasks.c.id).filter_by(account=account, thread=thread)
    for table in _HANGING:
        of_account = delete(table).filter_by(account=account)
        connection.execute(of_account.where(table.c.task.in_(its_tasks)))
    for table in (tables.read_marks, tables.words, tasks):
        connection.execute(delete(table).filter_by(account=account, thread=thread))
