"""What only a file can do: survive kills, full disks, old schemas; and what an inline writer is for: crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed
from deskhand.protocol.objects import Role, Thread
from deskhand.protocol.tasks import Task
from deskhand.store.engine import (
    VERSIONS,
    ThreadWriter,
    open_sqlite,
    open_sqlite_reader,
    prepare_sqlite,
    require_full,
    revisions,
)
from deskhand.store.opening import SqlStore, open_sqlite_store
from deskhand.store.tables import verify_inside
from deskhand.testing.memory_store import Crash, open_memory_disk, open_memory_store
from tests.contract.storing import OWNER, A, StillClock, begun, drift, emit, planned, said, story, thread

KILLS = 20
WRITER = Path(__file__).with_name("writing_process.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is going to be."""
    return tmp_path / "hub.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlStore]:
    """An open store on a file."""
    opened = open_sqlite_store(path, StillClock())
    yield opened
    await opened.close()


# --- begun again -------------------------------------------------------------------------------------------------


async def test_what_a_killed_hub_had_taken_to_send_is_sent_at_once(path: Path) -> None:
    """R6: a file has one hub, so a first try that was claimed before belongs to nobody and waits for nothing."""
    clock = StillClock()
    store = open_sqlite_store(path, clock)
    await begun(store)
    await store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))
    (claimed,) = await store.due_deliveries(clock.later(0), limit=10)
    await store.close()

    again = open_sqlite_store(path, clock)
    (taken,) = await again.due_deliveries(clock.later(0), limit=10)
    await again.close()

    assert taken.delivery.id == claimed.delivery.id


# --- durable -----------------------------------------------------------------------------------------------------


def test_a_writing_connection_is_full_with_a_log_and_foreign_keys(path: Path) -> None:
    """NORMAL loses acknowledged rows in a power cut; FULL does not (R2)."""
    engine = open_sqlite(path)

    with engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
        require_full(connection)

    engine.dispose()
    assert settings == ["wal", 2, 1, 5000]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "weaker", ["PRAGMA synchronous=NORMAL", "PRAGMA synchronous=OFF", "PRAGMA journal_mode=DELETE"]
)
def test_a_writer_refuses_a_connection_that_is_not_durable(path: Path, weaker: str) -> None:
    """It is asserted, not hoped for: a weaker setting never starts (R2)."""
    engine = open_sqlite(path)

    def weaken(driver: sqlite3.Connection, _: object) -> None:
        driver.execute(weaker)

    event.listen(engine, "connect", weaken)
    with pytest.raises(DeskhandError) as refused:
        ThreadWriter(engine)

    engine.dispose()
    assert refused.value.code is Code.HOME_UNSAFE


async def test_nothing_can_be_written_through_the_reader(store: SqlStore, path: Path) -> None:
    """Reads go through a connection that cannot do more."""
    await begun(store)
    engine = open_sqlite_reader(path)

    with engine.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("DELETE FROM events"))

    engine.dispose()


@pytest.mark.timeout(180)
async def test_a_killed_process_loses_nothing_it_acknowledged(path: Path) -> None:
    """``kill -9`` in the middle of writing, twenty times (R1)."""
    acknowledged: set[str] = set()
    with writing_processes(path) as parent:
        for turn in range(KILLS):
            acknowledged |= write_until_killed(parent, turn)

    store = open_sqlite_store(path, StillClock())
    page = await store.events(OWNER, after=0, limit=1_000_000)
    broken = await store.verify(A)
    await store.close()
    assert len(acknowledged) > KILLS
    assert acknowledged <= {str(event.body.get("text")) for event in page.events}
    assert [event.seq for event in page.events] == list(range(1, len(page.events) + 1))
    assert broken == []


@contextmanager
def writing_processes(path: Path) -> Generator[subprocess.Popen[str]]:
    """Have a process that begins writing ones."""
    command = [sys.executable, str(WRITER), str(path)]
    environment = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=WRITER.parents[2],
        env=environment,
    ) as parent:
        yield parent


def write_until_killed(parent: subprocess.Popen[str], turn: int) -> set[str]:
    """Let a process write, kill it after some acknowledgements, return all it had said."""
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(f"{turn}\n")
    number = int(parent.stdout.readline())
    said_so = {parent.stdout.readline() for _ in range(5 + 3 * turn)}
    os.kill(number, signal.SIGKILL)
    said_so.update(iter(parent.stdout.readline, "gone\n"))
    return {line.strip() for line in said_so}


async def test_a_full_disk_refuses_new_work_and_recovers_by_itself(store: SqlStore) -> None:
    """New work is refused with the reason, reads go on, space makes it work again (R14)."""
    await begun(store)

    async def pages(limit: str) -> None:
        await store.writer.do(lambda connection: set_page_limit(connection, limit))

    await pages("")
    outcomes = await asyncio.gather(*(emit(store, said("x" * 50_000)) for _ in range(5)), return_exceptions=True)
    readable = await store.get(A, Thread, "thr_1")
    await pages("1000000")
    after = await emit(store, said("room again"))

    codes = {outcome.code for outcome in outcomes if isinstance(outcome, DeskhandError)}
    assert codes == {Code.DISK_FULL}
    assert readable is not None
    assert len(after) == 1
    assert await store.verify(A) == []


