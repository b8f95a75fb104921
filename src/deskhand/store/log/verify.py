"""Is what is stored still what was said: walks the hash chain and folds the whole log anew, in memory.

Projections must come out byte for byte. It only reads and says what differs; it refuses to repair anything.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Connection, RowMapping, select

from deskhand.core.folding import ERASED, Key, fold, hanging, touched
from deskhand.errors import DeskhandError
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.rows import GENESIS, REDACTED_TEXT, chained, digest, object_row, read_event

_PAGE = 1000
_e = tables.events.c


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
        self._hash = GENESIS
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
        if chained(self._hash, row) != row["hash"]:
            self._said.append(f"Event {seq} does not carry the hash of what it says.")
        self._seq, self._hash = seq, row["hash"]
        if row["body"] == REDACTED_TEXT:
            self._redacted[row["thread"]] = seq
        elif digest(row["body"]) != row["body_sha256"]:
            self._said.append(f"The body of event {seq} is not the one that was stored.")

    def end(self, account: RowMapping) -> list[str]:
        """Return what is wrong with the log, its end included."""
        if (self._seq, self._hash) != (account["head"], account["hash"]):
            self._said.append(f"The log ends at {self._seq}, its account says {account['head']}.")
        return self._said + [
            f"Event {seq} was blanked although its thread was never erased."
            for seq in self._redacted.values()
        ]


def _compare(connection: Connection, account: str, walk: _Walk) -> list[str]:
    said: list[str] = []
    for kind, table in tables.projections.items():
        expected = {
            key[1]: object_row(account, thing, name=key[1], seq=walk.changed_at[key])
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
