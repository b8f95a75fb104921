"""Ops: wishes sent to the hub by a participant, idempotent by ``op_id``; and who may send which (security 2.1).

``op_id`` is unique per (account, principal) and bound to a hash of the op: the same id with another body is
``op_conflict``. What follows from an op is decided in ``core``. The one table of who may, called by every path in, refuses
to know objects: the caller says whether the thing is the principal's own. Unknown op: nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Unpack

from pydantic import ConfigDict, Field
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.limits import NAME_CHARS_MAX, SUGGESTIONS_MAX, TEXT_CHARS_MAX
from deskhand.protocol.objects import EVERYBODY, Certificate, FolderMode, Marked, Role, Thread, holder
from deskhand.protocol.tasks import Budget, Ruling, Suggestion
from deskhand.protocol.wire import TABLES, At, Json, JsonObject, Wire, spelled


class Life(Wire):
    """Which life of its home a runner speaks in; a copied or restored home begins a new one.

    ``said`` is the last op that was ever kept there before this process began with ``born``.
    """

    incarnation: str = Field(max_length=100)
    said: str = Field(max_length=100)
    born: str = Field(max_length=100)


class Op(Wire):
    """One wish. ``thread`` and ``task`` say what it is about; ``body`` has the shape of its kind."""

    op_id: str = Field(min_length=8, max_length=100)
    kind: str = Field(max_length=50)
    thread: str | None = Field(default=None, max_length=100)
    task: str | None = Field(default=None, max_length=100)
    life: Life | None = None
    body: JsonObject = Field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return the hash that binds ``op_id`` to this op."""
        return sha256(spelled(self.model_dump(include={"kind", "thread", "task", "body"}))).hexdigest()


class Failure(Wire):
    """The error object of HTTP answers and op results."""

    code: str
    message: str
    cure: str
    retryable: bool
    field: str | None = None
    request_id: str | None = None


class OpResult(Wire):
    """What became of one op."""

    op_id: str
    status: Literal["ok", "duplicate", "rejected"]
    seq: int | None = None
    id: str | None = None
    task: str | None = None
    error: Failure | None = None


OPS: dict[str, type[OpBody]] = {}
"""Every op this build understands, with the shape of its body."""


class OpBody(Wire):
    """The body of an op; a subclass says of which kinds."""

    @override
    def __init_subclass__(cls, *, kinds: str = "", **config: Unpack[ConfigDict]) -> None:
        """Enter it in the table of ops."""
        super().__init_subclass__(**config)
        OPS.update(dict.fromkeys(kinds.split(), cls))


class Nothing(OpBody, kinds="thread.erase task.cancel task.pause task.resume task.retry"):
    """For ops that need no words."""


class ThreadCreate(OpBody, kinds="thread.create"):
    """Begin a conversation."""

    title: str = Field(default="", max_length=NAME_CHARS_MAX)


class ThreadRename(OpBody, kinds="thread.rename"):
    """Give a conversation another title."""

    title: str = Field(min_length=1, max_length=NAME_CHARS_MAX)


class ThreadModel(OpBody, kinds="thread.set_model"):
    """Say which model thinks in a conversation unless a task names another; ``null`` is the computer's own."""

    model: str | None = Field(default=None, max_length=NAME_CHARS_MAX)


class Archive(OpBody, kinds="thread.archive task.archive"):
    """Put away (or, with ``false``, take out again)."""

    archived: bool = True


class Share(OpBody, kinds="thread.share"):
    """Show a conversation to everybody of the account (or, with ``false``, take that back)."""

    shared: bool = True


class Mute(OpBody, kinds="thread.mute"):
    """Send no notifications about a conversation (or, with ``false``, send them again)."""

    muted: bool = True


class MessagePost(OpBody, kinds="message.post"):
    """Say something; without ``as`` it is an answer if ``to`` names the open question, else a task."""

    text: str = Field(min_length=1, max_length=TEXT_CHARS_MAX)
    meant: Literal["task", "steer", "answer"] | None = Field(default=None, alias="as")
    to: str | None = None
    files: tuple[str, ...] = ()
    folder: str | None = None
    mode: FolderMode | None = None
    runner: str | None = None
    agent: str | None = None
    model: str | None = None
    title: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    not_before: At | None = None
    deadline: At | None = None
    budget: Budget | None = None
    plan: bool = False
    criteria: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


class TaskEdit(OpBody, kinds="task.edit"):
    """Change what a task is called or what it must fulfil."""

    title: str | None = Field(default=None, max_length=NAME_CHARS_MAX)
    criteria: tuple[str, ...] | None = None


class TaskRunAs(OpBody, kinds="task.run_as"):
    """Run the suggestion of this id, exactly as it was shown, in the place of the task's text."""

    suggestion: str
    preview_sha256: str


class ApprovalDecide(Ruling, OpBody, kinds="approval.decide"):
    """Say yes or no to exactly this action."""


class QuestionAnswer(OpBody, kinds="question.answer"):
    """Answer an open question."""

    question: str
    answer: str = Field(min_length=1, max_length=TEXT_CHARS_MAX)


class ReadMark(OpBody, kinds="read.mark"):
    """Everything of the thread up to ``seq`` was seen."""

    seq: int = Field(ge=0)


class NotificationAck(OpBody, kinds="notification.ack"):
    """A notification was shown or tapped."""

    delivery: str
    fate: Literal["shown", "tapped"]


