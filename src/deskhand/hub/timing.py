"""What the hub does by itself, round after round: give out what may begin, delete what nobody names, see who is there.

Goes by the wall clock and looks at it again at least every half minute, because it may jump and a machine may sleep.
It remembers nothing: what waits stands in the log, and giving out is the same transaction as always, so that nothing
begins twice. It refuses to delete what is so new that its name may still be on the way.

Who is there: how each computer's link stands, and why one that is away is away; told to who looks, at once. A computer
says goodbye before it sleeps, is switched off or ends. One that goes without a word has ended; one that falls silent is
told apart by its system: where that still takes what is sent, only Deskhand stands still. Silence is measured in
monotonic seconds. It refuses to make any of this an event.
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
from deskhand.hub.streaming import Listener, Streams
from deskhand.protocol import objects, wire
from deskhand.protocol.ops import Op, OpResult, PresenceNote, Principal
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


# --- who is there


_SILENT_SECONDS = 25.0
"""Between two and three of the words that a computer says every ten seconds."""
_GONE_SECONDS = 2.0
"""How long a link may be down before it has ended: who only comes over another road is back by then."""
_LOOK_SECONDS = 2.0

Who = tuple[str, str]
"""Account and runner."""


@dataclass(slots=True, kw_only=True)
class _Link:
    """A runner's link to this hub process. ``quiet`` and ``gone`` are monotonic moments, the others wall time."""

    acknowledged: Callable[[], bool]
    quiet: float
    heard_at: str
    written_at: str = ""
    gone: float | None = None
    state: objects.LinkState = "up"
    told: tuple[bool, objects.LinkState] | None = None
    said: bool = False

    @property
    def standing(self) -> tuple[bool, objects.LinkState]:
        """Whether it is connected, and its state, as its row should say; ``told`` is what the row says."""
        return self.gone is None and self.state == "up", self.state


@dataclass(eq=False, kw_only=True)
class Attendance(Rounds):
    """Keeps the rows of presence true; ``moved`` is called for an account in which a computer came or went."""

    moved: Callable[[str], Awaitable[None]]

    def __post_init__(self) -> None:
        """Begin with nobody."""
        self.streams = Streams(self.store, on_presence=self._changed)
        self._links: dict[Who, _Link] = {}
        self._writing = asyncio.Lock()
        self._looked = self.clock.monotonic()

    @override
    async def round(self) -> float:
        """Write down links that came and went, and notice silence."""
        now, before = self.clock.monotonic(), self._looked
        self._looked = now
        for who, link in list(self._links.items()):
            # While this hub stood still itself, it could not hear.
            link.quiet += max(now - before - _LOOK_SECONDS, 0)
            await self._judge(who, link, now)
            if link.told != link.standing:
                await self._tell(who, link)
        return _LOOK_SECONDS

    async def hear(self, speaker: Principal, ops: Sequence[Op], results: Sequence[OpResult]) -> None:
        """Take what a runner sends as a sign of life, what it and its models say, and what a person has read."""
        who = (speaker.account, speaker.id)
        link = self._links.get(who)
        if link is not None:
            link.quiet, link.heard_at = self.clock.monotonic(), self.at()
        for op, result in zip(ops, results, strict=True):
            if op.kind == "presence.note" and result.status == "ok":
                await self._take(who, PresenceNote.from_json(op.body))
            if op.kind == "draft.say" and result.status == "ok":
                self.streams.say(speaker.account, op)
            if op.kind == "read.mark" and result.status == "ok":
                mark = ports.Frame(kind="read", data={"thread": op.thread, "seq": op.body["seq"]})
                self.streams.tell(speaker.account, mark, to=speaker.person)

    async def _take(self, who: Who, said: PresenceNote) -> None:
        link, sleep = self._links.get(who), dict[str, wire.Json]()
        if said.slept_seconds is not None:
            sleep = {"slept_seconds": said.slept_seconds, "woke_at": self.at()}
        if link is not None:
            link.state, link.said = said.state, said.state != "up"
            if sleep or link.told != link.standing:
                await self._tell(who, link, **sleep)
        elif said.state != "up":
            await self._write(who, connected=False, state=said.state, seen_at=self.at())
        elif sleep or ((known := await self._known(who)) and known.connected):
            # Its stream is at another hub, or not open yet: the moment is all there is to say.
            await self._write(who, seen_at=self.at(), **sleep)

    def _changed(self, listener: Listener, streams: int) -> None:
        """Follow the streams of a runner: one was opened, or one ended and so many are left."""
        if listener.reader.role is not objects.Role.RUNNER:
            return
        who, now = (listener.reader.account, listener.reader.id), self.clock.monotonic()
        if listener.ended is None:
            self._links[who] = _Link(acknowledged=listener.acknowledged, quiet=now, heard_at=self.at())
        elif streams == 0 and who in self._links:
            self._links[who].gone = now
        self.woken.set()

    async def _judge(self, who: Who, link: _Link, now: float) -> None:
        """See what became of a link that is down for a while, or silent."""
        if link.gone is not None and now - link.gone > _GONE_SECONDS:
            del self._links[who]
            # An unreachable one has not ended because our side gave up on it at last.
            if not link.said and link.state != "no_network":
                link.state = "stopped"
        elif link.gone is None and link.state == "up" and now - link.quiet > _SILENT_SECONDS:
            known = await self._known(who)
            if known is not None and link.written_at not in {"", known.seen_at}:
                link.quiet, link.written_at = now, known.seen_at  # Another hub heard it.
                return
            link.state = "asleep" if link.acknowledged() else "no_network"

    async def _tell(self, who: Who, link: _Link, **sleep: wire.Json) -> None:
        link.told = connected, state = link.standing
        await self._write(who, connected=connected, state=state, seen_at=link.heard_at, **sleep)

    async def _known(self, who: Who) -> objects.Presence | None:
        return (await self.store.presence(who[0])).get(who[1])

    async def _write(self, who: Who, **said: wire.Json) -> None:
        """Change a row of presence; tell who looks, and what hangs on it."""
        account, runner = who
        new = objects.Presence(runner=runner, connected=False, state="stopped", seen_at=self.at())
        async with self._writing:
            known = await self._known(who)
            after = (known or new).but(**said)
            if who in self._links:
                self._links[who].written_at = after.seen_at
            if after == known:
                return
            await self.store.set_presence(account, after)
        if known is None or after.but(seen_at="") != known.but(seen_at=""):
            self.streams.tell(account, ports.Frame(kind="presence", data=after.to_json()))
        if known is None or after.connected != known.connected:
            await self.moved(account)
