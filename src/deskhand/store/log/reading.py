"""Reading the log and its projections: bounded, indexed, and only what a reader may see.

Plain functions on a connection. A foreign account, an unknown id and a hidden event all look like nothing (IS-01).

Whether what is stored is still what was said is seen by walking the hash chain and folding the whole log anew, in
memory: projections must come out byte for byte. That only reads and says what differs; it refuses to repair anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypedDict

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, select, true
from typing_extensions import Unpack

from deskhand.core.drafting import EVERY_RUNNER
from deskhand.core.folding import ERASED, Key, fold, hanging, touched
from deskhand.errors import DeskhandError
from deskhand.ports import Committed, Page, W
from deskhand.protocol.events import Event
from deskhand.protocol.ops import Principal, Role
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.tables import Row, committed, read_event, read_object

_PAGE = 1000
_a = tables.accounts.c
_e = tables.events.c


class Asked(TypedDict, total=False):
    """Which objects: in these states, of this thread, with older ids; the newest first, by id or by their last change."""

    states: Sequence[str]
    thread: str | None
    before: str | None
    latest: bool
    limit: int


def _end(connection: Connection, account: str) -> tuple[int, str]:
    row = tables.one(connection, tables.accounts, id=account)
    return (row["head"], row["incarnation"]) if row else (0, "")


def head(connection: Connection, account: str) -> int:
    """Return the highest seq of the account; 0 when there is none."""
    return _end(connection, account)[0]


def incarnation(connection: Connection, account: str) -> str:
    """Return the name of the account's log; empty for the first and for none."""
    return _end(connection, account)[1]


def heads(connection: Connection) -> dict[str, int]:
    """Return the head of every account."""
    return {row.id: row.head for row in connection.execute(select(_a.id, _a.head))}


def events(connection: Connection, reader: Principal, *, after: int, limit: int) -> Page:
    """Return the next events for a reader, and how far the log was looked at."""
    # The head first: events up to it are all committed, so "looked at" never passes one that is still to come.
    last, name = _end(connection, reader.account)
    query = _seen(reader).where(_e.seq > after, _e.seq <= last).order_by(_e.seq)
    rows = _rows(connection, query, limit=limit + 1)
    more = len(rows) > limit
    found = tuple(read_event(row) for row in rows[:limit])
    looked_at = found[-1].seq if more and found else last
    return Page(events=found, looked_at=looked_at, more=more, head=last, incarnation=name)


def thread_events(
    connection: Connection, reader: Principal, thread: str, *, before: int | None, limit: int
) -> tuple[Event, ...]:
    """Return a thread's newest events before a seq, oldest first."""
    older = true() if before is None else _e.seq < before
    query = _seen(reader).where(_e.thread == thread, older).order_by(_e.seq.desc())
    return tuple(read_event(row) for row in reversed(_rows(connection, query, limit=limit)))


def context(connection: Connection, account: str, thread: str, *, limit: int) -> list[Event]:
    """Return a thread's newest ``message.posted`` and ``task.finished``, oldest first."""
    said = select(tables.events).filter_by(account=account, thread=thread)
    newest = said.where(tables.SAID_ONLY).order_by(_e.seq.desc())
    return [read_event(row) for row in reversed(_rows(connection, newest, limit=limit))]


def committed_after(connection: Connection, account: str, *, after: int, limit: int) -> list[Committed]:
    """Return events of everybody, for fan-out."""
    everything = select(tables.events).filter_by(account=account).where(_e.seq > after)
    rows = _rows(connection, everything.order_by(_e.seq), limit=limit)
    return [committed(row, read_event(row)) for row in rows]


def get(connection: Connection, account: str, kind: type[W], name: str) -> W | None:
    """Return one object, or nothing."""
    row = tables.one(connection, tables.projections[kind], account=account, id=name)
    return None if row is None else read_object(kind, row["object"])


def find(connection: Connection, account: str, kind: type[W], **asked: Unpack[Asked]) -> list[W]:
    """Return objects."""
    return [read_object(kind, stored) for stored in texts(connection, account, kind, **asked)]


def texts(connection: Connection, account: str, kind: type[Wire], **asked: Unpack[Asked]) -> list[str]:
    """Return the stored text of objects; 100 unless told."""
    table = tables.projections[kind]
    query = select(table.c.object).filter_by(account=account)
    if states := asked.get("states"):
        query = query.where(table.c.state.in_(tuple(states)))
    if (thread := asked.get("thread")) is not None:
        query = query.filter_by(thread=thread)
    if (before := asked.get("before")) is not None:
        query = query.where(table.c.id < before)
    order = table.c.seq if asked.get("latest") else table.c.id
    newest = query.order_by(order.desc()).limit(asked.get("limit", 100))
    return list(connection.execute(newest).scalars())


