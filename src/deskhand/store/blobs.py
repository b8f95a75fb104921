"""Content-addressed files: partial file, fsync, rename, fsync of the directory; only then may an event name them.

It refuses names that are not ids, and to say where a file lies. Whether somebody may read a blob is not asked here:
a hash is no capability (security 2.4).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.ports import Offload
from deskhand.store.faults import disk_fault

R = TypeVar("R")

PIECE_BYTES = 256 * 1024
_PARTIAL = "partial"
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """The ``Blobs`` port on a private directory.

    Args:
        folder: where blobs lie, as ``ab/cd/SHA256``, and partial files in ``partial/``.
        ids: names partial files of ``put``.
        offload: where disk work may block.
        rename: gives a finished file its name; a test may crash there.
    """

    def __init__(
        self,
        folder: Path,
        ids: Ids,
        offload: Offload,
        *,
        rename: Callable[[Path, Path], object] = os.replace,
    ) -> None:
        """Make the directories."""
        self._folder = folder
        self._ids = ids
        self._offload = offload
        self._rename = rename
        self._busy: set[str] = set()
        with _told():
            (folder / _PARTIAL).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def put(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Store a stream; return (sha256, size).

        Raises:
            DeskhandError: ``too_large``, ``disk_full``.
        """
        name = self._ids.new("put")
        try:
            await self.append(name, chunks, offset=0, limit=limit)
            return await self.finish(name)
        finally:
            with suppress(OSError):  # after a finish there is none
                self._partial(name).unlink(missing_ok=True)

    async def append(
        self, name: str, chunk: AsyncIterator[bytes], *, offset: int, limit: int
    ) -> int:
        """Add to a partial file, fsync, return the new offset.

        What came before a broken connection stays, so that the upload resumes there; what goes over the limit is
        taken back.

        Raises:
            DeskhandError: ``upload_offset`` when the file is not exactly ``offset`` long; ``too_large``;
                ``conflict`` while another request adds to it; ``disk_full``.
        """
        path = self._partial(name)
        with self._alone(name):
            file = await self._run(lambda: _open_partial(path, offset))
            try:
                reached = await self._copy(chunk, file, offset=offset, limit=limit)
            finally:
                await self._run(lambda: _sync_and_close(file))
        return reached

    async def partial(self, name: str) -> int:
        """Return how many bytes of a partial file are on disk; 0 when there is none."""
        path = self._partial(name)
        return await self._run(lambda: path.stat().st_size if path.exists() else 0)

    async def finish(self, name: str) -> tuple[str, int]:
        """Turn a partial file into a blob; return (sha256, size).

        Raises:
            DeskhandError: ``not_found`` when there is no such partial file; ``disk_full``.
        """
        path = self._partial(name)
        with self._alone(name):
            return await self._run(lambda: self._name_it(path))

    def open(self, sha256: str, *, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes of a blob, or of a range of it.

        Raises:
            DeskhandError: ``not_found``.
        """
        path = self._path(sha256)
        if path is None or not path.is_file():
            raise DeskhandError(Code.NOT_FOUND)
        return self._pieces(path, start=start, size=size)

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or nothing when it is not here."""
        path = self._path(sha256)
        try:
            return None if path is None else path.stat().st_size
        except OSError:
            return None

    async def remove(self, sha256: str) -> None:
        """Forget a blob that nothing names any more; again is nothing."""
        path = self._path(sha256)
        if path is not None:
            await self._run(lambda: path.unlink(missing_ok=True))

    async def drop_partial(self, name: str) -> None:
        """Forget an upload that was given up; again is nothing."""
        path = self._partial(name)
        await self._run(lambda: path.unlink(missing_ok=True))

    async def _copy(
        self, chunk: AsyncIterator[bytes], file: BinaryIO, *, offset: int, limit: int
    ) -> int:
        reached = offset
        async for piece in chunk:
            if reached + len(piece) > limit:
                await self._run(lambda: file.truncate(offset))
                raise DeskhandError(Code.TOO_LARGE, f"{limit} bytes")
            await self._run(_writing(file, piece))
            reached += len(piece)
        return reached

    async def _pieces(self, path: Path, *, start: int, size: int | None) -> AsyncIterator[bytes]:
        file = await self._run(lambda: _open_at(path, start))
        left = size
        try:
            while left is None or left > 0:
                piece = await self._run(_reading(file, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    def _name_it(self, path: Path) -> tuple[str, int]:
        if not path.is_file():
            raise DeskhandError(Code.NOT_FOUND)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            os.fsync(file.fileno())
        target = self._folder / found[:2] / found[2:4] / found
        self._make_folder(target.parent)
        self._rename(path, target)
        _sync_folder(target.parent)
        return found, size

    def _make_folder(self, folder: Path) -> None:
        """Make both levels and see to it that their own names are on disk."""
        for level in (folder.parent, folder):
            if not level.is_dir():
                level.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(level.parent)

    def _partial(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise DeskhandError(Code.NOT_FOUND)
        return self._folder / _PARTIAL / name

    def _path(self, sha256: str) -> Path | None:
        if not _SHA256.fullmatch(sha256):
            return None
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    @contextmanager
    def _alone(self, name: str) -> Generator[None]:
        if name in self._busy:
            raise DeskhandError(Code.CONFLICT)
        self._busy.add(name)
        try:
            yield
        finally:
            self._busy.discard(name)

    async def _run(self, work: Callable[[], R]) -> R:
        def told() -> R:
            with _told():
                return work()

        return await self._offload(told)


def _open_partial(path: Path, offset: int) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
    if file.seek(0, os.SEEK_END) != offset:
        file.close()
        raise DeskhandError(Code.UPLOAD_OFFSET)
    return file


def _writing(file: BinaryIO, piece: bytes) -> Callable[[], None]:
    def write() -> None:
        view = memoryview(piece)
        while view:  # an unbuffered write may take less
            view = view[file.write(view) :]

    return write


def _reading(file: BinaryIO, left: int | None) -> Callable[[], bytes]:
    return lambda: file.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))


def _open_at(path: Path, start: int) -> BinaryIO:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DeskhandError(Code.NOT_FOUND) from None
    file.seek(start)
    return file


def _sync_and_close(file: BinaryIO) -> None:
    try:
        os.fsync(file.fileno())
    finally:
        file.close()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise disk_fault(error) from None
