"""How a task moves and ends: what its owner may do, what a runner may say, what its checks come to, who leaves it.

The table of states is law: a move that it does not list is refused. A runner's facts of a lost epoch are kept as
superseded and never become state. Authority fields that a runner sends are overwritten here, not believed; nor are the
agent's own words, where it is told how far a result can be believed. When a computer left or forgot, or the account
went back to a backup, nothing happens a second time: what was open may have been finished since, so it waits for its
owner, and a yes that was given then is void.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deskhand.clock import stamp, unstamp
from deskhand.core.dispatching import brief_of
from deskhand.core.drafting import Decision, Draft, Facts, Wish, decided, draft, known, said_about, setting_of
from deskhand.errors import Code, DeskhandError
from deskhand.protocol import events as ev
from deskhand.protocol import tasks
from deskhand.protocol.objects import Device, Folder, FolderMode, Origin, Runner, Trust, narrowest
from deskhand.protocol.ops import ApprovalDecide, Archive, EventAppend, TaskAccept, TaskEdit
from deskhand.protocol.signing import fingerprint_of, must_sign
from deskhand.protocol.tasks import OPEN, Approval, Check, QueueReason, Task, TaskState, Verdict
from deskhand.protocol.wire import sha256_of
from deskhand.texts import text

_ALL = 1_000_000_000
_OWN = {"op_id", "origin", "trust", "mode", "created_at"}
_AGAIN = tasks.Delegated.model_fields.keys() - _OWN | {"pinned", "criteria_by", "requested_checks"}
"""What a new try of a task has from the old one."""


def handed_on(
    work: tasks.Delegated, *, mode: FolderMode | None, origin: Origin, trust: Trust = Trust.OWNER
) -> dict[str, Any]:
    """Return the terms of work that follows from other work, as somebody else wishes it: its mode, origin and trust.

    The one function for everything that begins work because of other work. It refuses to widen: whatever is wished, the
    narrower of both counts, and never for somebody with more rights than the work itself (RO-04).
    What was begun for a member stays the member's, whoever begins it again.
    """
    kept = work.requester is not None
    return {
        "mode": narrowest(work.mode, mode),
        "origin": work.origin if kept else origin,
        "trust": work.trust if kept else trust,
    }


def edit_task(facts: Facts, wish: Wish, body: TaskEdit) -> Decision:
    """Change title or criteria of a task that has not ended."""
    task = _unfinished(facts, wish)
    return said_about(task, wish, ev.TaskEdited(title=body.title, criteria=body.criteria), to=task.runner)


def cancel_task(facts: Facts, wish: Wish, _: object = None) -> Decision:
    """End a task by its owner's will: the epoch rises, so that its attempt loses the right to speak."""
    task = _unfinished(facts, wish)
    finished = ev.TaskFinished(state=TaskState.CANCELED, changes=task.changes, usage=task.usage, epoch=task.epoch + 1)
    ended = draft(finished, task, actor=wish.principal.id, runner=task.runner)
    return decided(task, *void_waits(task), ended, *_return_folder(facts, task))


def pause_task(facts: Facts, wish: Wish, _: object = None) -> Decision:
    """Stop the clock of a task; its place is kept."""
    task = _legal(_unfinished(facts, wish), TaskState.PAUSED)
    return said_about(task, wish, ev.TaskPaused(), to=task.runner)


def resume_task(facts: Facts, wish: Wish, _: object = None) -> Decision:
    """Let a paused task, or one that waited for a model, go on."""
    task = _unfinished(facts, wish)
    if task.state is not TaskState.PAUSED and task.reason is not QueueReason.NO_MODEL:
        raise DeskhandError(Code.ILLEGAL_STATE, f"the task is {task.state}")
    return said_about(task, wish, ev.TaskResumed())


def retry_task(facts: Facts, wish: Wish, _: object = None) -> Decision:
    """Make a new task of a finished one, linked by ``retry_of``."""
    old = known(facts, Task, wish.task)
    if not old.final:
        raise DeskhandError(Code.ILLEGAL_STATE, f"the task is {old.state}")
    folder = facts.get(Folder, old.folder) if old.folder else None
    if folder is not None and folder.state == "removed":
        raise DeskhandError(Code.FOLDER_UNKNOWN, folder.root, field="folder")
    here = Origin(surface=wish.surface, device=wish.principal.id)
    fresh = Task(
        **{name: getattr(old, name) for name in _AGAIN},
        **handed_on(old, mode=folder.mode if folder else None, origin=here),
        id=wish.ids.new("tsk"),
        state=TaskState.QUEUED,
        runner=old.runner if old.pinned else None,
        retry_of=old.id,
        created_by=wish.principal.id,
        created_at=facts.now,
    )
    return said_about(fresh, wish, ev.TaskCreated(task=fresh))


