"""Events: facts in the account's log, in the past tense, as a routing envelope apart from a body.

Changes are additive; a new meaning is a new kind. A reader that meets an unknown kind stores it, skips it and moves
its cursor. Only what is listed in ``RUNNER_KINDS`` may come from a runner.
"""

from __future__ import annotations

from typing import Literal

from deskhand.protocol.objects import Device, Folder, FolderMode, Origin, PairRequest, Runner, Trust
from deskhand.protocol.tasks import (
    Approval,
    Artifact,
    Brief,
    Changes,
    Check,
    FileRef,
    PlanItem,
    Question,
    QueueReason,
    Suggestion,
    Task,
    TaskState,
    Usage,
    Verdict,
)
from deskhand.protocol.wire import At, Json, JsonObject, Wire

HUB = "hub"
"""The actor of what the hub itself did."""


class Event(Wire):
    """One fact, as every reader gets it. ``seq`` is gap-free per account; filtered streams have gaps."""

    seq: int
    kind: str
    at: At
    actor: str
    thread: str | None = None
    task: str | None = None
    v: int = 1
    body: JsonObject


class Body(Wire):
    """What an event says beyond its envelope."""


class AttemptBody(Body):
    """A fact of one attempt: carries the epoch it belongs to and when it happened on the runner."""

    epoch: int
    happened_at: At | None = None


class DeviceAdded(Body):
    """A device may act for the account."""

    device: Device


class DeviceRevoked(Body):
    """A device lost every right at once."""

    device: str


class PairRequested(Body):
    """Somebody asks to join."""

    request: PairRequest


class PairDecided(Body):
    """The request was admitted or refused."""

    request: str
    state: Literal["admitted", "refused"]


class RunnerAdvertised(Body):
    """What a computer can do now: one event replaces the last one."""

    runner: Runner
    folders: tuple[Folder, ...] = ()


class FolderPut(Body):
    """A folder is known under these terms."""

    folder: Folder


class FolderRemoved(Body):
    """A folder may no longer be used."""

    folder: str


class ThreadCreated(Body):
    """A conversation began."""

    title: str


class ThreadRenamed(Body):
    """A conversation has a new title."""

    title: str


class ThreadArchived(Body):
    """A conversation was put away, or taken out again."""

    archived: bool


class ThreadModelSet(Body):
    """A conversation thinks with another model, or again with its computer's own."""

    model: str | None = None


class ThreadErased(Body):
    """Bodies and blobs of the conversation are gone; its seqs stay."""


class MessagePosted(Body):
    """Somebody said something. ``meant`` is what the sender wanted it to be."""

    message: str
    role: Literal["user", "agent", "system"]
    text: str
    origin: Origin
    trust: Trust
    meant: Literal["task", "steer", "answer", "say"] = "say"
    files: tuple[FileRef, ...] = ()
    happened_at: At | None = None
    epoch: int | None = None


class TaskCreated(Body):
    """Work was delegated; the object is complete as it begins."""

    task: Task


class TaskQueued(Body):
    """The task waits, for this reason. With a brief: a computer is asked which commands its text may mean."""

    reason: QueueReason | None = None
    brief: Brief | None = None


class TaskSuggested(Body):
    """A computer found commands that the text of a waiting task may mean; they replace what it found before."""

    suggestions: tuple[Suggestion, ...]


class SuggestionChosen(Body):
    """A person chose one, as it was shown: its command is the task's text now."""

    suggestion: Suggestion
    mode: FolderMode | None = None


class TaskAssigned(Body):
    """An order to a runner: work on this, under this epoch."""

    runner: str
    epoch: int
    brief: Brief


class TaskAccepted(AttemptBody):
    """The runner has the brief on its own disk."""


class TaskMoved(AttemptBody):
    """The attempt moved the task to another state that is not final."""

    state: TaskState
    reason: QueueReason | None = None


class TaskEdited(Body):
    """The owner changed title or criteria; later checks follow it."""

    title: str | None = None
    criteria: tuple[str, ...] | None = None


class CriteriaRestated(AttemptBody):
    """The agent said what it takes the task to mean; it counts only where the owner said nothing."""

    criteria: tuple[str, ...]


class TaskPaused(Body):
    """The owner stopped the clock; the attempt keeps its place."""

    by: Literal["owner", "budget"] = "owner"


class TaskResumed(Body):
    """The owner let it go on."""


class TaskArchived(Body):
    """Put away, or taken out again."""

    archived: bool


class TaskFinished(Body):
    """The one end of a task. ``answer``: the result is a message that was just said, with nothing to check."""

    state: TaskState
    verdict: Verdict | None = None
    summary: str | None = None
    not_done_because: tuple[str, ...] = ()
    changes: Changes = Changes()
    usage: Usage = Usage()
    model: str | None = None
    answer: bool = False
    epoch: int
    happened_at: At | None = None


class StepStarted(AttemptBody):
    """A step is about to have its effect."""

    step: int
    tool: str
    title: str


