"""What begins at a time: a queued task whose ``not_before`` has come is given out then, by itself.

Goes by the wall clock and looks at it again at least every half minute, because it may jump and a machine may sleep.
It remembers nothing: what waits stands in the log, and giving out is the same transaction as always, so that nothing
begins twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from deskhand.clock import Clock, stamp, unstamp
from deskhand.ports import Committed, Store
from deskhand.protocol.tasks import QueueReason, Task, TaskState

_IDLE_SECONDS = 30.0
_LEAST_SECONDS = 0.05
_TASKS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """The loop that gives out what is due; ``accounts`` are those in which something may wait for its time."""

    store: Store
    clock: Clock
    give_out: Callable[[str], Awaitable[None]]
    accounts: set[str] = field(default_factory=set[str])
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, account: str) -> None:
        """Look at an account: something of it may wait for its time."""
        self.accounts.add(account)
        self.woken.set()

    def look_at(self, committed: Sequence[Committed]) -> None:
        """Watch an account in which something was queued until its time."""
        for one in committed:
            body = one.event.body
            if one.event.kind == "task.queued" and body.get("reason") == QueueReason.NOT_BEFORE:
                self.watch(one.account)

    async def run(self) -> None:
        """Give out until cancelled."""
        while True:
            self.woken.clear()
            seconds = _IDLE_SECONDS
            for account in sorted(self.accounts):
                due = await self._due(account)
                if due is None:
                    self.accounts.discard(account)
                elif due <= stamp(self.clock.now()):
                    await self.give_out(account)
                    seconds = _LEAST_SECONDS
                else:
                    left = (unstamp(due) - self.clock.now()).total_seconds()
                    seconds = min(seconds, max(left, _LEAST_SECONDS))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.woken.wait()

    async def _due(self, account: str) -> str | None:
        """Return when the first task of an account may begin that waits for its time."""
        queued = await self.store.find(account, Task, states=[TaskState.QUEUED], limit=_TASKS_MAX)
        waiting = (one for one in queued if one.reason is QueueReason.NOT_BEFORE)
        return min((one.not_before for one in waiting if one.not_before), default=None)
