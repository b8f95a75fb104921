"""The hub's memory over SQL, and how it is opened: on a SQLite file or on PostgreSQL.

One log per account, its projections, and the hub's own truth. Async outside, synchronous inside: writes go through the
writer, reads through the reader. It refuses to decide anything; what a write means is in the function that is handed in.

To PostgreSQL writes go through a pipeline (few round trips under the account's lock), reads come from a small pool.
``NOTIFY`` wakes other hub processes and carries nothing; what happened is read from the log. It refuses to trust a
wake-up to arrive: every few seconds the listener looks at the heads itself.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import partial, wraps
from pathlib import Path
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, delete, event
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from deskhand.clock import Clock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.limits import OP_KEPT_DAYS
from deskhand.ports import Committed, DueDelivery, Offload, PushSubscription
from deskhand.protocol.objects import Upload
from deskhand.protocol.ops import Principal
from deskhand.protocol.requests import Hit
from deskhand.store import engine, own, tables
from deskhand.store.engine import FanOut, Hook, Settle, ThreadWriter, Writer
from deskhand.store.log.transaction import Memory, SqlTx

P = ParamSpec("P")
R = TypeVar("R")
Query = Callable[Concatenate[Connection, P], R]
Method = Callable[Concatenate["SqlStore", P], "CoroutineType[Any, Any, R]"]

FILE = "hub.sqlite3"
CHANNEL = "deskhand"
READERS = 4
LOOK_SECONDS = 5.0
AGAIN_SECONDS = 0.25
_PAGE = 500
_PIPELINE = "pipeline"


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
        return await self.reader.look(lambda connection: tables.verify(connection, account))

    create_account = _changing(own.begin_account)
    head = _reading(tables.head)
    incarnation = _reading(tables.incarnation)
    events = _reading(tables.events_after)
    thread_events = _reading(tables.thread_events)
    get = _reading(tables.get)
    find = _reading(tables.find)
    texts = _reading(tables.texts)

    async def search(self, reader: Principal, query: str, *, limit: int) -> list[Hit]:
        """Return where all words of a query stand together, in what the reader sees; a read of unknown length."""
        return await self.reader.look(lambda connection: tables.search(connection, reader, query, limit=limit))

    credential = _reading(own.credential)
    invite = _reading(own.unused_invite)
    invites = _reading(own.unused_invites)
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
            fanout = FanOut(tables.heads(connection))
        writer = ThreadWriter(writing)
        reading = engine.open_sqlite_reader(path)
        reader = engine.Reader(reading, offload, here=reading.connect())
    scrubbing = partial(engine.empty_log, writing)
    return SqlStore(clock, writer=writer, reader=reader, fanout=fanout, scrubbing=scrubbing)


def forget_old_ops(writing: Engine, clock: Clock) -> None:
    """Forget results of ops that are older than anybody may be offline."""
    until = stamp(clock.now() - timedelta(days=OP_KEPT_DAYS))
    with writing.begin() as connection:
        connection.execute(delete(tables.ops).where(tables.ops.c.at < until))


# --- PostgreSQL


def open_postgres_store(url: str, clock: Clock, *, offload: Offload, look_seconds: float = LOOK_SECONDS) -> SqlStore:
    """Open the store on PostgreSQL, on the running loop; other hub processes may share it.

    Raises:
        DeskhandError: ``config_invalid``, ``schema_newer``, ``unavailable``.
    """
    writing, reading = open_postgres(url)
    with engine.translated():
        engine.prepare_postgres(writing)
        forget_old_ops(writing, clock)
        with reading.connect() as connection:
            fanout = FanOut(tables.heads(connection))
    heard = Listener(reading, fanout, look_seconds=look_seconds).close
    writer = ThreadWriter(writing, framing=pipelined, committed=wake_others)
    reader = engine.Reader(reading, offload)
    return SqlStore(clock, writer=writer, reader=reader, fanout=fanout, closing=heard)


def open_postgres(url: str) -> tuple[Engine, Engine]:
    """Open the engines to write and to read with.

    Raises:
        DeskhandError: ``config_invalid`` for an address of something else, or without the driver.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise DeskhandError(Code.CONFIG_INVALID, "DESKHAND_DATABASE_URL")
        # Autocommit, with BEGIN as a statement of ours: the driver's own costs a round trip.
        address = parsed.set(drivername="postgresql+psycopg")
        opened = partial(create_engine, address, isolation_level="AUTOCOMMIT")
        writing = opened(poolclass=NullPool)
        # A reader waits in the pool: whether the server still knows it is asked before it is used.
        reading = opened(pool_size=READERS + 1, max_overflow=0, pool_pre_ping=True)
    except (ArgumentError, ImportError):
        raise DeskhandError(Code.CONFIG_INVALID, "DESKHAND_DATABASE_URL") from None
    event.listen(writing, "begin", _begin)
    event.listen(writing, "close", _leave_pipeline)
    event.listen(writing, "after_cursor_execute", _fetch_in_pipeline, named=True)
    return writing, reading


