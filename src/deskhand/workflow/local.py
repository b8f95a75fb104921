"""The journal's workflow: starts every attempt that is ready, as many as fit, fairly between threads.

Readiness is read from the journal each time, never remembered, so a restart needs no other path. It refuses to run
two drivers for one attempt, and to let one attempt's failure touch another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.workflow.journal import Journal
from deskhand.workflow.rows import AttemptKey, AttemptRow

Drive = Callable[[AttemptKey], Awaitable[None]]
"""Takes an attempt as far as it goes now: to its end, or to a wait."""

R = TypeVar("R")
_log = logging.getLogger(__name__)


class LocalWorkflow:
    """Drives attempts of one journal, ``slots`` at once."""

    def __init__(self, *, journal: Journal, drive: Drive, slots: int) -> None:
        self._journal = journal
        self._drive = drive
        self._slots = slots
        self._group = asyncio.TaskGroup()
        self._running: dict[AttemptKey, asyncio.Task[None]] = {}
        self._again: set[AttemptKey] = set()
        self._closing = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Accept work until the block ends, then stop every driver; what they did is in the journal."""
        with _alone():
            async with self._group:
                try:
                    yield
                finally:
                    self._closing = True
                    for running in self._running.values():
                        running.cancel()

    @property
    def under_way(self) -> frozenset[AttemptKey]:
        """Return the attempts that are being driven now."""
        return frozenset(self._running)

    async def advance_ready(self) -> None:
        """Go on with every attempt that has what it waited for."""
        if not self._closing:
            ready = self._journal.ready()
            self._again |= {row.key for row in ready} & self._running.keys()
            self._fill([row for row in ready if row.key not in self._running])

    async def halt(self, keys: Sequence[AttemptKey]) -> None:
        """End the drivers of attempts that the journal has stopped already, and wait until they are gone."""
        drivers = [self._running[key] for key in keys if key in self._running]
        for driver in drivers:
            driver.cancel()
        if drivers:
            await asyncio.wait(drivers)

    def _fill(self, waiting: list[AttemptRow]) -> None:
        """Drive them, as many as there are slots: first the oldest of the thread that has the least under way."""
        while waiting and len(self._running) < self._slots:
            load = Counter(driver.get_name() for driver in self._running.values())
            row = min(waiting, key=lambda row: load[row.brief.thread])
            waiting.remove(row)
            driver = self._group.create_task(self._guarded(row.key), name=row.brief.thread)
            self._running[row.key] = driver

    async def _guarded(self, key: AttemptKey) -> None:
        """Drive one attempt; whatever it raises ends this driver only."""
        try:
            await self._drive(key)
        except Exception as error:  # noqa: BLE001 - whatever one attempt does, the others go on
            if not (isinstance(error, DeskhandError) and error.code is Code.STALE_EPOCH):
                _log.exception("attempt.stopped")
        finally:
            del self._running[key]
        repeat = key in self._again
        self._again.discard(key)
        if not self._closing:
            # The same attempt goes on at once only if something came in for it while it was ending.
            ready = [row for row in self._journal.ready() if row.key not in self._running]
            self._fill([row for row in ready if repeat or row.key != key])


async def together(*works: Coroutine[Any, Any, R]) -> list[R]:
    """Return the results in order.

    Raises:
        Exception: the first error of any of them, alone.
    """
    with _alone():
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(work) for work in works]
    return [task.result() for task in running]


@contextmanager
def _alone() -> Generator[None]:
    """Raise the first error of several as itself."""
    try:
        yield
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
