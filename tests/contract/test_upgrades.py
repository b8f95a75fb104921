"""Upgrades that are killed at every step: the old schema or the new one, nothing lost, and the next start completes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deskhand.clock import Ids, stamp
from deskhand.core.dispatching import brief_of
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.events import Event, TaskAssigned, TaskCreated
from deskhand.store.engine import VERSIONS, open_sqlite, open_sqlite_reader, prepare_sqlite, revisions
from deskhand.store.opening import FILE, open_sqlite_store
from deskhand.store.private import make_folder
from deskhand.testing.memory_store import InlineWriter
from deskhand.testing.promises import note
from deskhand.workflow.journal import Journal
from tests.contract.restoring import house, words_in
from tests.contract.storing import START, A, StillClock, begun, emit, said, task

ROOT = Path(__file__).resolve().parents[2]
WORDS = {f"word {number}" for number in range(12)}
STEPS_MAX = 300

FIRST = """
from alembic import op
revision = "9001"
down_revision = "{before}"
def upgrade():
    connection = op.get_bind()
    connection.exec_driver_sql("ALTER TABLE threads ADD COLUMN colour TEXT")
    for row in connection.exec_driver_sql("SELECT account, id FROM threads").all():
        connection.exec_driver_sql("UPDATE threads SET colour = 'red' WHERE account = ? AND id = ?", tuple(row))
"""
SECOND = """
from alembic import op
revision = "9002"
down_revision = "9001"
def upgrade():
    connection = op.get_bind()
    connection.exec_driver_sql("CREATE TABLE kept (account TEXT, seq BIGINT, body TEXT)")
    connection.exec_driver_sql("INSERT INTO kept SELECT account, seq, body FROM events")
    connection.exec_driver_sql("DROP INDEX ix_events_said")
"""
JOURNAL = {
    "1": [],
    "2": ["ALTER TABLE attempts ADD COLUMN colour TEXT", "UPDATE attempts SET colour = 'red'"],
    "3": ["CREATE TABLE kept (task TEXT)", "INSERT INTO kept SELECT task FROM attempts"],
}


@pytest.fixture(scope="module")
def upgrading() -> Generator[Callable[[dict[str, Any]], str]]:
    """A process that upgrades what it is told, each time in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.upgrading_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    def upgrade(wish: dict[str, Any]) -> str:
        asked.write(json.dumps(wish) + "\n")
        asked.flush()
        return answers.readline().strip()

    yield upgrade
    asked.close()
    process.wait()
    answers.close()


