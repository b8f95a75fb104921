"""A runner's road to its hub in one life of its home: everything it says carries which life that is.

It refuses to go on when the hub says that a newer copy of this home is connected, and to go on with what it remembers
when the hub knows that it already said more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Frame, Link
from deskhand.protocol.ops import Op, OpResult
from deskhand.workflow.journal import Journal
from deskhand.workflow.rows import AttemptKey

Halt = Callable[[Sequence[AttemptKey]], Awaitable[None]]


class OneLife:
    """A ``Link`` that says in which life of ``journal`` it speaks; ``halt`` ends what a former life held."""

    def __init__(self, link: Link, journal: Journal, *, halt: Halt) -> None:
        self._link = link
        self._journal = journal
        self._halt = halt

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results, in order.

        Raises:
            DeskhandError: ``runner_replaced``; ``unavailable`` when a new life began just now, and what the link says.
        """
        life = self._journal.life
        results = await self._link.send([op.but(life=life) for op in ops])
        codes = {result.error.code for result in results if result.error is not None}
        if Code.RUNNER_REPLACED in codes:
            raise DeskhandError(Code.RUNNER_REPLACED)
        if Code.RUNNER_RESTORED in codes:
            if life.incarnation == self._journal.incarnation:
                await self._halt(await self._journal.begin_anew())
            raise DeskhandError(Code.UNAVAILABLE)
        return results

    def stream(self, *, after: int) -> AsyncIterator[Frame]:
        """Yield frames after a cursor until the link breaks."""
        return self._link.stream(after=after)

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes on the hub before an event names them."""
        await self._link.upload_blob(data, sha256=sha256, size=size)

    def download_file(self, file: str) -> AsyncIterator[bytes]:
        """Yield the bytes of an upload that came with a message of an assigned task."""
        return self._link.download_file(file)
