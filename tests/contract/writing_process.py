"""A process that writes until it is killed, and says each word only after its durable commit."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deskhand.clock import SystemClock
from deskhand.store.opening import open_sqlite_store
from deskhand.store.sql import SqlStore
from tests.contract.storing import begun, emit, said


async def write(store: SqlStore, turn: str, lane: int) -> None:
    """Write without end."""
    number = 0
    while True:
        word = f"{turn}.{lane}.{number}"
        await emit(store, said(word))
        print(word, flush=True)  # noqa: T201 - the acknowledgement
        number += 1


async def main() -> None:
    """Open the store, begin it on the first turn, write in four lanes."""
    store = open_sqlite_store(Path(sys.argv[1]), SystemClock())
    if await store.head("acc_a") == 0:
        await begun(store)
    await asyncio.gather(*(write(store, sys.argv[2], lane) for lane in range(4)))


if __name__ == "__main__":
    asyncio.run(main())