def planted(folder: Path) -> Path:
    """Copy the migrations and add two that are still to come."""
    shutil.copytree(VERSIONS, folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    versions = folder / "migrations" / "versions"
    (versions / "9001_next.py").write_text(FIRST.format(before=revisions()[-1]), encoding="utf-8")
    (versions / "9002_last.py").write_text(SECOND, encoding="utf-8")
    return folder / "migrations"


async def hub_file(folder: Path) -> Path:
    """Make a hub's file of today with words in it."""
    make_folder(folder)
    store = open_sqlite_store(folder / FILE, StillClock())
    await begun(store)
    await emit(store, *(said(word) for word in sorted(WORDS)))
    await store.close()
    return folder / FILE


def state_of(path: Path) -> tuple[str, set[str], str]:
    """Return revision, words and soundness of a hub's file."""
    with closing(sqlite3.connect(path)) as driver:
        (revision,) = driver.execute("SELECT version_num FROM alembic_version").fetchone()
        texts = driver.execute("SELECT json_extract(body, '$.text') FROM events WHERE kind = 'message.posted'")
        (sound,) = driver.execute("PRAGMA integrity_check").fetchone()
        return revision, {text for (text,) in texts}, sound


def killed_everywhere(
    upgrade: Callable[[dict[str, Any]], str], wish: dict[str, Any], fresh: Path, place: Path
) -> Iterator[tuple[int, Path]]:
    """Upgrade copies of a folder, each killed one step later; yield step and folder until one comes through."""
    for step in range(1, STEPS_MAX):
        folder = place / f"step-{step}"
        shutil.copytree(fresh.parent, folder)
        ended = upgrade({**wish, "path": str(folder / fresh.name), "kill_at": step})
        assert ended in {"killed", "done"}
        if ended == "done":
            return
        yield step, folder
        assert upgrade({**wish, "path": str(folder / fresh.name), "kill_at": 0}) == "done"
        yield -step, folder
        shutil.rmtree(folder)
    pytest.fail("it never came through")


@pytest.mark.timeout(240)
@pytest.mark.survives(
    "The program is killed in the middle of an upgrade",
    "The data is as before or as after, never between; the next start completes the upgrade",
)
async def test_an_upgrade_killed_at_any_step_leaves_old_or_new_and_is_completed(
    tmp_path: Path, upgrading: Callable[[dict[str, Any]], str]
) -> None:
    """Every word is there after each kill and after the start that follows; each copy that has a name is whole (R16)."""
    fresh = await hub_file(tmp_path / "fresh")
    wish = {"scripts": str(planted(tmp_path))}
    failing: list[object] = []
    kills = 0

    for step, folder in killed_everywhere(upgrading, wish, fresh, tmp_path):
        revision, words, sound = state_of(folder / FILE)
        allowed = {revisions()[-1], "9002"} if step > 0 else {"9002"}
        copies = [state_of(one) for one in folder.glob("hub.before-upgrade-*.sqlite3")]
        whole = all(copy == (revisions()[-1], WORDS, "ok") for copy in copies)
        if revision not in allowed or words != WORDS or sound != "ok" or not whole:
            failing.append(step)
        if step < 0 and not copies:
            failing.append(step)
        kills += step > 0

    figure = f"{kills} kills, one at each step of two revisions; {len(failing)} left something wrong"
    note("R16", figure, runs=kills, of="kills", failing=failing)
    assert failing == []
    assert kills > 20


async def test_the_copy_made_before_an_upgrade_is_the_way_back(tmp_path: Path) -> None:
    """The program of before refuses the new file, and works on with the copy (R16)."""
    path = await hub_file(tmp_path / "home")
    engine = open_sqlite(path)
    prepare_sqlite(engine, path, StillClock(), scripts=planted(tmp_path / "next"))
    engine.dispose()

    with pytest.raises(DeskhandError) as refused:
        open_sqlite_store(path, StillClock())
    (copy,) = path.parent.glob("hub.before-upgrade-*.sqlite3")
    copy.replace(path)
    store = open_sqlite_store(path, StillClock())
    await emit(store, said("again"))
    differences = await store.verify(A)
    await store.close()

    assert refused.value.code is Code.SCHEMA_NEWER
    assert differences == []


@pytest.mark.timeout(120)
async def test_a_restore_killed_at_any_step_leaves_the_old_home_or_the_new_one(
    tmp_path: Path, upgrading: Callable[[dict[str, Any]], str]
) -> None:
    """There is never a moment without a home or with half of one; what was before is never lost (R17)."""
    async with house(tmp_path / "first") as found:
        await found.say("before")
        backup = found.back_up()
        await found.say("after")
    old, new = {"before", "after"}, {"before"}
    failing: list[object] = []
    ended, step = "", 0

    for step in range(1, STEPS_MAX):
        home = tmp_path / f"place-{step}" / "home"
        shutil.copytree(tmp_path / "first", home)
        wish = {"backup": str(backup), "path": str(home), "kill_at": step}
        ended = upgrading(wish)
        if words_in(home) not in ([new] if ended == "done" else [old, new]):
            failing.append(step)
        if old not in [words_in(file.parent) for file in home.parent.glob("*/hub.sqlite3")]:
            failing.append(step)
        if ended == "done":
            break

    assert failing == []
    assert (ended, step > 10) == ("done", True)


# --- the runner's journal ----------------------------------------------------------------------------------------


@contextmanager
def journal(path: Path) -> Generator[Journal]:
    """Open a journal of today."""
    reading, writer = open_sqlite_reader(path), InlineWriter(open_sqlite(path))
    found = Journal(engine=reading, writer=writer, ids=Ids(StillClock()))
    yield found
    found.close()
    writer._connection.close()


async def journal_file(folder: Path) -> Path:
    """Make a runner's journal of today with an attempt in it."""
    make_folder(folder)
    path = folder / "journal.sqlite3"
    with journal(path) as found:
        await found.open(home_identity="here")
        await found.receive(order())
    return path


def order() -> Event:
    """Say what is to be done, as the hub does."""
    body = task().body
    assert isinstance(body, TaskCreated)
    said = TaskAssigned(runner="run_1", epoch=1, brief=brief_of(body.task, 1, ()))
    return Event(seq=7, kind="task.assigned", at=stamp(START), actor="hub", body=said.to_json())


def journal_state(path: Path) -> tuple[str, int, bool]:
    """Return schema, attempts, and whether the tables are those of the last upgrade."""
    with closing(sqlite3.connect(path)) as driver:
        (schema,) = driver.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        (attempts,) = driver.execute("SELECT count(*) FROM attempts").fetchone()
        tables = driver.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept'").fetchall()
        return schema, attempts, bool(tables)


@pytest.mark.timeout(120)
async def test_a_journal_killed_in_its_upgrade_is_old_or_new(
    tmp_path: Path, upgrading: Callable[[dict[str, Any]], str]
) -> None:
    """What a runner remembers survives its upgrade, with a copy from before (R16)."""
    fresh = await journal_file(tmp_path / "fresh")
    failing: list[object] = []
    kills = 0

    for step, folder in killed_everywhere(upgrading, {"upgrades": JOURNAL}, fresh, tmp_path):
        found = journal_state(folder / "journal.sqlite3")
        wanted = [("3", 1, True), ("1", 1, False)][: 2 if step > 0 else 1]
        copy = folder / "journal.before-upgrade-from-1.sqlite3"
        if found not in wanted or (copy.exists() and journal_state(copy) != ("1", 1, False)):
            failing.append(step)
        if step < 0 and not copy.exists():
            failing.append(step)
        kills += step > 0

    note("R16", f"{kills} kills in the upgrade of a journal", runs=kills, of="kills", failing=failing)
    assert failing == []
    assert kills > 10


async def test_a_journal_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """It is left as it is (R16)."""
    path = await journal_file(tmp_path / "home")
    with closing(sqlite3.connect(path)) as driver, driver:
        driver.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")

    with journal(path) as found, pytest.raises(DeskhandError) as refused:
        await found.open(home_identity="here")

    assert refused.value.code is Code.SCHEMA_NEWER
    assert journal_state(path)[0] == "99"
