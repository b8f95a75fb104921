"""A task and what hangs on it: approval, question, check, artifact, verdict. States and their table.

Pure data and one table; how a task moves is decided in ``core.lifecycle``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from deskhand.protocol.objects import FolderMode, Origin, Trust
from deskhand.protocol.signing import Signed
from deskhand.protocol.wire import TABLES, At, JsonObject, Wire, sha256_of


class TaskState(StrEnum):
    """Where a task is; the meaning of each is in the design's table."""

    QUEUED = "queued"
    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    VERIFYING = "verifying"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class Verdict(StrEnum):
    """How far a result can be believed."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    NOT_DONE = "not_done"


class QueueReason(StrEnum):
    """Why a queued task is not under way yet."""

    RUNNER_OFFLINE = "runner_offline"
    NO_MODEL = "no_model"
    SLOT = "slot"
    FOLDER_BUSY = "folder_busy"
    NOT_BEFORE = "not_before"
    PARENT = "parent"
    NOT_LENT = "not_lent"


FINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED})
OPEN = tuple(state.value for state in TaskState if state not in FINAL)
"""The states of a task that has not ended."""

MOVES: dict[TaskState, frozenset[TaskState]] = {
    TaskState(state): frozenset(map(TaskState, targets.split())) for state, targets in TABLES["moves"].items()
}
"""The design's table of states: from -> to."""

VERDICTS: dict[TaskState, frozenset[Verdict | None]] = {
    TaskState.COMPLETED: frozenset({Verdict.VERIFIED, Verdict.UNVERIFIED}),
    TaskState.FAILED: frozenset({Verdict.NOT_DONE}),
    TaskState.CANCELED: frozenset({None}),
}
"""Which verdicts go with which final state."""


class Check(Wire):
    """Something that was run to see whether the result is right. ``ran_by`` says whose word it is."""

    name: str
    passed: bool
    evidence: str = ""
    ran_by: Literal["runner", "verifier"] = "runner"


class Artifact(Wire):
    """A file result, content-addressed. ``path`` is where it lies on the runner's computer."""

    id: str
    task: str
    name: str
    media_type: str
    size: int
    sha256: str
    runner: str
    path: str
    origin: Origin
    trust: Trust
    state: Literal["stored", "on_runner", "erased"] = "stored"
    created_at: At


class Action(Wire):
    """Exactly what will run if a person says yes; what the phone renders and hashes.

    Only strings, integers, booleans, lists and objects: a float has no canonical spelling.
    """

    tool: str
    arguments: JsonObject
    target: str | None = None
    folder: str | None = None
    argv: tuple[str, ...] | None = None
    preview: str | None = None
    identity: str | None = None


class Approval(Wire):
    """A wish that waits for a person's yes or no; single use, bound to ``action_sha256``."""

    id: str
    task: str
    thread: str
    runner: str
    epoch: int
    sentence: str
    action: Action
    action_sha256: str
    nonce: str
    risk: Literal["low", "medium", "high"]
    scopes: tuple[Literal["once", "task", "always"], ...] = ("once",)
    rule: str
    why: str = ""
    """The rule in words; of a line of a policy its number and text."""
    pattern: str | None = None
    """The line that a yes for ``always`` writes into the policy of that computer, and its last day."""
    until: str | None = None
    requested_at: At
    expires_at: At | None = None
    then: Literal["deny", "wait"] = "wait"
    state: Literal["open", "allowed", "denied", "void"] = "open"
    decided_by: str | None = None
    decided_at: At | None = None
    scope: Literal["once", "task", "always"] | None = None
    reason: str | None = None


class Ruling(Signed):
    """A yes or no to exactly one action."""

    approval: str
    decision: Literal["allow", "deny"]
    scope: Literal["once", "task", "always"] = "once"
    action_sha256: str
    reason: str | None = Field(default=None, max_length=2000)
    device: str | None = None


class Question(Wire):
    """Something the agent wants to know from a person."""

    id: str
    task: str
    thread: str
    text: str
    choices: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """The tasks that waited for a model, where the hub asks whether to run them now."""
    asked_at: At
    state: Literal["open", "answered", "void"] = "open"
    answer: str | None = None
    answered_by: str | None = None
    answered_at: At | None = None


class Waiting(Wire):
    """One thing a task waits for."""

    kind: Literal["approval", "question", "plan", "children"]
    id: str
    since: At
    expires_at: At | None = None
    then: Literal["deny", "wait"] = "wait"


class Changes(Wire):
    """How many files of the folder differ because of a task."""

    created: int = 0
    changed: int = 0
    deleted: int = 0


_AMOUNT = r"^\d{1,9}(\.\d{1,9})?$"