@contextmanager
def pipelined(connection: Connection) -> Generator[Settle]:
    """Send a batch through libpq's pipeline: only reads and the commit wait for an answer.

    A pipeline stays open from batch to batch, because leaving it is a round trip too; an error ends it.
    """
    info = connection.info
    if _PIPELINE not in info:
        leaving = ExitStack()
        info[_PIPELINE] = leaving.enter_context(_driver(connection).pipeline()), leaving
    try:
        yield info[_PIPELINE][0].sync
    except BaseException:
        _leave(info)
        raise


def wake_others(connection: Connection, account: str) -> None:
    """Tell other processes that an account's log went on."""
    if account:
        with pipelined(connection) as settle:
            _driver(connection).execute(f"NOTIFY {CHANNEL}")
            settle()


class Listener:
    """A thread that reads what other processes committed and offers it to the fan-out on the loop, in log order.

    Args:
        reading: in autocommit, or nothing would ever be heard.
        fanout: knows up to which seq an account's events reached the loop already.
        look_seconds: how often it looks without having been woken.
    """

    def __init__(self, reading: Engine, fanout: FanOut, *, look_seconds: float) -> None:
        self._reading = reading
        self._fanout = fanout
        self._look_seconds = look_seconds
        self._loop = asyncio.get_running_loop()
        self._ring, self._bell = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ring.close()
        self._thread.join()
        self._bell.close()

    def _run(self) -> None:
        import psycopg  # noqa: PLC0415 - an extra; here it is surely there

        ended = False
        while not ended:
            # The server is away: try again.
            away = suppress(SQLAlchemyError, OSError, psycopg.Error)
            with away, self._reading.connect() as connection:
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                self._listen(connection, _driver(connection))
            ended = self._ends(AGAIN_SECONDS)

    def _listen(self, connection: Connection, driver: Any) -> None:  # noqa: ANN401 - psycopg's connection
        woken = True
        while not self._ends(0 if woken else self._look_seconds, driver):
            for account, head in sorted(tables.heads(connection).items()):
                self._catch_up(connection, account, head)
            woken = bool(list(driver.notifies(timeout=0)))  # while it looked

    def _ends(self, seconds: float, *heard: Any) -> bool:  # noqa: ANN401 - psycopg's connection
        """Wait so long, or until something is heard; return whether it is the end."""
        return self._bell in select.select([self._bell, *heard], [], [], seconds)[0]

    def _catch_up(self, connection: Connection, account: str, seq: int) -> None:
        after = self._fanout.told(account)
        while after < seq:
            found = tables.committed_after(connection, account, after=after, limit=_PAGE)
            if not found:
                return
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._fanout.offer, found)
            after = found[-1].event.seq


def _driver(connection: Connection) -> Any:  # noqa: ANN401 - psycopg is an extra, its types may not be here
    return connection.connection.driver_connection


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _leave_pipeline(_: object, record: ConnectionPoolEntry) -> None:
    _leave(record.info)


def _leave(info: dict[Any, Any]) -> None:
    if _PIPELINE in info:
        with suppress(Exception):  # what broke it is told, not what follows from it
            info.pop(_PIPELINE)[1].close()


def _fetch_in_pipeline(*, conn: Connection, context: Any, **_: object) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Wait for the rows of a query; what returns none stays on its way."""
    if _PIPELINE in conn.info and context.compiled is not None and not context.is_crud:
        conn.info[_PIPELINE][0].sync()
