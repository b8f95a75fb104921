"""Events: facts in the account's log, in the past tense, as a routing envelope apart from a body.

Changes are additive; a new meaning is a new kind. A reader that meets an unknown kind stores it, skips it and moves
its cursor. Only what is listed in ``RUNNER_KINDS`` may come from a runner.
"""

from __future__ import annotations

from typing import Literal, Unpack

from pydantic import ConfigDict
from typing_extensions import override

from deskhand.protocol import objects, tasks
from deskhand.protocol.wire import TABLES, At, Json, JsonObject, Wire

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


EVENTS: dict[str, type[Body]] = {}
"""Every kind this build understands, with the shape of its body."""


class Body(Wire):
    """What an event says beyond its envelope; a subclass says of which kind."""

    @override
    def __init_subclass__(cls, *, kind: str = "", **config: Unpack[ConfigDict]) -> None:
        """Enter it in the table of kinds."""
        super().__init_subclass__(**config)
        if kind:
            EVENTS[kind] = cls


class AttemptBody(Body):
    """A fact of one attempt: carries the epoch it belongs to and when it happened on the runner."""

    epoch: int
    happened_at: At | None = None


class DeviceAdded(Body, kind="device.added"):
    """A device may act for the account."""

    device: objects.Device


class DeviceRevoked(Body, kind="device.revoked"):
    """A device lost every right at once."""

    device: str


class DeviceCertified(objects.Certificate, Body, kind="device.certified"):
    """A device said that another one may approve what needs a signature; each computer looks at that itself."""


class PairRequested(Body, kind="pair.requested"):
    """Somebody asks to join."""

    request: objects.PairRequest


class PairDecided(Body, kind="pair.decided"):
    """The request was admitted or refused."""

    request: str
    state: Literal["admitted", "refused"]


class RunnerAdvertised(Body, kind="runner.advertised"):
    """What a computer can do now: one event replaces the last one."""

    runner: objects.Runner
    folders: tuple[objects.Folder, ...] = ()


class FolderPut(Body, kind="folder.put"):
    """A folder is known under these terms."""

    folder: objects.Folder


class FolderRemoved(Body, kind="folder.removed"):
    """A folder may no longer be used."""

    folder: str


class ThreadCreated(Body, kind="thread.created"):
    """A conversation began; without a ``person`` it is the owner's."""

    title: str
    person: str | None = None


class ThreadRenamed(Body, kind="thread.renamed"):
    """A conversation has a new title."""

    title: str


class ThreadShared(Body, kind="thread.shared"):
    """The ``person`` of a conversation shows it to everybody of the account, or to nobody else again."""

    shared: bool
    person: str


class ThreadArchived(Body, kind="thread.archived"):
    """A conversation was put away, or taken out again."""

    archived: bool


class ThreadMuted(Body, kind="thread.muted"):
    """No notifications are sent about a conversation, or again."""

    muted: bool


class ThreadModelSet(Body, kind="thread.model_set"):
    """A conversation thinks with another model, or again with its computer's own."""

    model: str | None = None


class ThreadErased(Body, kind="thread.erased"):
    """Bodies and blobs of the conversation are gone; its seqs stay, and whose it was."""

    person: str | None = None


class MessagePosted(Body, kind="message.posted"):
    """Somebody said something. ``meant`` is what the sender wanted it to be."""

    message: str
    role: Literal["user", "agent", "system"]
    text: str
    origin: objects.Origin
    trust: objects.Trust
    meant: Literal["task", "steer", "answer", "say"] = "say"
    files: tuple[tasks.FileRef, ...] = ()
    happened_at: At | None = None
    epoch: int | None = None


class TaskCreated(Body, kind="task.created"):
    """Work was delegated; the object is complete as it begins."""

    task: tasks.Task


class TaskQueued(Body, kind="task.queued"):
    """The task waits, for this reason. With a brief: a computer is asked which commands its text may mean."""

    reason: tasks.QueueReason | None = None
    brief: tasks.Brief | None = None


class TaskSuggested(Body, kind="task.suggested"):
    """A computer found commands that the text of a waiting task may mean; they replace what it found before."""

    suggestions: tuple[tasks.Suggestion, ...]


class SuggestionChosen(Body, kind="suggestion.chosen"):
    """A person chose one, as it was shown: its command is the task's text now."""

    suggestion: tasks.Suggestion
    mode: objects.FolderMode | None = None


