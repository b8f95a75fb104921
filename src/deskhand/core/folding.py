"""State as a fold of the log: which objects an event touches, and what each becomes.

The hub's tables, ``log verify``, tests and the phone (in TypeScript, held equal by ``fixtures/``) all fold like
this. It refuses to judge: what is in the log has happened. Unknown kinds touch nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deskhand.protocol import events as ev
from deskhand.protocol.events import Body, Event, body_of
from deskhand.protocol.objects import (
    Device,
    Folder,
    PairRequest,
    Runner,
    Setting,
    Thread,
    narrower,
)
from deskhand.protocol.tasks import Approval, Artifact, Question, Task, TaskState, Waiting
from deskhand.protocol.wire import Wire

Key = tuple[type[Wire], str]
Folded = Wire | None
_Fold = Callable[[Any, Event, Any], Folded]

COLLECTIONS: dict[type[Wire], str] = {
    Thread: "threads",
    Task: "tasks",
    Approval: "approvals",
    Question: "questions",
    Artifact: "artifacts",
    Device: "devices",
    PairRequest: "pair_requests",
    Runner: "runners",
    Folder: "folders",
    Setting: "settings",
}
"""Every kind of object that is a projection, with the name of its collection."""


def touched(event: Event) -> tuple[Key, ...]:
    """Return the objects that ``fold`` must be called for."""
    body = body_of(event)
    if body is None:
        return ()
    keys: list[Key] = []
    if event.thread and (type(body), Thread) in _FOLDS:
        keys.append((Thread, event.thread))
    if event.task and (type(body), Task) in _FOLDS:
        keys.append((Task, event.task))
    named = _NAMED_IN.get(type(body))
    return (*keys, *named(body)) if named else tuple(keys)


def fold(key: Key, before: Wire | None, event: Event) -> Wire | None:
    """Return what the object is after the event.

    Args:
        key: one of ``touched(event)``.
        before: the object as it was, or ``None``.
        event: the fact.
    """
    body = body_of(event)
    if isinstance(body, ev.RunnerAdvertised) and key[0] is Folder:
        return _folder_advertised(before, next(f for f in body.folders if f.id == key[1]))
    rule = _FOLDS.get((type(body), key[0])) if body is not None else None
    return rule(before, event, body) if rule else before


_NAMED_IN: dict[type[Body], Callable[[Any], tuple[Key, ...]]] = {
    ev.DeviceAdded: lambda body: ((Device, body.device.id),),
    ev.DeviceRevoked: lambda body: ((Device, body.device), (Runner, body.device)),
    ev.PairRequested: lambda body: ((PairRequest, body.request.id),),
    ev.PairDecided: lambda body: ((PairRequest, body.request),),
    ev.RunnerAdvertised: lambda body: (
        (Runner, body.runner.id),
        *((Folder, folder.id) for folder in body.folders),
    ),
    ev.FolderPut: lambda body: ((Folder, body.folder.id),),
    ev.FolderRemoved: lambda body: ((Folder, body.folder),),
    ev.ApprovalRequested: lambda body: ((Approval, body.approval.id),),
    ev.ApprovalDecided: lambda body: ((Approval, body.approval),),
    ev.ApprovalVoided: lambda body: ((Approval, body.approval),),
    ev.QuestionAsked: lambda body: ((Question, body.question.id),),
    ev.QuestionAnswered: lambda body: ((Question, body.question),),
    ev.QuestionVoided: lambda body: ((Question, body.question),),
    ev.ArtifactCreated: lambda body: ((Artifact, body.artifact.id),),
    ev.SettingChanged: lambda body: ((Setting, body.name),),
}
"""The objects that a body itself names, beside the thread and task of its envelope."""


# --- devices, runners, folders, settings -------------------------------------------------------------------------


def _device_added(_: Device | None, __: Event, body: ev.DeviceAdded) -> Device:
    return body.device


def _device_revoked(before: Device | None, event: Event, _: ev.DeviceRevoked) -> Device | None:
    return before and before.but(state="revoked", revoked_at=event.at)


def _runner_revoked(before: Runner | None, _: Event, __: ev.DeviceRevoked) -> Runner | None:
    return before and before.but(state="revoked")


def _pair_requested(_: PairRequest | None, __: Event, body: ev.PairRequested) -> PairRequest:
    return body.request


def _pair_decided(before: PairRequest | None, _: Event, body: ev.PairDecided) -> PairRequest | None:
    return before and before.but(state=body.state)


def _runner_advertised(_: Runner | None, __: Event, body: ev.RunnerAdvertised) -> Runner:
    return body.runner


def _folder_advertised(before: Wire | None, said: Folder) -> Folder:
    """Take what the runner says, but never wider than what the hub had narrowed."""
    if not isinstance(before, Folder):
        return said
    return said.but(state=before.state, mode=narrower(before.mode, said.mode))


def _folder_put(_: Folder | None, __: Event, body: ev.FolderPut) -> Folder:
    return body.folder


def _folder_removed(before: Folder | None, _: Event, __: ev.FolderRemoved) -> Folder | None:
    return before and before.but(state="removed")


def _setting_changed(_: Setting | None, event: Event, body: ev.SettingChanged) -> Setting:
    return Setting.model_construct(
        id=body.name, value=body.value, changed_at=event.at, changed_by=event.actor
    )


# --- threads -----------------------------------------------------------------------------------------------------


def _thread_created(_: Thread | None, event: Event, body: ev.ThreadCreated) -> Thread:
    return Thread(
        id=event.thread or "",
        title=body.title,
        created_at=event.at,
        updated_at=event.at,
        created_by=event.actor,
    )


def _thread_renamed(before: Thread | None, event: Event, body: ev.ThreadRenamed) -> Thread | None:
    return before and before.but(title=body.title, updated_at=event.at)


def _thread_archived(before: Thread | None, event: Event, body: ev.ThreadArchived) -> Thread | None:
    return before and before.but(archived=body.archived, updated_at=event.at)


def _thread_model(before: Thread | None, event: Event, body: ev.ThreadModelSet) -> Thread | None:
    return before and before.but(model=body.model, updated_at=event.at)


def _thread_erased(_: Thread | None, event: Event, __: ev.ThreadErased) -> Thread:
    """Leave a stub of this event alone: who saw the thread and who comes later must agree (R5)."""
    return Thread(
        id=event.thread or "",
        title="",
        state="erased",
        created_at=event.at,
        updated_at=event.at,
        created_by=event.actor,
    )


def _thread_spoken(before: Thread | None, event: Event, body: ev.MessagePosted) -> Thread | None:
    return before and before.but(last_text=body.text[:200], updated_at=event.at)


def _thread_tasked(before: Thread | None, event: Event, body: ev.TaskCreated) -> Thread | None:
    more = before and before.but(tasks=before.tasks + 1, latest_task=body.task.id)
    return more and more.but(updated_at=event.at)


def _thread_result(before: Thread | None, event: Event, _: ev.TaskFinished) -> Thread | None:
    return before and before.but(updated_at=event.at)


# --- tasks -------------------------------------------------------------------------------------------------------


def _task_created(_: Task | None, __: Event, body: ev.TaskCreated) -> Task:
    return body.task


def _task_queued(before: Task | None, _: Event, body: ev.TaskQueued) -> Task | None:
    return before and before.but(state=TaskState.QUEUED, reason=body.reason, now_doing=None)


def _task_suggested(before: Task | None, _: Event, body: ev.TaskSuggested) -> Task | None:
    return before and before.but(suggestions=body.suggestions)


def _suggestion_chosen(before: Task | None, _: Event, body: ev.SuggestionChosen) -> Task | None:
    chosen = body.suggestion
    return before and before.but(
        said=before.text,
        text=chosen.command,
        agent="commands",
        runner=chosen.runner,
        pinned=True,
        folder=chosen.folder,
        mode=body.mode,
        state=TaskState.QUEUED,
        reason=None,
    )


def _task_assigned(before: Task | None, _: Event, body: ev.TaskAssigned) -> Task | None:
    return before and before.but(
        state=TaskState.WORKING, reason=None, runner=body.runner, epoch=body.epoch
    )


def _task_accepted(before: Task | None, event: Event, body: ev.TaskAccepted) -> Task | None:
    at = body.happened_at or event.at
    return before and before.but(
        accepted_at=before.accepted_at or at, started_at=before.started_at or at
    )


def _task_moved(before: Task | None, _: Event, body: ev.TaskMoved) -> Task | None:
    if before is None:
        return None
    tries = before.tries + 1 if body.state is TaskState.VERIFYING else before.tries
    return before.but(state=body.state, reason=body.reason, tries=tries)


def _task_edited(before: Task | None, _: Event, body: ev.TaskEdited) -> Task | None:
    return before and before.but(
        title=before.title if body.title is None else body.title,
        criteria=before.criteria if body.criteria is None else body.criteria,
        criteria_by=before.criteria_by if body.criteria is None else "owner",
    )


def _criteria_restated(before: Task | None, _: Event, body: ev.CriteriaRestated) -> Task | None:
    free = before and (before.criteria_by == "agent" or not (before.criteria_by or before.criteria))
    return before.but(criteria=body.criteria, criteria_by="agent") if before and free else before


def _task_paused(before: Task | None, _: Event, __: ev.TaskPaused) -> Task | None:
    return before and before.but(state=TaskState.PAUSED, now_doing=None)


def _task_resumed(before: Task | None, _: Event, __: ev.TaskResumed) -> Task | None:
    return before and before.but(state=TaskState.QUEUED, reason=None)


def _task_archived(before: Task | None, _: Event, body: ev.TaskArchived) -> Task | None:
    return before and before.but(archived=body.archived)


def _task_finished(before: Task | None, event: Event, body: ev.TaskFinished) -> Task | None:
    return before and before.but(
        state=body.state,
        reason=None,
        verdict=body.verdict,
        summary=body.summary,
        not_done_because=body.not_done_because,
        changes=body.changes,
        usage=body.usage,
        model_used=body.model,
        answer=body.answer,
        epoch=body.epoch,
        waiting_for=(),
        now_doing=None,
        finished_at=body.happened_at or event.at,
    )


def _step_started(before: Task | None, _: Event, body: ev.StepStarted) -> Task | None:
    return before and before.but(now_doing=body.title)


def _step_finished(before: Task | None, _: Event, body: ev.StepFinished) -> Task | None:
    if before is None or body.usage is not None:
        return before and before.but(usage=body.usage)
    return before.but(usage=before.usage.but(steps=max(before.usage.steps, body.step)))


def _plan_updated(before: Task | None, _: Event, body: ev.PlanUpdated) -> Task | None:
    return before and before.but(plan=body.items)


def _check_finished(before: Task | None, _: Event, body: ev.CheckFinished) -> Task | None:
    return before and before.but(checks=(*before.checks, body.check))


def _checks_reset(before: Task | None, _: Event, __: ev.ChecksReset) -> Task | None:
    return before and before.but(checks=())


def _task_artifact(before: Task | None, _: Event, body: ev.ArtifactCreated) -> Task | None:
    if before is None:
        return None
    others = tuple(other for other in before.artifacts if other.path != body.artifact.path)
    return before.but(artifacts=(*others, body.artifact))


def _task_waits(before: Task | None, waiting: Waiting) -> Task | None:
    return before and before.but(
        state=TaskState.INPUT_REQUIRED, waiting_for=(*before.waiting_for, waiting), now_doing=None
    )


def _task_goes_on(before: Task | None, waited: str) -> Task | None:
    if before is None or before.final:
        return before
    left = tuple(waiting for waiting in before.waiting_for if waiting.id != waited)
    paused = before.state is not TaskState.INPUT_REQUIRED
    return before.but(waiting_for=left, state=before.state if left or paused else TaskState.WORKING)


def _task_asks_approval(
    before: Task | None, event: Event, body: ev.ApprovalRequested
) -> Task | None:
    approval = body.approval
    waiting = Waiting(
        kind="approval",
        id=approval.id,
        since=event.at,
        expires_at=approval.expires_at,
        then=approval.then,
    )
    return _task_waits(before, waiting)


def _task_approval_over(
    before: Task | None, _: Event, body: ev.ApprovalDecided | ev.ApprovalVoided
) -> Task | None:
    return _task_goes_on(before, body.approval)


def _task_asks_question(before: Task | None, event: Event, body: ev.QuestionAsked) -> Task | None:
    return _task_waits(before, Waiting(kind="question", id=body.question.id, since=event.at))


def _task_question_over(before: Task | None, _: Event, body: ev.QuestionAnswered) -> Task | None:
    return _task_goes_on(before, body.question)


# --- approvals, questions, artifacts -----------------------------------------------------------------------------


def _approval_requested(_: Approval | None, __: Event, body: ev.ApprovalRequested) -> Approval:
    return body.approval


def _approval_decided(
    before: Approval | None, event: Event, body: ev.ApprovalDecided
) -> Approval | None:
    return before and before.but(
        state="allowed" if body.decision == "allow" else "denied",
        decided_by=event.actor,
        decided_at=event.at,
        scope=body.scope,
        reason=body.reason,
    )


def _approval_voided(before: Approval | None, _: Event, body: ev.ApprovalVoided) -> Approval | None:
    return before and before.but(state="void", reason=body.reason)


def _question_asked(_: Question | None, __: Event, body: ev.QuestionAsked) -> Question:
    return body.question


def _question_answered(
    before: Question | None, event: Event, body: ev.QuestionAnswered
) -> Question | None:
    return before and before.but(
        state="answered", answer=body.answer, answered_by=event.actor, answered_at=event.at
    )


def _question_voided(before: Question | None, _: Event, __: ev.QuestionVoided) -> Question | None:
    return before and before.but(state="void")


def _artifact_created(_: Artifact | None, __: Event, body: ev.ArtifactCreated) -> Artifact:
    return body.artifact


_FOLDS: dict[tuple[type[Body], type[Wire]], _Fold] = {
    (ev.DeviceAdded, Device): _device_added,
    (ev.DeviceRevoked, Device): _device_revoked,
    (ev.DeviceRevoked, Runner): _runner_revoked,
    (ev.PairRequested, PairRequest): _pair_requested,
    (ev.PairDecided, PairRequest): _pair_decided,
    (ev.RunnerAdvertised, Runner): _runner_advertised,
    (ev.FolderPut, Folder): _folder_put,
    (ev.FolderRemoved, Folder): _folder_removed,
    (ev.SettingChanged, Setting): _setting_changed,
    (ev.ThreadCreated, Thread): _thread_created,
    (ev.ThreadRenamed, Thread): _thread_renamed,
    (ev.ThreadArchived, Thread): _thread_archived,
    (ev.ThreadModelSet, Thread): _thread_model,
    (ev.ThreadErased, Thread): _thread_erased,
    (ev.MessagePosted, Thread): _thread_spoken,
    (ev.TaskCreated, Thread): _thread_tasked,
    (ev.TaskFinished, Thread): _thread_result,
    (ev.TaskCreated, Task): _task_created,
    (ev.TaskQueued, Task): _task_queued,
    (ev.TaskSuggested, Task): _task_suggested,
    (ev.SuggestionChosen, Task): _suggestion_chosen,
    (ev.TaskAssigned, Task): _task_assigned,
    (ev.TaskAccepted, Task): _task_accepted,
    (ev.TaskMoved, Task): _task_moved,
    (ev.TaskEdited, Task): _task_edited,
    (ev.CriteriaRestated, Task): _criteria_restated,
    (ev.TaskPaused, Task): _task_paused,
    (ev.TaskResumed, Task): _task_resumed,
    (ev.TaskArchived, Task): _task_archived,
    (ev.TaskFinished, Task): _task_finished,
    (ev.StepStarted, Task): _step_started,
    (ev.StepFinished, Task): _step_finished,
    (ev.PlanUpdated, Task): _plan_updated,
    (ev.CheckFinished, Task): _check_finished,
    (ev.ChecksReset, Task): _checks_reset,
    (ev.ArtifactCreated, Task): _task_artifact,
    (ev.ApprovalRequested, Task): _task_asks_approval,
    (ev.ApprovalDecided, Task): _task_approval_over,
    (ev.ApprovalVoided, Task): _task_approval_over,
    (ev.QuestionAsked, Task): _task_asks_question,
    (ev.QuestionAnswered, Task): _task_question_over,
    (ev.ApprovalRequested, Approval): _approval_requested,
    (ev.ApprovalDecided, Approval): _approval_decided,
    (ev.ApprovalVoided, Approval): _approval_voided,
    (ev.QuestionAsked, Question): _question_asked,
    (ev.QuestionAnswered, Question): _question_answered,
    (ev.QuestionVoided, Question): _question_voided,
    (ev.ArtifactCreated, Artifact): _artifact_created,
}