class StepFinished(AttemptBody):
    """A step has a result, or an honest ``unknown``; ``usage`` is what the task used so far."""

    step: int
    outcome: Literal["ok", "error", "denied", "unknown"]
    summary: str = ""
    usage: Usage | None = None


class PlanUpdated(AttemptBody):
    """The plan checklist as it is now."""

    items: tuple[PlanItem, ...]


class ApprovalRequested(AttemptBody):
    """An attempt waits for a yes or no."""

    approval: Approval


class ApprovalDecided(Body):
    """The first decision won."""

    approval: str
    decision: Literal["allow", "deny"]
    scope: Literal["once", "task", "always"] = "once"
    action_sha256: str
    reason: str | None = None
    statement: str | None = None
    signature: str | None = None
    device: str | None = None


class ApprovalVoided(AttemptBody):
    """What would have run is no longer what was shown."""

    approval: str
    reason: str


class QuestionAsked(AttemptBody):
    """The agent wants to know something."""

    question: Question


class QuestionAnswered(Body):
    """A person answered."""

    question: str
    answer: str


class QuestionVoided(AttemptBody):
    """The task ended; nobody needs to answer any more."""

    question: str


class CheckFinished(AttemptBody):
    """A check was run and has evidence."""

    check: Check


class ChecksReset(AttemptBody):
    """A new try begins; the checks of the last one no longer stand for the result."""


class ArtifactCreated(AttemptBody):
    """A file result exists; its bytes were stored before this was said."""

    artifact: Artifact


class SettingChanged(Body):
    """A setting of the account has a new value; ``None`` travels as an absent field."""

    name: str
    value: Json = None


class LogRestored(Body):
    """The account went back to a backup: what happened after ``backup_at`` is not in this log."""

    backup_at: At
    devices_ended: int
    tasks_paused: int


class Superseded(Body):
    """A fact of an attempt that had lost its epoch: kept, never state."""

    kind: str
    epoch: int
    body: JsonObject


EVENTS: dict[str, type[Body]] = {
    "device.added": DeviceAdded,
    "device.revoked": DeviceRevoked,
    "pair.requested": PairRequested,
    "pair.decided": PairDecided,
    "runner.advertised": RunnerAdvertised,
    "folder.put": FolderPut,
    "folder.removed": FolderRemoved,
    "thread.created": ThreadCreated,
    "thread.renamed": ThreadRenamed,
    "thread.archived": ThreadArchived,
    "thread.model_set": ThreadModelSet,
    "thread.erased": ThreadErased,
    "message.posted": MessagePosted,
    "task.created": TaskCreated,
    "task.queued": TaskQueued,
    "task.suggested": TaskSuggested,
    "suggestion.chosen": SuggestionChosen,
    "task.assigned": TaskAssigned,
    "task.accepted": TaskAccepted,
    "task.moved": TaskMoved,
    "task.edited": TaskEdited,
    "criteria.restated": CriteriaRestated,
    "task.paused": TaskPaused,
    "task.resumed": TaskResumed,
    "task.archived": TaskArchived,
    "task.finished": TaskFinished,
    "step.started": StepStarted,
    "step.finished": StepFinished,
    "plan.updated": PlanUpdated,
    "approval.requested": ApprovalRequested,
    "approval.decided": ApprovalDecided,
    "approval.voided": ApprovalVoided,
    "question.asked": QuestionAsked,
    "question.answered": QuestionAnswered,
    "question.voided": QuestionVoided,
    "check.finished": CheckFinished,
    "checks.reset": ChecksReset,
    "artifact.created": ArtifactCreated,
    "setting.changed": SettingChanged,
    "log.restored": LogRestored,
    "event.superseded": Superseded,
}
"""Every kind this build understands, with the shape of its body."""

RUNNER_KINDS = frozenset(
    {
        "message.posted",
        "task.moved",
        "task.finished",
        "step.started",
        "step.finished",
        "plan.updated",
        "criteria.restated",
        "approval.requested",
        "approval.voided",
        "question.asked",
        "check.finished",
        "checks.reset",
        "artifact.created",
    }
)
"""What a runner may append about a task leased to it (security 2.1)."""

ORDER_KINDS = frozenset(
    {
        "task.assigned",
        "task.finished",
        "task.paused",
        "task.resumed",
        "task.edited",
        "approval.decided",
        "question.answered",
        "message.posted",
        "folder.put",
        "folder.removed",
        "device.revoked",
        "setting.changed",
    }
)
"""What a runner must understand; it says so in its ``hello`` and gets no task otherwise."""

KIND_OF: dict[type[Body], str] = {body: kind for kind, body in EVENTS.items()}


REDACTED: JsonObject = {"redacted": True}
"""What stands for the body of an event whose thread was erased; every reader skips it."""


def body_of(event: Event) -> Body | None:
    """Return the parsed body, or ``None`` for a kind this build does not know or a body that was erased.

    Raises:
        DeskhandError: ``invalid`` when a known kind has a body of the wrong shape.
    """
    model = EVENTS.get(event.kind)
    if model is None or event.body == REDACTED:
        return None
    return model.from_json(event.body)
