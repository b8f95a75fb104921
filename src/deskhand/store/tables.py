"""Every table of the hub's store, in one metadata for SQLite and PostgreSQL, and the inserts both spell differently.

``projections`` are rebuilt and compared by ``log verify``; every other table holds truth that exists nowhere else.
Keys start with the account, also in foreign keys, so that a wrong join is a database error (IS-01).
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
metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_N_name)s"})

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    # Ids and stamps sort by their bytes, whatever the language of the database is.
    "": sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql"),
    "text": sa.Text(),
    "integer": sa.BigInteger(),
    "flag": sa.Boolean(),
}


def _columns(said: str, *, key: bool = False) -> list[sa.Column[Any]]:
    """Make columns: ``name`` for ids and stamps, ``name:TYPE`` for others, with ``?`` behind what may be NULL."""
    columns: list[sa.Column[Any]] = []
    for one in said.split():
        name, _, kind = one.rstrip("?").partition(":")
        columns.append(sa.Column(name, _TYPES[kind], primary_key=key, nullable=one.endswith("?")))
    return columns


def _table(name: str, said: str, *rules: sa.schema.SchemaItem) -> sa.Table:
    """Make a table that belongs to an account; its key is what is said before the bar."""
    key, _, others = said.partition("|")
    owner = sa.ForeignKeyConstraint(["account"], ["accounts.id"])
    columns = (*_columns(f"account {key}", key=True), *_columns(others))
    return sa.Table(name, metadata, *columns, owner, *rules)


def _link(column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account", column], [f"{target}.account", f"{target}.id"])


def _index(table: sa.Table, name: str, *columns: str, where: sa.TextClause | None = None) -> None:
    found = [table.c[column] for column in columns]
    sa.Index(f"ix_{table.name}_{name}", *found, sqlite_where=where, postgresql_where=where)


accounts = sa.Table(
    "accounts", metadata, *_columns("id", key=True), *_columns("head:integer hash incarnation")
)
"""One row per account: the lock of its log, its last seq and the last hash of its chain.

``incarnation`` is changed by whatever takes the log back to an earlier state: the same numbers mean other events then.
"""

SAID_ONLY = sa.text("kind IN ('message.posted', 'task.finished')")
"""What an attempt gets as context; spelled out, because a partial index serves only its very words."""

events = _table(
    "events",
    "seq:integer | v:integer kind at audience body_sha256 hash thread? task? runner? actor:text body:text",
)
for _name in ("audience", "runner", "thread"):
    _index(events, _name, "account", _name, "seq")
_index(events, "said", "account", "thread", "seq", where=SAID_ONLY)


def _projection(kind: type[Wire]) -> sa.Table:
    """Make the table of one kind of object: what is needed to find it, and the object as JSON."""
    fields = kind.model_fields
    found_by = " ".join(f"{column}?" for column in FOUND_BY)
    targets = (("thread", "threads"), ("task", "tasks"))
    links = [_link(column, target) for column, target in targets if column in fields]
    table = _table(COLLECTIONS[kind], f"id | seq:integer {found_by} object:text", *links)
    for column, field in FOUND_BY.items():
        if field in fields:
            _index(table, column, "account", column, "id")
    return table


projections: dict[type[Wire], sa.Table] = {kind: _projection(kind) for kind in COLLECTIONS}
"""One table per kind of object, in an order that foreign keys allow."""

ops = _table("ops", "principal op_id | fingerprint at result:text")
_index(ops, "at", "at")

credentials = _table(
    "credentials",
    "token_sha256 | principal role kind name:text revoked:flag",
    sa.UniqueConstraint("token_sha256"),
)
_index(credentials, "principal", "account", "principal")

invites = _table(
    "invites",
    "id | secret_sha256 kind role expires_at code? used_by? admits_alone:flag",
    sa.UniqueConstraint("secret_sha256"),
)
_index(invites, "code", "code")

joinings = _table(
    "joinings",
    "request | invite secret_sha256 expires_at device? public_key:text?",
    sa.UniqueConstraint("request"),
    _link("invite", "invites"),
)

presence = _table(
    "presence", "runner | seen_at connected:flag state slept_seconds:integer? woke_at?"
)

subscriptions = _table(
    "subscriptions",
    "id | device endpoint p256dh:text auth:text",
    sa.UniqueConstraint("account", "endpoint"),
)
_index(subscriptions, "device", "account", "device")

deliveries = _table(
    "deliveries",
    "id | tag class subscription fate device? task? next_try_at? attempts:integer planned:text reason:text?",
    sa.UniqueConstraint("account", "tag", "class", "subscription"),
)
_index(deliveries, "due", "next_try_at", where=sa.text("next_try_at IS NOT NULL"))
_index(deliveries, "task", "account", "task")

read_marks = _table("read_marks", "principal thread | seq:integer", _link("thread", "threads"))

uploads = _table(
    "uploads",
    "id | principal expires_at sha256? name:text media_type:text size:integer offset:integer posted:flag",
)
_index(uploads, "principal", "account", "principal")
_index(uploads, "sha256", "account", "sha256")

leases = _table("leases", "task | runner renewed_at epoch:integer", _link("task", "tasks"))
_index(leases, "runner", "account", "runner")


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