def archive_task(facts: Facts, wish: Wish, body: Archive) -> Decision:
    """Put a task away, or take it out again."""
    return said_about(known(facts, Task, wish.task), wish, ev.TaskArchived(archived=body.archived))


def decide_approval(facts: Facts, wish: Wish, body: ApprovalDecide) -> Decision:
    """Record the first decision about exactly the action that was shown.

    Raises:
        DeskhandError: ``not_found``, ``already_decided`` (with who and when), ``action_changed``, ``invalid``.
    """
    approval = known(facts, Approval, body.approval)
    if approval.state != "open":
        who = f"{approval.state}, {approval.decided_by or ev.HUB}, {approval.decided_at or ''}"
        raise DeskhandError(Code.ALREADY_DECIDED, who)
    if body.action_sha256 != approval.action_sha256:
        raise DeskhandError(Code.ACTION_CHANGED, field="action_sha256")
    if body.scope not in approval.scopes:
        raise DeskhandError(Code.INVALID, f"scope: {body.scope}", field="scope")
    _signed_if_needed(facts, approval, body)
    me = wish.principal.id
    said = ev.ApprovalDecided.from_json({**body.to_json(), "device": me})
    told = draft(said, approval, actor=me, runner=approval.runner)
    return Decision(drafts=(told,), id=approval.id, task=approval.task)


def _signed_if_needed(facts: Facts, approval: Approval, body: ApprovalDecide) -> None:
    """Refuse a yes that its computer would not take, so that the approval stays open; the computer looks itself."""
    runner = facts.get(Runner, approval.runner)
    if runner is None or body.decision == "deny":
        return
    trusted = body.signature and fingerprint_of(body.key or "") in runner.trusted
    if must_sign(approval.risk, body.scope, runner.hub_trust) and not trusted:
        raise DeskhandError(Code.SIGNATURE_NEEDED, runner.name, field="signature")


def accept_task(facts: Facts, wish: Wish, body: TaskAccept) -> Decision:
    """Note that the runner has the brief; again is nothing.

    Raises:
        DeskhandError: ``not_found``, ``stale_epoch``.
    """
    task = _leased(facts, wish)
    if task.final or body.epoch != task.epoch:
        raise DeskhandError(Code.STALE_EPOCH, task.id)
    return decided(task) if task.accepted_at else said_about(task, wish, ev.TaskAccepted(epoch=body.epoch))


def append_event(facts: Facts, wish: Wish, body: EventAppend) -> Decision:
    """Take a runner's fact about its task into the log.

    Raises:
        DeskhandError: ``forbidden`` for a kind that is not a runner's; ``not_found``; ``illegal_state``; ``invalid``.
    """
    if body.kind not in ev.RUNNER_KINDS:
        raise DeskhandError(Code.FORBIDDEN, body.kind, field="kind")
    task, me = _leased(facts, wish), wish.principal.id
    said = _dated(ev.EVENTS[body.kind].from_json(body.body), task, now=facts.now)
    epoch = getattr(said, "epoch", None)
    if not isinstance(epoch, int):
        raise DeskhandError(Code.INVALID, "epoch", field="epoch")
    if _last_word(task, said, epoch):
        return said_about(task, wish, _stamped(said, task, me))
    if task.final or epoch != task.epoch:
        return said_about(task, wish, ev.Superseded(kind=body.kind, epoch=epoch, body=body.body))
    target = _target_state(said)
    before = _on_the_way(task, target)
    if target not in (None, task.state) and not before:
        _legal(task, target)
    # The runner hears of the resume too: it may have stopped, and would wait for one that nobody has to give.
    drafts = [
        draft(one, task, actor=me, runner=me if isinstance(one, ev.TaskResumed) else None)
        for one in (*before, _stamped(said, task, me))
    ]
    if isinstance(said, ev.TaskFinished):
        if said.verdict not in tasks.VERDICTS.get(said.state, frozenset()):
            raise DeskhandError(Code.INVALID, f"{said.state} with {said.verdict}", field="verdict")
        drafts = [*void_waits(task), *drafts, *_return_folder(facts, task)]
    return decided(task, *drafts)


def _dated(said: ev.Body, task: Task, *, now: str) -> ev.Body:
    """Keep when it happened, which may be long ago: never before the task was accepted, never in the future.

    The log's own time stays beside it and alone orders; a computer with a wrong clock cannot say more than this.
    """
    at = getattr(said, "happened_at", None)
    if at is None:
        return said
    moment = now
    with suppress(ValueError, OverflowError):
        moment = stamp(unstamp(at))
    return said.but(happened_at=min(max(moment, task.accepted_at or task.created_at), now))


