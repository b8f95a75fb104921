"""State as a fold of the log: which objects an event touches, and what each becomes.

The hub's tables, ``log verify``, tests and the phone (in TypeScript, held equal by ``fixtures/``) all fold like
this. It refuses to judge: what is in the log has happened. Unknown kinds touch nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import TypeAdapter

from deskhand.protocol import events as ev
from deskhand.protocol.events import Body, Event, body_of
from deskhand.protocol.objects import Device, Folder, PairRequest, Runner, Setting, Thread, narrower
from deskhand.protocol.tasks import Approval, Artifact, Question, Task, TaskState, Waiting
from deskhand.protocol.wire import Wire
from deskhand.texts import table

Key = tuple[type[Wire], str]
_Rule = Callable[[Any, Event, Any], dict[str, object]]
_Begun = Callable[[Event, Any], Any]
_Pair = tuple[type[Body], type[Wire]]

_KINDS: Sequence[type[Wire]] = [
    *(Thread, Task, Approval, Question, Artifact, Device, PairRequest, Runner, Folder, Setting)
]
COLLECTIONS: dict[type[Wire], str] = {kind: f"{kind.__name__.lower()}s" for kind in _KINDS}
"""Every kind of object that is a projection, with the name of its collection."""
COLLECTIONS[PairRequest] = "pair_requests"


def touched(event: Event) -> tuple[Key, ...]:
    """Return the objects that ``fold`` must be called for."""
    body = body_of(event)
    if body is None:
        return ()
    keys = [(kind, name) for kind in _TOUCHED[type(body)] if (name := _name(kind, event, body))]
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
        said = next(one for one in body.folders if one.id == name)
        # Never wider than what the hub had narrowed.
        narrowed = isinstance(before, Folder) and {"state": before.state, "mode": narrower(before.mode, said.mode)}
        return said.but(**narrowed) if narrowed else said
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
    return begun(event, body).id if begun else getattr(event if kind in (Thread, Task) else body, _NAMED[kind])


# A computer has the id of the device as which it signs in.
_NAMED: dict[type[Wire], str] = {kind: kind.__name__.lower() for kind in _KINDS}
_NAMED.update({Runner: "device", PairRequest: "request"})
"""How an event names the object that it changes."""


def _held(name: str) -> _Begun:
    return lambda _, body: getattr(body, name)


_BEGINS: dict[_Pair, _Begun] = {
    (ev.SettingChanged, Setting): lambda event, body: Setting.model_construct(
        id=body.name, value=body.value, changed_at=event.at, changed_by=event.actor
    ),
    (ev.ThreadCreated, Thread): lambda event, body: _thread(event, body, title=body.title),
    # Who saw the thread and who comes later must agree, so it is a stub of this event alone (R5).
    (ev.ThreadErased, Thread): lambda event, body: _thread(event, body, title="").but(state="erased"),
}
"""What an object is from an event on, whatever was before; an event that holds one whole says it itself."""
for begins in ev.EVENTS.values():
    for name, field in begins.model_fields.items():
        if (kind := next((one for one in _KINDS if field.annotation is one), None)) is not None:
            _BEGINS[begins, kind] = _held(name)


def _thread(event: Event, body: ev.ThreadCreated | ev.ThreadErased, *, title: str) -> Thread:
    name, by, at = event.thread or "", event.actor, event.at
    return Thread(id=name, title=title, created_at=at, updated_at=at, created_by=by, person=body.person)


def _rule(kind: type[Wire], said: Mapping[str, Any], worked_out: _Rule | None) -> _Rule:
    """Return the rule that a line of the table says, with what has to be worked out."""
    fields, given = kind.model_fields, dict(said)
    taken, cleared = (given.pop(word, "").split() for word in ("take", "clear"))
    found = {name: f"body.{name}" for name in taken}
    fixed: dict[str, object] = {name: fields[name].default for name in cleared}
    for name, value in given.items():
        if "." in str(value):
            found[name] = value
        else:
            fixed[name] = TypeAdapter(fields[name].rebuild_annotation()).validate_python(value)

    def rule(before: object, event: Event, body: object) -> dict[str, object]:
        seen = SimpleNamespace(before=before, event=event, body=body)
        values = {name: attrgetter(path)(seen) for name, path in found.items()}
        return fixed | values | (worked_out(before, event, body) if worked_out else {})

    return rule


def _happened(event: Event, body: ev.AttemptBody) -> str:
    return body.happened_at or event.at


def _accepted(before: Task, event: Event, body: ev.TaskAccepted) -> dict[str, object]:
    at = _happened(event, body)
    return {"accepted_at": before.accepted_at or at, "started_at": before.started_at or at}


def _task_edited(_: Task, __: Event, body: ev.TaskEdited) -> dict[str, object]:
    said = {"title": body.title, "criteria": body.criteria, "criteria_by": None if body.criteria is None else "owner"}
    return {name: value for name, value in said.items() if value is not None}


def _criteria_restated(before: Task, _: Event, body: ev.CriteriaRestated) -> dict[str, object]:
    free = before.criteria_by == "agent" or not (before.criteria_by or before.criteria)
    return {"criteria": body.criteria, "criteria_by": "agent"} if free else {}


def _used(before: Task, _: Event, body: ev.StepFinished) -> dict[str, object]:
    counted = before.usage.but(steps=max(before.usage.steps, body.step))
    return {"usage": body.usage or counted, "label": body.label or before.label}


def _artifacts(before: Task, _: Event, body: ev.ArtifactCreated) -> dict[str, object]:
    return {"artifacts": (*(one for one in before.artifacts if one.path != body.artifact.path), body.artifact)}


def _asks(kind: Literal["approval", "question"]) -> _Rule:
    """Return what a task waits for that asks for a person's word."""

    def waits(before: Task, event: Event, body: object) -> dict[str, object]:
        how = getattr(body, kind).model_dump(include={"id", "expires_at", "then"})
        return {"waiting_for": (*before.waiting_for, Waiting(kind=kind, since=event.at, **how))}

    return waits


