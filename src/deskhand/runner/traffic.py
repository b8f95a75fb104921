"""What goes between a runner and its hub: orders coming in, ops going out, in one life of this home.

Each order is stored with the cursor in one commit, and only then means anything. It refuses to act on what it has not
stored, and to stay when the hub says that this computer is no longer a device of the account.

Ops go oldest first, in batches, as often as it takes, each once; one leaves the outbox when the hub took it or said that
it never will. It refuses to let one bad op hold up the others, to go on with an attempt whose epoch the hub calls stale,
to go on at all when a newer copy of this home is connected, and to go on with what it remembers when the hub knows that
it already said more. Whatever the hub does not answer is tried again with a growing, jittered wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Frame, Link
from deskhand.protocol.events import Event, TaskAssigned
from deskhand.protocol.ops import Op, OpResult
from deskhand.runner.parts import Parts
from deskhand.runner.saying import Voice
from deskhand.workflow.journal import Journal
from deskhand.workflow.local import LocalWorkflow
from deskhand.workflow.rows import AttemptKey, OutboxRow

BACKOFF_SECONDS: Final = (0.2, 0.5, 1, 2)
"""The last one bounds how long after the hub's return a computer may be silent: work goes on within 5 seconds."""
LOST: Final = frozenset({Code.STALE_EPOCH, Code.NOT_FOUND})
"""Answers that say: this attempt is no longer yours."""

_NARROWING: Final = frozenset({"folder.put", "folder.removed", "setting.changed"})

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
        if not error.code.retryable:
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
                if not error.code.retryable:
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


@dataclass(eq=False, kw_only=True)
class Inbox:
    """Takes orders in for one runner, and lets the workflow go on because of them.

    ``halted`` is called when attempts were ended by an order, and nothing of them runs any more; ``heard`` before
    anything is stored.
    """

    parts: Parts
    workflow: LocalWorkflow
    halted: Callable[[], Awaitable[None]]
    heard: Callable[[Event], Awaitable[None]]
    connected: bool = False
    _looked_at: int = 0
    _told_of: int = 0
    _listening: asyncio.Timeout | None = None

    def reopen(self) -> None:
        """Do not believe the line that is open: this computer slept. A dead line would say nothing for long."""
        if self._listening is not None:
            self._listening.reschedule(0)

    async def run(self, greet: Callable[[], Awaitable[None]]) -> None:
        """Listen until cancelled, greeting the hub each time before it is listened to.

        Raises:
            DeskhandError: ``unauthorized``, ``upgrade_required``: waiting would not help.
        """
        backoff, stuck, parts = Backoff(self.parts), False, self.parts
        while True:
            try:
                await greet()
                parts.live.forget()
                after = max(parts.journal.cursor, self._looked_at)
                frames = aiter(parts.link.stream(after=after))
                while (frame := await self._next(frames)) is not None:
                    self.connected = True
                    await self._take(frame)
                    stuck = stuck and frame.kind != "event"
                    if not stuck:  # a disk that takes nothing is not tried without a pause
                        backoff.reset()
            except DeskhandError as error:
                if not error.code.retryable:
                    raise
                stuck = error.code is not Code.HUB_UNREACHABLE
                _log.info("link.lost %s", error.code)
            self.connected = False
            await backoff.wait()

    async def _next(self, frames: AsyncIterator[Frame]) -> Frame | None:
        """Wait for a frame, and for nothing else: what was taken is never broken off in the middle."""
        try:
            async with asyncio.timeout(None) as self._listening:
                return await anext(frames, None)
        except TimeoutError:
            return None
        finally:
            self._listening = None

    async def _take(self, frame: Frame) -> None:
        log = frame.data.get("incarnation", self.parts.journal.log)
        if isinstance(log, str) and (frame.kind == "reset" or log != self.parts.journal.log):
            # A hub that was restored: no order of its may be taken for one that we know by the same number.
            await self.parts.journal.change_log(log)
            self._looked_at = 0
            raise DeskhandError(Code.HUB_UNREACHABLE, "another log")
        if frame.kind == "event" and frame.event is not None:
            await self._order(frame.event)
        elif frame.kind == "watch":
            thread, on = str(frame.data.get("thread")), frame.data.get("on") is True
            self.parts.live.watch(thread, on=on)
        elif frame.kind == "heartbeat" and frame.seq is not None:
            # Not stored: after a restart the same hidden rows are passed over again.
            self._looked_at = max(self._looked_at, frame.seq)

    async def _order(self, event: Event) -> None:
        await self.heard(event)
        self.parts.trust.hear(event)
        try:
            stopped = await self.parts.journal.receive(event)
        except DeskhandError as error:
            await self._tell_of_wait(event, error)
            raise
        if event.kind in _NARROWING:
            await self.parts.offload(self.parts.ceiling.settle)
        if stopped:
            await self.workflow.halt(stopped)
            await self.halted()
        if stopped is not None and event.kind == "message.posted":
            await self._tell_of_end(event)
        if event.kind == "device.revoked" and event.body.get("device") == self.parts.runner:
            raise DeskhandError(Code.UNAUTHORIZED)
        await self.workflow.advance_ready()

    async def _tell_of_end(self, event: Event) -> None:
        """Say that a word came too late, if its attempt is over: nobody is there any more who could hear it."""
        attempt = self.parts.journal.latest(event.task or "")
        if attempt is not None and attempt.status == "finished":
            voice = Voice(self.parts, attempt.brief)
            await self.parts.journal.tell(attempt.key, voice.remarked("attempt.too_late"))

    async def _tell_of_wait(self, event: Event, error: DeskhandError) -> None:
        """Say once in its conversation why a task is not begun; nothing can be stored, so it goes straight out."""
        if event.kind != "task.assigned" or event.seq == self._told_of:
            return
        self._told_of = event.seq
        with suppress(DeskhandError):
            order = TaskAssigned.from_json(event.body)
            voice = Voice(self.parts, order.brief.but(epoch=order.epoch))
            why = error.sentence(self.parts.language)
            await self.parts.link.send([voice.remarked("attempt.waits", why=why)])
