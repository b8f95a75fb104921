"""Fan-out: committed events to everybody who listens, in log order, from the writer's after-commit hook.

A listener that does not keep up is cut, not buffered; it resumes from its cursor. This module never reads the store in
the hook, and never holds more than ``STREAM_BUFFER_EVENTS`` for anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from deskhand import limits
from deskhand.errors import Code, DeskhandError
from deskhand.ports import SHARED, Committed, Frame
from deskhand.protocol.objects import Thread
from deskhand.protocol.ops import DraftSay, Op, Principal, Role
from deskhand.protocol.wire import JsonObject
from deskhand.store.opening import SqlStore

ENDING_DRAFTS = {"message.posted", "question.asked", "step.started", "task.moved", "task.finished"}
"""Facts of a task in whose place its draft stood: whoever shows one forgets it with these, but for a person's word."""
_WATCHING = {Role.OWNER, Role.MEMBER, Role.VIEWER}


@dataclass(eq=False, slots=True)
class Listener:
    """One open stream: its reader, what waits for it, and why it must end.

    ``live`` is the thread whose drafts it shows; ``acknowledged`` tells whether the other side's system took all that
    was sent. A page keeps its stream (its ``screen``) only while it is visible.
    """

    reader: Principal
    live: str | None = None
    waiting: deque[Frame] = field(default_factory=deque[Frame])
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    head: int = 0
    ended: str | None = None
    acknowledged: Callable[[], bool] = field(default=lambda: True)
    screen: bool = False

    def offer(self, committed: Committed) -> None:
        """Take an event that was committed, or be cut; who was cut gets nothing more, or misses the one between."""
        if self.ended is None:
            event, self.head = committed.event, committed.event.seq
            if committed.seen_by(self.reader) and not self.hint(Frame(kind="event", seq=event.seq, event=event)):
                self.end("slow")
            if event.kind == SHARED and event.thread == self.live:
                self.end("moved")  # whether it may go on watching is asked when it comes again

    def hint(self, frame: Frame) -> bool:
        """Send what is no event; who does not keep up misses it. Return whether it was sent."""
        fits = len(self.waiting) < limits.STREAM_BUFFER_EVENTS
        if fits:
            self.put(frame)
        return fits

    def put(self, frame: Frame) -> None:
        """Send this next. Only what is sent wakes: what a reader may not see must not keep heartbeats from it."""
        self.waiting.append(frame)
        self.woken.set()

    def end(self, why: str) -> None:
        """Stop after what was already sent."""
        self.ended = self.ended or why
        self.woken.set()


