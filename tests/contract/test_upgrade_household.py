"""A hub's file from before there were persons: what the upgrade makes of it."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from deskhand.protocol.objects import Role, Thread
from deskhand.protocol.ops import Principal
from deskhand.store.engine import VERSIONS, open_sqlite, prepare_sqlite
from deskhand.store.opening import open_sqlite_store
from tests.contract.storing import OWNER, A, StillClock, begun, emit, said

MEMBER = Principal(account=A, id="dev_member", role=Role.MEMBER)


async def file_of_then(path: Path) -> None:
    """Make a hub's file, and take from it what the fourth revision added."""
    store = open_sqlite_store(path, StillClock())
    await begun(store)
    await emit(store, said("plum tart"))
    await store.close()
    with closing(sqlite3.connect(path)) as driver, driver:
        driver.execute("DROP TABLE words")
        for table, column in (("threads", "seen_by"), ("threads", "created_by"), ("credentials", "person")):
            driver.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        driver.execute("ALTER TABLE invites DROP COLUMN person")
        driver.execute("UPDATE threads SET object = replace(object, '\"shared\":false,', '')")
        driver.execute("UPDATE alembic_version SET version_num = '0003'")


async def test_what_was_said_before_is_the_owners_and_can_be_found(tmp_path: Path) -> None:
    """P-08, P-09: the log explains every table afterwards, and nobody else sees the conversations from before."""
    path = tmp_path / "hub.sqlite3"
    await file_of_then(path)

    store = open_sqlite_store(path, StillClock())

    hits = [[one.kind for one in await store.search(who, "plum", limit=5)] for who in (OWNER, MEMBER)]
    lists = [len(await store.find(A, Thread, reader=who)) for who in (OWNER, MEMBER)]
    [begun_by] = await store.find(A, Thread, reader=Principal(account=A, id="dev_phone", role=Role.CLIENT))
    broken = await store.verify(A)
    await store.close()
    assert (hits, lists, begun_by.id, broken) == ([["message"], []], [1, 0], "thr_1", [])


def test_the_file_of_then_is_what_the_third_revision_makes(tmp_path: Path) -> None:
    """What this test takes away is what the fourth revision adds, and nothing else."""
    scripts = tmp_path / "scripts"
    shutil.copytree(VERSIONS, scripts, ignore=shutil.ignore_patterns("0004*", "__pycache__"))
    then, now = tmp_path / "then.sqlite3", tmp_path / "now.sqlite3"

    for path, versions in ((then, scripts), (now, VERSIONS)):
        engine = open_sqlite(path)
        prepare_sqlite(engine, path, StillClock(), scripts=versions)
        engine.dispose()

    added = columns(now) - columns(then)
    assert {one for one in added if not one.startswith("words.")} == {
        "credentials.person",
        "invites.person",
        "threads.created_by",
        "threads.seen_by",
    }
    assert columns(then) < columns(now)


def columns(path: Path) -> set[str]:
    """Return every column of a file."""
    with closing(sqlite3.connect(path)) as driver:
        tables = [name for (name,) in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        safe = [name for name in tables if re.fullmatch(r"\w+", name)]
        return {f"{name}.{row[1]}" for name in safe for row in driver.execute(f"PRAGMA table_info({name})")}
