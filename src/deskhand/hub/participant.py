"""A participant in the same process as the hub: the ``Link`` of ``deskhand up``, without HTTP in between.

It passes objects, not bytes, and otherwise goes through the very same doors as HTTP does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from deskhand.hub.app import Hub
from deskhand.ports import Frame
from deskhand.protocol.authority import Principal
from deskhand.protocol.ops import Op, OpResult


class Participant:
    """One principal's link to a hub beside it."""

    def __init__(self, hub: Hub, principal: Principal) -> None:
        """Speak as ``principal``."""
        self._hub = hub
        self._principal = principal

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results, in order."""
        return await self._hub.submit(self._principal, ops)

    def stream(self, *, after: int) -> AsyncGenerator[Frame]:
        """Yield frames after a cursor until the hub stops."""
        return self._hub.stream(self._principal, after=after)

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes; again is nothing.

        Raises:
            DeskhandError: ``conflict`` when the bytes are not what was announced.
        """
        if self._hub.blobs.size(sha256) != size:
            await self._hub.store_blob(data, sha256=sha256)

    async def download_file(self, file: str) -> AsyncGenerator[bytes]:
        """Yield the bytes of an upload that came with a message of a task of this runner."""
        found = await self._hub.file_of(self._principal, file)
        async for chunk in self._hub.blobs.open(found.sha256):
            yield chunk
