"""What a runner is given, and what goes between it and its hub: orders in, ops out, in one life of this home.

Each order is stored with the cursor in one commit, and only then means anything. It refuses to act on what it has not
stored, and to stay when the hub says that this computer is no longer a device of the account.

Ops go oldest first, in batches, as often as it takes, each once; one leaves the outbox when the hub took it or said that
it never will. It refuses to let one bad op hold up the others, to go on with an attempt whose epoch the hub calls stale,
to go on at all when a newer copy of this home is connected, and to go on with what it remembers when the hub knows that
it already said more. Whatever the hub does not answer is tried again with a growing, jittered wait.

What a model says just now goes to whoever watches. It is never stored, goes nowhere while nobody watches, and refuses to
keep up at any price: what the hub does not take is left out, because the durable message replaces it.

What is said of an attempt is said by its voice, each fact as an op with an id of its own. A voice sends nothing: ops go
into the journal first, together with what they tell of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, Literal, Protocol, TypeVar

from deskhand.clock import Clock, Ids, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.limits import TASKS_PER_RUNNER, TEXT_CHARS_MAX, TRIES_MAX
from deskhand.ports import Agent, Ask, FolderAccess, Frame, Link, Offload, Sandbox, Tool, ToolCall
from deskhand.protocol import events as ev
from deskhand.protocol import objects, tasks
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.signing import Risk
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Ceiling, Trust
from deskhand.runner.gate import Ruling
from deskhand.secret import mask
from deskhand.texts import text as text_of
from deskhand.tools.undo.keeping import Checkpoints
from deskhand.workflow.journal import Journal, LocalWorkflow
from deskhand.workflow.rows import AttemptKey, OutboxRow

BACKOFF_SECONDS: Final = (0.2, 0.5, 1, 2)
"""The last one bounds how long after the hub's return a computer may be silent: work goes on within 5 seconds."""
GATHER_SECONDS: Final = 0.075
"""Pieces that come within this time go together."""
LOST: Final = frozenset({Code.STALE_EPOCH, Code.NOT_FOUND})
"""Answers that say: this attempt is no longer yours."""

_NARROWING: Final = frozenset({"folder.put", "folder.removed", "setting.changed"})
SUMMARY_CHARS_MAX: Final = 500
_AS_RULED: Final = ("sentence", "action", "action_sha256", "risk", "rule", "why", "pattern", "until")

R = TypeVar("R")
_log = logging.getLogger(__name__)
Lost = Callable[[Sequence[AttemptKey]], Awaitable[None]]
"""Told which attempts the hub no longer takes anything from."""


@dataclass(slots=True)
class _Draft:
    """What one task's model says: ``text`` so far, of which ``sent`` letters went out."""

    brief: tasks.Brief
    text: str = ""
    sent: int = 0
    message: str | None = None


class Live:
    """The drafts of one runner."""

    def __init__(self) -> None:
        """Say nothing until a thread is watched."""
        self.watched: set[str] = set()
        self._drafts: dict[str, _Draft] = {}
        self._woken = asyncio.Event()

    def hear(self, brief: tasks.Brief, piece: str | None) -> None:
        """Take a piece of what a model says; nothing means that it begins anew."""
        draft = self._drafts.setdefault(brief.task, _Draft(brief))
        if piece is None:
            draft.text, draft.sent = "", 0
        else:
            draft.text += piece
            if brief.thread in self.watched:
                self._woken.set()

    def watch(self, thread: str, *, on: bool) -> None:
        """Note that somebody looks at a thread, who has seen nothing yet, or that nobody does any more."""
        (self.watched.add if on else self.watched.discard)(thread)
        for draft in self._drafts.values():
            draft.sent = 0
        self._woken.set()

    def settle(self, task: str) -> str | None:
        """Return under which message the last draft of a task was shown, if it was; it is over."""
        draft = self._drafts.pop(task, None)
        return draft.message if draft else None

    def forget(self) -> None:
        """Take nobody for watching: a hub that is reached anew says who does."""
        self.watched.clear()

    async def run(self, link: Link, *, clock: Clock, ids: Ids) -> None:
        """Send what is new, until cancelled."""
        while True:
            await self._woken.wait()
            await clock.sleep(GATHER_SECONDS)
            self._woken.clear()
            watched = [one for one in self._drafts.values() if one.brief.thread in self.watched]
            ops = [_said(draft, ids) for draft in watched if draft.sent < len(draft.text)]
            if ops:
                with suppress(DeskhandError):
                    await link.send(ops)


class OpenFolder(FolderAccess, Protocol):
    """A folder handle that somebody has to close."""

    def close(self) -> None:
        """Give the handle back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a runner is given: who it is, how it works, and the rim of its world.

    ``open_folder`` opens a handle beneath which everything stays. ``models`` tells what the built-in agent thinks with
    now, and what else a task may name; it is advertised only while there is a model. ``most`` tells this computer's own limit of that name now; 0 is none.
    ``checkpoints`` keep what tasks change; without them nothing is kept.
    """

    runner: str
    name: str
    home: Path
    documents: Path
    link: Link
    journal: Journal
    agents: Mapping[str, Agent]
    tools: Mapping[str, Tool]
    sandbox: Sandbox
    open_folder: Callable[[Path], OpenFolder]
    clock: Clock
    ids: Ids
    offload: Offload
    commands: tuple[objects.CommandInfo, ...] = ()
    models: Callable[[], Awaitable[tuple[objects.ModelInfo | None, tuple[str, ...]]]] | None = None
    live: Live = field(default_factory=Live)
    as_root: bool = False
    slots: int = TASKS_PER_RUNNER
    tries_max: int = TRIES_MAX
    language: str = "en"
    most: Callable[[str], int] = lambda _: 0
    checkpoints: Checkpoints | None = None
    account: str = ""
    hub_trust: Callable[[], Risk] = lambda: "high"

    @property
    def ceiling(self) -> Ceiling:
        """Return what this machine itself allows."""
        return Ceiling(self.home)

    @property
    def trust(self) -> Trust:
        """Return whom this machine itself believes."""
        return Trust(home=self.home, clock=self.clock, level=self.hub_trust, runner=self.runner, account=self.account)


