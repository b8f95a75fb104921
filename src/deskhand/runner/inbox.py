"""Orders coming in: each is stored with the cursor in one commit, and only then means anything.

Reconnects with a growing, jittered wait. It refuses to act on what it has not stored, and to stay when the hub says
that this computer is no longer a device of the account.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Frame
from deskhand.protocol.events import Event, TaskAssigned
from deskhand.runner.outbox import Backoff
from deskhand.runner.parts import Parts
from deskhand.runner.saying import Voice
from deskhand.workflow.local import LocalWorkflow

_NARROWING = frozenset({"folder.put", "folder.removed", "setting.changed"})
_log = logging.getLogger(__name__)


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
                if not error.fault.retryable:
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
