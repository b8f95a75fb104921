"""The one way to write: authorise an op, decide it, append what follows, all in one transaction.

An op that was handled before gets its first answer again; the same id with another body is refused. What an op comes to
is a pure decision of ``core``, with the few rows beside the log that go with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from deskhand.clock import Ids
from deskhand.core import conversation, delivery, dispatching, lifecycle, settings
from deskhand.core.drafting import EVERY_RUNNER, Decision, Draft, Wish, known, setting_of
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import Throttle
from deskhand.hub.delivering import Roads, plan
from deskhand.limits import CONTEXT_MESSAGES_MAX
from deskhand.permissions.evaluate import problem_sentence
from deskhand.permissions.rules import parse
from deskhand.ports import Blobs, W
from deskhand.protocol import events as ev
from deskhand.protocol import objects, ops, tasks
from deskhand.protocol.ops import Op, OpResult, Principal, authorize, failure_of
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore
from deskhand.texts import table, text

Handler = Callable[[SqlTx, Wish, Any], Decision]
_GUESSED = frozenset({Code.ACTION_CHANGED, Code.FORBIDDEN, Code.NOT_FOUND})
"""What a decision comes to that is about no request, somebody else's, or none that was shown."""
Surface = Literal["page", "cli", "http", "channel"]
_NOT_REMEMBERED = frozenset({"draft.say", "lease.renew", "presence.note", "read.mark"})
"""Idempotent by nature; remembering each would grow a table for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Turns ops into results."""

    store: SqlStore
    blobs: Blobs
    ids: Ids
    guesses: Throttle
    """Counts by device who decides about what is not waiting for it (AP-07)."""
    hear: Callable[[Principal, Sequence[Op], Sequence[OpResult]], Awaitable[None]]
    """Told of whatever a runner sent, which also says that it is there, and of what was read."""
    roads: Roads = tuple

    async def submit(
        self, principal: Principal, wishes: Sequence[Op], *, surface: Surface = "http", language: str = "en"
    ) -> list[OpResult]:
        """Handle ops in order; each is atomic, the batch is not. ``disk_full`` and ``unavailable`` end the batch."""

        async def told(op: Op) -> OpResult:
            try:
                return await self.do(principal, op, surface=surface)
            except DeskhandError as error:
                if error.code in {Code.DISK_FULL, Code.UNAVAILABLE}:
                    raise
                failure = failure_of(error, language=language)
                return OpResult(op_id=op.op_id, status="rejected", error=failure)

        results = await asyncio.gather(*map(told, wishes))
        if principal.role is objects.Role.RUNNER or any(op.kind == "read.mark" for op in wishes):
            await self.hear(principal, wishes, results)
        return results

    async def do(self, principal: Principal, op: Op, *, surface: Surface = "http") -> OpResult:
        """Handle one op; its refusal is raised."""
        wish = Wish(principal=principal, thread=op.thread, task=op.task, ids=self.ids, surface=surface, op_id=op.op_id)
        handle = self._guarded if op.kind == "approval.decide" else self._handle
        return await self.store.write(principal.account, lambda tx: handle(tx, wish, op))

    def _guarded(self, tx: SqlTx, wish: Wish, op: Op) -> OpResult:
        """Handle a decision, unless its device guessed too often: writes follow each other, so no two try at once."""
        self.guesses.check(wish.principal.id)
        try:
            return self._handle(tx, wish, op)
        except DeskhandError as error:
            if error.code in _GUESSED:
                self.guesses.count(wish.principal.id)
            raise

    def _handle(self, tx: SqlTx, wish: Wish, op: Op) -> OpResult:
        known = tx.op_result(wish.principal.id, op.op_id)
        if known is not None:
            fingerprint, result = known
            if fingerprint != op.fingerprint():
                raise DeskhandError(Code.OP_CONFLICT, op.op_id, field="op_id")
            return result.but(status="duplicate")
        device = tx.get(objects.Device, wish.principal.id)
        if device is not None and device.state == "revoked":  # since the request was let in
            raise DeskhandError(Code.UNAUTHORIZED)
        authorize(wish.principal, op.kind, own=_belongs(tx, wish.principal, op))
        _refuse_unseen(tx, wish.principal, op)
        _of_the_present_life(tx, wish.principal, op)
        body = ops.body_of(op)
        self._refuse_unstored(body)
        decision = _HANDLERS[op.kind](tx, wish, body)
        if isinstance(body, ops.TaskAccept | ops.LeaseRenew):
            tx.renew_lease(decision.id or "", runner=wish.principal.id, epoch=body.epoch)
        seqs = [None, *(_emit(tx, draft, ids=self.ids, roads=self.roads) for draft in decision.drafts)]
        if any(ev.KIND_OF[type(one.body)] in dispatching.DISPATCHES for one in decision.drafts):
            dispatch(tx, ids=self.ids, roads=self.roads)
        result = OpResult(op_id=op.op_id, status="ok", seq=seqs[-1], id=decision.id, task=decision.task)
        if op.kind not in _NOT_REMEMBERED and not _advertises(op):
            tx.remember_op(wish.principal.id, op, result)
        return result

    def _refuse_unstored(self, body: object) -> None:
        """Blob first, then the event that names it."""
        if not (isinstance(body, ops.EventAppend) and body.kind == "artifact.created"):
            return
        artifact = ev.ArtifactCreated.from_json(body.body).artifact
        if artifact.state == "stored" and self.blobs.size(artifact.sha256) is None:
            message = "the file's bytes are not stored yet"
            raise DeskhandError(Code.CONFLICT, message, field="sha256")