def _seen(reader: Principal) -> Select[Any]:
    """Ask for what is for a reader, as ``Committed.seen_by`` says."""
    allowed: ColumnElement[bool] = true() if reader.role is Role.OWNER else _e.audience == "account"
    if reader.role is Role.RUNNER:
        allowed = _e.runner.in_((reader.id, EVERY_RUNNER))
    return select(tables.events).where(_e.account == reader.account, allowed)


def _rows(connection: Connection, query: Select[Any], *, limit: int) -> Sequence[Row]:
    return connection.execute(query.limit(limit)).mappings().all()


def verify(connection: Connection, account: str) -> list[str]:
    """Return what differs between the log, its chain and its projections, in sentences.

    Every read of the fresh connection sees the same commit, while others go on writing.
    """
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        driver = connection.connection.driver_connection
        unsound: list[str] = []
        if isinstance(driver, sqlite3.Connection):
            if not driver.in_transaction:
                connection.exec_driver_sql("BEGIN")
            # Also where an index and its table say different things.
            found = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars()
            unsound = [f"The file is damaged: {line}" for line in found if line != "ok"]
        return [*unsound, *verify_inside(connection, account)]


def verify_inside(connection: Connection, account: str) -> list[str]:
    """Return what differs as the transaction of the connection sees it."""
    row = tables.one(connection, tables.accounts, id=account)
    if row is None:
        return [f"Account {account} does not exist."]
    walk = _Walk()
    log = select(tables.events).where(_e.account == account, _e.seq <= row["head"])
    # In pages, so that memory stays bounded by the objects of the log.
    paged = log.order_by(_e.seq).execution_options(yield_per=_PAGE)
    for event in connection.execute(paged).mappings():
        walk.take(event)
    return [*walk.end(row), *_compare(connection, account, walk)]


class _Walk:
    """One pass over the log: chain, seqs, bodies, fold."""

    def __init__(self) -> None:
        self.objects: dict[Key, Wire] = {}
        self.changed_at: dict[Key, int] = {}
        self._said: list[str] = []
        self._seq = 0
        self._hash = tables.GENESIS
        self._redacted: dict[str | None, int] = {}

    def take(self, row: RowMapping) -> None:
        """Judge one event and fold it."""
        expected = self._seq + 1
        try:
            self._judge(row)
            event = read_event(row)
            for key in touched(event):
                after = fold(key, self.objects.get(key), event)
                self.changed_at[key] = event.seq
                if after is not None:
                    self.objects[key] = after
            if event.kind == ERASED and event.thread is not None:
                self._redacted.pop(event.thread, None)
                for key in hanging(self.objects, event.thread):
                    del self.objects[key]
        except (TypeError, ValueError, AttributeError, DeskhandError):
            # A flipped bit makes a number of a text, or bytes.
            self._seq = max(self._seq, expected)
            self._said.append(f"Event {self._seq} cannot be read.")

    def _judge(self, row: RowMapping) -> None:
        seq = row["seq"]
        if seq != self._seq + 1:
            self._said.append(f"Events {self._seq + 1} to {seq - 1} are missing.")
        if tables.chained(self._hash, row) != row["hash"]:
            self._said.append(f"Event {seq} does not carry the hash of what it says.")
        self._seq, self._hash = seq, row["hash"]
        if row["body"] == tables.REDACTED_TEXT:
            self._redacted[row["thread"]] = seq
        elif tables.digest(row["body"]) != row["body_sha256"]:
            self._said.append(f"The body of event {seq} is not the one that was stored.")

    def end(self, account: RowMapping) -> list[str]:
        """Return what is wrong with the log, its end included."""
        if (self._seq, self._hash) != (account["head"], account["hash"]):
            self._said.append(f"The log ends at {self._seq}, its account says {account['head']}.")
        return self._said + [
            f"Event {seq} was blanked although its thread was never erased." for seq in self._redacted.values()
        ]


def _compare(connection: Connection, account: str, walk: _Walk) -> list[str]:
    said: list[str] = []
    for kind, table in tables.projections.items():
        expected = {
            key[1]: tables.object_row(account, thing, name=key[1], seq=walk.changed_at[key])
            for key, thing in walk.objects.items()
            if key[0] is kind
        }
        rows = connection.execute(select(table).filter_by(account=account)).mappings()
        stored = {row["id"]: dict(row) for row in rows}
        said += [
            f"{table.name}/{name} is not what the log makes of it."
            for name in sorted(expected.keys() | stored.keys())
            if expected.get(name) != stored.get(name)
        ]
    return said
