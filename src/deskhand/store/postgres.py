"""PostgreSQL: writes through a pipeline (few round trips under the account's lock), reads from a small pool.

``NOTIFY`` wakes other hub processes and carries only ``account:seq``; what happened is read from the log. It refuses
to trust a wake-up to arrive: every few seconds the listener looks at the heads itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed
from deskhand.store.log.reading import committed_after, heads
from deskhand.store.writer import Settle

CHANNEL = "deskhand"
READERS = 4
WRITERS = 4
LOOK_SECONDS = 5.0
WAIT_SECONDS = 0.25
_PAGE = 500
_PIPELINE, _LEAVING = "pipeline", "leaving"
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', id || ':' || head) FROM accounts WHERE id = %s"  # noqa: S608 - our word


class _Pipeline(Protocol):
    def sync(self) -> None: ...


def open_postgres(url: str) -> tuple[Engine, Engine]:
    """Open the engines to write and to read with.

    Raises:
        DeskhandError: ``config_invalid`` for an address of something else, or without the driver.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "postgresql":
            raise DeskhandError(Code.CONFIG_INVALID, "DESKHAND_DATABASE_URL")
        parsed = parsed.set(drivername="postgresql+psycopg")
        # Autocommit, with BEGIN as a statement of ours: the driver's own costs a round trip.
        writing = create_engine(parsed, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        reading = create_engine(
            parsed, pool_size=READERS, max_overflow=0, isolation_level="AUTOCOMMIT"
        )
    except (ArgumentError, ImportError):
        raise DeskhandError(Code.CONFIG_INVALID, "DESKHAND_DATABASE_URL") from None
    event.listen(writing, "begin", _begin)
    event.listen(writing, "close", _leave_pipeline)
    event.listen(writing, "after_cursor_execute", _fetch_in_pipeline)
    return writing, reading


@contextmanager
def pipelined(connection: Connection) -> Generator[Settle]:
    """Send a batch through libpq's pipeline: only reads and the commit wait for an answer.

    A pipeline stays open from batch to batch, because leaving it is a round trip too; an error ends it.
    """
    if _PIPELINE not in connection.info:
        leaving = ExitStack()
        driver = cast("Any", connection.connection.driver_connection)
        connection.info[_PIPELINE] = leaving.enter_context(driver.pipeline())
        connection.info[_LEAVING] = leaving
    try:
        yield connection.info[_PIPELINE].sync
    except BaseException:
        del connection.info[_PIPELINE]
        with suppress(Exception):  # what broke the batch is told, not what follows from it
            connection.info.pop(_LEAVING).close()
        raise


def wake_others(connection: Connection, account: str) -> None:
    """Tell other processes how far the account's log goes now."""
    if not account:
        return
    with pipelined(connection) as settle:
        cast("Any", connection.connection.driver_connection).execute(_NOTIFY, (account,))
        settle()


class Listener:
    """A thread that reads what other processes committed and hands it to the loop, in log order.

    Args:
        engine: for its two connections.
        offer: called on the loop with events, oldest first.
        told: up to which seq an account's events reached the loop already.
        look_seconds: how often it looks without having been woken.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        offer: Callable[[Sequence[Committed]], None],
        told: Callable[[str], int],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Start listening on behalf of the running loop."""
        self._engine = engine
        self._offer = offer
        self._told = told
        self._look_seconds = look_seconds
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                    self._listen(connection)
            except (SQLAlchemyError, OSError, _driver_error()):
                self._stop.wait(WAIT_SECONDS)  # the server is away: try again

    def _listen(self, connection: Connection) -> None:
        driver = cast("Any", connection.connection.driver_connection)
        waits = max(1, round(self._look_seconds / WAIT_SECONDS))
        self._look(connection)
        while not self._stop.is_set():
            for _ in range(waits):
                notes = list(driver.notifies(timeout=WAIT_SECONDS, stop_after=1))
                for account, seq in sorted(_named(note.payload) for note in notes):
                    self._catch_up(connection, account, seq)
                if self._stop.is_set():
                    return
            self._look(connection)

    def _look(self, connection: Connection) -> None:
        for account, head in sorted(heads(connection).items()):
            self._catch_up(connection, account, head)

    def _catch_up(self, connection: Connection, account: str, seq: int) -> None:
        after = self._told(account)
        while after < seq:
            found = committed_after(connection, account, after=after, limit=_PAGE)
            if not found:
                return
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._offer, found)
            after = found[-1].event.seq


def _named(payload: str) -> tuple[str, int]:
    account, _, seq = payload.rpartition(":")
    return account, int(seq) if seq.isdigit() else 0


def _driver_error() -> type[Exception]:
    import psycopg  # noqa: PLC0415 - an extra; here it is surely there

    return psycopg.Error


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _leave_pipeline(_: object, record: ConnectionPoolEntry) -> None:
    leaving = cast("ExitStack | None", record.info.pop(_LEAVING, None))
    if leaving is not None:
        with suppress(Exception):  # the connection is gone already
            leaving.close()


def _fetch_in_pipeline(
    connection: Connection,
    _cursor: object,
    _statement: str,
    _parameters: object,
    context: Any,  # noqa: ANN401 - SQLAlchemy's execution context
    _many: bool,  # noqa: FBT001 - same
) -> None:
    """Wait for the rows of a query; what returns none stays on its way."""
    pipeline = cast("_Pipeline | None", connection.info.get(_PIPELINE))
    compiled = context.compiled
    if pipeline is not None and compiled is not None and not context.is_crud:
        pipeline.sync()