def _said(draft: _Draft, ids: Ids) -> Op:
    draft.message = draft.message or ids.new("msg")
    brief, kind, op_id = draft.brief, "draft.say", ids.new("op")
    body: JsonObject = {"epoch": brief.epoch, "message": draft.message, "offset": draft.sent}
    body["text"] = draft.text[draft.sent : TEXT_CHARS_MAX]
    draft.sent = len(draft.text)
    return Op(op_id=op_id, kind=kind, thread=brief.thread, task=brief.task, body=body)


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
    heard: Callable[[ev.Event], Awaitable[None]]
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

    async def _order(self, event: ev.Event) -> None:
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

    async def _tell_of_end(self, event: ev.Event) -> None:
        """Say that a word came too late, if its attempt is over: nobody is there any more who could hear it."""
        attempt = self.parts.journal.latest(event.task or "")
        if attempt is not None and attempt.status == "finished":
            voice = Voice(self.parts, attempt.brief)
            await self.parts.journal.tell(attempt.key, voice.remarked("attempt.too_late"))

    async def _tell_of_wait(self, event: ev.Event, error: DeskhandError) -> None:
        """Say once in its conversation why a task is not begun; nothing can be stored, so it goes straight out."""
        if event.kind != "task.assigned" or event.seq == self._told_of:
            return
        self._told_of = event.seq
        with suppress(DeskhandError):
            order = ev.TaskAssigned.from_json(event.body)
            voice = Voice(self.parts, order.brief.but(epoch=order.epoch))
            why = error.sentence(self.parts.language)
            await self.parts.link.send([voice.remarked("attempt.waits", why=why)])


def fact(ids: Ids, body: ev.Body, *, thread: str | None = None, task: str | None = None) -> Op:
    """Return the op that appends a fact, with every known secret covered but in what a yes will be bound to."""
    exact = isinstance(body, ev.ApprovalRequested)
    said = body.to_json() if exact else mask(body.to_json())
    return Op(
        op_id=ids.new("op"),
        kind="event.append",
        thread=thread,
        task=task,
        body={"kind": ev.KIND_OF[type(body)], "body": said},
    )


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaks for one attempt of one runner."""

    _parts: Parts
    _brief: tasks.Brief
    at: str | None = None

    @property
    def now(self) -> str:
        """Return the stamp of the moment it speaks of: this one, if none was given."""
        return self.at or stamp(self._parts.clock.now())

    def op(self, kind: type[ev.AttemptBody | ev.MessagePosted], **body: object) -> Op:
        """Return the op that appends a fact of this attempt, which happened now, if not another moment is spoken of."""
        said = kind.from_json({"epoch": self._brief.epoch, "happened_at": self.now} | body)
        return fact(self._parts.ids, said, thread=self._brief.thread, task=self._brief.task)

    def said(
        self,
        text: str,
        *,
        role: Literal["agent", "system"] = "agent",
        message: str | None = None,
        meant: Literal["say", "answer"] = "say",
    ) -> Op:
        """Return: the agent (or this runner itself, as ``system``) said something, already shown as ``message``."""
        return self.op(
            ev.MessagePosted,
            message=message or self._parts.ids.new("msg"),
            role=role,
            text=text[:TEXT_CHARS_MAX],
            meant=meant,
            origin=objects.Origin(surface="agent", device=self._parts.runner),
            trust=objects.Trust.UNTRUSTED,
        )

    def remarked(self, key: str, **values: object) -> Op:
        """Return: this runner itself said a sentence of the catalogue."""
        return self.said(text_of(key, language=self._parts.language, **values), role="system")

    def began(self, step: int, call: ToolCall) -> Op:
        """Return: a step is about to have its effect."""
        title = call.title[:SUMMARY_CHARS_MAX]
        return self.op(ev.StepStarted, step=step, tool=call.tool[:100], title=title)

    def approval(self, ruling: Ruling) -> tasks.Approval:
        """Return a new request for exactly this action, with a nonce of its own."""
        return tasks.Approval(
            id=self._parts.ids.new("apr"),
            task=self._brief.task,
            thread=self._brief.thread,
            runner=self._parts.runner,
            epoch=self._brief.epoch,
            nonce=self._parts.ids.secret(16),
            scopes=("once", "task", "always") if ruling.pattern else ("once", "task"),
            requested_at=self.now,
            **{name: getattr(ruling, name) for name in _AS_RULED},
        )

    def question(self, ask: Ask) -> tasks.Question:
        """Return the agent's question."""
        return tasks.Question(
            id=self._parts.ids.new("qst"),
            task=self._brief.task,
            thread=self._brief.thread,
            text=ask.text[:TEXT_CHARS_MAX],
            choices=ask.choices,
            asked_at=self.now,
        )

    def artifact(self, path: str, *, media_type: str, size: int, sha256: str) -> tasks.Artifact:
        """Return a file result of this attempt."""
        return tasks.Artifact(
            id=self._parts.ids.new("art"),
            task=self._brief.task,
            name=PurePath(path).name,
            media_type=media_type,
            size=size,
            sha256=sha256,
            runner=self._parts.runner,
            path=path,
            origin=objects.Origin(surface="agent", device=self._parts.runner),
            trust=objects.Trust.UNTRUSTED,
            created_at=self.now,
        )