class TaskAssigned(Body, kind="task.assigned"):
    """An order to a runner: work on this, under this epoch."""

    runner: str
    epoch: int
    brief: tasks.Brief


class TaskAccepted(AttemptBody, kind="task.accepted"):
    """The runner has the brief on its own disk."""


class TaskMoved(AttemptBody, kind="task.moved"):
    """The attempt moved the task to another state that is not final."""

    state: tasks.TaskState
    reason: tasks.QueueReason | None = None


class TaskEdited(Body, kind="task.edited"):
    """The owner changed title or criteria; later checks follow it."""

    title: str | None = None
    criteria: tuple[str, ...] | None = None


class CriteriaRestated(AttemptBody, kind="criteria.restated"):
    """The agent said what it takes the task to mean; it counts only where the owner said nothing."""

    criteria: tuple[str, ...]


class TaskPaused(Body, kind="task.paused"):
    """The owner stopped the clock; the attempt keeps its place."""

    by: Literal["owner", "budget"] = "owner"


class TaskResumed(Body, kind="task.resumed"):
    """The owner let it go on."""


class TaskArchived(Body, kind="task.archived"):
    """Put away, or taken out again."""

    archived: bool


class TaskFinished(AttemptBody, kind="task.finished"):
    """The one end of a task. ``answer``: the result is a message that was just said, with nothing to check."""

    state: tasks.TaskState
    verdict: tasks.Verdict | None = None
    summary: str | None = None
    not_done_because: tuple[str, ...] = ()
    changes: tasks.Changes = tasks.Changes()
    usage: tasks.Usage = tasks.Usage()
    model: str | None = None
    answer: bool = False
    label: tasks.Label | None = None


class StepStarted(AttemptBody, kind="step.started"):
    """A step is about to have its effect."""

    step: int
    tool: str
    title: str


class StepFinished(AttemptBody, kind="step.finished"):
    """A step has a result, or an honest ``unknown``; ``usage`` is what the task used so far, ``label`` what it read."""

    step: int
    outcome: Literal["ok", "error", "denied", "unknown"]
    summary: str = ""
    usage: tasks.Usage | None = None
    label: tasks.Label | None = None


class PlanUpdated(AttemptBody, kind="plan.updated"):
    """The plan checklist as it is now."""

    items: tuple[tasks.PlanItem, ...]


class ApprovalRequested(AttemptBody, kind="approval.requested"):
    """An attempt waits for a yes or no."""

    approval: tasks.Approval


class ApprovalDecided(tasks.Ruling, Body, kind="approval.decided"):
    """The first decision won."""


class ApprovalVoided(AttemptBody, kind="approval.voided"):
    """What would have run is no longer what was shown."""

    approval: str
    reason: str


class QuestionAsked(AttemptBody, kind="question.asked"):
    """The agent wants to know something."""

    question: tasks.Question


class QuestionAnswered(Body, kind="question.answered"):
    """A person answered."""

    question: str
    answer: str


class QuestionVoided(AttemptBody, kind="question.voided"):
    """The task ended; nobody needs to answer any more."""

    question: str


class CheckFinished(AttemptBody, kind="check.finished"):
    """A check was run and has evidence."""

    check: tasks.Check


class ChecksReset(AttemptBody, kind="checks.reset"):
    """A new try begins; the checks of the last one no longer stand for the result."""


class ArtifactCreated(AttemptBody, kind="artifact.created"):
    """A file result exists; its bytes were stored before this was said."""

    artifact: tasks.Artifact


class SettingChanged(Body, kind="setting.changed"):
    """A setting of the account has a new value; ``None`` travels as an absent field."""

    name: str
    value: Json = None


class LogRestored(Body, kind="log.restored"):
    """The account went back to a backup: what happened after ``backup_at`` is not in this log."""

    backup_at: At
    devices_ended: int
    tasks_paused: int


class Superseded(Body, kind="event.superseded"):
    """A fact of an attempt that had lost its epoch: kept, never state."""

    kind: str
    epoch: int
    body: JsonObject


RUNNER_KINDS = frozenset(TABLES["runner_kinds"].split())
"""What a runner may append about a task leased to it (security 2.1)."""
ORDER_KINDS = frozenset(TABLES["order_kinds"].split())
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
