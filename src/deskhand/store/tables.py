"""Every table of the hub's store and how it is read, in one metadata for SQLite and PostgreSQL, and the inserts both spell differently.

What a query must know is in ``tables.toml``: columns, keys and types. Rules and indexes are in the SQL of the migrations
alone; there keys start with the account, also in foreign keys, so that a wrong join is a database error (IS-01). ``projections`` are
rebuilt and compared by ``log verify``; every other table holds truth that exists nowhere else.

How events and objects lie in rows is said here too, and the hash that chains each event to the one before:
``hash = sha256(previous hash, envelope, body_sha256)``. A flipped bit is found (R15), and a body that was erased on
request keeps its ``body_sha256``, so that the chain still holds.

Reading the log and its projections is bounded, indexed, and gives only what a reader may see. A foreign account, an
unknown id and a hidden event all look like nothing (IS-01). Whether what is stored is still what was said is seen by
walking the hash chain and folding the whole log anew, in memory: projections must come out byte for byte. That only
reads and says what differs; it refuses to repair anything.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypedDict, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from typing_extensions import Unpack

from deskhand.core.drafting import EVERY_RUNNER
from deskhand.core.finding import excerpt, folded, wanted, words_of
from deskhand.core.folding import COLLECTIONS, ERASED, Key, fold, hanging, touched
from deskhand.errors import Code, DeskhandError
from deskhand.ports import DECIDED, SHARED, Committed, Draft, Page, W
from deskhand.protocol.events import KIND_OF, REDACTED, Event
from deskhand.protocol.objects import EVERYBODY, Thread
from deskhand.protocol.ops import PROGRAMS, Principal, Role
from deskhand.protocol.requests import Hit
from deskhand.protocol.tasks import Approval
from deskhand.protocol.wire import JsonObject, Wire
from deskhand.texts import table

RowValues = dict[str, Any]
Row = Mapping[Any, Any]
"""A row as the database gives it, by column name."""
GENESIS = ""
"""What stands for the hash before the first event."""
FOUND_BY = {"state": "state", "thread": "thread", "task": "task", "blob": "sha256"}
"""What an object is found by beside its id: the column, and the field it comes from."""
_SEEN_BY = {"seen_by": "seen_by", "created_by": "created_by"}
"""What decides who sees a conversation, and with it all that belongs to it."""

_EVENT = ("seq", "kind", "at", "actor", "thread", "task", "v")
_DRAFTED = ("actor", "thread", "task", "audience", "runner")
_ENVELOPE = ("account", *_EVENT, "audience", "runner", "body_sha256")
_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {"": sa.Text, "integer": sa.BigInteger, "flag": sa.Boolean}
_SAID = table("deskhand.store", "tables.toml")
_PAGE = 1000
metadata = sa.MetaData()


def _table(name: str, *, like: str = "") -> sa.Table:
    keys, _, others = str(_SAID.get(name) or _SAID[like]).partition("|")
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
words = _table("words")
"""What can be found by words, as the log says it, kept in the transaction of its event; it goes with its conversation.

A plain table that is read through, on both databases the same: an index of pieces would keep pieces of what was erased.
"""

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


def appended(draft: Draft, *, account: str, seq: int, at: str, before: str) -> tuple[Event, RowValues]:
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
    return _event(row, body), row


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
    columns = FOUND_BY | _SEEN_BY if isinstance(thing, Thread) else FOUND_BY
    found_by = {column: getattr(thing, field, None) for column, field in columns.items()}
    return {"account": account, "id": name, "seq": seq, **found_by, "object": object_text(thing)}


def word_rows(account: str, event: Event) -> list[RowValues]:
    """Return the rows of what an event says that can be found."""
    place: RowValues = {"account": account, "seq": event.seq, "thread": event.thread, "task": event.task}
    return [place | one._asdict() | {"folded": folded(one.text)} for one in words_of(event)]


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


def committed(row: Row, event: Event, *, whose: str) -> Committed:
    """Return the event of a row with whom it is for."""
    said = {name: row[name] for name in ("account", "audience", "runner")}
    return Committed(**said, event=event, whose=whose)


# --- reading


_a, _e, _t, _w = accounts.c, events.c, projections[Thread].c, words.c
_LIKELIEST = sa.case({kind: at for at, kind in enumerate(("thread", "file", "result"))}, value=_w.kind, else_=3)
_own = projections[Thread].alias("own").c
"""The conversation that a row is of."""


class Asked(TypedDict, total=False):
    """Which objects: that a reader sees, in these states, of this thread, with older ids.

    The newest come first, by id or by their last change.
    """

    reader: Principal | None
    states: Sequence[str]
    thread: str | None
    before: str | None
    latest: bool
    limit: int


def _end(connection: sa.Connection, account: str) -> tuple[int, str]:
    row = one(connection, accounts, id=account)
    return (row["head"], row["incarnation"]) if row else (0, "")


def head(connection: sa.Connection, account: str) -> int:
    """Return the highest seq of the account; 0 when there is none."""
    return _end(connection, account)[0]


def incarnation(connection: sa.Connection, account: str) -> str:
    """Return the name of the account's log; empty for the first and for none."""
    return _end(connection, account)[1]


