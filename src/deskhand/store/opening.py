"""Puts a store together: on a SQLite file, in memory for a simulation, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine

from deskhand.clock import Clock
from deskhand.ports import Offload
from deskhand.store import tables
from deskhand.store.engine import (
    InlineReader,
    PooledReader,
    open_memory,
    open_sqlite,
    open_sqlite_reader,
)
from deskhand.store.faults import translated
from deskhand.store.log.fanout import FanOut
from deskhand.store.log.reading import heads
from deskhand.store.postgres import (
    LOOK_SECONDS,
    WRITERS,
    Listener,
    open_postgres,
    pipelined,
    wake_others,
)
from deskhand.store.schema import create_in_memory, prepare, prepare_sqlite
from deskhand.store.sql import Parts, SqlStore
from deskhand.store.writer import InlineWriter, ThreadWriter

R = TypeVar("R")

FILE = "hub.sqlite3"


async def inline(work: Callable[[], R]) -> R:
    """Run blocking work here and now."""
    return work()


def open_sqlite_store(path: Path, clock: Clock, *, offload: Offload = inline) -> SqlStore:
    """Open (or begin) the store in a SQLite file.

    Args:
        path: the file; its folder belongs to an open ``Home``.
        clock: stamps events.
        offload: where ``verify`` may take its time.

    Raises:
        DeskhandError: ``schema_newer``, ``home_unsafe``, ``disk_full``, ``store_damaged``.
    """
    with translated():
        engine = open_sqlite(path)
        prepare_sqlite(engine, path, clock)
        reading = open_sqlite_reader(path)
        parts = Parts(
            engine=reading,
            writer=ThreadWriter(engine),
            reader=InlineReader(reading),
            fanout=FanOut(),
            offload=offload,
            closing=engine.dispose,
        )
    return SqlStore(parts, clock)


def open_postgres_store(
    url: str, clock: Clock, *, offload: Offload, look_seconds: float = LOOK_SECONDS
) -> SqlStore:
    """Open the store on PostgreSQL, on the running loop; other hub processes may share it.

    Raises:
        DeskhandError: ``config_invalid``, ``schema_newer``, ``unavailable``.
    """
    writing, reading = open_postgres(url)
    with translated():
        prepare(writing)
        with reading.connect() as connection:
            fanout = FanOut(heads(connection))
    listener = Listener(writing, offer=fanout.offer, told=fanout.told, look_seconds=look_seconds)
    parts = Parts(
        engine=reading,
        writer=ThreadWriter(writing, threads=WRITERS, framing=pipelined, committed=wake_others),
        reader=PooledReader(reading, offload),
        fanout=fanout,
        offload=offload,
        closing=listener.close,
    )
    return SqlStore(parts, clock)


def open_memory_disk() -> Engine:
    """Make what a simulation keeps across crashes: committed rows, nothing else."""
    engine = open_memory()
    create_in_memory(engine, tables.metadata)
    return engine


def open_memory_store(
    disk: Engine,
    clock: Clock,
    *,
    before_commit: Callable[[], None] = lambda: None,
    after_commit: Callable[[], None] = lambda: None,
) -> SqlStore:
    """Open a store on a simulated disk; hooks may raise ``Crash`` to end it exactly there.

    After a crash open another on the same disk.
    """
    parts = Parts(
        engine=disk,
        writer=InlineWriter(disk, before_commit=before_commit, after_commit=after_commit),
        reader=InlineReader(disk),
        fanout=FanOut(),
        offload=inline,
        closing=lambda: None,
    )
    return SqlStore(parts, clock)
