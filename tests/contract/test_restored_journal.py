"""A journal out of a backup: what was done stays known, what was allowed does not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

from deskhand.clock import stamp
from deskhand.protocol.wire import JsonObject
from deskhand.store.engine import open_sqlite
from deskhand.workflow.journal import settle_journal
from deskhand.workflow.rows import AttemptKey, Step
from tests.contract.storing import START
from tests.contract.test_upgrades import journal, order

KEY = AttemptKey(task="tsk_1", epoch=1)
YES: JsonObject = {"decision": "allow", "scope": "task", "action_sha256": "ab"}


def step(n: int, kind: Literal["move", "tool", "wait"], *, result: JsonObject) -> Step:
    """Make a row."""
    return Step(n=n, kind=kind, key=f"key {n}", wish={}, result=result, effect=None, ref=None, at=stamp(START))


async def lived(path: Path, *steps: Step) -> str:
    """Make a journal with an attempt that did this; return which life it was."""
    with journal(path) as found:
        await found.open(home_identity="here")
        await found.receive(order())
        await found.record(KEY, steps=steps, place=None)
        return found.incarnation


def settled(path: Path) -> None:
    """Settle it as a restore does."""
    engine = open_sqlite(path)
    with engine.begin() as connection:
        settle_journal(connection)
    engine.dispose()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Read behind the journal's back."""
    with closing(sqlite3.connect(path)) as driver:
        return driver.execute(query).fetchall()


async def test_a_yes_that_was_not_used_is_asked_for_again(tmp_path: Path) -> None:
    """It may have been used after the backup: the row goes, what was done before stays (BR-02, R18)."""
    path = tmp_path / "journal.sqlite3"
    await lived(path, step(0, "move", result={"done": True}), step(1, "wait", result=YES))

    settled(path)

    assert rows(path, "SELECT n, kind FROM steps") == [(0, "move")]


async def test_a_yes_for_the_whole_task_counts_for_what_it_was_used_for(tmp_path: Path) -> None:
    """The next use is asked for again (BR-02, R18)."""
    path = tmp_path / "journal.sqlite3"
    await lived(path, step(0, "wait", result=YES), step(1, "tool", result={"outcome": "ok"}))

    settled(path)

    (kept, used) = rows(path, "SELECT result FROM steps ORDER BY n")
    assert json.loads(str(kept[0]))["scope"] == "once"
    assert json.loads(str(used[0])) == {"outcome": "ok"}


async def test_a_restored_journal_begins_another_life(tmp_path: Path) -> None:
    """Even in the same place: its outbox may have been sent, its attempts may be over (R9)."""
    path = tmp_path / "journal.sqlite3"
    before = await lived(path, step(0, "move", result={"done": True}))

    settled(path)
    with journal(path) as found:
        await found.open(home_identity="here")
        after, unsent, ready = found.incarnation, len(found.outbox()), found.ready()

    assert before != after
    assert (unsent, ready) == (0, [])
    assert rows(path, "SELECT status FROM attempts") == [("superseded",)]
