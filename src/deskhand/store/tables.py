"""Every table of the hub's store, in one metadata for SQLite and PostgreSQL, and the inserts both spell differently.

What a query must know is in ``tables.toml``: columns, keys and types. Rules and indexes are in the SQL of the migrations
alone; there keys start with the account, also in foreign keys, so that a wrong join is a database error (IS-01). ``projections`` are
rebuilt and compared by ``log verify``; every other table holds truth that exists nowhere else.

How events and objects lie in rows is said here too, and the hash that chains each event to the one before:
``hash = sha256(previous hash, envelope, body_sha256)``. A flipped bit is found (R15), and a body that was erased on
request keeps its ``body_sha256``, so that the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from deskhand.core.folding import COLLECTIONS
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed, Draft, W
from deskhand.protocol.events import KIND_OF, REDACTED, Event
from deskhand.protocol.wire import JsonObject, Wire
from deskhand.texts import table

RowValues = dict[str, Any]
Row = Mapping[Any, Any]
"""A row as the database gives it, by column name."""
GENESIS = ""
"""What stands for the hash before the first event."""
FOUND_BY = {"state": "state", "thread": "thread", "task": "task", "blob": "sha256"}
"""What an object is found by beside its id: the column, and the field it comes from."""

_EVENT = ("seq", "kind", "at", "actor", "thread", "task", "v")
_DRAFTED = ("actor", "thread", "task", "audience", "runner")
_ENVELOPE = ("account", *_EVENT, "audience", "runner", "body_sha256")
_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {"": sa.Text, "integer": sa.BigInteger, "flag": sa.Boolean}
_SAID = table("deskhand.store", "tables.toml")
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


def appended(draft: Draft, *, account: str, seq: int, at: str, before: str) -> tuple[Committed, RowValues]:
    """Turn a draft into an event and its row, chained to the hash ``before``.

    Raises:
        UnicodeEncodeError: a body that cannot be written as UTF-8.
    """
    kind = KIND_OF[type(draft.body)]
    body = dumped(draft.body)
    said = {name: getattr(draft, name) for name in _DRAFTED}
    row: RowValues = {"account": account, "seq": seq, "kind": kind, "at": at, "v": 1, **said}
    row["body"] = json_text(body)
    row["body_sha256"] = digest(row["body"])
    row["hash"] = chained(before, row)
    return committed(row, _event(row, body)), row


def chained(before: str, row: Row) -> str:
    """Return the hash of an event's row, given the hash of the event before it."""
    return digest(json_text([before, *(row[name] for name in _ENVELOPE)]))


def digest(said: str) -> str:
    """Return the SHA-256 of a text, in hex.

    Raises:
        UnicodeEncodeError: a lone surrogate, which no database stores.
    """
    return hashlib.sha256(said.encode("utf-8")).hexdigest()


def json_text(value: object) -> str:
    """Return JSON as it is stored: no spaces, letters as they are, order as given."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def dumped(thing: Wire) -> JsonObject:
    """Return an object under the names it is read by, without what is ``None``."""
    return cast("JsonObject", thing.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False))


REDACTED_TEXT = json_text(REDACTED)


def object_text(thing: Wire) -> str:
    """Return an object as its projection stores it; equal objects give equal bytes."""
    return json_text(dumped(thing))


def object_row(account: str, thing: Wire, *, name: str, seq: int) -> RowValues:
    """Return the row of a projection: what it is found by, and the object."""
    found_by = {column: getattr(thing, field, None) for column, field in FOUND_BY.items()}
    return {"account": account, "id": name, "seq": seq, **found_by, "object": object_text(thing)}


def read_object(kind: type[W], stored: str) -> W:
    """Return the object of a row.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    try:
        return kind.from_json(json.loads(stored))
    except (ValueError, DeskhandError):
        raise DeskhandError(Code.STORE_DAMAGED, kind.__name__) from None


def read_event(row: Row) -> Event:
    """Return the event of a row; what we stored ourselves is not judged again.

    Raises:
        DeskhandError: ``store_damaged``.
    """
    try:
        return _event(row, json.loads(row["body"]))
    except ValueError:
        raise DeskhandError(Code.STORE_DAMAGED, f"event {row['seq']}") from None


def _event(row: Row, body: JsonObject) -> Event:
    return Event.model_construct(body=body, **{name: row[name] for name in _EVENT})


def committed(row: Row, event: Event) -> Committed:
    """Return the event of a row with whom it is for."""
    return Committed(account=row["account"], event=event, audience=row["audience"], runner=row["runner"])
