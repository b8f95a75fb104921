"""Every table of the hub's store, in one metadata for SQLite and PostgreSQL.

``info["truth"]`` says what a table is: a *projection* is rebuilt and compared by ``log verify``; *own* truth exists
nowhere else. Keys start with the account, also in foreign keys, so that a wrong join is a database error (IS-01).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TEXT
from sqlalchemy.sql.schema import SchemaItem

from deskhand.core.folding import COLLECTIONS
from deskhand.protocol.wire import Wire

PROJECTION = {"truth": "projection"}
OWN = {"truth": "own"}

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Ids and stamps sort by their bytes, whatever the language of the database is.
Name = Text().with_variant(TEXT(collation="C"), "postgresql")


def _name(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Name, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _integer(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _of_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account"], ["accounts.id"])


def _own(name: str, *columns: SchemaItem, key: tuple[str, ...]) -> Table:
    """Make a table of own truth that belongs to an account."""
    return Table(
        name,
        metadata,
        _name("account"),
        *columns,
        PrimaryKeyConstraint("account", *key),
        _of_account(),
        info=OWN,
    )


accounts = Table(
    "accounts",
    metadata,
    _name("id"),
    _integer("head"),
    _name("hash"),
    PrimaryKeyConstraint("id"),
    info=OWN,
)
"""One row per account: the lock of its log, its last seq and the last hash of its chain."""

SAID_ONLY = text("kind IN ('message.posted', 'task.finished')")
"""What an attempt gets as context; spelled out, because a partial index serves only its very words."""

events = _own(
    "events",
    _integer("seq"),
    _name("kind"),
    _name("at"),
    _text("actor"),
    _name("thread", nullable=True),
    _name("task", nullable=True),
    _integer("v"),
    _name("audience"),
    _name("runner", nullable=True),
    _text("body"),
    _name("body_sha256"),
    _name("hash"),
    key=("seq",),
)
Index("ix_events_audience", events.c.account, events.c.audience, events.c.seq)
Index("ix_events_runner", events.c.account, events.c.runner, events.c.seq)
Index("ix_events_thread", events.c.account, events.c.thread, events.c.seq)
Index(
    "ix_events_said",
    events.c.account,
    events.c.thread,
    events.c.seq,
    sqlite_where=SAID_ONLY,
    postgresql_where=SAID_ONLY,
)


def _projection(kind: type[Wire]) -> Table:
    """Make the table of one kind of object: what is needed to find it, and the object as JSON."""
    fields = kind.model_fields
    name = COLLECTIONS[kind]
    links = [
        ForeignKeyConstraint(["account", link], [f"{target}.account", f"{target}.id"])
        for link, target in (("thread", "threads"), ("task", "tasks"))
        if link in fields
    ]
    table = Table(
        name,
        metadata,
        _name("account"),
        _name("id"),
        _integer("seq"),
        _name("state", nullable=True),
        _name("thread", nullable=True),
        _name("task", nullable=True),
        _name("blob", nullable=True),
        _text("object"),
        PrimaryKeyConstraint("account", "id"),
        _of_account(),
        *links,
        info=PROJECTION,
    )
    for column in ("state", "thread", "task", "blob"):
        if column in fields or (column == "blob" and "sha256" in fields):
            Index(f"ix_{name}_{column}", table.c.account, table.c[column], table.c.id)
    return table


projections: dict[type[Wire], Table] = {kind: _projection(kind) for kind in COLLECTIONS}
"""One table per kind of object, in an order that foreign keys allow."""

ops = _own(
    "ops",
    _name("principal"),
    _name("op_id"),
    _name("fingerprint"),
    _text("result"),
    _name("at"),
    key=("principal", "op_id"),
)
Index("ix_ops_at", ops.c.at)

credentials = _own(
    "credentials",
    _name("token_sha256"),
    _name("principal"),
    _name("role"),
    _text("name"),
    _name("kind"),
    Column("revoked", Boolean, nullable=False),
    UniqueConstraint("token_sha256"),
    key=("token_sha256",),
)
Index("ix_credentials_principal", credentials.c.account, credentials.c.principal)

invites = _own(
    "invites",
    _name("id"),
    _name("secret_sha256"),
    _name("code", nullable=True),
    _name("kind"),
    _name("role"),
    Column("admits_alone", Boolean, nullable=False),
    _name("expires_at"),
    _name("used_by", nullable=True),
    UniqueConstraint("secret_sha256"),
    key=("id",),
)
Index("ix_invites_code", invites.c.code)

joinings = _own(
    "joinings",
    _name("request"),
    _name("invite"),
    _name("secret_sha256"),
    _text("public_key", nullable=True),
    _name("expires_at"),
    _name("device", nullable=True),
    UniqueConstraint("request"),
    ForeignKeyConstraint(["account", "invite"], ["invites.account", "invites.id"]),
    key=("request",),
)

presence = _own(
    "presence",
    _name("runner"),
    Column("connected", Boolean, nullable=False),
    _name("seen_at"),
    key=("runner",),
)

subscriptions = _own(
    "subscriptions",
    _name("id"),
    _name("device"),
    _name("endpoint"),
    _text("p256dh"),
    _text("auth"),
    UniqueConstraint("account", "endpoint"),
    key=("id",),
)
Index("ix_subscriptions_device", subscriptions.c.account, subscriptions.c.device)

deliveries = _own(
    "deliveries",
    _name("id"),
    _name("tag"),
    _name("class"),
    _name("subscription"),
    _name("device", nullable=True),
    _name("task", nullable=True),
    _name("fate"),
    _text("reason", nullable=True),
    _integer("attempts"),
    _name("next_try_at", nullable=True),
    _text("planned"),
    UniqueConstraint("account", "tag", "class", "subscription"),
    key=("id",),
)
_DUE_ONLY = text("next_try_at IS NOT NULL")
Index(
    "ix_deliveries_due",
    deliveries.c.next_try_at,
    sqlite_where=_DUE_ONLY,
    postgresql_where=_DUE_ONLY,
)
Index("ix_deliveries_task", deliveries.c.account, deliveries.c.task)

read_marks = _own(
    "read_marks",
    _name("principal"),
    _name("thread"),
    _integer("seq"),
    ForeignKeyConstraint(["account", "thread"], ["threads.account", "threads.id"]),
    key=("principal", "thread"),
)

uploads = _own(
    "uploads",
    _name("id"),
    _name("principal"),
    _text("name"),
    _integer("size"),
    _integer("offset"),
    _text("media_type"),
    _name("sha256", nullable=True),
    _name("expires_at"),
    Column("posted", Boolean, nullable=False),
    key=("id",),
)
Index("ix_uploads_principal", uploads.c.account, uploads.c.principal)
Index("ix_uploads_sha256", uploads.c.account, uploads.c.sha256)

leases = _own(
    "leases",
    _name("task"),
    _name("runner"),
    _integer("epoch"),
    _name("renewed_at"),
    ForeignKeyConstraint(["account", "task"], ["tasks.account", "tasks.id"]),
    key=("task",),
)
Index("ix_leases_runner", leases.c.account, leases.c.runner)
