"""Ops on their way to the hub: oldest first, in batches, as often as it takes, each once, in one life of this home.

An op leaves the outbox when the hub took it or said that it never will. It refuses to let one bad op hold up the
others, to go on with an attempt whose epoch the hub calls stale, to go on at all when a newer copy of this home is
connected, and to go on with what it remembers when the hub knows that it already said more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Link
from deskhand.protocol.ops import Op, OpResult
from deskhand.runner.parts import Parts
from deskhand.workflow.journal import Journal
from deskhand.workflow.rows import AttemptKey, OutboxRow

BACKOFF_SECONDS: Final = (0.2, 0.5, 1, 2)
"""The last one bounds how long after the hub's return a computer may be silent: work goes on within 5 seconds."""
LOST: Final = frozenset({Code.STALE_EPOCH, Code.NOT_FOUND})
"""Answers that say: this attempt is no longer yours."""

R = TypeVar("R")
_log = logging.getLogger(__name__)
Lost = Callable[[Sequence[AttemptKey]], Awaitable[None]]
"""Told which attempts the hub no longer takes anything from."""


class OneLife:
    """A ``Link`` that says in which life of ``journal`` it speaks; ``halt`` ends what a former life held."""

    def __init__(self, link: Link, journal: Journal, *, halt: Lost) -> None:
        self._send = link.send
        self._journal = journal
        self._halt = halt
        self.stream = link.stream
        self.upload_blob = link.upload_blob
        self.download_file = link.download_file

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results, in order.

        Raises:
            DeskhandError: ``runner_replaced``; ``unavailable`` when a new life began just now, and what the link says.
        """
        life = self._journal.life
        results = await self._send([op.but(life=life) for op in ops])
        codes = {result.error.code for result in results if result.error is not None}
        if Code.RUNNER_REPLACED in codes:
            raise DeskhandError(Code.RUNNER_REPLACED)
        if Code.RUNNER_RESTORED in codes:
            if life.incarnation == self._journal.incarnation:
                await self._halt(await self._journal.begin_anew())
            raise DeskhandError(Code.UNAVAILABLE)
        return results


@contextmanager
def passing_over_absence() -> Generator[None]:
    """Take it as no error that the hub is away: what is said here is said again."""
    try:
        yield
    except DeskhandError as error:
        if not error.fault.retryable:
            raise


@dataclass(slots=True)
class Backoff:
    """Tries again what may pass by itself, and how long to wait before the next try, with jitter, so that many runners do not come back at once.

    ``told``: whether the owner knows what is waited for.
    """

    parts: Parts
    failures: int = 0
    told: bool = False

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self.failures, self.told = 0, False

    async def until_done(
        self, work: Callable[[], Awaitable[R]], *, meanwhile: Callable[[DeskhandError], Awaitable[None]]
    ) -> R:
        """Return what ``work`` returns once it does; ``meanwhile`` is called before each wait.

        Raises:
            DeskhandError: what will not pass by itself.
        """
        while True:
            try:
                done = await work()
            except DeskhandError as error:
                if not error.fault.retryable:
                    raise
                await meanwhile(error)
                await self.wait()
            else:
                self.reset()
                return done

    async def wait(self, *, at_least: float = 0.0) -> None:
        """Wait between half and the whole of the present step, and as long as was asked for."""
        step = BACKOFF_SECONDS[min(self.failures, len(BACKOFF_SECONDS) - 1)]
        self.failures += 1
        jitter = 0.5 + int(self.parts.ids.digits(3)) / 2000
        await self.parts.clock.sleep(max(at_least, step * jitter))


class Outbox:
    """Sends what the journal holds."""

    def __init__(self, parts: Parts) -> None:
        self._journal = parts.journal
        self._link = parts.link
        self._backoff = Backoff(parts)
        self._wake = asyncio.Event()
        self._accepted: dict[AttemptKey, asyncio.Event] = {}
        parts.journal.on_outbox = self._wake.set

    async def accepted(self, key: AttemptKey) -> None:
        """Return once the hub has acknowledged that this attempt was accepted."""
        attempt = self._journal.attempt(key)
        if attempt is None or not attempt.accepted:
            await self._accepted.setdefault(key, asyncio.Event()).wait()

    async def run(self, lost: Lost) -> None:
        """Send until cancelled.

        Raises:
            DeskhandError: ``unauthorized`` when this runner may no longer speak at all.
        """
        while True:
            self._wake.clear()
            with passing_over_absence():  # of the hub, or of room on the disk
                if not (rows := self._journal.outbox()):
                    await self._wake.wait()
                    continue
                if await self._send(rows, lost):
                    self._backoff.reset()
                    continue
            await self._backoff.wait()

    async def _send(self, rows: Sequence[OutboxRow], lost: Lost) -> bool:
        """Send one batch; return whether all of it is settled."""
        done: list[OutboxRow] = []
        refused: list[tuple[OutboxRow, str]] = []
        results = await self._link.send([row.op for row in rows])
        for row, result in zip(rows, results, strict=False):
            if result.status != "rejected":
                done.append(row)
            elif result.error is None or not result.error.retryable:
                refused.append((row, result.error.code if result.error else str(Code.INTERNAL)))
        self._journal.acknowledge(done)
        for row in done:
            if row.op.kind == "task.accept" and row.key:
                self._accepted.setdefault(row.key, asyncio.Event()).set()
        if refused:  # kept with its code; an attempt that is no longer ours ends
            for row, code in refused:
                _log.warning("op.refused %s %s", row.op.kind, code)
            stale = sorted({row.key for row, code in refused if row.key and code in LOST})
            await self._journal.refuse(refused, lost=stale)
            await lost(stale)
        return len(done) + len(refused) == len(rows)