def heads(connection: sa.Connection) -> dict[str, int]:
    """Return the head of every account."""
    return {row.id: row.head for row in connection.execute(sa.select(_a.id, _a.head))}


def events_after(connection: sa.Connection, reader: Principal, *, after: int, limit: int) -> Page:
    """Return the next events for a reader, and how far the log was looked at."""
    # The head first: events up to it are all committed, so "looked at" never passes one that is still to come.
    last, name = _end(connection, reader.account)
    query = _seen(reader).where(_e.seq > after, _e.seq <= last).order_by(_e.seq)
    rows = _rows(connection, query, limit=limit + 1)
    more = len(rows) > limit
    found = tuple(read_event(row) for row in rows[:limit])
    looked_at = found[-1].seq if more and found else last
    return Page(events=found, looked_at=looked_at, more=more, head=last, incarnation=name)


def thread_events(
    connection: sa.Connection, reader: Principal, thread: str, *, before: int | None, limit: int
) -> tuple[Event, ...]:
    """Return a thread's newest events before a seq, oldest first."""
    older = sa.true() if before is None else _e.seq < before
    query = _seen(reader).where(_e.thread == thread, older).order_by(_e.seq.desc())
    return tuple(read_event(row) for row in reversed(_rows(connection, query, limit=limit)))


def context(connection: sa.Connection, account: str, thread: str, *, limit: int) -> list[Event]:
    """Return a thread's newest ``message.posted`` and ``task.finished``, oldest first."""
    said = sa.select(events).filter_by(account=account, thread=thread)
    newest = said.where(SAID_ONLY).order_by(_e.seq.desc())
    return [read_event(row) for row in reversed(_rows(connection, newest, limit=limit))]


def committed_after(connection: sa.Connection, account: str, *, after: int, limit: int) -> list[Committed]:
    """Return events of everybody, for fan-out."""
    whose = sa.case((_e.thread.is_(None), EVERYBODY), else_=_whose(events, "seen_by"))
    everything = sa.select(events, whose.label("whose")).where(_e.account == account, _e.seq > after)
    rows = _rows(connection, everything.order_by(_e.seq), limit=limit)
    return [committed(row, read_event(row), whose=row["whose"]) for row in rows]


def get(
    connection: sa.Connection, account: str, kind: type[W], name: str, *, reader: Principal | None = None
) -> W | None:
    """Return one object (that the reader sees, if one is named), or nothing."""
    table = projections[kind]
    mine = _asking(table, "account", "id")
    seen = mine if reader is None else mine.where(visible(reader, table))
    row = connection.execute(seen, {"account": account, "id": name}).mappings().first()
    return None if row is None else read_object(kind, row["object"])


def find(connection: sa.Connection, account: str, kind: type[W], **asked: Unpack[Asked]) -> list[W]:
    """Return objects."""
    return [read_object(kind, stored) for stored in texts(connection, account, kind, **asked)]


def texts(connection: sa.Connection, account: str, kind: type[Wire], **asked: Unpack[Asked]) -> list[str]:
    """Return the stored text of objects; 100 unless told."""
    table = projections[kind]
    query = sa.select(table.c.object).where(table.c.account == account)
    if (reader := asked.get("reader")) is not None:
        query = query.where(visible(reader, table))
    if states := asked.get("states"):
        query = query.where(table.c.state.in_(tuple(states)))
    if (thread := asked.get("thread")) is not None:
        query = query.filter_by(thread=thread)
    if (before := asked.get("before")) is not None:
        query = query.where(table.c.id < before)
    order = table.c.seq if asked.get("latest") else table.c.id
    newest = query.order_by(order.desc()).limit(asked.get("limit", 100))
    return list(connection.execute(newest).scalars())


def _seen(reader: Principal) -> sa.Select[Any]:
    """Ask for what is for a reader, as ``Committed.seen_by`` says."""
    mine = sa.select(events).where(_e.account == reader.account)
    if reader.role is Role.RUNNER:
        return mine.where(_e.runner.in_((reader.id, EVERY_RUNNER)))
    if reader.role is Role.OWNER:
        return mine.where(visible(reader, events) | (_e.kind == SHARED) | _e.kind.startswith(DECIDED))
    return mine.where(_e.audience == "account", visible(reader, events) | (_e.kind == SHARED))


