"""Opens SQLite the only way in which an acknowledged row survives a power cut: WAL with ``synchronous=FULL``.

Free of tables: the hub's store and the runner's journal open their files here. It refuses a connection that is not
FULL, because NORMAL loses acknowledged rows and no test with killed processes ever shows it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, PoolProxiedConnection, StaticPool

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Offload
from deskhand.store.faults import translated

R = TypeVar("R")

BUSY_SECONDS = 5.0
FULL = 2
FILE_MODE = 0o600
_URL = "sqlite+pysqlite://"


def open_sqlite(path: Path) -> Engine:
    """Open (or create, readable by its owner only) a SQLite file for writing.

    Raises:
        DeskhandError: ``disk_full``, ``unavailable``.
    """
    with translated():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    engine = create_engine(_URL, creator=lambda: _connect(path, mode="rw"), poolclass=NullPool)
    event.listen(engine, "connect", _prepare_file)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def open_sqlite_reader(path: Path) -> Engine:
    """Open an existing SQLite file so that nothing can be written through it."""
    engine = create_engine(_URL, creator=lambda: _connect(path, mode="ro"), poolclass=NullPool)
    event.listen(engine, "connect", _prepare_reader)
    return engine


def open_memory() -> Engine:
    """Open a database of this process alone; every connection is the same one, so committed rows are its disk."""
    engine = create_engine(_URL, creator=lambda: _plain(":memory:"), poolclass=StaticPool)
    event.listen(engine, "connect", _prepare_memory)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def require_full(connection: Connection) -> None:
    """Let a SQLite connection pass only if its commits survive a power cut.

    Raises:
        DeskhandError: ``home_unsafe`` naming the setting that is wrong.
    """
    if connection.dialect.name != "sqlite":
        return
    driver = connection.connection
    journal = _pragma(driver, "journal_mode")
    if int(str(_pragma(driver, "synchronous"))) < FULL:
        raise DeskhandError(Code.HOME_UNSAFE, "synchronous is not FULL")
    if journal not in {"wal", "memory"}:
        raise DeskhandError(Code.HOME_UNSAFE, "no write-ahead log")


class Reader(Protocol):
    """Runs bounded, indexed reads."""

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Return what ``query`` reads from a connection that sees committed rows only."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class InlineReader:
    """Reads at once on one connection of the calling thread: SQLite answers in microseconds."""

    def __init__(self, engine: Engine) -> None:
        """Open the connection."""
        self._connection = engine.connect()

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Run the query here and now.

        Raises:
            DeskhandError: ``unavailable``, ``store_damaged``.
        """
        try:
            with translated():
                return query(self._connection)
        finally:
            # Nothing is open in SQLite (autocommit); this ends what SQLAlchemy believes to be a transaction.
            if self._connection.in_transaction():
                self._connection.rollback()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class PooledReader:
    """Reads on a pool, in whatever place may block."""

    def __init__(self, engine: Engine, offload: Offload) -> None:
        """Keep both."""
        self._engine = engine
        self._offload = offload

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Run the query in the offload's place.

        Raises:
            DeskhandError: ``unavailable``.
        """

        def run() -> R:
            with translated():
                return on_connection(self._engine, query)

        return await self._offload(run)

    def close(self) -> None:
        """Close the pool."""
        self._engine.dispose()


def on_connection(engine: Engine, query: Callable[[Connection], R]) -> R:
    """Read on a connection of the pool, once more when that one turns out to be cut."""
    try:
        with engine.connect() as connection:
            return query(connection)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    with engine.connect() as connection:
        return query(connection)


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    return _plain(f"file:{quote(str(path))}?mode={mode}", uri=True)


def _plain(name: str, *, uri: bool = False) -> sqlite3.Connection:
    # isolation_level None: the driver begins nothing by itself, so BEGIN IMMEDIATE and savepoints are ours.
    return sqlite3.connect(
        name, uri=uri, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _prepare_file(driver: sqlite3.Connection, _: object) -> None:
    driver.execute("PRAGMA journal_mode=WAL")
    driver.execute("PRAGMA synchronous=FULL")
    driver.execute("PRAGMA foreign_keys=ON")
    if sys.platform == "darwin":
        driver.execute("PRAGMA fullfsync=ON")
        driver.execute("PRAGMA checkpoint_fullfsync=ON")


def _prepare_reader(driver: sqlite3.Connection, _: object) -> None:
    driver.execute("PRAGMA query_only=ON")


def _prepare_memory(driver: sqlite3.Connection, _: object) -> None:
    driver.execute("PRAGMA synchronous=FULL")
    driver.execute("PRAGMA foreign_keys=ON")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _pragma(driver: PoolProxiedConnection, name: str) -> object:
    cursor = driver.cursor()
    try:
        cursor.execute(f"PRAGMA {name}")
        row = cursor.fetchone()
    finally:
        cursor.close()
    return row[0] if row else None
