"""Blobs in memory: the fake that passes the same contract suite as the files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from deskhand.errors import Code, DeskhandError


class MemoryBlobs:
    """Content-addressed bytes without a disk; without a clock all of them are new for ever."""

    def __init__(self, now: Callable[[], float] = lambda: math.inf) -> None:
        """Begin empty."""
        self._now = now
        self._stored_at: dict[str, float] = {}
        self._whole: dict[str, bytes] = {}
        self._partial: dict[str, bytes] = {}

    async def put(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Store a stream; return (sha256, size)."""
        return self._keep(_bounded(b"".join([chunk async for chunk in chunks]), limit))

    async def append(self, name: str, chunk: AsyncIterator[bytes], *, offset: int, limit: int) -> int:
        """Add to a partial file, return the new offset."""
        before = self._partial.get(name, b"")
        if len(before) != offset:
            raise DeskhandError(Code.UPLOAD_OFFSET, str(len(before)))
        added = b"".join([part async for part in chunk])
        self._partial[name] = _bounded(before + added, limit)
        return len(self._partial[name])

    async def partial(self, name: str) -> int:
        """Return how many bytes of a partial file are kept."""
        return len(self._partial.get(name, b""))

    async def finish(self, name: str) -> tuple[str, int]:
        """Turn a partial file into a blob; return (sha256, size)."""
        return self._keep(self._partial.pop(name, b""))

    async def open(self, sha256: str, *, start: int = 0, size: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes of a blob, or of a range of it."""
        if sha256 not in self._whole:
            raise DeskhandError(Code.NOT_FOUND)
        end = None if size is None else start + size
        yield self._whole[sha256][start:end]

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or nothing when it is not here."""
        return len(self._whole[sha256]) if sha256 in self._whole else None

    async def drop(self, *, but: set[str], before: float) -> int:
        """Delete every blob that is not in ``but`` and was stored before; return how many."""
        stale = {name for name, at in self._stored_at.items() if at < before} - but
        for name in stale:
            del self._whole[name], self._stored_at[name]
        return len(stale)

    def _keep(self, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        self._whole[digest] = data
        self._stored_at[digest] = self._now()
        return digest, len(data)


def _bounded(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise DeskhandError(Code.TOO_LARGE)
    return data