def _stamped(said: ev.Body, task: Task, me: str) -> ev.Body:
    """Overwrite every field by which a runner could claim more than it is."""
    origin = Origin(surface="agent", device=me)
    asked = {"task": task.id, "thread": task.thread, "state": "open"}
    match said:
        case ev.MessagePosted():
            meant = said.meant if said.meant == "answer" else "say"
            return said.but(role="agent", origin=origin, trust=Trust.UNTRUSTED, meant=meant)
        case ev.ApprovalRequested(approval=approval):
            if sha256_of(approval.action.to_json()) != approval.action_sha256:
                raise DeskhandError(Code.INVALID, "action_sha256", field="action_sha256")
            return said.but(approval=approval.but(**asked, runner=me, epoch=task.epoch))
        case ev.QuestionAsked(question=question):
            return said.but(question=question.but(**asked, tasks=()))
        case ev.ArtifactCreated(artifact=artifact):
            return said.but(artifact=artifact.but(task=task.id, runner=me, origin=origin, trust=Trust.UNTRUSTED))
        case _:
            return said


def _target_state(said: ev.Body) -> TaskState | None:
    match said:
        case ev.TaskMoved(state=state) | ev.TaskFinished(state=state):
            return state
        case ev.ApprovalRequested() | ev.QuestionAsked():
            return TaskState.INPUT_REQUIRED
        case _:
            return None


def _last_word(task: Task, said: ev.Body, epoch: int) -> bool:
    """Whether the attempt that ended says what it leaves in doubt or heard too late: words, never state."""
    its = task.epoch - 1 if task.state is TaskState.CANCELED else task.epoch
    return task.final and epoch == its and isinstance(said, ev.MessagePosted)


def _on_the_way(task: Task, target: TaskState | None) -> list[ev.Body]:
    """Return the moves that the attempt passed and did not say, so that the table of states holds.

    It went on before it heard of a pause, or of its end; and after a pause while it looked at its result it does not
    say twice that it looks.
    """
    moves: list[ev.Body] = []
    if target and task.state in (TaskState.PAUSED, TaskState.QUEUED):
        moves = [ev.TaskResumed(), ev.TaskMoved(epoch=task.epoch, state=TaskState.WORKING)]
    if target is TaskState.COMPLETED and (moves or task.state is TaskState.WORKING):
        moves.append(ev.TaskMoved(epoch=task.epoch, state=TaskState.VERIFYING))
    return moves


def void_waits(task: Task, *, reason: str = "task_ended") -> tuple[Draft, ...]:
    """Close what the task still waits for: nobody needs to decide it any more."""
    bodies: list[ev.Body] = []
    for waiting in task.waiting_for:
        if waiting.kind == "approval":
            bodies.append(ev.ApprovalVoided(approval=waiting.id, epoch=task.epoch, reason=reason))
        elif waiting.kind == "question":
            bodies.append(ev.QuestionVoided(question=waiting.id, epoch=task.epoch))
    return tuple(draft(body, task) for body in bodies)


def _return_folder(facts: Facts, task: Task) -> tuple[Draft, ...]:
    """A folder that was granted for this task alone is nobody's any more."""
    folder = facts.get(Folder, task.folder) if task.folder else None
    if folder is None or not folder.once or folder.state == "removed":
        return ()
    return (Draft(body=ev.FolderRemoved(folder=folder.id), actor=ev.HUB, runner=folder.runner),)


def _unfinished(facts: Facts, wish: Wish) -> Task:
    task = known(facts, Task, wish.task)
    if task.final:
        raise DeskhandError(Code.ILLEGAL_STATE, f"the task is {task.state}")
    return task


def _legal(task: Task, target: TaskState) -> Task:
    if target not in tasks.MOVES[task.state]:
        raise DeskhandError(Code.ILLEGAL_STATE, f"{task.state} → {target}")
    return task


