"""The hub's memory over SQL, and how it is opened: on a SQLite file or on PostgreSQL.

One log per account, its projections, and the hub's own truth. Async outside, synchronous inside: writes go through the
writer, reads through the reader. It refuses to decide anything; what a write means is in the function that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import partial, wraps
from pathlib import Path
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, delete

from deskhand.clock import Clock, stamp
from deskhand.limits import OP_KEPT_DAYS
from deskhand.ports import Committed, DueDelivery, Offload, PushSubscription
from deskhand.protocol.objects import Upload
from deskhand.store import engine, own, postgres, tables
from deskhand.store.log import reading as log
from deskhand.store.log.transaction import Memory, SqlTx
from deskhand.store.writer import FanOut, Hook, ThreadWriter, Writer

P = ParamSpec("P")
R = TypeVar("R")
Query = Callable[Concatenate[Connection, P], R]
Method = Callable[Concatenate["SqlStore", P], "CoroutineType[Any, Any, R]"]

FILE = "hub.sqlite3"


@dataclass(eq=False)
class SqlStore:
    """The hub's only memory, on SQLite or PostgreSQL.

    What a method raises is said at the ``Store`` port.
    """

    clock: Clock
    _: KW_ONLY
    writer: Writer
    reader: engine.Reader
    fanout: FanOut
    scrubbing: Callable[[], None] = lambda: None
    closing: Callable[[], None] = lambda: None
    memory: Memory = field(default_factory=Memory)

    @staticmethod
    def _reading(query: Query[P, R]) -> Method[P, R]:
        """Make a method of a query: what it reads, through the store's reader."""

        @wraps(query)
        async def method(self: SqlStore, *args: P.args, **kwargs: P.kwargs) -> R:
            return await self.reader.read(lambda connection: query(connection, *args, **kwargs))

        return method

    @staticmethod
    def _changing(change: Query[P, R]) -> Method[P, R]:
        """Make a method of a change; whose it is comes first, unless it is everybody's."""

        @wraps(change)
        async def method(self: SqlStore, *args: P.args, **kwargs: P.kwargs) -> R:
            return await self._change(str(args[0]) if args else "", change, *args, **kwargs)

        return method

    async def write(self, account: str, work: Callable[[SqlTx], R]) -> R:
        """Run ``work`` in a transaction and return after a durable commit.

        Waiting writes of one account share a commit; each has its own savepoint, so that one that raises leaves no
        trace and the others stand.

        Raises:
            DeskhandError: what ``work`` raised; ``disk_full``; ``unavailable``.
        """

        def run(connection: Connection) -> tuple[R, tuple[Committed, ...]]:
            tx = SqlTx(connection, account, now=self._now(), memory=self.memory)
            result = work(tx)
            return result, tx.flush()

        offer = self.fanout.offer
        result, _ = await self.writer.do(run, key=account, after=lambda done: offer(done[1]))
        return result

    def on_commit(self, hook: Hook) -> None:
        """Call ``hook`` on the loop after each commit, in log order, also when the writer's caller is gone."""
        self.fanout.add(hook)

    async def verify(self, account: str) -> list[str]:
        """Fold the log anew, compare every projection and the hash chain; return what differs, in sentences."""
        return await self.reader.look(lambda connection: log.verify(connection, account))

    create_account = _changing(own.begin_account)
    head = _reading(log.head)
    incarnation = _reading(log.incarnation)
    events = _reading(log.events)
    thread_events = _reading(log.thread_events)
    get = _reading(log.get)
    find = _reading(log.find)
    texts = _reading(log.texts)

    credential = _reading(own.credential)
    invite = _reading(own.unused_invite)
    joining = _reading(own.joining)
    set_presence = _changing(own.set_presence)
    presence = _reading(own.presence)
    read_marks = _reading(own.read_marks)
    readers = _reading(own.readers)
    accounts = _reading(own.accounts)
    lose_links = _changing(own.lose_links)

    async def put_subscription(self, subscription: PushSubscription) -> None:
        """Keep a push subscription; the same endpoint replaces itself; the oldest of a device beyond the limit go."""
        await self._change(subscription.account, own.put_subscription, subscription)

    async def due_deliveries(self, now: str, *, limit: int) -> list[DueDelivery]:
        """Claim delivery rows whose ``next_try_at`` has come (SKIP LOCKED where there are several hubs)."""
        # A look first: most of the time nothing is due, and a look costs no commit.
        earliest = await self.next_delivery_at()
        if earliest is None or earliest > now:
            return []
        return await self._change("", own.claim_deliveries, now, limit=limit)

    hasten_deliveries = _changing(own.hasten_deliveries)
    drop_subscription = _changing(own.drop_subscription)
    settle_delivery = _changing(own.settle_delivery)
    next_delivery_at = _reading(own.next_delivery_at)
    deliveries = _reading(own.deliveries)

    async def create_upload(self, account: str, principal: str, upload: Upload) -> None:
        """Reserve an upload against the principal's quota."""
        await self._change(account, own.create_upload, account, principal, upload, now=self._now())

    finish_upload = _changing(own.finish_upload)
    upload = _reading(own.find_upload)

    async def named_blobs(self) -> set[str]:
        """Return every blob that an artifact or upload of any account names."""
        return await self.reader.look(own.named_blobs)

    async def scrub(self) -> None:
        """Let what was erased leave the write-ahead log, where there is one."""
        await self.reader.offload(engine.translated()(self.scrubbing))

    async def close(self) -> None:
        """Finish waiting writes and close."""
        await self.writer.close()
        self.closing()
        self.reader.close()

    async def _change(self, key: str, change: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.writer.do(lambda connection: change(connection, *args, **kwargs), key=key)

    def _now(self) -> str:
        return stamp(self.clock.now())


async def inline(work: Callable[[], R]) -> R:
    """Run blocking work here and now."""
    return work()


def open_sqlite_store(path: Path, clock: Clock, *, offload: Offload = inline) -> SqlStore:
    """Open (or begin) the store in a SQLite file of an open ``Home``; ``verify`` takes its time in ``offload``.

    Raises:
        DeskhandError: ``schema_newer``, ``home_unsafe``, ``disk_full``, ``store_damaged``.
    """
    with engine.translated():
        writing = engine.open_sqlite(path)
        engine.prepare_sqlite(writing, path, clock)
        forget_old_ops(writing, clock)
        with writing.begin() as connection:
            own.let_go(connection, stamp(clock.now()))
            fanout = FanOut(log.heads(connection))
        writer = ThreadWriter(writing)
        reading = engine.open_sqlite_reader(path)
        reader = engine.Reader(reading, offload, here=reading.connect())
    scrubbing = partial(engine.empty_log, writing)
    return SqlStore(clock, writer=writer, reader=reader, fanout=fanout, scrubbing=scrubbing)


def open_postgres_store(
    url: str, clock: Clock, *, offload: Offload, look_seconds: float = postgres.LOOK_SECONDS
) -> SqlStore:
    """Open the store on PostgreSQL, on the running loop; other hub processes may share it.

    Raises:
        DeskhandError: ``config_invalid``, ``schema_newer``, ``unavailable``.
    """
    writing, reading = postgres.open_postgres(url)
    with engine.translated():
        engine.prepare_postgres(writing)
        forget_old_ops(writing, clock)
        with reading.connect() as connection:
            fanout = FanOut(log.heads(connection))
    heard = postgres.Listener(reading, fanout, look_seconds=look_seconds).close
    writer = ThreadWriter(writing, framing=postgres.pipelined, committed=postgres.wake_others)
    reader = engine.Reader(reading, offload)
    return SqlStore(clock, writer=writer, reader=reader, fanout=fanout, closing=heard)


def forget_old_ops(writing: Engine, clock: Clock) -> None:
    """Forget results of ops that are older than anybody may be offline."""
    until = stamp(clock.now() - timedelta(days=OP_KEPT_DAYS))
    with writing.begin() as connection:
        connection.execute(delete(tables.ops).where(tables.ops.c.at < until))