def set_page_limit(connection: Connection, limit: str) -> None:
    """Let the file not grow beyond this, or beyond what it has."""
    used = connection.exec_driver_sql("PRAGMA page_count").scalar()
    connection.exec_driver_sql(f"PRAGMA max_page_count={limit or used}")


async def test_a_damaged_file_is_called_damaged(path: Path) -> None:
    """What is no database is said so, without a path or SQL."""
    spoil(path)

    with pytest.raises(DeskhandError) as refused:
        open_sqlite_store(path, StillClock())

    assert refused.value.code is Code.STORE_DAMAGED
    assert str(path) not in str(refused.value)


def spoil(path: Path) -> None:
    """Write something else where a database should be."""
    path.write_bytes(b"this is not a database, it only has its name" * 100)


async def test_a_second_opening_finds_everything(path: Path) -> None:
    """What was committed is there after a restart."""
    first = open_sqlite_store(path, StillClock())
    await begun(first)
    await first.close()

    second = open_sqlite_store(path, StillClock())
    found = await second.get(A, Thread, "thr_1")
    await second.close()

    assert found is not None


async def test_a_closed_store_takes_no_more_writes(path: Path) -> None:
    """What waits is finished, what comes later is refused."""
    store = open_sqlite_store(path, StillClock())
    await begun(store)
    waiting = [asyncio.ensure_future(emit(store, said(str(turn)))) for turn in range(5)]
    await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that they wait
    await store.close()

    with pytest.raises(DeskhandError):
        await emit(store, said("late"))

    assert [await each for each in waiting] == [[3], [4], [5], [6], [7]]


def spoiled_rows(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    """List one changed character for every text of every event: column, new text, seq."""
    columns = ("kind", "at", "actor", "audience", "body", "body_sha256", "hash")
    return [
        (column, row[column][:-2] + chr(ord(row[column][-2]) ^ 1) + row[column][-1:], row["seq"])
        for row in rows
        for column in columns
    ]


async def test_every_flipped_bit_of_every_event_is_found() -> None:
    """One bit in any text of any event of a whole story (R15)."""
    disk = open_memory_disk()
    store = open_memory_store(disk, StillClock())
    await store.create_account(A)
    await emit(store, *story("a_checked_task"))
    missed: list[object] = []
    with disk.connect() as connection:
        rows = connection.execute(text("SELECT * FROM events ORDER BY seq")).mappings().all()

    for column, spoiled, seq in spoiled_rows([dict(row) for row in rows]):
        with disk.connect() as connection:
            change = f"UPDATE events SET {column} = :spoiled WHERE seq = :seq"  # noqa: S608 - our own names
            connection.execute(text(change), {"spoiled": spoiled, "seq": seq})
            if not verify_inside(connection, A):
                missed.append((column, seq))
            connection.rollback()

    assert missed == []
    assert len(rows) > 20
    assert await store.verify(A) == []


async def test_every_read_uses_an_index(path: Path) -> None:
    """Reads run on the loop, so none may scan a table."""
    store = open_sqlite_store(path, StillClock())
    await begun(store)
    await store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))
    said_so: list[str] = []

    def explain(
        _: object, cursor: sqlite3.Cursor, statement: str, parameters: tuple[str, ...], __: object, ___: object
    ) -> None:
        if statement.startswith("SELECT"):
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            said_so.extend(str(row[3]) for row in plan)

    event.listen(store.reader.engine, "after_cursor_execute", explain)
    await read_everything(store)

    await store.close()
    assert [line for line in said_so if line.startswith("SCAN")] == []
    assert len(said_so) > 15


async def read_everything(store: SqlStore) -> None:
    """Ask everything the loop asks."""
    for view in (OWNER, replace(OWNER, role=Role.MEMBER), replace(OWNER, id="run_1", role=Role.RUNNER)):
        await store.events(view, after=0, limit=10)
        await store.thread_events(view, "thr_1", before=9, limit=10)
    await store.get(A, Thread, "thr_1")
    await store.find(A, Task, states=("queued",), before="tsk_9")
    await store.find(A, Task, thread="thr_1")
    await store.find(A, Thread)
    await store.credential("x")
    await store.invite(code="1")
    await store.invite(secret_sha256="x")
    await store.joining("x")
    await store.presence(A)
    await store.read_marks(A, "x")
    await store.next_delivery_at()
    await store.deliveries(A, before=None, limit=10)
    await store.upload(A, "x", "upl_1")


# --- crashes on purpose ------------------------------------------------------------------------------------------


class Fuse:
    """Burns through at the n-th call from now."""

    def __init__(self) -> None:
        """Do not burn yet."""
        self.left = -1

    def __call__(self) -> None:
        """Count down and crash."""
        self.left -= 1
        if self.left == 0:
            raise Crash


