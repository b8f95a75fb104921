"""PostgreSQL: writes through a pipeline (few round trips under the account's lock), reads from a small pool.

``NOTIFY`` wakes other hub processes and carries nothing; what happened is read from the log. It refuses
to trust a wake-up to arrive: every few seconds the listener looks at the heads itself.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from deskhand.errors import Code, DeskhandError
from deskhand.store.log.reading import committed_after, heads
from deskhand.store.writer import FanOut, Settle

CHANNEL = "deskhand"
READERS = 4
LOOK_SECONDS = 5.0
AGAIN_SECONDS = 0.25
_PAGE = 500
_PIPELINE = "pipeline"


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
        engine: in autocommit, or nothing would ever be heard.
        fanout: knows up to which seq an account's events reached the loop already.
        look_seconds: how often it looks without having been woken.
    """

    def __init__(self, engine: Engine, fanout: FanOut, *, look_seconds: float) -> None:
        self._engine = engine
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
            with away, self._engine.connect() as connection:
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                self._listen(connection, _driver(connection))
            ended = self._ends(AGAIN_SECONDS)

    def _listen(self, connection: Connection, driver: Any) -> None:  # noqa: ANN401 - psycopg's connection
        woken = True
        while not self._ends(0 if woken else self._look_seconds, driver):
            for account, head in sorted(heads(connection).items()):
                self._catch_up(connection, account, head)
            woken = bool(list(driver.notifies(timeout=0)))  # while it looked

    def _ends(self, seconds: float, *heard: Any) -> bool:  # noqa: ANN401 - psycopg's connection
        """Wait so long, or until something is heard; return whether it is the end."""
        return self._bell in select.select([self._bell, *heard], [], [], seconds)[0]

    def _catch_up(self, connection: Connection, account: str, seq: int) -> None:
        after = self._fanout.told(account)
        while after < seq:
            found = committed_after(connection, account, after=after, limit=_PAGE)
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