class Money(Wire):
    """An exact amount."""

    amount: str = Field(pattern=_AMOUNT)
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class Usage(Wire):
    """What a task used so far. Tokens without ``money``: nobody knows what they cost, which is not nothing."""

    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: Money | None = None


class BudgetMoney(Wire):
    """A limit of money, in the currency that prices of models are known in."""

    amount: str = Field(pattern=_AMOUNT)
    currency: Literal["USD"] = "USD"


class Budget(Wire):
    """How much a task may use before it pauses and asks. A limit that is absent is the account's; 0 is none.

    Unlike other objects it refuses fields it does not know: a limit that nobody watches is worse than an error.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    steps: int | None = Field(default=None, ge=0, le=1_000_000, strict=True)
    tokens: int | None = Field(default=None, ge=0, le=10**12, strict=True)
    money: BudgetMoney | None = None
    minutes: int | None = Field(default=None, ge=0, le=1_000_000, strict=True)


class Instructions(Wire):
    """What a folder's own file says to whoever works there: content of that file, never permission."""

    name: str
    text: str
    trust: Trust = Trust.UNTRUSTED


class PlanItem(Wire):
    """One line of the plan checklist."""

    text: str
    done: bool = False


class Suggestion(Wire):
    """A command the task's text may have meant; runs only by a tap on exactly this preview.

    ``preview_sha256`` binds all other fields; ``not_honored`` are the words that the command would not do.
    """

    id: str
    command: str
    preview: str
    not_honored: tuple[str, ...] = ()
    runner: str
    folder: str | None = None
    preview_sha256: str = ""

    @property
    def bound(self) -> Self:
        """Return it with the hash of what it shows."""
        return self.but(preview_sha256=sha256_of(self.but(preview_sha256="").to_json()))


class FileRef(Wire):
    """A file that came with a message."""

    id: str
    name: str
    size: int
    sha256: str
    media_type: str


class Label(Wire):
    """What is known of a content: which sources others could write, and which private places are in it."""

    untrusted: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


class Delegated(Wire):
    """What a task and the brief of each of its attempts say alike: what is wanted, of whom, where, within what."""

    thread: str
    title: str
    text: str
    agent: str
    model: str | None = None
    folder: str | None = None
    mode: FolderMode | None = None
    criteria: tuple[str, ...] = ()
    files: tuple[FileRef, ...] = ()
    op_id: str | None = None
    """The op that began it, where it names a folder: a grant for one task is bound to it."""
    budget: Budget | None = None
    label: Label | None = None
    """What earlier attempts, and the work it follows from, have read; nobody told where it is absent."""
    origin: Origin
    trust: Trust
    created_at: At

    @property
    def requester(self) -> str | None:
        """Whom it is done for; nothing for the owner of the account."""
        return None if self.trust is Trust.OWNER else self.origin.person or self.origin.device or ""


class Task(Delegated):
    """One piece of delegated work, as HTTP returns it."""

    id: str
    state: TaskState
    reason: QueueReason | None = None
    verdict: Verdict | None = None
    summary: str | None = None
    not_done_because: tuple[str, ...] = ()
    runner: str | None = None
    pinned: bool = False
    epoch: int = 0
    parent: str | None = None
    children: tuple[str, ...] = ()
    retry_of: str | None = None
    suggestions: tuple[Suggestion, ...] = ()
    said: str | None = None
    """What the person wrote, where a suggested command is the text now."""
    criteria_by: Literal["owner", "agent"] | None = None
    """Whose words the criteria are; what the owner said stands."""
    requested_checks: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    changes: Changes = Changes()
    plan: tuple[PlanItem, ...] = ()
    now_doing: str | None = None
    tries: int = 0
    usage: Usage = Usage()
    model_used: str | None = None
    answer: bool = False
    """The result is a plain answer, said as a message: nothing was done that could be checked."""
    waiting_for: tuple[Waiting, ...] = ()
    archived: bool = False
    not_before: At | None = None
    created_by: str
    accepted_at: At | None = None
    started_at: At | None = None
    finished_at: At | None = None

    @property
    def final(self) -> bool:
        """Whether the task has its one end."""
        return self.state in FINAL


class ContextItem(Wire):
    """One earlier message or result of the thread, as an attempt sees it."""

    role: Literal["user", "agent", "result"]
    text: str
    at: At
    trust: Trust
    label: Label | None = None
    """What the task had read whose words these are."""


class Brief(Delegated):
    """All an attempt starts from; travels with the assignment and is stored in the runner's inbox."""

    task: str
    epoch: int
    checks: tuple[str, ...] = ()
    instructions: Instructions | None = None
    """Read by the runner itself when the attempt begins; what a hub says here is not believed."""
    context: tuple[ContextItem, ...] = ()
