"""Bits that flip on a disk: found, named with their cure, and never answered with a traceback (R15)."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Draft
from deskhand.protocol.events import ThreadErased
from deskhand.store.engine import open_sqlite_reader, translated
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import FILE, open_sqlite_store
from deskhand.store.tables import verify
from deskhand.testing.promises import note
from tests.contract.storing import PHONE, A, StillClock, emit, said, story, thread

FLIPS = int(os.environ.get("N_FLIPS", "1000"))
"""How many bits to flip."""
ANYWHERE, PAGE_BYTES = 150, 4096
TEXTS = "kind || at || actor || coalesce(thread, '') || coalesce(task, '') || audience"


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """A file with one wrong bit and what was said about it."""

    said: list[str]
    code: Code | None


async def told(path: Path) -> None:
    """Write a whole story, and a conversation that was erased."""
    store = open_sqlite_store(path, StillClock())
    await store.create_account(A)
    await emit(store, *story("a_checked_task"))
    await emit(store, thread("thr_gone"), said("to be erased", thread="thr_gone"))

    def erase(tx: SqlTx) -> None:
        tx.emit(Draft(body=ThreadErased(), actor=PHONE, thread="thr_gone"))

    await store.write(A, erase)
    await store.close()


def event_bytes(path: Path) -> list[int]:
    """Return every place of the file at which a byte of an event lies: its row's header, envelope, body and hashes."""
    data = path.read_bytes()
    places: list[int] = []
    with closing(sqlite3.connect(path)) as driver:
        rows = driver.execute(
            f"SELECT {TEXTS}, body || body_sha256 || hash, length(account) FROM events"  # noqa: S608 - our own names
        ).fetchall()
    for envelope, rest, account in rows:
        said_so = (envelope + rest).encode()
        at = data.find(said_so)
        if at < 0:
            continue  # a long body goes on in another page
        assert data.find(said_so, at + 1) < 0
        places += range(at - account - 14, at + len(said_so))
    assert len(places) > 10_000
    return places


def look(engine: Engine) -> Spoiled:
    """Verify as ``log verify`` does, on a connection that has seen nothing yet."""
    try:
        with translated(), engine.connect() as connection:
            return Spoiled(said=verify(connection, A), code=None)
    except DeskhandError as error:
        return Spoiled(said=[], code=error.code)


@contextmanager
def flipped(path: Path, place: int, bit: int) -> Generator[None]:
    """Let one bit of a file be wrong for a while."""
    with path.open("r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, place)[0]
        os.pwrite(file.fileno(), bytes([byte ^ bit]), place)
        yield
        os.pwrite(file.fileno(), bytes([byte]), place)


@pytest.mark.timeout(300)
@pytest.mark.survives(
    "A bit of the stored conversations flips on the disk",
    "`deskhand log verify` says so; the last backup has the right one",
)
async def test_every_flipped_bit_in_the_file_of_an_event_is_found(tmp_path: Path) -> None:
    """A thousand places in the rows' own bytes, one bit each: none passes as what was said (R15)."""
    path = tmp_path / FILE
    await told(path)
    engine = open_sqlite_reader(path)
    places, chance = event_bytes(path), random.Random(1500)
    missed: list[int] = []

    for place in chance.sample(places, FLIPS):
        with flipped(path, place, 1 << chance.randrange(8)):
            found = look(engine)
        if not found.said and found.code is not Code.STORE_DAMAGED:
            missed.append(place)

    figure = f"{FLIPS} bits flipped in the bytes of event rows, {FLIPS - len(missed)} found"
    note("R15", figure, runs=FLIPS, of="flips", failing=missed)
    assert missed == []
    assert look(engine) == Spoiled(said=[], code=None)


@pytest.mark.timeout(120)
async def test_a_flip_anywhere_in_the_file_is_at_worst_called_damage(tmp_path: Path) -> None:
    """In a page's own bytes SQLite may trip over it: then it is said so, with the cure, and no traceback (R15)."""
    path = tmp_path / FILE
    await told(path)
    engine = open_sqlite_reader(path)
    chance, size = random.Random(16), path.stat().st_size
    codes: set[Code | None] = set()

    for _ in range(ANYWHERE):
        page = chance.randrange(size // PAGE_BYTES) * PAGE_BYTES
        with flipped(path, page + chance.randrange(12), 1 << chance.randrange(8)):
            codes.add(look(engine).code)

    assert codes == {None, Code.STORE_DAMAGED}
