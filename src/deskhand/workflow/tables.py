"""The tables of a runner's journal: one SQLite file, all of it own truth, nothing a projection.

Refuses to hold results twice: histories are deltas, and what the hub has acknowledged leaves the outbox.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

UPGRADES: Final[Mapping[int, Sequence[str]]] = {1: ()}
"""What brings a journal to each schema from the one before, statement by statement; the last one is ours. A journal
with a higher one is refused."""

METADATA: Final = MetaData()

META: Final = Table(
    "meta", METADATA, Column("name", String, primary_key=True), Column("value", Text)
)
"""Incarnation, cursor, schema, protocol, identity of the home; and, by ``setting/NAME`` and ``folder/ID``, what the
hub said of the account's settings and of how far it narrows each folder (never wider than the runner's own file)."""

INBOX: Final = Table(
    "inbox",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("task", String),
    Column("ref", String),  # the approval or question that this order validly decides
    Column("event", Text, nullable=False),
    Index("inbox_by_ref", "ref"),
    Index("inbox_by_task", "task", "kind"),
)
"""Orders, stored before anything follows from them."""

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("task", String, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("brief", Text, nullable=False),
    Column("status", String, nullable=False, default="open"),
    Column("accepted", Boolean, nullable=False, default=False),
    Column("paused", Boolean, nullable=False, default=False),
    Column("place", Text),  # the directory we made for its results, if we did
    Column("received", Integer, nullable=False),
    Index("attempts_by_status", "status", "received"),
)
"""One row per attempt; ``status`` is open, finished, canceled or superseded."""

STEPS: Final = Table(
    "steps",
    METADATA,
    Column("task", String, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("effect", String),
    Column("ref", String),
    Column("wish", Text, nullable=False),
    Column("result", Text),
    Column("at", String, nullable=False),
    ForeignKeyConstraint(["task", "epoch"], ["attempts.task", "attempts.epoch"]),
    Index("steps_by_ref", "ref"),
)
"""Wish, argument hash and intent in one row before the effect; the result is the same row's second write."""

OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("op_id", String, nullable=False, unique=True),
    Column("task", String),
    Column("epoch", Integer),
    Column("op", Text, nullable=False),
    Column("refused", String),  # the hub's code, when it will never take this op
    sqlite_autoincrement=True,
)
"""Ops that may have to be sent again; gone when acknowledged."""
