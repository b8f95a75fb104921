"""State as a fold of the log: which objects an event touches, and what each becomes.

The hub's tables, ``log verify``, tests and the phone (in TypeScript, held equal by ``fixtures/``) all fold like
this. It refuses to judge: what is in the log has happened. Unknown kinds touch nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from deskhand.protocol import events as ev
from deskhand.protocol.events import Body, Event, body_of
from deskhand.protocol.objects import Device, Folder, PairRequest, Runner, Setting, Thread, narrower
from deskhand.protocol.tasks import Approval, Artifact, Question, Task, TaskState, Waiting
from deskhand.protocol.wire import Wire

Key = tuple[type[Wire], str]
_Value = Callable[[Any, Event, Any], object]
_Rule = Callable[[Any, Event, Any], Mapping[str, object]]
_Pair = tuple[type[Body], type[Wire]]

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
    named = [(kind, _name(kind, event, body)) for kind in _TOUCHED[type(body)]]
    keys = [(kind, name) for kind, name in named if name]
    folders = body.folders if isinstance(body, ev.RunnerAdvertised) else ()
    return (*keys, *((Folder, folder.id) for folder in folders))


def fold(key: Key, before: Wire | None, event: Event) -> Wire | None:
    """Return what the object is after the event.

    Args:
        key: one of ``touched(event)``.
        before: the object as it was, or ``None``.
        event: the fact.
    """
    kind, name = key
    body = body_of(event)
    if body is None:
        return before
    if isinstance(body, ev.RunnerAdvertised) and kind is Folder:
        return _folder_advertised(before, next(one for one in body.folders if one.id == name))
    if (begun := _BEGINS.get((type(body), kind))) is not None:
        return begun(event, body)
    rule = _CHANGES.get((type(body), kind))
    return before.but(**rule(before, event, body)) if before and rule else before


ERASED = ev.KIND_OF[ev.ThreadErased]


def hanging(objects: Mapping[Key, Wire | None], thread: str) -> list[Key]:
    """Return what goes with an erased thread: what names it or one of its tasks, but not its stub."""
    named = {key for key, one in objects.items() if getattr(one, "thread", None) == thread}
    tasks = {name for kind, name in named if kind is Task}
    named |= {key for key, one in objects.items() if getattr(one, "task", None) in tasks}
    return [key for key in named if key[0] is not Thread]


def _name(kind: type[Wire], event: Event, body: Body) -> str | None:
    """Return which object of a kind an event is about."""
    begun = _BEGINS.get((type(body), kind))
    return begun(event, body).id if begun else _NAMED[kind](event, body)


_NAMED: dict[type[Wire], Callable[[Event, Any], str | None]] = {
    Thread: lambda event, _: event.thread,
    Task: lambda event, _: event.task,
    Approval: lambda _, body: body.approval,
    Question: lambda _, body: body.question,
    Device: lambda _, body: body.device,
    # A computer has the id of the device as which it signs in.
    Runner: lambda _, body: body.device,
    PairRequest: lambda _, body: body.request,
    Folder: lambda _, body: body.folder,
}
"""How an event names the object that it changes."""

_BEGINS: dict[_Pair, Callable[[Event, Any], Any]] = {
    (ev.DeviceAdded, Device): lambda _, body: body.device,
    (ev.PairRequested, PairRequest): lambda _, body: body.request,
    (ev.RunnerAdvertised, Runner): lambda _, body: body.runner,
    (ev.FolderPut, Folder): lambda _, body: body.folder,
    (ev.SettingChanged, Setting): lambda event, body: Setting.model_construct(
        id=body.name, value=body.value, changed_at=event.at, changed_by=event.actor
    ),
    (ev.ThreadCreated, Thread): lambda event, body: _thread(event, title=body.title),
    # Who saw the thread and who comes later must agree, so it is a stub of this event alone (R5).
    (ev.ThreadErased, Thread): lambda event, _: _thread(event, title="").but(state="erased"),
    (ev.TaskCreated, Task): lambda _, body: body.task,
    (ev.ApprovalRequested, Approval): lambda _, body: body.approval,
    (ev.QuestionAsked, Question): lambda _, body: body.question,
    (ev.ArtifactCreated, Artifact): lambda _, body: body.artifact,
}
"""What an object is from an event on, whatever was before."""


def _thread(event: Event, *, title: str) -> Thread:
    return Thread(
        id=event.thread or "",
        title=title,
        created_at=event.at,
        updated_at=event.at,
        created_by=event.actor,
    )


def _folder_advertised(before: Wire | None, said: Folder) -> Folder:
    """Take what the runner says, but never wider than what the hub had narrowed."""
    if not isinstance(before, Folder):
        return said
    return said.but(state=before.state, mode=narrower(before.mode, said.mode))


def _sets(*taken: str, **values: _Value | str | bool | tuple[()] | None) -> _Rule:
    """Return a rule that takes fields over from the body, and sets others to a value or what is found for them."""

    def rule(before: object, event: Event, body: object) -> dict[str, object]:
        found = {
            name: value(before, event, body) if callable(value) else value
            for name, value in values.items()
        }
        return {name: getattr(body, name) for name in taken} | found

    return rule


def _at(_: object, event: Event, __: object) -> str:
    return event.at


def _by(_: object, event: Event, __: object) -> str:
    return event.actor


def _happened(_: object, event: Event, body: ev.AttemptBody | ev.TaskFinished) -> str:
    return body.happened_at or event.at


def _accepted(before: Task, event: Event, body: ev.TaskAccepted) -> dict[str, object]:
    at = _happened(before, event, body)
    return {"accepted_at": before.accepted_at or at, "started_at": before.started_at or at}


def _task_edited(_: Task, __: Event, body: ev.TaskEdited) -> dict[str, object]:
    by = None if body.criteria is None else "owner"
    said = {"title": body.title, "criteria": body.criteria, "criteria_by": by}
    return {name: value for name, value in said.items() if value is not None}


def _criteria_restated(before: Task, _: Event, body: ev.CriteriaRestated) -> dict[str, object]:
    free = before.criteria_by == "agent" or not (before.criteria_by or before.criteria)
    return {"criteria": body.criteria, "criteria_by": "agent"} if free else {}


def _used(before: Task, _: Event, body: ev.StepFinished) -> object:
    counted = before.usage.but(steps=max(before.usage.steps, body.step))
    return counted if body.usage is None else body.usage


def _artifacts(before: Task, _: Event, body: ev.ArtifactCreated) -> tuple[Artifact, ...]:
    others = (other for other in before.artifacts if other.path != body.artifact.path)
    return (*others, body.artifact)


def _asks(kind: Literal["approval", "question"]) -> _Rule:
    """Return the rule of a task that waits for a person's word."""

    def waits(before: Task, event: Event, body: object) -> tuple[Waiting, ...]:
        asked: Wire = getattr(body, kind)
        how = asked.model_dump(include={"id", "expires_at", "then"})
        return (*before.waiting_for, Waiting(kind=kind, since=event.at, **how))

    return _sets(state=TaskState.INPUT_REQUIRED, waiting_for=waits, now_doing=None)


