"""Processes that write until they are killed, and say each word only after its durable commit.

For each line that comes in, a process is forked from one that has everything imported: it says its number, then the
words. When it is gone, that is said too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from deskhand.clock import SystemClock
from deskhand.store.opening import SqlStore, open_sqlite_store
from tests.contract.storing import begun, emit, said

GONE = "gone"


def say(word: object) -> None:
    """Acknowledge in one system call: no kill leaves half a line."""
    os.write(1, f"{word}\n".encode())


async def write(store: SqlStore, turn: str, lane: int) -> None:
    """Write without end."""
    number = 0
    while True:
        word = f"{turn}.{lane}.{number}"
        await emit(store, said(word))
        say(word)
        number += 1


async def live(path: Path, turn: str) -> None:
    """Open the store, begin it on the first turn, write in four lanes."""
    say(os.getpid())
    store = open_sqlite_store(path, SystemClock())
    if await store.head("acc_a") == 0:
        await begun(store)
    await asyncio.gather(*(write(store, turn, lane) for lane in range(4)))


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(live(Path(sys.argv[1]), line.strip()))
        os.waitpid(child, 0)
        say(GONE)
