"""What keeps bytes must do: whole or not at all, resumed exactly, found by their hash only."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Blobs
from deskhand.store.blobs import FileBlobs
from deskhand.store.opening import inline
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import Crash
from tests.contract.storing import StillClock

R = TypeVar("R")
BIG = 10**9


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Send these parts."""
    for part in parts:
        yield part


async def breaking_off(part: bytes) -> AsyncIterator[bytes]:
    """Send a part, then lose the connection."""
    yield part
    raise ConnectionResetError


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    """Read all."""
    return b"".join([chunk async for chunk in chunks])


def sha256(data: bytes) -> str:
    """Return the name of bytes."""
    return hashlib.sha256(data).hexdigest()


def file_blobs(folder: Path) -> FileBlobs:
    """Make blobs on a folder."""
    return FileBlobs(folder, Ids(StillClock()), inline)


@pytest.fixture(params=["files", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Both implementations of the port."""
    return file_blobs(tmp_path / "blobs") if request.param == "files" else MemoryBlobs()


async def test_bytes_are_found_under_their_hash(blobs: Blobs) -> None:
    """What comes out is what went in."""
    data = b"a" * 700_000 + b"b"

    name, size = await blobs.put(pieces(data[:3], data[3:]), limit=BIG)

    assert (name, size) == (sha256(data), len(data))
    assert await whole(blobs.open(name)) == data
    assert blobs.size(name) == len(data)


async def test_a_range_is_only_that_range(blobs: Blobs) -> None:
    """A browser asks for parts."""
    name, _ = await blobs.put(pieces(b"0123456789"), limit=BIG)

    parts = [
        await whole(blobs.open(name, start=3, size=4)),
        await whole(blobs.open(name, start=8)),
        await whole(blobs.open(name, start=0, size=0)),
    ]

    assert parts == [b"3456", b"89", b""]


async def test_the_same_bytes_twice_are_one_blob(blobs: Blobs) -> None:
    """Storing again changes nothing."""
    first = await blobs.put(pieces(b"same"), limit=BIG)
    second = await blobs.put(pieces(b"same"), limit=BIG)

    assert first == second
    assert await whole(blobs.open(first[0])) == b"same"


@pytest.mark.parametrize("name", ["ab" * 32, "../../etc/passwd", "", "AB" * 32])
async def test_an_unknown_or_odd_name_is_simply_not_here(blobs: Blobs, name: str) -> None:
    """Nothing but a hash ever names a file (security 2.4)."""
    with pytest.raises(DeskhandError) as refused:
        await whole(blobs.open(name))

    assert refused.value.code is Code.NOT_FOUND
    assert blobs.size(name) is None


async def test_an_upload_goes_on_exactly_where_it_was(blobs: Blobs) -> None:
    """A phone that lost its network loses no byte and sends none twice."""
    first = await blobs.append("upl_1", pieces(b"hel"), offset=0, limit=BIG)
    with pytest.raises(DeskhandError) as refused:
        await blobs.append("upl_1", pieces(b"XX"), offset=2, limit=BIG)
    there = await blobs.partial("upl_1")
    last = await blobs.append("upl_1", pieces(b"lo"), offset=there, limit=BIG)

    name, size = await blobs.finish("upl_1")

    assert (first, there, last) == (3, 3, 5)
    assert refused.value.code is Code.UPLOAD_OFFSET
    assert (name, size) == (sha256(b"hello"), 5)
    assert await blobs.partial("upl_1") == 0


async def test_what_is_too_large_is_taken_back(blobs: Blobs) -> None:
    """A piece over the limit leaves the upload where it was."""
    await blobs.append("upl_1", pieces(b"1234"), offset=0, limit=5)

    with pytest.raises(DeskhandError) as refused:
        await blobs.append("upl_1", pieces(b"5", b"6"), offset=4, limit=5)
    with pytest.raises(DeskhandError) as refused_whole:
        await blobs.put(pieces(b"123456"), limit=5)

    assert {refused.value.code, refused_whole.value.code} == {Code.TOO_LARGE}
    assert await blobs.partial("upl_1") == 4


async def test_what_came_before_a_broken_connection_stays(tmp_path: Path) -> None:
    """It was written and synced, so the upload resumes after it."""
    blobs = file_blobs(tmp_path)

    with pytest.raises(ConnectionResetError):
        await blobs.append("upl_1", breaking_off(b"half"), offset=0, limit=BIG)

    again = file_blobs(tmp_path)
    assert await again.partial("upl_1") == 4
    assert await again.append("upl_1", pieces(b" whole"), offset=4, limit=BIG) == 10


async def test_a_crash_between_partial_and_rename_leaves_nothing_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob has its name only when all of it is on disk (R1)."""

    def crash(_: Path, __: Path) -> NoReturn:
        raise Crash

    await file_blobs(tmp_path).append("upl_1", pieces(b"data"), offset=0, limit=BIG)
    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", crash)
        with pytest.raises(Crash):
            await file_blobs(tmp_path).finish("upl_1")

    again = file_blobs(tmp_path)
    assert again.size(sha256(b"data")) is None
    assert await again.finish("upl_1") == (sha256(b"data"), 4)


async def test_a_blob_that_was_cut_off_leaves_no_partial_file(tmp_path: Path) -> None:
    """``put`` cleans up after a stream that broke."""
    blobs = file_blobs(tmp_path)

    with pytest.raises(ConnectionResetError):
        await blobs.put(breaking_off(b"half"), limit=BIG)

    assert list((tmp_path / "partial").iterdir()) == []


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Nobody else on the machine reads a result (SE-02)."""
    blobs = file_blobs(tmp_path / "blobs")

    name, _ = await blobs.put(pieces(b"private"), limit=BIG)

    inside = list((tmp_path / "blobs").rglob("*"))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in inside if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in inside if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})
    assert (tmp_path / "blobs" / name[:2] / name[2:4] / name).is_file()


async def test_a_link_in_place_of_a_partial_file_is_not_followed(tmp_path: Path) -> None:
    """A planted link gets nothing written through it (FS-12)."""
    blobs, outside = file_blobs(tmp_path / "blobs"), tmp_path / "outside"
    outside.write_bytes(b"")
    (tmp_path / "blobs" / "partial" / "upl_1").symlink_to(outside)

    with pytest.raises(DeskhandError):
        await blobs.append("upl_1", pieces(b"data"), offset=0, limit=BIG)

    assert outside.read_bytes() == b""


@pytest.mark.parametrize("kind", ["files", "memory"])
async def test_only_old_blobs_that_nobody_names_are_dropped(kind: str, tmp_path: Path) -> None:
    """What is named stays whatever its age; what is new stays until its name had time to come."""
    now = SystemClock().now().timestamp() + 1000
    files = file_blobs(tmp_path / "blobs")
    store = files if kind == "files" else MemoryBlobs(now=lambda: now - 1000)
    named, _ = await store.put(pieces(b"named"), limit=BIG)
    stray, _ = await store.put(pieces(b"stray"), limit=BIG)

    early = await store.drop(but={named}, before=now - 3000)
    late = await store.drop(but={named}, before=now)

    assert (early, late) == (0, 1)
    assert (store.size(named), store.size(stray)) == (5, None)
