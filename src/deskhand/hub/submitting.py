"""The one way to write: authorise an op, decide it, append what follows, all in one transaction.

An op that was handled before gets its first answer again; the same id with another body is refused. What an op means
is in ``deciding``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from deskhand.core import dispatching
from deskhand.core.context import context_of
from deskhand.core.delivery import announcement
from deskhand.core.drafting import Draft, Wish
from deskhand.core.settings import effective
from deskhand.errors import Code, DeskhandError
from deskhand.hub.deciding import HANDLERS, belongs
from deskhand.hub.delivering import plan
from deskhand.ids import Ids
from deskhand.limits import CONTEXT_MESSAGES_MAX, OPS_PER_BATCH_MAX
from deskhand.ports import Blobs, Store, Tx
from deskhand.protocol import events as ev
from deskhand.protocol import ops
from deskhand.protocol.authority import Principal, authorize
from deskhand.protocol.objects import Setting
from deskhand.protocol.ops import Op, OpResult, failure_of
from deskhand.protocol.tasks import ContextItem, Task

Surface = Literal["page", "cli", "http", "channel"]
_NOT_REMEMBERED = frozenset({"lease.renew", "read.mark"})
"""Idempotent by nature; remembering each would grow a table for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Turns ops into results."""

    store: Store
    blobs: Blobs
    ids: Ids

    async def submit(
        self,
        principal: Principal,
        wishes: Sequence[Op],
        *,
        surface: Surface = "http",
        language: str = "en",
    ) -> list[OpResult]:
        """Handle ops in order; each is atomic, the batch is not. ``disk_full`` and ``unavailable`` end the batch."""
        if len(wishes) > OPS_PER_BATCH_MAX:
            raise DeskhandError(Code.TOO_LARGE, f"{OPS_PER_BATCH_MAX} ops", field="ops")
        async with asyncio.TaskGroup() as group:
            under_way = [
                group.create_task(self._one(principal, op, surface=surface, language=language))
                for op in wishes
            ]
        return [task.result() for task in under_way]

    async def _one(
        self, principal: Principal, op: Op, *, surface: Surface, language: str
    ) -> OpResult:
        wish = Wish(
            principal=principal,
            thread=op.thread,
            task=op.task,
            ids=self.ids,
            surface=surface,
            op_id=op.op_id,
        )
        try:
            return await self.store.write(principal.account, lambda tx: self._handle(tx, wish, op))
        except DeskhandError as error:
            if error.code in {Code.DISK_FULL, Code.UNAVAILABLE}:
                raise
            failure = failure_of(error, language=language)
            return OpResult(op_id=op.op_id, status="rejected", error=failure)

    def _handle(self, tx: Tx, wish: Wish, op: Op) -> OpResult:
        known = tx.op_result(wish.principal.id, op.op_id)
        if known is not None:
            fingerprint, result = known
            if fingerprint != op.fingerprint():
                raise DeskhandError(Code.OP_CONFLICT, op.op_id, field="op_id")
            return result.but(status="duplicate")
        authorize(wish.principal, op.kind, own=belongs(tx, wish.principal, op))
        body = ops.body_of(op)
        if isinstance(body, ops.EventAppend):
            self._refuse_unstored(body)
        decision = HANDLERS[op.kind](tx, wish, body)
        seq = _append(tx, decision.drafts, ids=self.ids)
        result = OpResult(op_id=op.op_id, status="ok", seq=seq, id=decision.id, task=decision.task)
        if op.kind not in _NOT_REMEMBERED:
            tx.remember_op(wish.principal.id, op, result)
        return result

    def _refuse_unstored(self, body: ops.EventAppend) -> None:
        """Blob first, then the event that names it."""
        if body.kind != "artifact.created":
            return
        artifact = ev.ArtifactCreated.from_json(body.body).artifact
        if artifact.state == "stored" and self.blobs.size(artifact.sha256) is None:
            message = "the file's bytes are not stored yet"
            raise DeskhandError(Code.CONFLICT, message, field="sha256")


def _append(tx: Tx, drafts: Sequence[Draft], *, ids: Ids) -> int | None:
    """Emit drafts, then the assignments that follow from them; return the seq of the last draft."""
    seq = None
    for draft in drafts:
        seq = _emit(tx, draft, ids=ids)
    if any(ev.KIND_OF[type(draft.body)] in dispatching.DISPATCHES for draft in drafts):
        dispatch(tx, ids=ids)
    return seq


def dispatch(tx: Tx, *, ids: Ids) -> None:
    """Give queued tasks to computers that are there."""
    drafts = dispatching.dispatch(
        tx,
        connected=frozenset(name for name, link in tx.presence().items() if link.connected),
        per_thread=int(_setting(tx, "tasks_per_thread")),
        context_of=lambda task: _context(tx, task),
    )
    for draft in drafts:
        _emit(tx, draft, ids=ids)


def _emit(tx: Tx, draft: Draft, *, ids: Ids) -> int:
    """Append one event and plan the notification it deserves."""
    event = tx.emit(draft)
    announced = announcement(draft.body, thread=draft.thread, task=draft.task)
    if announced is not None:
        plan(tx, announced, ids=ids, language=_setting(tx, "language"), task=draft.task)
    return event.seq


def _setting(tx: Tx, name: str) -> str:
    """Return a setting of the account, or its default."""
    stored = tx.get(Setting, name)
    return str(effective({name: stored.value} if stored else {}, name))


def _context(tx: Tx, task: Task) -> tuple[ContextItem, ...]:
    newest = tx.context(task.thread, limit=CONTEXT_MESSAGES_MAX * 2)
    return context_of(newest, but_task=task.id)
