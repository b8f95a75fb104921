"""Every table of the hub's store, in one metadata for SQLite and PostgreSQL, and the inserts both spell differently.

What a query must know is in ``tables.toml``: columns, keys and types. Rules and indexes are in the SQL of the migrations
alone; there keys start with the account, also in foreign keys, so that a wrong join is a database error (IS-01). ``projections`` are
rebuilt and compared by ``log verify``; every other table holds truth that exists nowhere else.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from deskhand.core.folding import COLLECTIONS
from deskhand.store.rows import RowValues

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "": sa.Text,
    "integer": sa.BigInteger,
    "flag": sa.Boolean,
}
_SAID = tomllib.loads(files("deskhand.store").joinpath("tables.toml").read_text(encoding="utf-8"))
metadata = sa.MetaData()


def _table(name: str, *, like: str = "") -> sa.Table:
    keys, _, others = str(_SAID[like or name]).partition("|")
    columns: list[sa.Column[Any]] = []
    for one in (*keys.split(), *others.split()):
        column, _, kind = one.rstrip("?").partition(":")
        key, nullable = one in keys.split(), one.endswith("?")
        columns.append(sa.Column(column, _TYPES[kind], primary_key=key, nullable=nullable))
    return sa.Table(name, metadata, *columns)


accounts = _table("accounts")
"""One row per account: the lock of its log, its last seq and the last hash of its chain.

``incarnation`` is changed by whatever takes the log back to an earlier state: the same numbers mean other events then.
"""

SAID_ONLY = sa.text("kind IN ('message.posted', 'task.finished')")
"""What an attempt gets as context; spelled out, because a partial index serves only its very words."""

events = _table("events")
projections = {kind: _table(name, like="projection") for kind, name in COLLECTIONS.items()}
"""One table per kind of object, what it is found by and the object as JSON; in an order that foreign keys allow."""

ops = _table("ops")
credentials = _table("credentials")
invites = _table("invites")
joinings = _table("joinings")
presence = _table("presence")
subscriptions = _table("subscriptions")
deliveries = _table("deliveries")
read_marks = _table("read_marks")
uploads = _table("uploads")
leases = _table("leases")


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
