"""What nobody names any more leaves the disk: files of erased conversations, and what a crash left behind.

Soon after an erasure, after a start and every hour; so a crash between the erasure and the deletion delays it only. It
refuses to delete what is so new that its name may still be on the way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from deskhand.clock import Clock
from deskhand.errors import DeskhandError
from deskhand.limits import SWEEP_AFTER_START_SECONDS, SWEEP_SECONDS, UNNAMED_KEPT_SECONDS
from deskhand.ports import Blobs, Committed, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """The loop that deletes."""

    store: Store
    blobs: Blobs
    clock: Clock
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def look_at(self, committed: Sequence[Committed]) -> None:
        """Wake up when a conversation was erased."""
        if any(one.event.kind == "thread.erased" for one in committed):
            self.woken.set()

    async def run(self) -> None:
        """Sweep until cancelled; what fails now is tried again."""
        seconds = SWEEP_AFTER_START_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.woken.wait()
            self.woken.clear()
            seconds = SWEEP_SECONDS
            try:
                await self.sweep()
            except DeskhandError as error:
                _log.warning("sweep.failed %s", error.code)
                seconds = SWEEP_AFTER_START_SECONDS

    async def sweep(self) -> int:
        """Delete what nobody names; return how many files went."""
        before = self.clock.now().timestamp() - UNNAMED_KEPT_SECONDS
        dropped = await self.blobs.drop(but=await self.store.named_blobs(), before=before)
        await self.store.scrub()
        return dropped