def _leased(facts: Facts, wish: Wish) -> Task:
    task = known(facts, Task, wish.task)
    if task.runner != wish.principal.id:
        raise DeskhandError(Code.NOT_FOUND, task.id, field="task")
    return task


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ends. ``failed`` names the checks that did not pass."""

    state: TaskState
    verdict: Verdict
    failed: tuple[str, ...] = ()


def verdict_of(checks: Sequence[Check], *, unknown_effects: int = 0) -> Outcome:
    """Return how a task ends whose agent says that it is done.

    ``verified`` needs a check that *we* ran and every check passed; a verifier's yes alone, or no check at all, is
    ``unverified``.

    Args:
        checks: what was looked at, in the last try.
        unknown_effects: how many effects may or may not have happened; with one, nobody can call it verified.
    """
    failed = tuple(check.name for check in checks if not check.passed)
    if failed:
        return Outcome(state=TaskState.FAILED, verdict=Verdict.NOT_DONE, failed=failed)
    believed = any(check.ran_by == "runner" for check in checks) and not unknown_effects
    return Outcome(state=TaskState.COMPLETED, verdict=Verdict.VERIFIED if believed else Verdict.UNVERIFIED)


def after_restore(
    facts: Facts, wish: Wish, *, backup_at: str, revoked: Collection[str] | None, kept: str | None
) -> list[Draft]:
    """Return what follows from going back.

    Args:
        facts: the account as it was when the backup was made.
        wish: the hub itself.
        backup_at: when that was.
        revoked: devices that lost their rights since; ``None`` where nobody knows, then all lose them.
        kept: the one device that stays where all others go: this computer.
    """
    active = [device.id for device in facts.find(Device, states=["active"], limit=_ALL)]
    ended = [name for name in active if (name in revoked if revoked is not None else name != kept)]
    language = setting_of(facts, "language")
    said = text("restore.look", language=language, at=f"{backup_at[:16].replace('T', ' ')} UTC")
    drafts = [Draft(body=ev.DeviceRevoked(device=name), actor=ev.HUB) for name in ended]
    for name in ended:
        drafts += leave_computer(facts, wish, name, because=text("restore.gone", language=language))
    left = {one.task for one in drafts if isinstance(one.body, ev.TaskFinished)}
    still_open = [one for one in facts.find(Task, states=OPEN, limit=_ALL) if one.id not in left]
    for task in still_open:
        drafts += _stopped(task, said, wish)
    restored = ev.LogRestored(backup_at=backup_at, devices_ended=len(ended), tasks_paused=len(still_open))
    return [Draft(body=restored, actor=ev.HUB), *drafts]


def leave_computer(facts: Facts, wish: Wish, runner: str, *, because: str) -> tuple[Draft, ...]:
    """Take its tasks and folders from a computer that will not come back.

    A movable task that it never accepted goes to another one. What was accepted may have had effects that nobody
    heard of: it ends as not done and is not begun again silently (R4).
    """
    drafts, me = list[Draft](), wish.principal.id
    for task in facts.find(Task, states=OPEN, limit=10_000):
        if task.runner != runner:
            continue
        if task.pinned or task.accepted_at:
            finished = ev.TaskFinished(
                state=TaskState.FAILED,
                verdict=Verdict.NOT_DONE,
                not_done_because=(because,),
                changes=task.changes,
                usage=task.usage,
                epoch=task.epoch + 1,
            )
            resumed = (ev.TaskResumed(),) if task.state is TaskState.PAUSED else ()
            drafts += void_waits(task)
            drafts += [draft(body, task, actor=me) for body in (*resumed, finished)]
        elif task.state not in (TaskState.QUEUED, TaskState.PAUSED):
            drafts.append(draft(ev.TaskQueued(), task, actor=me))
    for folder in facts.find(Folder, states=["granted"], limit=10_000):
        if folder.runner == runner:
            drafts.append(Draft(body=ev.FolderRemoved(folder=folder.id), actor=me))
    return tuple(drafts)


def begin_anew(facts: Facts, wish: Wish, runner: str, *, because: str) -> list[Draft]:
    """Take its tasks from the former life of a computer whose home was copied, moved or restored.

    What it never accepted had no effect, and is given to it again. The rest may have had effects that this life does
    not know of: it waits for its owner.
    """
    drafts: list[Draft] = []
    for task in facts.find(Task, states=OPEN, limit=_ALL):
        if task.runner != runner or not task.epoch or task.state is TaskState.QUEUED:
            continue
        if task.accepted_at or task.state is TaskState.PAUSED:
            drafts += _stopped(task, because, wish)
        else:
            brief = brief_of(task, task.epoch + 1, ())
            anew = ev.TaskAssigned(runner=runner, epoch=brief.epoch, brief=brief)
            drafts += [draft(anew, task), draft(ev.TaskQueued(), task)]
    return drafts


def _stopped(task: Task, said: str, wish: Wish) -> list[Draft]:
    """Take a task from its attempt and pause it. The new epoch is sent to nobody until its owner lets it go on."""
    bodies: list[ev.Body] = []
    if task.state is TaskState.PAUSED:
        bodies.append(ev.TaskResumed())
    if task.runner and task.epoch:
        epoch = task.epoch + 1
        bodies.append(ev.TaskAssigned(runner=task.runner, epoch=epoch, brief=brief_of(task, epoch, ())))
    message = ev.MessagePosted(
        message=wish.ids.new("msg"), role="system", text=said, origin=Origin(surface="hub"), trust=Trust.OWNER
    )
    bodies += [ev.TaskPaused(), message]
    return [*void_waits(task, reason="restored"), *(draft(body, task) for body in bodies)]
