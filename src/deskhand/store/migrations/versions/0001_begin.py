"""Begin: the log, its projections and the hub's own truth.

A revision is history: it repeats what the tables were on its day and never imports ``tables``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0001"
down_revision = None

_NAME = sa.Text().with_variant(TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Make every table."""
    _log()
    _conversation()
    _surroundings()
    _people()
    _sending()
    _progress()


def downgrade() -> None:
    """Refuse: the way back is the snapshot that was made before."""
    raise NotImplementedError("restore the snapshot made before the upgrade")


def _name(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, _NAME, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _yes_no(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _link(column: str, table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account", column], [f"{table}.account", f"{table}.id"])


def _table(name: str, *items: sa.schema.SchemaItem, key: tuple[str, ...]) -> None:
    op.create_table(
        name,
        _name("account"),
        *items,
        sa.PrimaryKeyConstraint("account", *key),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
    )


def _index(table: str, name: str, *columns: str, where: str | None = None) -> None:
    only = None if where is None else sa.text(where)
    op.create_index(
        f"ix_{table}_{name}", table, list(columns), sqlite_where=only, postgresql_where=only
    )


def _projection(name: str, *found_by: str, links: dict[str, str] | None = None) -> None:
    _table(
        name,
        _name("id"),
        _integer("seq"),
        _name("state", nullable=True),
        _name("thread", nullable=True),
        _name("task", nullable=True),
        _name("blob", nullable=True),
        _text("object"),
        *(_link(column, table) for column, table in (links or {}).items()),
        key=("id",),
    )
    for column in found_by:
        _index(name, column, "account", column, "id")


def _log() -> None:
    op.create_table(
        "accounts", _name("id"), _integer("head"), _name("hash"), sa.PrimaryKeyConstraint("id")
    )
    _table(
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
    _index("events", "audience", "account", "audience", "seq")
    _index("events", "runner", "account", "runner", "seq")
    _index("events", "thread", "account", "thread", "seq")
    said = "kind IN ('message.posted', 'task.finished')"
    _index("events", "said", "account", "thread", "seq", where=said)


def _conversation() -> None:
    both = {"thread": "threads", "task": "tasks"}
    _projection("threads", "state")
    _projection("tasks", "state", "thread", links={"thread": "threads"})
    _projection("approvals", "state", "thread", "task", links=both)
    _projection("questions", "state", "thread", "task", links=both)
    _projection("artifacts", "state", "task", "blob", links={"task": "tasks"})


def _surroundings() -> None:
    _projection("devices", "state")
    _projection("pair_requests", "state")
    _projection("runners", "state")
    _projection("folders", "state")
    _projection("settings")


def _people() -> None:
    _table(
        "credentials",
        _name("token_sha256"),
        _name("principal"),
        _name("role"),
        _text("name"),
        _name("kind"),
        _yes_no("revoked"),
        sa.UniqueConstraint("token_sha256"),
        key=("token_sha256",),
    )
    _index("credentials", "principal", "account", "principal")
    _table(
        "invites",
        _name("id"),
        _name("secret_sha256"),
        _name("code", nullable=True),
        _name("kind"),
        _name("role"),
        _yes_no("admits_alone"),
        _name("expires_at"),
        _name("used_by", nullable=True),
        sa.UniqueConstraint("secret_sha256"),
        key=("id",),
    )
    _index("invites", "code", "code")
    _table(
        "joinings",
        _name("request"),
        _name("invite"),
        _name("secret_sha256"),
        _text("public_key", nullable=True),
        _name("expires_at"),
        _name("device", nullable=True),
        sa.UniqueConstraint("request"),
        _link("invite", "invites"),
        key=("request",),
    )
    _table("presence", _name("runner"), _yes_no("connected"), _name("seen_at"), key=("runner",))


def _sending() -> None:
    _table(
        "subscriptions",
        _name("id"),
        _name("device"),
        _name("endpoint"),
        _text("p256dh"),
        _text("auth"),
        sa.UniqueConstraint("account", "endpoint"),
        key=("id",),
    )
    _index("subscriptions", "device", "account", "device")
    _table(
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
        sa.UniqueConstraint("account", "tag", "class", "subscription"),
        key=("id",),
    )
    _index("deliveries", "due", "next_try_at", where="next_try_at IS NOT NULL")
    _index("deliveries", "task", "account", "task")


def _progress() -> None:
    _table(
        "ops",
        _name("principal"),
        _name("op_id"),
        _name("fingerprint"),
        _text("result"),
        _name("at"),
        key=("principal", "op_id"),
    )
    _index("ops", "at", "at")
    _table(
        "read_marks",
        _name("principal"),
        _name("thread"),
        _integer("seq"),
        _link("thread", "threads"),
        key=("principal", "thread"),
    )
    _table(
        "uploads",
        _name("id"),
        _name("principal"),
        _text("name"),
        _integer("size"),
        _integer("offset"),
        _text("media_type"),
        _name("sha256", nullable=True),
        _name("expires_at"),
        _yes_no("posted"),
        key=("id",),
    )
    _index("uploads", "principal", "account", "principal")
    _index("uploads", "sha256", "account", "sha256")
    _table(
        "leases",
        _name("task"),
        _name("runner"),
        _integer("epoch"),
        _name("renewed_at"),
        _link("task", "tasks"),
        key=("task",),
    )
    _index("leases", "runner", "account", "runner")