def visible(reader: Principal, table: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a row is a reader's to see: what is of a conversation is seen by whoever sees that (``Principal.sees``).

    What is of none is everybody's, and each wish that waits for a yes is the owner's too: only they may give it.
    """
    field = "created_by" if reader.role in PROGRAMS else "seen_by"
    seen = (reader.id,) if reader.role in PROGRAMS else (EVERYBODY, reader.person)
    if table is projections[Thread]:
        return table.c[field].in_(seen)
    if table is projections[Approval] and reader.role is Role.OWNER:
        return sa.true()
    return table.c.thread.is_(None) | _whose(table, field).in_(seen)


def _whose(table: sa.Table, field: str) -> sa.ColumnElement[str]:
    """Ask whose the conversation of a row is; one that does not exist is the owner's."""
    whose = sa.select(_own[field]).where(_own.account == table.c.account, _own.id == table.c.thread)
    return sa.func.coalesce(whose.scalar_subquery(), "")


def keep_words(connection: sa.Connection, account: str, said: Iterable[Event]) -> None:
    """Let what events say be found."""
    rows = {row["kind"] + row["id"]: row for event in said for row in word_rows(account, event)}
    if rows:
        put(connection, words, [*rows.values()])


def search(connection: sa.Connection, reader: Principal, query: str, *, limit: int) -> list[Hit]:
    """Return where all words of a query stand together: the likeliest kind first, then the newest."""
    if not (asked := wanted(query)):
        return []
    having = (_w.folded.contains(word, autoescape=True) for word in asked)
    mine = sa.select(_w.kind, _w.id).where(_w.account == reader.account, *having)
    seen = mine.where(visible(reader, words)).order_by(_LIKELIEST, _w.seq.desc()).limit(limit)
    # What they say is read of those alone that are shown.
    said = sa.select(_w.kind, _w.seq, _w.thread, _w.task, _w.text, _t.object)
    said = said.join(projections[Thread], (_t.account == _w.account) & (_t.id == _w.thread))
    shown = said.where(_w.account == reader.account, sa.tuple_(_w.kind, _w.id).in_(seen))
    rows = connection.execute(shown.order_by(_LIKELIEST, _w.seq.desc())).mappings()
    return [_hit(dict(row), asked) for row in rows]


def _hit(row: RowValues, asked: list[str]) -> Hit:
    before, there, after = excerpt(row.pop("text"), asked)
    title = json.loads(row.pop("object"))["title"]
    return Hit(**row, title=title, before=before, found=there, after=after)


def _rows(connection: sa.Connection, query: sa.Select[Any], *, limit: int) -> Sequence[Row]:
    return connection.execute(query.limit(limit)).mappings().all()


def verify(connection: sa.Connection, account: str) -> list[str]:
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


def verify_inside(connection: sa.Connection, account: str) -> list[str]:
    """Return what differs as the transaction of the connection sees it."""
    row = one(connection, accounts, id=account)
    if row is None:
        return [f"Account {account} does not exist."]
    walk = _Walk()
    log = sa.select(events).where(_e.account == account, _e.seq <= row["head"])
    # In pages, so that memory stays bounded by the objects of the log.
    paged = log.order_by(_e.seq).execution_options(yield_per=_PAGE)
    for event in connection.execute(paged).mappings():
        walk.take(event)
    found = [*walk.end(row), *_compare(connection, account, walk)]
    kept = connection.execute(sa.select(words).filter_by(account=account)).mappings()
    same = {(one["kind"], one["id"]): dict(one) for one in kept} == walk.words
    return found if found or same else ["What can be found by words is not what the log says."]


class _Walk:
    """One pass over the log: chain, seqs, bodies, fold."""

    def __init__(self) -> None:
        self.objects: dict[Key, Wire] = {}
        self.changed_at: dict[Key, int] = {}
        self.words: dict[tuple[str, str], RowValues] = {}
        self._said: list[str] = []
        self._seq = 0
        self._hash = GENESIS
        self._redacted: dict[str | None, int] = {}

    def take(self, row: sa.RowMapping) -> None:
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
            self.words |= {(one["kind"], one["id"]): one for one in word_rows(row["account"], event)}
            if event.kind == ERASED and event.thread is not None:
                self._redacted.pop(event.thread, None)
                self.words = {key: one for key, one in self.words.items() if one["thread"] != event.thread}
                for key in hanging(self.objects, event.thread):
                    del self.objects[key]
        except (TypeError, ValueError, AttributeError, DeskhandError):
            # A flipped bit makes a number of a text, or bytes.
            self._seq = max(self._seq, expected)
            self._said.append(f"Event {self._seq} cannot be read.")

    def _judge(self, row: sa.RowMapping) -> None:
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

    def end(self, account: sa.RowMapping) -> list[str]:
        """Return what is wrong with the log, its end included."""
        if (self._seq, self._hash) != (account["head"], account["hash"]):
            self._said.append(f"The log ends at {self._seq}, its account says {account['head']}.")
        return self._said + [
            f"Event {seq} was blanked although its thread was never erased." for seq in self._redacted.values()
        ]


def _compare(connection: sa.Connection, account: str, walk: _Walk) -> list[str]:
    said: list[str] = []
    for kind, projected in projections.items():
        expected = {
            key[1]: object_row(account, thing, name=key[1], seq=walk.changed_at[key])
            for key, thing in walk.objects.items()
            if key[0] is kind
        }
        rows = connection.execute(sa.select(projected).filter_by(account=account)).mappings()
        stored = {row["id"]: dict(row) for row in rows}
        said += [
            f"{projected.name}/{name} is not what the log makes of it."
            for name in sorted(expected.keys() | stored.keys())
            if expected.get(name) != stored.get(name)
        ]
    return said
