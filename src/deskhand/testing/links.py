"""A hub in memory as a runner sees it: the product's own decisions about ops, a stream of orders, and faults on wish.

For tests of the runner. It refuses to have an opinion: what an op may do is decided by ``core`` as in the real hub.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from deskhand.clock import Ids
from deskhand.core import conversation, lifecycle
from deskhand.core.dispatching import brief_of
from deskhand.core.drafting import Decision, Draft, Wish
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Frame
from deskhand.protocol import events as ev
from deskhand.protocol import ops
from deskhand.protocol.events import HUB, Event
from deskhand.protocol.objects import Folder, FolderMode, Origin, Role, Thread, Trust
from deskhand.protocol.ops import Op, OpResult, Principal, failure_of
from deskhand.protocol.tasks import Approval, Budget, FileRef, Question, Task, TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.testing.account import MemoryAccount

RUNNER = "run_laptop"
OWNER = "dev_phone"
_OWNER = Principal(account="acc", id=OWNER, role=Role.OWNER)
_RUNNER = Principal(account="acc", id=RUNNER, role=Role.RUNNER)


@dataclass(slots=True)
class Faults:
    """What goes wrong on the way: a hub that is away, an answer that is lost, a batch that never arrives."""

    away: bool = False
    lose_answers: int = 0
    refuse: dict[str, Code] = field(default_factory=dict[str, Code])


@dataclass(slots=True)
class _Seen:
    """An op that was handled, with its answer."""

    fingerprint: str
    result: OpResult


class MemoryHub:
    """One account, one owner, one runner; the runner's ``Link`` is this object.

    Args:
        ids: makes ids.
    """

    def __init__(self, ids: Ids) -> None:
        """Begin an empty log."""
        self.account = MemoryAccount()
        self.faults = Faults()
        self.renewed: list[tuple[str | None, int]] = []
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.received: list[Op] = []
        self.incarnation = ""
        self._ids = ids
        self._orders: list[Event] = []
        self._seen: dict[str, _Seen] = {}
        self._moved = asyncio.Event()

    # --- the runner's side

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Take ops in, each once.

        Raises:
            DeskhandError: ``hub_unreachable`` while away, or when the answer got lost after all was taken in.
        """
        self._answer_or_not()
        results = [self._take(op) for op in ops]
        if self.faults.lose_answers:
            self.faults.lose_answers -= 1
            raise DeskhandError(Code.HUB_UNREACHABLE)
        return results

    async def stream(self, *, after: int) -> AsyncIterator[Frame]:
        """Yield orders after a cursor, as they come.

        Raises:
            DeskhandError: ``hub_unreachable`` while away.
        """
        head = len(self.account.log)
        log: JsonObject = {"incarnation": self.incarnation, "head": head}
        yield Frame(kind="reset" if after > head else "heartbeat", seq=min(after, head), data=log)
        while True:
            self._answer_or_not()
            self._moved.clear()
            for event in [order for order in self._orders if order.seq > after]:
                after = event.seq
                yield Frame(kind="event", seq=event.seq, event=event)
                self._answer_or_not()
            yield Frame(kind="heartbeat", seq=len(self.account.log))
            await self._moved.wait()

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes.

        Raises:
            DeskhandError: ``hub_unreachable``; ``invalid`` when they are not what was announced.
        """
        self._answer_or_not()
        content = b"".join([chunk async for chunk in data])
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise DeskhandError(Code.INVALID, "sha256")
        self.blobs[sha256] = content

    async def download_file(self, file: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a file that came with a message."""
        self._answer_or_not()
        yield self.uploads[file]

    # --- the owner's side

    def assign(  # noqa: PLR0913 - what a message may say, all by name
        self,
        text: str,
        *,
        agent: str,
        thread: str = "thr_1",
        folder: str | None = None,
        mode: FolderMode | None = None,
        checks: tuple[str, ...] = (),
        criteria: tuple[str, ...] = (),
        budget: Budget | None = None,
        files: tuple[FileRef, ...] = (),
        member: str | None = None,
    ) -> str:
        """Delegate a task to the runner at once, for the owner or a member; return its id."""
        now = self.account.now
        origin = Origin(surface="page", device=member or OWNER)
        if self.account.get(Thread, thread) is None:
            self._emit(ev.ThreadCreated(title=thread), thread=thread)
        task = Task(
            id=self._ids.new("tsk"),
            thread=thread,
            title=text[:80],
            text=text,
            state=TaskState.QUEUED,
            runner=RUNNER,
            pinned=True,
            folder=folder,
            mode=mode,
            agent=agent,
            origin=origin,
            trust=Trust.UNTRUSTED if member else Trust.OWNER,
            requested_checks=checks,
            criteria=criteria,
            criteria_by="owner" if criteria else None,
            budget=budget,
            files=files,
            created_by=OWNER,
            created_at=now,
        )
        self._emit(ev.TaskCreated(task=task), thread=thread, task=task.id)
        self.order(task.id, epoch=1)
        return task.id

    def order(self, task: str, *, epoch: int) -> None:
        """Assign a task to the runner under an epoch."""
        known = self.task(task)
        brief = brief_of(known, epoch, ())
        body = ev.TaskAssigned(runner=RUNNER, epoch=epoch, brief=brief)
        self._emit(body, thread=known.thread, task=task, to_runner=True)

    def decide(self, approval: Approval, decision: str, *, scope: str = "once") -> None:
        """Say yes or no to exactly what was shown."""
        body = ops.ApprovalDecide.from_json(
            {"approval": approval.id, "decision": decision, "scope": scope, "action_sha256": approval.action_sha256}
        )
        self._decided(lifecycle.decide_approval(self.account, self._wish(_OWNER), body))

    def answer(self, question: str, answer: str) -> None:
        """Answer an open question."""
        body = ops.QuestionAnswer(question=question, answer=answer)
        self._decided(conversation.answer_question(self.account, self._wish(_OWNER), body))

    def cancel(self, task: str) -> None:
        """End a task by its owner's will."""
        self._decided(lifecycle.cancel_task(self.account, self._wish(_OWNER, task)))

    def pause(self, task: str) -> None:
        """Stop the clock of a task."""
        self._decided(lifecycle.pause_task(self.account, self._wish(_OWNER, task)))

    def resume(self, task: str) -> None:
        """Let a paused task go on: queued, and assigned again under its epoch."""
        self._decided(lifecycle.resume_task(self.account, self._wish(_OWNER, task)))
        self.order(task, epoch=self.task(task).epoch)

    def steer(self, task: str, text: str) -> None:
        """Say something to a task that is under way."""
        body = ev.MessagePosted(
            message=self._ids.new("msg"),
            role="user",
            text=text,
            origin=Origin(surface="page", device=OWNER),
            trust=Trust.OWNER,
            meant="steer",
        )
        self._emit(body, thread=self.task(task).thread, task=task, to_runner=True)

    def edit(self, task: str, *criteria: str) -> None:
        """Say anew what the result must fulfil."""
        body = ops.TaskEdit(criteria=criteria)
        self._decided(lifecycle.edit_task(self.account, self._wish(_OWNER, task), body))

    def narrow(self, folder: Folder) -> None:
        """Tell the runner how far the account narrows a folder."""
        self._emit(ev.FolderPut(folder=folder), to_runner=True)

    def tell(self, body: ev.Body, *, task: str | None = None) -> None:
        """Give the runner any order at all, also one that no honest hub would give."""
        self._emit(body, task=task, to_runner=True)

    def task(self, name: str) -> Task:
        """Return a task as everybody sees it now."""
        found = self.account.get(Task, name)
        if found is None:
            raise DeskhandError(Code.NOT_FOUND, name)
        return found

    def approvals(self, state: str = "open") -> list[Approval]:
        """Return approvals in a state, oldest first."""
        return self.account.find(Approval, states=[state])

    def questions(self) -> list[Question]:
        """Return open questions."""
        return self.account.find(Question, states=["open"])

    def kinds(self, task: str) -> list[str]:
        """Return the kinds of the task's events, in order."""
        return [event.kind for event in self.account.log if event.task == task]

    # --- inside

    def _take(self, op: Op) -> OpResult:
        before = self._seen.get(op.op_id)
        if before is not None:
            same = before.fingerprint == op.fingerprint()
            status = "duplicate" if same and before.result.status == "ok" else "rejected"
            return before.result.but(status=status)
        self.received.append(op)
        try:
            self._handle(op)
            result = OpResult(op_id=op.op_id, status="ok")
        except DeskhandError as error:
            result = OpResult(op_id=op.op_id, status="rejected", error=failure_of(error))
        self._seen[op.op_id] = _Seen(op.fingerprint(), result)
        return result

    def _handle(self, op: Op) -> None:
        inner = str(op.body.get("kind", op.kind))
        if inner in self.faults.refuse:
            raise DeskhandError(self.faults.refuse[inner])
        wish = self._wish(_RUNNER, op.task)
        body = ops.body_of(op)
        if isinstance(body, ops.TaskAccept):
            self._decided(lifecycle.accept_task(self.account, wish, body))
        elif isinstance(body, ops.LeaseRenew):
            self.renewed.append((op.task, body.epoch))
        elif isinstance(body, ops.EventAppend) and body.kind == "runner.advertised":
            self._emit(ev.RunnerAdvertised.from_json(body.body))
        elif isinstance(body, ops.EventAppend):
            self._blob_first(body)
            self._decided(lifecycle.append_event(self.account, wish, body))

    def _blob_first(self, body: ops.EventAppend) -> None:
        if body.kind == "artifact.created":
            said = ev.ArtifactCreated.from_json(body.body)
            if said.artifact.sha256 not in self.blobs:
                raise DeskhandError(Code.INVALID, "no such blob")

    def _decided(self, decision: Decision) -> None:
        for draft in decision.drafts:
            self._append(draft)

    def _emit(
        self, body: ev.Body, *, thread: str | None = None, task: str | None = None, to_runner: bool = False
    ) -> None:
        runner = RUNNER if to_runner else None
        self._append(Draft(body=body, actor=HUB, thread=thread, task=task, runner=runner))

    def _append(self, draft: Draft) -> None:
        event = self.account.emit(draft)
        if draft.runner == RUNNER:
            self._orders.append(event)
            self._moved.set()

    def _wish(self, principal: Principal, task: str | None = None) -> Wish:
        return Wish(principal=principal, thread=None, task=task, ids=self._ids)

    def _answer_or_not(self) -> None:
        if self.faults.away:
            raise DeskhandError(Code.HUB_UNREACHABLE)
