"""An erased conversation is gone: from the tables, their file, its write-ahead log, and the files it named (BR-06)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.hub.timing import Sweeper
from deskhand.limits import UNNAMED_KEPT_SECONDS
from deskhand.ports import Committed, Draft
from deskhand.protocol.events import HUB, ThreadErased
from deskhand.store.log.transaction import SqlTx
from tests.contract.restoring import House, house, once
from tests.contract.storing import PHONE, A, StillClock, artifact, emit, file_ref, said, task, thread, until, upload

SECRET = "the-safe-opens-with-4711"
BIG = "so that it needs pages of its own " * 400


def sweeper(found: House) -> Sweeper:
    """Make one for which everything is old enough."""
    clock = StillClock()
    clock.moment = SystemClock().now() + timedelta(seconds=UNNAMED_KEPT_SECONDS + 60)
    return Sweeper(store=found.store, blobs=found.blobs, clock=clock)


def left_of(home: Path, words: str) -> list[str]:
    """Return every file below a home in which the words still stand."""
    return [path.name for path in sorted(home.rglob("*")) if path.is_file() and words.encode() in path.read_bytes()]


async def told(found: House) -> str:
    """Say a secret in every way: as text, as an upload, as a result; return the hash of the result."""
    result, _ = await found.blobs.put(once(f"result {SECRET}".encode()), limit=1000)
    came, size = await found.blobs.put(once(f"upload {SECRET}".encode()), limit=1000)
    await found.store.create_upload(A, PHONE, upload(size=size))
    await found.store.finish_upload(A, "upl_1", sha256=came, media_type="text/csv")
    await emit(found.store, said(SECRET + BIG), said(SECRET, files=(file_ref(),)))
    await emit(found.store, artifact(sha256=result))
    return result


async def erase(found: House, name: str = "thr_1") -> None:
    """Erase a conversation as the hub does."""

    def work(tx: SqlTx) -> None:
        tx.emit(Draft(body=ThreadErased(), actor=HUB, thread=name))

    await found.store.write(A, work)


@pytest.mark.survives(
    "You erase a conversation",
    "Its words and files are gone from the disk within minutes; backups made before still have them",
)
async def test_what_was_erased_stands_nowhere_on_the_disk(tmp_path: Path) -> None:
    """Not in the tables, not in free pages, not in the write-ahead log, and its files are deleted (BR-06)."""
    async with house(tmp_path / "home") as found:
        result = await told(found)
        before = left_of(found.home, SECRET)

        await erase(found)
        dropped = await sweeper(found).sweep()

        assert len(before) >= 3
        assert left_of(found.home, SECRET) == []
        assert (dropped, found.blobs.size(result)) == (2, None)
        assert await found.store.verify(A) == []


async def test_a_file_that_another_conversation_names_stays(tmp_path: Path) -> None:
    """The same bytes may be the result of two tasks; one of them keeps them."""
    async with house(tmp_path / "home") as found:
        result = await told(found)
        await emit(found.store, thread("thr_2"), task("tsk_2", thread="thr_2"))
        await emit(found.store, artifact("art_2", task="tsk_2", sha256=result))

        await erase(found)
        await sweeper(found).sweep()

        assert found.blobs.size(result) is not None


async def test_an_erasure_wakes_the_sweeper_and_a_crash_only_delays_it(tmp_path: Path) -> None:
    """It hears of the commit; a hub that died in between sweeps after its next start (BR-06)."""
    seen: list[Committed] = []
    async with house(tmp_path / "home") as found:
        await told(found)
        listening = sweeper(found)
        found.store.on_commit(listening.look_at)
        found.store.on_commit(seen.extend)
        await erase(found)
        await until(seen, 1)
        woken = listening.woken.is_set()

    async with house(tmp_path / "home", begin=False) as again:
        await sweeper(again).sweep()

        assert woken
        assert left_of(again.home, SECRET) == []


async def test_what_is_new_is_left_alone(tmp_path: Path) -> None:
    """Bytes come before the event that names them; a sweep in between must not take them."""
    async with house(tmp_path / "home") as found:
        fresh, _ = await found.blobs.put(once(b"its name is on the way"), limit=100)

        await Sweeper(store=found.store, blobs=found.blobs, clock=SystemClock()).sweep()

        assert found.blobs.size(fresh) is not None