class DeviceAdmit(OpBody, kinds="device.admit"):
    """Let the asking device in, or not."""

    request: str
    admit: bool = True


class DeviceRevoke(OpBody, kinds="device.revoke"):
    """Take every right from a device at once."""

    device: str


class DeviceCertify(Certificate, OpBody, kinds="device.certify"):
    """Say, signed, that a device may approve what needs a signature."""


class FolderPutOp(OpBody, kinds="folder.put"):
    """Make a folder known under narrower or equal terms; the runner's own file is the ceiling."""

    id: str
    runner: str
    root: str = Field(max_length=4096)
    label: str = Field(max_length=NAME_CHARS_MAX)
    mode: FolderMode
    marked: Marked = "mine"
    lent_to: tuple[str, ...] = ()
    once: bool = False


class FolderRemove(OpBody, kinds="folder.remove"):
    """Stop using a folder."""

    folder: str


class SettingsPut(OpBody, kinds="settings.put"):
    """Change one setting of the registry."""

    name: str
    value: Json


class TaskAccept(OpBody, kinds="task.accept"):
    """The runner has stored the brief."""

    epoch: int


class TaskSuggest(OpBody, kinds="task.suggest"):
    """A runner says which of its commands a task may mean that waits for a model."""

    suggestions: tuple[Suggestion, ...] = Field(max_length=SUGGESTIONS_MAX)


class EventAppend(OpBody, kinds="event.append"):
    """A runner states a fact about a task leased to it, or advertises itself."""

    kind: str
    body: JsonObject


class LeaseRenew(OpBody, kinds="lease.renew"):
    """The runner still works on this epoch."""

    epoch: int


class PresenceNote(OpBody, kinds="presence.note"):
    """How the runner's computer stands: it is here, or about to go; after a sleep, how long it slept."""

    state: Literal["up", "asleep", "off", "stopped"] = "up"
    slept_seconds: int | None = Field(default=None, ge=0)


class DraftSay(OpBody, kinds="draft.say"):
    """What a model says just now, for whoever watches; nothing of it is kept. At offset 0 it begins anew."""

    epoch: int
    message: str = Field(max_length=100)
    offset: int = Field(ge=0, le=TEXT_CHARS_MAX)
    text: str = Field(max_length=TEXT_CHARS_MAX)


def body_of(op: Op) -> OpBody:
    """Return the parsed body.

    Raises:
        DeskhandError: ``unknown_kind`` or ``invalid``.
    """
    model = OPS.get(op.kind)
    if model is None:
        raise DeskhandError(Code.UNKNOWN_KIND, op.kind, field="kind")
    return model.from_json(op.body)


def failure_of(error: DeskhandError, *, language: str = "en", request_id: str | None = None) -> Failure:
    """Return the object that clients get for an error."""
    return Failure(
        code=error.code,
        message=error.sentence(language),
        cure=error.cure(language),
        retryable=error.code.retryable,
        field=error.field,
        request_id=request_id,
    )


PROGRAMS = frozenset({Role.BRIDGE, Role.CLIENT})
"""They work for the owner, and see what they began alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who speaks: a device, a runner or the hub itself, with its one account and role."""

    account: str
    id: str
    role: Role
    name: str = ""
    person: str = ""
    """Who holds it; the owner has no name here."""

    def __post_init__(self) -> None:
        """See to it that a person's other devices are told from somebody else's by ``person`` alone."""
        object.__setattr__(self, "person", holder(self.role, self.person, self.id))

    @property
    def requester(self) -> str:
        """Under which name work is lent to it."""
        return self.person or self.id

    def sees(self, thread: Thread) -> bool:
        """Whether a conversation is its to see: its person's own and what is shared; a program's, what it began."""
        if self.role in PROGRAMS:
            return thread.created_by == self.id
        return thread.seen_by in {EVERYBODY, self.person}


AUTHORITY: dict[str, dict[Role, str]] = {
    kind: dict(zip(Role, grants.split(), strict=True))
    for grants, kinds in TABLES["authority"].items()
    for kind in kinds.split()
}
"""op -> role -> how far: ``yes``, ``own``, ``no``. For a runner, ``own`` means: leased to it under the current epoch."""

OWNER_FIELDS = ("checks", "agent", "runner", "budget")
"""Fields of ``message.post`` that choose code, computer or what may be spent: the owner's alone."""


def authorize(principal: Principal, kind: str, *, own: bool) -> None:
    """Let the op pass, or refuse.

    Args:
        principal: who sends it.
        kind: the op's kind.
        own: whether what it is about belongs to the principal (or, for a runner, is leased to it).

    Raises:
        DeskhandError: ``unknown_kind``; ``forbidden``; ``not_found`` when it exists but is somebody else's, so
            that nobody learns of it (IS-01).
    """
    row = AUTHORITY.get(kind)
    if row is None:
        raise DeskhandError(Code.UNKNOWN_KIND, kind, field="kind")
    grant = row[principal.role]
    if grant == "no":
        raise DeskhandError(Code.FORBIDDEN, kind)
    if grant == "own" and not own:
        raise DeskhandError(Code.NOT_FOUND)


def authorize_fields(principal: Principal, body: MessagePost) -> None:
    """Refuse fields that would let another person choose what runs on the owner's computer.

    Raises:
        DeskhandError: ``forbidden`` naming the field.
    """
    for field in OWNER_FIELDS:
        if principal.role is not Role.OWNER and getattr(body, field):
            raise DeskhandError(Code.FORBIDDEN, field, field=field)