def _goes_on(
    before: Task, _: Event, body: ev.ApprovalDecided | ev.ApprovalVoided | ev.QuestionAnswered
) -> dict[str, object]:
    if before.final:
        return {}
    over = body.question if isinstance(body, ev.QuestionAnswered) else body.approval
    left = tuple(waiting for waiting in before.waiting_for if waiting.id != over)
    goes_on = before.state is TaskState.INPUT_REQUIRED and not left
    return {"waiting_for": left, "state": TaskState.WORKING if goes_on else before.state}


_CHANGES: dict[_Pair, _Rule] = {
    (ev.DeviceRevoked, Device): _sets(state="revoked", revoked_at=_at),
    (ev.DeviceRevoked, Runner): _sets(state="revoked"),
    (ev.PairDecided, PairRequest): _sets("state"),
    (ev.FolderRemoved, Folder): _sets(state="removed"),
    (ev.ThreadRenamed, Thread): _sets("title", updated_at=_at),
    (ev.ThreadArchived, Thread): _sets("archived", updated_at=_at),
    (ev.ThreadModelSet, Thread): _sets("model", updated_at=_at),
    (ev.MessagePosted, Thread): _sets(
        last_text=lambda _, __, body: body.text[:200], updated_at=_at
    ),
    (ev.TaskCreated, Thread): _sets(
        tasks=lambda before, _, __: before.tasks + 1,
        latest_task=lambda _, __, body: body.task.id,
        updated_at=_at,
    ),
    (ev.TaskFinished, Thread): _sets(updated_at=_at),
    (ev.TaskQueued, Task): _sets("reason", state=TaskState.QUEUED, now_doing=None),
    (ev.TaskSuggested, Task): _sets("suggestions"),
    (ev.SuggestionChosen, Task): _sets(
        "mode",
        said=lambda before, _, __: before.text,
        text=lambda _, __, body: body.suggestion.command,
        agent="commands",
        runner=lambda _, __, body: body.suggestion.runner,
        pinned=True,
        folder=lambda _, __, body: body.suggestion.folder,
        state=TaskState.QUEUED,
        reason=None,
    ),
    (ev.TaskAssigned, Task): _sets("runner", "epoch", state=TaskState.WORKING, reason=None),
    (ev.TaskAccepted, Task): _accepted,
    (ev.TaskMoved, Task): _sets(
        "state",
        "reason",
        tries=lambda before, _, body: before.tries + (body.state is TaskState.VERIFYING),
    ),
    (ev.TaskEdited, Task): _task_edited,
    (ev.CriteriaRestated, Task): _criteria_restated,
    (ev.TaskPaused, Task): _sets(state=TaskState.PAUSED, now_doing=None),
    (ev.TaskResumed, Task): _sets(state=TaskState.QUEUED, reason=None),
    (ev.TaskArchived, Task): _sets("archived"),
    (ev.TaskFinished, Task): _sets(
        *("state", "verdict", "summary", "not_done_because", "changes", "usage", "answer", "epoch"),
        reason=None,
        model_used=lambda _, __, body: body.model,
        waiting_for=(),
        now_doing=None,
        finished_at=_happened,
    ),
    (ev.StepStarted, Task): _sets(now_doing=lambda _, __, body: body.title),
    (ev.StepFinished, Task): _sets(usage=_used),
    (ev.PlanUpdated, Task): _sets(plan=lambda _, __, body: body.items),
    (ev.CheckFinished, Task): _sets(checks=lambda before, _, body: (*before.checks, body.check)),
    (ev.ChecksReset, Task): _sets(checks=()),
    (ev.ArtifactCreated, Task): _sets(artifacts=_artifacts),
    (ev.ApprovalRequested, Task): _asks("approval"),
    (ev.ApprovalDecided, Task): _goes_on,
    (ev.ApprovalVoided, Task): _goes_on,
    (ev.QuestionAsked, Task): _asks("question"),
    (ev.QuestionAnswered, Task): _goes_on,
    (ev.ApprovalDecided, Approval): _sets(
        "scope",
        "reason",
        state=lambda _, __, body: "allowed" if body.decision == "allow" else "denied",
        decided_by=_by,
        decided_at=_at,
    ),
    (ev.ApprovalVoided, Approval): _sets("reason", state="void"),
    (ev.QuestionAnswered, Question): _sets(
        "answer", state="answered", answered_by=_by, answered_at=_at
    ),
    (ev.QuestionVoided, Question): _sets(state="void"),
}
"""How an event changes an object that there is."""

_TOUCHED: dict[type[Body], list[type[Wire]]] = {
    body: [kind for kind in COLLECTIONS if (body, kind) in _BEGINS or (body, kind) in _CHANGES]
    for body in ev.EVENTS.values()
}