_ASKED, _TASK = (tasks.Question,), (tasks.Task,)
_NAMES = {"thread": (objects.Thread,), "task": _TASK, "to": _ASKED + _TASK, "question": _ASKED}
"""Under which words an op or its body names what belongs to a conversation."""


def _refuse_unseen(tx: SqlTx, me: Principal, op: Op) -> None:
    """Refuse an op about a conversation that its sender does not see, as if there were none (IS-01).

    An approval is decided by whoever owns the computer, for whomever the work is.
    """
    if me.role is objects.Role.RUNNER or op.kind == "approval.decide":
        return
    for field, kinds in _NAMES.items():
        name = str(getattr(op, field, None) or op.body.get(field) or "")
        for found in [one for kind in kinds if name and (one := tx.get(kind, name))]:
            thread = tx.get(objects.Thread, getattr(found, "thread", name))
            if thread is not None and not me.sees(thread):
                raise DeskhandError(Code.NOT_FOUND, name, field=field)


def _belongs(tx: SqlTx, me: Principal, op: Op) -> bool:
    """Whether what the op is about belongs to the principal; for a runner, whether it is leased to it."""
    if me.role is objects.Role.OWNER:
        return True
    task = tx.get(tasks.Task, op.task) if op.task else None
    if me.role is objects.Role.RUNNER:
        free = op.kind == "task.suggest" and task is not None and not task.runner
        return _advertises(op) or free or (task is not None and task.runner == me.id)
    if op.kind == "device.revoke":
        return op.body.get("device") == me.id
    thread = tx.get(objects.Thread, op.thread or "")
    if op.kind.startswith("thread."):
        return thread is not None and (thread.created_by == me.id or thread.person == me.person)
    named = str(op.body.get("question") or op.body.get("to") or "")
    asked = tx.get(tasks.Question, named)
    about = [one for one in (task, tx.get(tasks.Task, asked.task if asked else named)) if one]
    # A word in a thread that one sees moves nobody else's work.
    mine = all(one.requester == me.requester for one in about)
    return mine and (bool(about) or (op.kind == "message.post" and (not op.thread or thread is not None)))


def _advertises(op: Op) -> bool:
    return op.kind == "event.append" and op.body.get("kind") == "runner.advertised"


def _of_the_present_life(tx: SqlTx, me: Principal, op: Op) -> None:
    """Refuse a runner whose home was copied and lives on elsewhere, and one that forgot what it already said.

    Raises:
        DeskhandError: ``runner_replaced``, ``runner_restored``.
    """
    life, known = op.life, tx.get(objects.Runner, me.id) if me.role is objects.Role.RUNNER else None
    if life is None or known is None or life.incarnation > known.incarnation:
        return
    if life.incarnation < known.incarnation:
        raise DeskhandError(Code.RUNNER_REPLACED)
    if _advertises(op) and tx.spoke(me.id, after=life.said, before=life.born):
        raise DeskhandError(Code.RUNNER_RESTORED)


