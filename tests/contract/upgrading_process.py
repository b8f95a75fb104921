"""Processes that upgrade a file, or go back to a backup, and are killed at the n-th step: a statement, a rename.

For each line that comes in, a process is forked from one that has everything imported. What it came to is said in one
word: how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Engine, event

from deskhand.clock import Ids, SystemClock
from deskhand.store.engine import open_sqlite, open_sqlite_reader, prepare_sqlite
from deskhand.testing.memory_store import InlineWriter
from deskhand.workflow.journal import Journal
from tests.contract.restoring import go_back

LOADED_BEFORE_THE_FORKS = command
_STEPS = frozenset({"sqlite3.connect", "os.rename", "os.remove", "os.mkdir", "ctypes.dlsym"})


def kill_at(number: int, *, statements: bool) -> None:
    """Let this process die just before or just after the n-th thing that changes the disk."""
    left = [number]

    def step(*_: object, **__: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    within = ("before_cursor_execute", "after_cursor_execute") if statements else ()
    for moment in (*within, "commit", "rollback"):
        event.listen(Engine, moment, step)
    sys.addaudithook(lambda name, _: step() if name in _STEPS else None)


def upgrade_hub(path: Path, wish: dict[str, Any]) -> None:
    """Bring a hub's file to the newest revision of these scripts."""
    engine = open_sqlite(path)
    prepare_sqlite(engine, path, SystemClock(), scripts=Path(wish["scripts"]))
    engine.dispose()


async def upgrade_journal(path: Path, wish: dict[str, Any]) -> None:
    """Open a journal with these upgrades, as a runner does."""
    upgrades = {int(number): said for number, said in wish["upgrades"].items()}
    writing, reading = open_sqlite(path), open_sqlite_reader(path)
    writer, ids = InlineWriter(writing), Ids(SystemClock())
    journal = Journal(engine=reading, writer=writer, ids=ids, upgrades=upgrades)
    await journal.open(home_identity="here")
    journal.close()
    await writer.close()


def live(wish: dict[str, Any]) -> None:
    """Upgrade once."""
    kill_at(wish["kill_at"], statements="backup" not in wish)
    path = Path(wish["path"])
    if "backup" in wish:
        go_back(Path(wish["backup"]), path)
    elif "upgrades" in wish:
        asyncio.run(upgrade_journal(path, wish))
    else:
        upgrade_hub(path, wish)


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            live(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        word = "killed" if killed else "done" if status == 0 else "failed"
        os.write(1, f"{word}\n".encode())
