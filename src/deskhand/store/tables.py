"""Every table of the hub's store, in one metadata for SQLite and PostgreSQL, and the inserts both spell differently.

``info["truth"]`` says what a table is: a *projection* is rebuilt and compared by ``log verify``; *own* truth exists
nowhere else. Keys start with the account, also in foreign keys, so that a wrong join is a database error (IS-01).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from deskhand.core.folding import COLLECTIONS
from deskhand.protocol.wire import Wire
from deskhand.store.rows import FOUND_BY

PROJECTION = {"truth": "projection"}
OWN = {"truth": "own"}

metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_N_name)s"})

# Ids and stamps sort by their bytes, whatever the language of the database is.
_Name = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def _names(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, _Name, nullable=nullable) for name in names]


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _integers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _link(column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account", column], [f"{target}.account", f"{target}.id"])


def _table(
    name: str, *items: sa.schema.SchemaItem, key: tuple[str, ...], truth: dict[str, str] = OWN
) -> sa.Table:
    """Make a table that belongs to an account."""
    return sa.Table(
        name,
        metadata,
        *_names("account"),
        *items,
        sa.PrimaryKeyConstraint("account", *key),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        info=truth,
    )


def _index(table: sa.Table, name: str, *columns: str, where: sa.TextClause | None = None) -> None:
    found = [table.c[column] for column in columns]
    sa.Index(f"ix_{table.name}_{name}", *found, sqlite_where=where, postgresql_where=where)


accounts = sa.Table(
    "accounts",
    metadata,
    *_names("id", "hash"),
    *_integers("head"),
    sa.Column("incarnation", _Name, nullable=False, server_default=""),
    sa.PrimaryKeyConstraint("id"),
    info=OWN,
)
"""One row per account: the lock of its log, its last seq and the last hash of its chain.

``incarnation`` is changed by whatever takes the log back to an earlier state: the same numbers mean other events then.
"""

SAID_ONLY = sa.text("kind IN ('message.posted', 'task.finished')")
"""What an attempt gets as context; spelled out, because a partial index serves only its very words."""

events = _table(
    "events",
    *_integers("seq", "v"),
    *_names("kind", "at", "audience", "body_sha256", "hash"),
    *_names("thread", "task", "runner", nullable=True),
    *_texts("actor", "body"),
    key=("seq",),
)
_index(events, "audience", "account", "audience", "seq")
_index(events, "runner", "account", "runner", "seq")
_index(events, "thread", "account", "thread", "seq")
_index(events, "said", "account", "thread", "seq", where=SAID_ONLY)


def _projection(kind: type[Wire]) -> sa.Table:
    """Make the table of one kind of object: what is needed to find it, and the object as JSON."""
    fields = kind.model_fields
    links = [
        _link(column, target)
        for column, target in (("thread", "threads"), ("task", "tasks"))
        if column in fields
    ]
    table = _table(
        COLLECTIONS[kind],
        *_names("id"),
        *_integers("seq"),
        *_names(*FOUND_BY, nullable=True),
        *_texts("object"),
        *links,
        key=("id",),
        truth=PROJECTION,
    )
    for column, field in FOUND_BY.items():
        if field in fields:
            _index(table, column, "account", column, "id")
    return table


projections: dict[type[Wire], sa.Table] = {kind: _projection(kind) for kind in COLLECTIONS}
"""One table per kind of object, in an order that foreign keys allow."""

ops = _table(
    "ops",
    *_names("principal", "op_id", "fingerprint", "at"),
    *_texts("result"),
    key=("principal", "op_id"),
)
_index(ops, "at", "at")

credentials = _table(
    "credentials",
    *_names("token_sha256", "principal", "role", "kind"),
    *_texts("name"),
    _flag("revoked"),
    sa.UniqueConstraint("token_sha256"),
    key=("token_sha256",),
)
_index(credentials, "principal", "account", "principal")

invites = _table(
    "invites",
    *_names("id", "secret_sha256", "kind", "role", "expires_at"),
    *_names("code", "used_by", nullable=True),
    _flag("admits_alone"),
    sa.UniqueConstraint("secret_sha256"),
    key=("id",),
)
_index(invites, "code", "code")

joinings = _table(
    "joinings",
    *_names("request", "invite", "secret_sha256", "expires_at"),
    *_names("device", nullable=True),
    *_texts("public_key", nullable=True),
    sa.UniqueConstraint("request"),
    _link("invite", "invites"),
    key=("request",),
)

presence = _table(
    "presence",
    *_names("runner", "seen_at"),
    _flag("connected"),
    sa.Column("state", _Name, nullable=False, server_default="stopped"),
    sa.Column("slept_seconds", sa.BigInteger),
    *_names("woke_at", nullable=True),
    key=("runner",),
)

subscriptions = _table(
    "subscriptions",
    *_names("id", "device", "endpoint"),
    *_texts("p256dh", "auth"),
    sa.UniqueConstraint("account", "endpoint"),
    key=("id",),
)
_index(subscriptions, "device", "account", "device")

deliveries = _table(
    "deliveries",
    *_names("id", "tag", "class", "subscription", "fate"),
    *_names("device", "task", "next_try_at", nullable=True),
    *_integers("attempts"),
    *_texts("planned"),
    *_texts("reason", nullable=True),
    sa.UniqueConstraint("account", "tag", "class", "subscription"),
    key=("id",),
)
_index(deliveries, "due", "next_try_at", where=sa.text("next_try_at IS NOT NULL"))
_index(deliveries, "task", "account", "task")

read_marks = _table(
    "read_marks",
    *_names("principal", "thread"),
    *_integers("seq"),
    _link("thread", "threads"),
    key=("principal", "thread"),
)

uploads = _table(
    "uploads",
    *_names("id", "principal", "expires_at"),
    *_names("sha256", nullable=True),
    *_texts("name", "media_type"),
    *_integers("size", "offset"),
    _flag("posted"),
    key=("id",),
)
_index(uploads, "principal", "account", "principal")
_index(uploads, "sha256", "account", "sha256")

leases = _table(
    "leases",
    *_names("task", "runner", "renewed_at"),
    *_integers("epoch"),
    _link("task", "tasks"),
    key=("task",),
)
_index(leases, "runner", "account", "runner")


def inserting(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can say what to do on a conflict."""
    return _inserting(connection.dialect.name, table)


def put(
    connection: sa.Connection, table: sa.Table, rows: Mapping[str, Any] | list[dict[str, Any]]
) -> None:
    """Insert rows, or replace those of the same primary key."""
    connection.execute(_replacing(connection.dialect.name, table), rows)


def _inserting(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _replacing(dialect: str, table: sa.Table) -> sa.Insert:
    statement = _inserting(dialect, table)
    keys = [column.name for column in table.primary_key]
    others = [column.name for column in table.c if column.name not in keys]
    changes = {name: statement.excluded[name] for name in others}
    return statement.on_conflict_do_update(index_elements=keys, set_=changes)