def dispatch(tx: SqlTx, *, ids: Ids, roads: Roads) -> None:
    """Give queued tasks to computers that are there."""
    now = dispatching.Round(
        tx,
        connected=frozenset(name for name, link in tx.presence().items() if link.connected),
        at_once=int(setting_of(tx, "tasks_per_thread")),
        context_of=lambda task: dispatching.context_of(
            tx.context(task.thread, limit=CONTEXT_MESSAGES_MAX * 2),
            but_task=task.id,
            task_of=lambda name: tx.get(tasks.Task, name),
        ),
        ids=ids,
        language=setting_of(tx, "language"),
    )
    for draft in now.drafts():
        _emit(tx, draft, ids=ids, roads=roads)


def _emit(tx: SqlTx, draft: Draft, *, ids: Ids, roads: Roads) -> int:
    """Append one event and plan the notification it deserves."""
    event = tx.emit(draft)
    announced = delivery.announcement(draft.body, thread=event.thread, task=draft.task)
    if announced is not None:
        plan(tx, announced, ids=ids, roads=roads(), seq=event.seq)
    return event.seq


# --- what each op comes to: ``ops.toml`` ---------------------------------------------------------------------------


def post(tx: SqlTx, wish: Wish, body: ops.MessagePost) -> Decision:
    """Take a message with the files that were uploaded for it."""
    files: list[tasks.FileRef] = []
    for name in body.files:
        upload = tx.upload(name, principal=wish.principal.id)
        if upload is None:
            raise DeskhandError(Code.NOT_FOUND, name, field="files")
        files.append(tasks.FileRef.from_json(upload.to_json()))
    return conversation.post_message(tx, wish, body, files)


def append_event(tx: SqlTx, wish: Wish, body: ops.EventAppend) -> Decision:
    """Append what a runner states; what it says of itself is said in its own name."""
    if body.kind != "runner.advertised":
        return lifecycle.append_event(tx, wish, body)
    said = ev.RunnerAdvertised.from_json(body.body)
    me, device = wish.principal.id, tx.get(objects.Device, wish.principal.id)
    name = said.runner.name or (device.name if device else "")
    runner = said.runner.but(id=me, name=name, advertised_at=tx.now, state="active")
    # A runner speaks of its own folders and new ones, never of another computer's.
    ours = (folder.but(runner=me) for folder in said.folders)
    folders = tuple(one for one in ours if (tx.get(objects.Folder, one.id) or one).runner == me)
    drafts = [Draft(body=ev.RunnerAdvertised(runner=runner, folders=folders), actor=me)]
    known = tx.get(objects.Runner, me)
    if known is not None and known.incarnation < runner.incarnation:
        because = text("attempt.copied", language=setting_of(tx, "language"))
        drafts += lifecycle.begin_anew(tx, wish, me, because=because)
    return Decision(drafts=tuple(drafts), id=me)


def say(tx: SqlTx, wish: Wish, body: ops.DraftSay | ops.LeaseRenew) -> Decision:
    """Hear from a task that is under way, which no event tells."""
    task = known(tx, tasks.Task, wish.task)
    if task.final or task.epoch != body.epoch or wish.thread not in {None, task.thread}:
        raise DeskhandError(Code.STALE_EPOCH, task.id)
    return Decision(id=task.id, task=task.id)


def note_presence(_: SqlTx, wish: Wish, __: ops.PresenceNote) -> Decision:
    """Let a computer say that it is there: who is there is no event."""
    return Decision(id=wish.principal.id)


def mark_read(tx: SqlTx, wish: Wish, body: ops.ReadMark) -> Decision:
    """Note how far its device saw a thread."""
    thread = conversation.open_thread(tx, wish.thread)
    tx.mark_read(wish.principal.id, thread.id, body.seq)
    return Decision(id=thread.id)


def acknowledge(tx: SqlTx, wish: Wish, body: ops.NotificationAck) -> Decision:
    """Note that a device showed a notification, or that it was tapped."""
    tx.acknowledge_delivery(body.delivery, fate=body.fate, device=wish.principal.id)
    return Decision(id=body.delivery)


def _present(tx: SqlTx, kind: type[W], name: str) -> W:
    """Return an object of the account that was not taken out of it."""
    found = known(tx, kind, name)
    if getattr(found, "state", None) in {"revoked", "removed"}:
        raise DeskhandError(Code.NOT_FOUND, name, field=kind.__name__.lower())
    return found