class Streams:
    """All open streams of a hub; ``on_presence`` is told which one opened or ended, and how many its reader has now."""

    def __init__(self, store: SqlStore, *, on_presence: Callable[[Listener, int], None]) -> None:
        """Listen to the store."""
        self._store, self._on_presence = store, on_presence
        self._listeners: list[Listener] = []
        self._drafts: dict[tuple[str, str], dict[str, JsonObject]] = {}
        """What models are saying, by account and thread that somebody watches, then by message."""
        store.on_commit(self._fan_out)

    def close(self) -> None:
        """End all streams, because the hub stops."""
        for listener in self._listeners:
            listener.end("closing")

    def say_bye(self, reason: str) -> None:
        """Tell everybody that the hub will not be heard for a while, and why."""
        for listener in self._listeners:
            listener.put(Frame(kind="bye", data={"reason": reason}))

    def screens(self, account: str) -> list[Listener]:
        """Return the pages that somebody has before them; one whose network is gone seems to be there for a while."""
        near = (one for one in self._listeners if one.reader.account == account and one.screen)
        return [one for one in near if one.ended is None]

    def tell(self, account: str, frame: Frame, *, live: str | None = None, to: str | None = None) -> None:
        """Send what is no event to everybody who looks at the account, at one live thread of it, or is this person."""
        for one in self._listeners:
            person = one.reader.role is not Role.RUNNER and to in {None, one.reader.person}
            if one.reader.account == account and person and live in {None, one.live}:
                one.hint(frame)

    def say(self, account: str, op: Op) -> None:
        """Hand what a model says just now to everybody who watches its thread, and hold it for who comes."""
        drafts = self._drafts.get((account, op.thread or ""))
        if drafts is None:
            return
        said = DraftSay.from_json(op.body)
        about: JsonObject = {"message": said.message, "thread": op.thread, "task": op.task}
        before = str(drafts.get(said.message, {}).get("text", ""))[: said.offset]
        drafts[said.message] = {**about, "text": before + said.text}
        delta = Frame(kind="delta", data={**about, "offset": said.offset, "text": said.text})
        frame = delta if said.offset else Frame(kind="draft", data=drafts[said.message])
        self.tell(account, frame, live=op.thread or "")

    async def stream(
        self,
        principal: Principal,
        *,
        after: int,
        acknowledged: Callable[[], bool] | None = None,
        live: str | None = None,
        screen: bool = False,
    ) -> AsyncGenerator[Frame]:
        """Yield what the principal may see after the cursor, then what comes, with heartbeats in between.

        Ends in ``rate_limited`` with too many streams of one principal, in ``unauthorized`` when revoked.
        """
        seen = live and principal.role in _WATCHING
        watched = await self._store.get(principal.account, Thread, live, reader=principal) if live and seen else None
        listener = Listener(
            reader=principal,
            live=watched.id if watched else None,
            acknowledged=acknowledged or (lambda: True),
            screen=screen,
        )
        self._listen(listener)
        try:
            cursor = after
            async for frame in self._past(listener, after=after):
                cursor = frame.seq or cursor
                yield frame
            async for frame in _present(listener, cursor=cursor):
                yield frame
            if listener.ended == "revoked":
                raise DeskhandError(Code.UNAUTHORIZED)
            if listener.ended == "closing":
                yield Frame(kind="bye", data={"reason": "stopped"})
        finally:
            listener.end("left")
            self._listeners.remove(listener)
            self._watch(listener)
            self._on_presence(listener, len(self._of(listener)))

    async def _past(self, listener: Listener, *, after: int) -> AsyncGenerator[Frame]:
        """Say first which log this is and how long, then what is in it after the cursor."""
        page = await self._store.events(listener.reader, after=after, limit=limits.LIST_LIMIT_MAX)
        log: JsonObject = {"incarnation": page.incarnation, "head": page.head}
        if after > page.head:
            yield Frame(kind="reset", seq=page.head, data=log)
            return
        yield Frame(kind="heartbeat", seq=after, data=log)
        while listener.ended is None:
            for event in page.events:
                yield Frame(kind="event", seq=event.seq, event=event)
            if not page.more:
                break
            after = page.looked_at
            page = await self._store.events(listener.reader, after=after, limit=limits.LIST_LIMIT_MAX)
        yield Frame(kind="heartbeat", seq=page.looked_at)

    def _listen(self, listener: Listener) -> None:
        open_already, account = len(self._of(listener)), listener.reader.account
        if open_already >= limits.STREAMS_PER_PRINCIPAL_MAX:
            raise DeskhandError(Code.RATE_LIMITED, "streams", retry_after_seconds=5)
        self._listeners.append(listener)
        self._on_presence(listener, open_already + 1)
        if listener.reader.role is Role.RUNNER:
            for watched in [thread for owner, thread in self._drafts if owner == account]:
                listener.put(Frame(kind="watch", data={"thread": watched, "on": True}))
        self._watch(listener)
        for draft in self._drafts.get((account, listener.live or ""), {}).values():
            listener.put(Frame(kind="draft", data=draft))

    def _watch(self, changed: Listener) -> None:
        """Tell computers when a thread begins to be watched, or nobody watches it any more."""
        account, thread = changed.reader.account, changed.live
        near = [one for one in self._listeners if one.reader.account == account]
        on = any(one.live == thread for one in near)
        if thread is None or on == ((account, thread) in self._drafts):
            return
        if on:
            self._drafts[account, thread] = {}
        else:
            del self._drafts[account, thread]
        for listener in near:
            if listener.reader.role is Role.RUNNER:
                listener.hint(Frame(kind="watch", data={"thread": thread, "on": on}))

    def _of(self, other: Listener) -> list[Listener]:
        """Return the open streams of the same principal."""
        me = (other.reader.account, other.reader.id)
        return [one for one in self._listeners if (one.reader.account, one.reader.id) == me]

    def _fan_out(self, committed: Sequence[Committed]) -> None:
        for one in committed:
            event = one.event
            if event.kind in ENDING_DRAFTS and event.body.get("role") != "user":
                drafts = self._drafts.get((one.account, event.thread or ""), {})
                for message in [m for m, said in drafts.items() if said["task"] == event.task]:
                    del drafts[message]
            revoked = event.body.get("device") if event.kind == "device.revoked" else None
            for listener in self._listeners:
                if listener.reader.account == one.account:
                    listener.offer(one)
                    if listener.reader.id == revoked:
                        listener.end("revoked")


async def _present(listener: Listener, *, cursor: int) -> AsyncGenerator[Frame]:
    """Yield frames as they come; a heartbeat carries the seq looked at so far, hidden events included."""
    while listener.ended is None:
        listener.woken.clear()
        while listener.waiting:
            frame = listener.waiting.popleft()
            if frame.seq is None or frame.seq > cursor:
                cursor = frame.seq or cursor
                yield frame
        try:
            async with asyncio.timeout(limits.HEARTBEAT_SECONDS):
                await listener.woken.wait()
        except TimeoutError:
            # What came in this very moment goes first: a heartbeat of its number would pass over it.
            if not listener.waiting:
                cursor = max(cursor, listener.head)
                yield Frame(kind="heartbeat", seq=cursor)