async def test_a_crash_before_the_commit_leaves_nothing_and_after_it_everything() -> None:
    """The simulation ends a process exactly there; only committed rows survive (R1)."""
    disk, before, after = open_memory_disk(), Fuse(), Fuse()
    seen: list[Committed] = []
    store = open_memory_store(disk, StillClock(), before_commit=before, after_commit=after)
    store.on_commit(seen.extend)
    await begun(store)

    before.left = 1
    with pytest.raises(Crash):
        await emit(store, said("lost"))
    after.left = 1
    with pytest.raises(Crash):
        await emit(store, said("kept"))

    again = open_memory_store(disk, StillClock())
    page = await again.events(OWNER, after=2, limit=10)
    assert [event.body["text"] for event in page.events] == ["kept"]
    assert [item.event.seq for item in seen] == [1, 2]
    assert await emit(again, said("next")) == [4]
    assert await again.verify(A) == []


# --- schema ------------------------------------------------------------------------------------------------------


def test_the_migrated_schema_is_the_one_in_the_tables(path: Path) -> None:
    """Revisions and metadata cannot drift apart: which tables there are, and each of their columns."""
    engine = open_sqlite(path)
    prepare_sqlite(engine, path, StillClock())

    with engine.connect() as connection:
        differences = drift(connection)

    engine.dispose()
    assert differences == []


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """An older program never touches what a newer one wrote (R16)."""
    store = open_sqlite_store(path, StillClock())
    await store.close()
    with sqlite3.connect(path) as driver:
        driver.execute("UPDATE alembic_version SET version_num = '9999'")
    driver.close()

    with pytest.raises(DeskhandError) as refused:
        open_sqlite_store(path, StillClock())

    assert refused.value.code is Code.SCHEMA_NEWER


def test_a_file_is_copied_before_it_is_migrated(path: Path) -> None:
    """The way back from an upgrade is a file, made before anything changed (R16)."""
    with sqlite3.connect(path) as driver:
        driver.execute("CREATE TABLE note (line TEXT)")
        driver.execute("INSERT INTO note VALUES ('kept')")
    driver.close()
    engine = open_sqlite(path)

    prepare_sqlite(engine, path, StillClock())

    (copy,) = path.parent.glob("hub.before-upgrade-*.sqlite3")
    assert names_in(copy) == ["note"]
    assert "events" in names_in(path)
    assert copy.stat().st_mode & 0o777 == 0o600
    engine.dispose()


def test_a_fresh_file_needs_no_copy(path: Path) -> None:
    """Nothing is copied where nothing is."""
    engine = open_sqlite(path)

    prepare_sqlite(engine, path, StillClock())
    prepare_sqlite(engine, path, StillClock())

    engine.dispose()
    assert list(path.parent.glob("*before-upgrade*")) == []


BROKEN = """
from alembic import op
import sqlalchemy as sa
revision = "9999"
down_revision = "LAST"
def upgrade():
    op.add_column("threads", sa.Column("colour", sa.Text))
    raise RuntimeError("the power went")
"""


async def test_a_migration_that_breaks_off_changes_nothing(path: Path, tmp_path: Path) -> None:
    """Every step of an upgrade is in one transaction (R16)."""
    store = open_sqlite_store(path, StillClock())
    await begun(store)
    await store.close()
    engine, scripts = (open_sqlite(path), upgraded_scripts(tmp_path, BROKEN.replace("LAST", revisions()[-1])))

    with pytest.raises(RuntimeError):
        prepare_sqlite(engine, path, StillClock(), scripts=scripts)

    engine.dispose()
    again = open_sqlite_store(path, StillClock())
    assert await emit(again, thread("thr_2")) == [3]
    assert await again.verify(A) == []
    await again.close()


def upgraded_scripts(folder: Path, revision: str) -> Path:
    """Copy the migrations and add a revision that is still to come."""
    target = folder / "migrations"
    (target / "versions").mkdir(parents=True)
    for source in (VERSIONS / "env.py", *(VERSIONS / "versions").glob("0*")):
        (target / source.relative_to(VERSIONS)).write_text(source.read_text())
    (target / "versions" / "9999_next.py").write_text(revision)
    return target


def names_in(path: Path) -> list[str]:
    """List the tables of a file."""
    engine: Engine = open_sqlite_reader(path)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        found = [row.name for row in rows]
    engine.dispose()
    return found


def test_a_schema_that_is_up_to_date_is_seen_without_alembic(path: Path) -> None:
    """Alembic costs a third of a second; a normal start does not pay it."""
    script = (
        "import sys; from pathlib import Path; from deskhand.clock import SystemClock;"
        "from deskhand.store.opening import open_sqlite_store;"
        f"open_sqlite_store(Path({str(path)!r}), SystemClock());"
        "print('alembic' in sys.modules)"
    )

    said_so = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]

    assert said_so == ["True", "False"]