def admit(tx: SqlTx, wish: Wish, body: ops.DeviceAdmit) -> Decision:
    """Record the yes or no; the device gets its credential when it claims with its own secret (``pairing``)."""
    request = tx.get(objects.PairRequest, body.request)
    if request is None:
        raise DeskhandError(Code.NOT_FOUND, body.request, field="request")
    if request.state != "waiting":
        raise DeskhandError(Code.ALREADY_DECIDED, request.state)
    decided = ev.PairDecided(request=request.id, state="admitted" if body.admit else "refused")
    return _decided(wish, decided, request.id)


def revoke(tx: SqlTx, wish: Wish, body: ops.DeviceRevoke) -> Decision:
    """Take token, streams, pushes and leases from a device at once (PA-07)."""
    device = _present(tx, objects.Device, body.device)
    tx.revoke_credentials(device.id)
    because = text("attempt.computer_gone", language=setting_of(tx, "language"))
    left = lifecycle.leave_computer(tx, wish, device.id, because=because)
    revoked = Draft(body=ev.DeviceRevoked(device=device.id), actor=wish.principal.id)
    return Decision(drafts=(*left, revoked), id=device.id)


def certify(tx: SqlTx, wish: Wish, body: ops.DeviceCertify) -> Decision:
    """Pass a device's word for another one on; whether it counts is for each computer to see."""
    device = _present(tx, objects.Device, body.device)
    if body.runner != EVERY_RUNNER:
        known(tx, objects.Runner, body.runner)
    certified = ev.DeviceCertified.from_json(body.to_json())
    return _decided(wish, certified, device.id, runner=body.runner)


def put_folder(tx: SqlTx, wish: Wish, body: ops.FolderPutOp) -> Decision:
    """Say how widely a folder of a computer may be used."""
    folder, before = objects.Folder.from_json(body.to_json()), tx.get(objects.Folder, body.id)
    if _present(tx, objects.Runner, body.runner).id != (before or folder).runner:
        raise DeskhandError(Code.NOT_FOUND, body.runner, field="runner")
    return _decided(wish, ev.FolderPut(folder=folder), folder.id, runner=body.runner)


def remove_folder(tx: SqlTx, wish: Wish, body: ops.FolderRemove) -> Decision:
    """Take a folder away."""
    folder = _present(tx, objects.Folder, body.folder)
    return _decided(wish, ev.FolderRemoved(folder=folder.id), folder.id, runner=folder.runner)


def put_setting(tx: SqlTx, wish: Wish, body: ops.SettingsPut) -> Decision:
    """Change a setting; a ceiling goes down from everywhere, and up only where deskhand is typed."""
    after, stored = settings.checked(body.name, body.value), tx.get(objects.Setting, body.name)
    before = settings.effective({body.name: stored.value} if stored else {}, body.name)
    if body.name == "policy" and (wrong := parse("\n".join(cast("tuple[str, ...]", after)))[1]):
        raise DeskhandError(Code.CONFIG_INVALID, problem_sentence(wrong[0]), field="value")
    if wish.surface == "page" and settings.widens(body.name, before, after):
        said = f"deskhand config set {body.name} {after}".lower()
        raise DeskhandError(Code.FORBIDDEN, said, field="value")
    changed = ev.SettingChanged(name=body.name, value=body.value)
    return _decided(wish, changed, body.name, runner=EVERY_RUNNER)


def _decided(wish: Wish, body: ev.Body, name: str, *, runner: str | None = None) -> Decision:
    """Return one thing that was decided about what lies beside tasks; who asks to join is the owner's matter."""
    audience = "owner" if isinstance(body, ev.PairDecided) else "account"
    draft = Draft(body=body, actor=wish.principal.id, runner=runner, audience=audience)
    return Decision(drafts=(draft,), id=name)


_PLACES = {
    "conversation": vars(conversation),
    "lifecycle": vars(lifecycle),
    "dispatching": vars(dispatching),
    "submitting": globals(),
}
_SAID = table("deskhand.hub", "ops.toml")
_HANDLERS: dict[str, Handler] = {op: _PLACES[place][name] for op, (place, name) in _SAID.items()}
"""By op; a word of the table that means nothing fails where the program starts."""
