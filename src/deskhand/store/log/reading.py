"""Reading the log and its projections: bounded, indexed, and only what a view may see.

Plain functions on a connection. A foreign account, an unknown id and a hidden event all look like nothing (IS-01).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, select, true
from typing_extensions import Unpack

from deskhand.core.drafting import EVERY_RUNNER
from deskhand.ports import Committed, Page, View
from deskhand.protocol.events import Event
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.rows import Row, committed, read_event, read_object

W = TypeVar("W", bound=Wire)

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


def events(connection: Connection, view: View, *, after: int, limit: int) -> Page:
    """Return the next events of a view, and how far the log was looked at."""
    # The head first: events up to it are all committed, so "looked at" never passes one that is still to come.
    last, name = _end(connection, view.account)
    query = _seen(view).where(_e.seq > after, _e.seq <= last).order_by(_e.seq)
    rows = _rows(connection, query, limit=limit + 1)
    more = len(rows) > limit
    found = tuple(read_event(row) for row in rows[:limit])
    looked_at = found[-1].seq if more and found else last
    return Page(events=found, looked_at=looked_at, more=more, head=last, incarnation=name)


def thread_events(
    connection: Connection, view: View, thread: str, *, before: int | None, limit: int
) -> tuple[Event, ...]:
    """Return a thread's newest events before a seq, oldest first."""
    older = true() if before is None else _e.seq < before
    query = _seen(view).where(_e.thread == thread, older).order_by(_e.seq.desc())
    return tuple(read_event(row) for row in reversed(_rows(connection, query, limit=limit)))


def context(connection: Connection, account: str, thread: str, *, limit: int) -> list[Event]:
    """Return a thread's newest ``message.posted`` and ``task.finished``, oldest first."""
    said = select(tables.events).filter_by(account=account, thread=thread)
    newest = said.where(tables.SAID_ONLY).order_by(_e.seq.desc())
    return [read_event(row) for row in reversed(_rows(connection, newest, limit=limit))]


def committed_after(
    connection: Connection, account: str, *, after: int, limit: int
) -> list[Committed]:
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


def texts(
    connection: Connection, account: str, kind: type[Wire], **asked: Unpack[Asked]
) -> list[str]:
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


def _seen(view: View) -> Select[Any]:
    """Ask for what ``View.sees`` lets through."""
    allowed: ColumnElement[bool] = true() if view.owner else _e.audience == "account"
    if view.runner is not None:
        allowed = _e.runner.in_((view.runner, EVERY_RUNNER))
    return select(tables.events).where(_e.account == view.account, allowed)


def _rows(connection: Connection, query: Select[Any], *, limit: int) -> Sequence[Row]:
    return connection.execute(query.limit(limit)).mappings().all()
