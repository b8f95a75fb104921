"""Is what is stored still what was said: walks the hash chain and folds the whole log anew, in memory.

Projections must come out byte for byte. It only reads and says what differs; it refuses to repair anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from deskhand.core.folding import Key, fold, touched
from deskhand.errors import DeskhandError
from deskhand.protocol.objects import Thread
from deskhand.protocol.tasks import Artifact, Task
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.log.erasing import ERASED_KIND
from deskhand.store.rows import (
    GENESIS,
    REDACTED_TEXT,
    chained,
    digest,
    object_row,
    read_event,
)

_PAGE = 1000
_e = tables.events.c
_COMPARED = ("seq", "state", "thread", "task", "blob", "object")


def verify(connection: Connection, account: str) -> list[str]:
    """Return what differs between the log, its chain and its projections, in sentences.

    Args:
        connection: a fresh one, in no transaction.
        account: whose log.
    """
    with _one_moment(connection):
        return verify_inside(connection, account)


@contextmanager
def _one_moment(connection: Connection) -> Generator[None]:
    """Let every read see the same commit, while others go on writing."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection) and not driver.in_transaction:
            connection.exec_driver_sql("BEGIN")
        yield


def verify_inside(connection: Connection, account: str) -> list[str]:
    """Return what differs as the transaction of the connection sees it."""
    found = connection.execute(
        select(tables.accounts).where(tables.accounts.c.id == account)
    ).mappings()
    row = found.first()
    if row is None:
        return [f"Account {account} does not exist."]
    walk = _Walk()
    for event in _rows(connection, account, up_to=row["head"]):
        walk.take(event)
    return [
        *walk.differences,
        *walk.end(row),
        *_compare(connection, account, walk.objects, walk.changed_at),
    ]


class _Walk:
    """One pass over the log: chain, seqs, bodies, fold."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.objects: dict[Key, Wire] = {}
        self.changed_at: dict[Key, int] = {}
        self._seq = 0
        self._hash = GENESIS
        self._redacted: dict[str, int] = {}

    def take(self, row: RowMapping) -> None:
        """Judge one event and fold it."""
        seq = row["seq"]
        if seq != self._seq + 1:
            self._say(f"Events {self._seq + 1} to {seq - 1} are missing.")
        self._seq = seq
        if chained(self._hash, row) != row["hash"]:
            self._say(f"Event {seq} does not carry the hash of what it says.")
        self._hash = row["hash"]
        if row["body"] == REDACTED_TEXT:
            self._redacted[row["thread"] or ""] = seq
        elif digest(row["body"]) != row["body_sha256"]:
            self._say(f"The body of event {seq} is not the one that was stored.")
        try:
            self._fold(row)
        except (DeskhandError, ValueError):
            self._say(f"Event {seq} cannot be read.")

    def end(self, account: RowMapping) -> list[str]:
        """Return what is wrong with the end of the log."""
        said: list[str] = []
        if (self._seq, self._hash) != (account["head"], account["hash"]):
            said.append(f"The log ends at {self._seq}, its account says {account['head']}.")
        said += [
            f"Event {seq} was blanked although its thread was never erased."
            for seq in self._redacted.values()
        ]
        return said

    def _fold(self, row: RowMapping) -> None:
        event = read_event(row)
        for key in touched(event):
            after = fold(key, self.objects.get(key), event)
            self.changed_at[key] = event.seq
            if after is not None:
                self.objects[key] = after
        if row["kind"] == ERASED_KIND and row["thread"] is not None:
            self._redacted.pop(row["thread"] or "", None)
            self._forget(row["thread"])

    def _forget(self, thread: str) -> None:
        tasks = {
            key[1]
            for key, thing in self.objects.items()
            if key[0] is Task and getattr(thing, "thread", None) == thread
        }
        for key, thing in list(self.objects.items()):
            hangs = getattr(thing, "thread", None) == thread or (
                key[0] is Artifact and getattr(thing, "task", None) in tasks
            )
            if hangs and key[0] is not Thread:
                del self.objects[key]

    def _say(self, sentence: str) -> None:
        self.differences.append(sentence)


def _rows(connection: Connection, account: str, *, up_to: int) -> Iterator[RowMapping]:
    """Read the log in pages, so that memory stays bounded by its objects."""
    after = 0
    while True:
        query = (
            select(tables.events)
            .where(_e.account == account, _e.seq > after, _e.seq <= up_to)
            .order_by(_e.seq)
            .limit(_PAGE)
        )
        rows = connection.execute(query).mappings().all()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1]["seq"]


def _compare(
    connection: Connection, account: str, objects: dict[Key, Wire], changed_at: dict[Key, int]
) -> list[str]:
    said: list[str] = []
    for kind, table in tables.projections.items():
        expected = {
            key[1]: _columns(object_row(account, thing, name=key[1], seq=changed_at[key]))
            for key, thing in objects.items()
            if key[0] is kind
        }
        query = select(table).where(table.c.account == account).order_by(table.c.id)
        stored = {row["id"]: _columns(row) for row in connection.execute(query).mappings().all()}
        said += [
            _difference(table.name, name, expected=expected, stored=stored)
            for name in sorted(expected.keys() | stored.keys())
            if expected.get(name) != stored.get(name)
        ]
    return said


def _columns(row: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a row of the database or one of ours
    return tuple(row[name] for name in _COMPARED)


def _difference(
    collection: str, name: str, *, expected: dict[str, Any], stored: dict[str, Any]
) -> str:
    if name not in stored:
        return f"{collection}/{name} is in the log but not stored."
    if name not in expected:
        return f"{collection}/{name} is stored but not in the log."
    return f"{collection}/{name} is not what the log makes of it."
