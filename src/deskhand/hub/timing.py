"""What the hub does by itself, round after round: give out what may begin now, delete what nobody names.

Goes by the wall clock and looks at it again at least every half minute, because it may jump and a machine may sleep.
It remembers nothing: what waits stands in the log, and giving out is the same transaction as always, so that nothing
begins twice. It refuses to delete what is so new that its name may still be on the way.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from typing_extensions import override

from deskhand import limits, ports
from deskhand.clock import Clock, stamp, unstamp
from deskhand.errors import DeskhandError
from deskhand.protocol.tasks import QueueReason, Task
from deskhand.store.opening import SqlStore

IDLE_SECONDS = 30.0
LEAST_SECONDS = 0.05
_TASKS_MAX = 10_000
_log = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Rounds(ABC):
    """A loop that is woken by a commit of one of the kinds it ``wakes_at``, or when its time has come."""

    wakes_at: ClassVar[frozenset[str]] = frozenset()
    store: SqlStore
    clock: Clock
    rest: float = 0.0
    """How many seconds it waits at most before the next round."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def look_at(self, committed: Sequence[ports.Committed]) -> None:
        """Wake up if something was committed that may concern it: most commits do not."""
        if any(one.event.kind in self.wakes_at for one in committed):
            self.woken.set()

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.rest):
                    await self.woken.wait()
            self.woken.clear()
            self.rest = await self.round()

    @abstractmethod
    async def round(self) -> float:
        """Do what is due; return for how many seconds at most there is nothing more to do."""

    def at(self, seconds: float = 0) -> str:
        """Return the stamp of a moment so many seconds from now."""
        return stamp(self.clock.now() + timedelta(seconds=seconds))

    def left(self, at: str | None) -> float:
        """Return how long to rest until then; the wall clock may jump."""
        seconds = (unstamp(at) - self.clock.now()).total_seconds() if at else IDLE_SECONDS
        return min(max(seconds, LEAST_SECONDS), IDLE_SECONDS)


@dataclass(eq=False, kw_only=True)
class Alarm(Rounds):
    """Gives out queued tasks whose ``not_before`` has come; ``accounts`` are those in which something may wait."""

    give_out: Callable[[str], Awaitable[None]]
    accounts: set[str] = field(default_factory=set[str])

    def watch(self, account: str) -> None:
        """Look at an account: something of it may wait for its time."""
        self.accounts.add(account)
        self.woken.set()

    @override
    def look_at(self, committed: Sequence[ports.Committed]) -> None:
        """Watch an account in which something was queued until its time."""
        for one in committed:
            if one.event.body.get("reason") == QueueReason.NOT_BEFORE:
                self.watch(one.account)

    @override
    async def round(self) -> float:
        rest = IDLE_SECONDS
        for account in sorted(self.accounts):
            queued = await self.store.find(account, Task, states=("queued",), limit=_TASKS_MAX)
            waiting = (one for one in queued if one.reason is QueueReason.NOT_BEFORE)
            due = min((one.not_before for one in waiting if one.not_before), default=None)
            if due is None:
                self.accounts.discard(account)
            elif due <= self.at():
                await self.give_out(account)
                rest = LEAST_SECONDS
            else:
                rest = min(rest, self.left(due))
        return rest


@dataclass(eq=False, kw_only=True)
class Sweeper(Rounds):
    """Deletes files of erased conversations and what a crash left: after an erasure, after a start and every hour."""

    wakes_at = frozenset({"thread.erased"})
    blobs: ports.Blobs
    rest: float = limits.SWEEP_AFTER_START_SECONDS

    @override
    async def round(self) -> float:
        try:
            await self.sweep()
        except DeskhandError as error:
            _log.warning("sweep.failed %s", error.code)
            return limits.SWEEP_AFTER_START_SECONDS
        return limits.SWEEP_SECONDS

    async def sweep(self) -> int:
        """Delete what nobody names; return how many files went."""
        before = self.clock.now().timestamp() - limits.UNNAMED_KEPT_SECONDS
        dropped = await self.blobs.drop(but=await self.store.named_blobs(), before=before)
        await self.store.scrub()
        return dropped
