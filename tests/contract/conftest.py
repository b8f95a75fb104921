"""The same store tests run on SQLite with its thread, in memory inline, and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from deskhand.store import tables
from deskhand.store.engine import open_sqlite
from deskhand.store.opening import SqlStore, open_postgres_store
from tests.contract.storing import Box, StillClock, memory_box, sqlite_box

POSTGRES = pytest.param("postgres", marks=pytest.mark.needs("postgresql"))
KINDS = ["sqlite", "memory", POSTGRES]


@pytest.fixture(params=KINDS)
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    """An empty store of each kind."""
    if request.param == "postgres":
        made = postgres_box(request.getfixturevalue("postgres_url"))
    elif request.param == "sqlite":
        path = tmp_path / "hub.sqlite3"
        made = sqlite_box(path, open_sqlite(path))
    else:
        made = memory_box()
    yield made
    await made.store.close()
    made.engine.dispose()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Box]:
    """An empty store on PostgreSQL."""
    made = postgres_box(postgres_url)
    yield made
    await made.store.close()
    made.engine.dispose()


def postgres_box(url: str) -> Box:
    """Open PostgreSQL with empty tables."""
    clock = StillClock()

    def again() -> SqlStore:
        return open_postgres_store(url, clock, offload=asyncio.to_thread, look_seconds=600)

    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        if connection.dialect.has_table(connection, "accounts"):
            # Emptying a few rows is quicker than TRUNCATE, which makes every file anew.
            for table in reversed(tables.metadata.tables.values()):
                connection.execute(table.delete())
    return Box(store=again(), clock=clock, engine=engine, again=again)
