"""Content-addressed files: partial file, fsync, rename, fsync of the directory; only then may an event name them.

It refuses names that are not ids, and to say where a file lies. Whether somebody may read a blob is not asked here:
a hash is no capability (security 2.4).
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from deskhand.clock import Ids
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Offload
from deskhand.store import engine, private

R = TypeVar("R")

PIECE_BYTES = 256 * 1024
_PARTIAL = "partial"
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """The ``Blobs`` port on a private directory. That one request at a time adds to a partial file is the caller's care.

    Args:
        folder: where blobs lie, as ``ab/cd/SHA256``, and partial files in ``partial/``.
        ids: names partial files of ``put``.
        offload: where disk work may block.
    """

    def __init__(self, folder: Path, ids: Ids, offload: Offload) -> None:
        self._folder = folder
        self._ids = ids
        self._offload = offload
        self._naming = threading.Lock()
        with engine.translated():
            private.make_folder(folder / _PARTIAL)

    async def put(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Store a stream; return (sha256, size)."""
        name = self._ids.new("put")
        try:
            await self.append(name, chunks, offset=0, limit=limit)
            return await self.finish(name)
        finally:
            with suppress(OSError):  # after a finish there is none
                self._partial(name).unlink(missing_ok=True)

    async def append(self, name: str, chunk: AsyncIterator[bytes], *, offset: int, limit: int) -> int:
        """Add to a partial file, fsync, return the new offset.

        What came before a broken connection stays, so that the upload resumes there; what goes over the limit is
        taken back.
        """
        path, reached = self._partial(name), offset
        file = await self._run(lambda: _open_partial(path, offset))
        try:
            async for piece in chunk:
                reached += len(piece)
                if reached > limit:
                    await self._run(lambda: file.truncate(offset))
                    raise DeskhandError(Code.TOO_LARGE, f"{limit} bytes")
                await self._run(partial(_write, file, piece))
        finally:
            await self._run(lambda: _sync_and_close(file))
        return reached

    async def partial(self, name: str) -> int:
        """Return how many bytes of a partial file are on disk; 0 when there is none."""
        path = self._partial(name)
        return await self._run(lambda: path.stat().st_size if path.exists() else 0)

    async def finish(self, name: str) -> tuple[str, int]:
        """Turn a partial file into a blob; return (sha256, size)."""
        path = self._partial(name)
        return await self._run(lambda: self._name_it(path))

    def open(self, sha256: str, *, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes of a blob, or of a range of it."""
        path = self._path(sha256)
        if not path.is_file():
            raise DeskhandError(Code.NOT_FOUND)
        return self._pieces(path, start=start, size=size)

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or nothing when it is not here."""
        with suppress(OSError, DeskhandError):
            return self._path(sha256).stat().st_size
        return None

    async def drop(self, *, but: set[str], before: float) -> int:
        """Delete every blob that is not in ``but`` and was stored before a time of the wall clock; return how many."""
        return await self._run(lambda: self._drop(but, before))

    def _drop(self, but: set[str], before: float) -> int:
        dropped = 0
        for path in list(self._folder.glob("??/??/*")):
            with self._naming:  # what is stored anew at this moment is not stale
                if path.name not in but and path.stat().st_ctime < before:
                    path.unlink()
                    dropped += 1
        return dropped

    async def _pieces(self, path: Path, *, start: int, size: int | None) -> AsyncIterator[bytes]:
        file = await self._run(lambda: path.open("rb"))
        left = sys.maxsize if size is None else size
        try:
            file.seek(start)
            while piece := await self._run(partial(file.read, min(left, PIECE_BYTES))):
                left -= len(piece)
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
        target = self._path(found)
        private.make_folder(target.parent)
        with self._naming:
            path.replace(target)
        private.sync(target.parent)
        return found, size

    def _partial(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise DeskhandError(Code.NOT_FOUND)
        return self._folder / _PARTIAL / name

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise DeskhandError(Code.NOT_FOUND)
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    async def _run(self, work: Callable[[], R]) -> R:
        return await self._offload(engine.translated()(work))


def _open_partial(path: Path, offset: int) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with ExitStack() as undo:
        file = undo.enter_context(os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0))
        if file.seek(0, os.SEEK_END) != offset:
            raise DeskhandError(Code.UPLOAD_OFFSET)
        if offset == 0:
            # Or a power cut takes the name away under an offset that was promised.
            private.sync(path.parent)
        undo.pop_all()
    return file


def _write(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:  # an unbuffered write may take less
        view = view[file.write(view) :]


def _sync_and_close(file: BinaryIO) -> None:
    with file:
        os.fsync(file.fileno())