def _goes_on(
    before: Task, _: Event, body: ev.ApprovalDecided | ev.ApprovalVoided | ev.QuestionAnswered
) -> dict[str, object]:
    if before.final:
        return {}
    over = body.question if isinstance(body, ev.QuestionAnswered) else body.approval
    left = tuple(waiting for waiting in before.waiting_for if waiting.id != over)
    goes_on = before.state is TaskState.INPUT_REQUIRED and not left
    return {"waiting_for": left, "state": TaskState.WORKING if goes_on else before.state}


_WORKED_OUT: dict[_Pair, _Rule] = {
    (ev.MessagePosted, Thread): lambda _, __, body: {"last_text": body.text[:200]},
    (ev.TaskCreated, Thread): lambda before, _, __: {"tasks": before.tasks + 1},
    (ev.TaskAccepted, Task): _accepted,
    (ev.TaskMoved, Task): lambda before, _, body: {"tries": before.tries + (body.state is TaskState.VERIFYING)},
    (ev.TaskEdited, Task): _task_edited,
    (ev.CriteriaRestated, Task): _criteria_restated,
    (ev.TaskFinished, Task): lambda before, event, body: {
        "finished_at": _happened(event, body),
        "label": body.label or before.label,
    },
    (ev.StepFinished, Task): _used,
    (ev.CheckFinished, Task): lambda before, _, body: {"checks": (*before.checks, body.check)},
    (ev.ArtifactCreated, Task): _artifacts,
    (ev.ApprovalRequested, Task): _asks("approval"),
    (ev.ApprovalDecided, Task): _goes_on,
    (ev.ApprovalVoided, Task): _goes_on,
    (ev.QuestionAsked, Task): _asks("question"),
    (ev.QuestionAnswered, Task): _goes_on,
    (ev.ApprovalDecided, Approval): lambda _, __, body: {"state": "allowed" if body.decision == "allow" else "denied"},
}
"""What of a change the table does not say."""

_SAID: dict[_Pair, dict[str, Any]] = {
    (ev.EVENTS[event], kind): said
    for kind in _KINDS
    for event, said in table("deskhand.core", "folds.toml").get(kind.__name__, {}).items()
}
_CHANGES = {pair: _rule(pair[1], _SAID.get(pair, {}), _WORKED_OUT.get(pair)) for pair in _SAID.keys() | _WORKED_OUT}
"""How an event changes an object that there is."""

_TOUCHED: dict[type[Body], list[type[Wire]]] = {
    body: [kind for kind in COLLECTIONS if (body, kind) in _BEGINS or (body, kind) in _CHANGES]
    for body in ev.EVENTS.values()
}
