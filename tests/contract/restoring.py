"""What the tests of backups share: a home on disk that is written to, and going back to one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from deskhand.cli.programs.restoring import restore
from deskhand.clock import Ids, stamp
from deskhand.protocol.wire import JsonObject
from deskhand.store.backup import make_backup
from deskhand.store.blobs import FileBlobs
from deskhand.store.opening import FILE, SqlStore, inline, open_sqlite_store
from deskhand.store.private import make_folder
from tests.contract.storing import A, StillClock, artifact, begun, emit, said

LANES = 4


@dataclass(kw_only=True)
class House:
    """A home with an open store, and what was acknowledged in it."""

    home: Path
    store: SqlStore
    blobs: FileBlobs
    clock: StillClock
    words: set[str] = field(default_factory=set[str])

    async def say(self, word: str) -> None:
        """Say a word; with it comes a file result now and then."""
        if word.endswith("7"):
            sha256, size = await self.blobs.put(once(word.encode()), limit=100)
            made = artifact(f"art_{word}", sha256=sha256)
            assert size == len(word)
            await emit(self.store, made)
        await emit(self.store, said(word))
        self.words.add(word)

    def back_up(self, name: str = "backup.tar") -> Path:
        """Make a whole backup beside the home."""
        now = stamp(self.clock.now())
        who: JsonObject = {"account": A, "runner": None}
        made = make_backup(self.home, self.home.parent / name, now=now, who=who)
        assert not made["missing"]
        return Path(made["path"])


@asynccontextmanager
async def house(path: Path, *, begin: bool = True) -> AsyncGenerator[House]:
    """Open a home and close it at the end."""
    clock = StillClock()
    make_folder(path)
    store = open_sqlite_store(path / FILE, clock)
    blobs = FileBlobs(path / "blobs", Ids(clock), inline)
    try:
        if begin:
            await begun(store)
        yield House(home=path, store=store, blobs=blobs, clock=clock)
    finally:
        await store.close()


async def talk(found: House, lane: int, ended: asyncio.Event) -> None:
    """Write without end, until told."""
    number = 0
    while not ended.is_set():
        await found.say(f"{lane}.{number}")
        number += 1


def go_back(backup: Path, home: Path) -> JsonObject:
    """Restore without asking."""
    clock = StillClock()
    came_to = restore(backup, home, clock=clock, ids=Ids(clock), agreed=lambda _: True)
    assert came_to is not None
    return came_to


def words_in(home: Path) -> set[str]:
    """Read everything that was said, behind the store's back; the file must be sound."""
    with closing(sqlite3.connect(home / FILE)) as driver:
        assert driver.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = driver.execute(
            "SELECT json_extract(body, '$.text') FROM events WHERE json_extract(body, '$.role') = 'user'"
        )
        return {text for (text,) in found}


async def differences(home: Path) -> list[str]:
    """Open a home as the hub would and verify its log."""
    store = open_sqlite_store(home / FILE, StillClock())
    try:
        return await store.verify(A)
    finally:
        await store.close()


async def once(data: bytes) -> AsyncGenerator[bytes]:
    """Send these bytes."""
    yield data
