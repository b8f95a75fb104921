"""Puts a store together: on a SQLite file or on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, delete

from deskhand.clock import Clock, stamp
from deskhand.limits import OP_KEPT_DAYS
from deskhand.ports import Offload
from deskhand.store import tables
from deskhand.store.engine import Reader, empty_log, open_sqlite, open_sqlite_reader
from deskhand.store.faults import translated
from deskhand.store.log.reading import heads
from deskhand.store.own.deliveries import let_go
from deskhand.store.postgres import LOOK_SECONDS, Lanes, Listener, open_postgres
from deskhand.store.schema import prepare_postgres, prepare_sqlite
from deskhand.store.sql import FanOut, SqlStore
from deskhand.store.writer import ThreadWriter

R = TypeVar("R")

FILE = "hub.sqlite3"


async def inline(work: Callable[[], R]) -> R:
    """Run blocking work here and now."""
    return work()


def open_sqlite_store(path: Path, clock: Clock, *, offload: Offload = inline) -> SqlStore:
    """Open (or begin) the store in a SQLite file of an open ``Home``; ``verify`` takes its time in ``offload``.

    Raises:
        DeskhandError: ``schema_newer``, ``home_unsafe``, ``disk_full``, ``store_damaged``.
    """
    with translated():
        engine = open_sqlite(path)
        prepare_sqlite(engine, path, clock)
        forget_old_ops(engine, clock)
        with engine.begin() as connection:
            let_go(connection, stamp(clock.now()))
        writer = ThreadWriter(engine)
        reading = open_sqlite_reader(path)
        reader = Reader(reading, offload, here=reading.connect())
    scrubbing = partial(empty_log, engine)
    return SqlStore(clock, writer=writer, reader=reader, fanout=FanOut(), scrubbing=scrubbing)


def open_postgres_store(
    url: str, clock: Clock, *, offload: Offload, look_seconds: float = LOOK_SECONDS
) -> SqlStore:
    """Open the store on PostgreSQL, on the running loop; other hub processes may share it.

    Raises:
        DeskhandError: ``config_invalid``, ``schema_newer``, ``unavailable``.
    """
    writing, reading = open_postgres(url)
    with translated():
        prepare_postgres(writing)
        forget_old_ops(writing, clock)
        with reading.connect() as connection:
            fanout = FanOut(heads(connection))
    return SqlStore(
        clock,
        writer=Lanes(writing),
        reader=Reader(reading, offload),
        fanout=fanout,
        closing=Listener(reading, fanout, look_seconds=look_seconds).close,
    )


def forget_old_ops(engine: Engine, clock: Clock) -> None:
    """Forget results of ops that are older than anybody may be offline."""
    until = stamp(clock.now() - timedelta(days=OP_KEPT_DAYS))
    with engine.begin() as connection:
        connection.execute(delete(tables.ops).where(tables.ops.c.at < until))
