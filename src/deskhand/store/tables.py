"""Every table of the hub's store, in one metadata for SQLite and PostgreSQL, and the inserts both spell differently.

What a query must know: columns, keys and types. Rules and indexes are in the SQL of the migrations alone; there keys
start with the account, also in foreign keys, so that a wrong join is a database error (IS-01). ``projections`` are
rebuilt and compared by ``log verify``; every other table holds truth that exists nowhere else.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from deskhand.core.folding import COLLECTIONS
from deskhand.protocol.wire import Wire
from deskhand.store.rows import FOUND_BY, RowValues

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "": sa.Text,
    "integer": sa.BigInteger,
    "flag": sa.Boolean,
}
metadata = sa.MetaData()


def _table(name: str, said: str) -> sa.Table:
    """Make a table: before the bar its key; ``name:TYPE`` for what is no text, ``?`` behind what may be NULL."""
    keys, _, others = said.partition("|")
    columns: list[sa.Column[Any]] = []
    for one in (*keys.split(), *others.split()):
        column, _, kind = one.rstrip("?").partition(":")
        key, nullable = one in keys.split(), one.endswith("?")
        columns.append(sa.Column(column, _TYPES[kind], primary_key=key, nullable=nullable))
    return sa.Table(name, metadata, *columns)


accounts = _table("accounts", "id | head:integer hash incarnation")
"""One row per account: the lock of its log, its last seq and the last hash of its chain.

``incarnation`` is changed by whatever takes the log back to an earlier state: the same numbers mean other events then.
"""

SAID_ONLY = sa.text("kind IN ('message.posted', 'task.finished')")
"""What an attempt gets as context; spelled out, because a partial index serves only its very words."""

events = _table(
    "events",
    "account seq:integer | v:integer kind at audience body_sha256 hash thread? task? runner? actor body",
)
_FOUND_BY = " ".join(f"{column}?" for column in FOUND_BY)
projections: dict[type[Wire], sa.Table] = {
    kind: _table(name, f"account id | seq:integer {_FOUND_BY} object")
    for kind, name in COLLECTIONS.items()
}
"""One table per kind of object, what it is found by and the object as JSON; in an order that foreign keys allow."""

ops = _table("ops", "account principal op_id | fingerprint at result")
credentials = _table("credentials", "account token_sha256 | principal role kind name revoked:flag")
invites = _table(
    "invites",
    "account id | secret_sha256 kind role expires_at code? used_by? admits_alone:flag",
)
joinings = _table(
    "joinings", "account request | invite secret_sha256 expires_at device? public_key?"
)
presence = _table(
    "presence", "account runner | seen_at connected:flag state slept_seconds:integer? woke_at?"
)
subscriptions = _table("subscriptions", "account id | device endpoint p256dh auth")
deliveries = _table(
    "deliveries",
    "account id | tag class subscription fate device? task? next_try_at? attempts:integer planned reason?",
)
read_marks = _table("read_marks", "account principal thread | seq:integer")
uploads = _table(
    "uploads",
    "account id | principal expires_at sha256? name media_type size:integer offset:integer posted:flag",
)
leases = _table("leases", "account task | runner renewed_at epoch:integer")


def one(connection: sa.Connection, table: sa.Table, **held: str) -> sa.RowMapping | None:
    """Return the row that holds these values, if there is one."""
    return connection.execute(_asking(table, *held), held).mappings().first()


@cache
def _asking(table: sa.Table, *names: str) -> sa.Select[Any]:
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in names))


def inserting(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can say what to do on a conflict."""
    return _INSERTS[connection.dialect.name](table)


def put(connection: sa.Connection, table: sa.Table, rows: RowValues | list[RowValues]) -> None:
    """Insert rows, or replace those of the same primary key."""
    connection.execute(_replacing(connection.dialect.name, table), rows)


@cache
def _replacing(dialect: str, table: sa.Table) -> sa.Insert:
    statement = _INSERTS[dialect](table)
    changes = {one.name: statement.excluded[one.name] for one in table.c if not one.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)
