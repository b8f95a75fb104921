"""Who is there: how each computer's link stands, and why one that is away is away; told to who looks, at once.

A computer says goodbye before it sleeps, is switched off or ends. One that goes without a word has ended; one that
falls silent is told apart by its system: where that still takes what is sent, only Deskhand stands still. Silence is
measured in monotonic seconds. It refuses to make any of this an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from typing_extensions import override

from deskhand.hub.streaming import Listener, Streams
from deskhand.hub.timing import Rounds
from deskhand.ports import Frame
from deskhand.protocol import objects, wire
from deskhand.protocol.ops import Op, OpResult, PresenceNote, Principal

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
                mark = Frame(kind="read", data={"thread": op.thread, "seq": op.body["seq"]})
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
            self.streams.tell(account, Frame(kind="presence", data=after.to_json()))
        if known is None or after.connected != known.connected:
            await self.moved(account)
