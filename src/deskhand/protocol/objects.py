"""The objects that people and programs see: folds of the log, exactly as HTTP returns them.

Tasks and what hangs on them are in ``tasks``; here is everything around a task. Pure data, no rules.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from deskhand.limits import NAME_CHARS_MAX
from deskhand.protocol.signing import Risk, Signed
from deskhand.protocol.wire import At, Json, Wire

Surface = Literal["page", "cli", "http", "agent", "hub", "channel"]
Marked = Literal["mine", "mixed"]
"""Whose words are in a folder: its owner's alone, or also what others wrote."""
LinkState = Literal["up", "asleep", "off", "no_network", "stopped"]


EVERYBODY = "*"
"""Who sees a conversation that is shared."""


class Trust(StrEnum):
    """Who could have written a text: its owner, or somebody else."""

    OWNER = "owner"
    UNTRUSTED = "untrusted"


class Origin(Wire):
    """Where a message or file came from."""

    surface: Surface
    device: str | None = None
    person: str | None = None
    channel: str | None = None


class Role(StrEnum):
    """What a principal may do; the table is in ``authority``."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"
    RUNNER = "runner"
    BRIDGE = "bridge"
    CLIENT = "client"


def holder(role: Role, person: str | None, device: str) -> str:
    """Return who holds a device: the owner (no name), whom its invitation named, or nobody else (its id)."""
    return person or device if role in {Role.MEMBER, Role.VIEWER} else ""


class Thread(Wire):
    """A persistent conversation; its ``person``'s (without a name: the owner's) alone, until it is ``shared``."""

    id: str
    title: str
    state: Literal["open", "erased"] = "open"
    archived: bool = False
    muted: bool = False
    created_at: At
    updated_at: At
    created_by: str
    person: str | None = None
    model: str | None = None
    shared: bool = False
    tasks: int = 0
    latest_task: str | None = None
    last_text: str | None = None

    @property
    def seen_by(self) -> str:
        """Who sees it: ``*`` for everybody of the account, or its person."""
        return EVERYBODY if self.shared else self.person or ""


class Device(Wire):
    """A signed-in phone, browser or CLI; a runner signs in as one too. ``person``: as the invitation named them."""

    id: str
    name: str = Field(max_length=NAME_CHARS_MAX)
    kind: Literal["page", "cli", "runner", "client"]
    role: Role
    person: str | None = None
    state: Literal["active", "revoked"] = "active"
    public_key: str | None = None
    created_at: At
    revoked_at: At | None = None

    @property
    def holder(self) -> str:
        """Who holds it."""
        return holder(self.role, self.person, self.id)


class Certificate(Signed):
    """A trusted device's word that another one may approve on a computer (``*``: on all) what needs a signature."""

    device: str
    fingerprint: str
    runner: str = "*"


class PairRequest(Wire):
    """A stranger asking to join; both screens show ``match``."""

    id: str
    name: str
    kind: Literal["page", "cli", "runner", "client"]
    role: Role
    person: str | None = None
    match: str
    state: Literal["waiting", "admitted", "refused"] = "waiting"
    asked_at: At


class FolderMode(StrEnum):
    """What may happen in a folder, from narrow to wide."""

    READ_ONLY = "read-only"
    ASK = "ask"
    WORKSPACE = "workspace"
    TRUSTED = "trusted"


def narrower(first: FolderMode, second: FolderMode) -> FolderMode:
    """Return the mode that allows less."""
    return min(first, second, key=[*FolderMode].index)


def narrowest(first: FolderMode | None, second: FolderMode | None) -> FolderMode | None:
    """Return the mode that allows less, of those that are said."""
    return narrower(first, second) if first and second else first or second


class FolderInstructions(Wire):
    """The file of a folder that goes with each task there, as far as it goes."""

    name: str
    chars: int
    sha256: str


class Folder(Wire):
    """A folder of one runner. The runner's own file is the ceiling; this is what the hub knows of it.

    ``once``: granted for one task; it is gone when that task ends. ``lent_to``: members whose work may be done there.
    """

    id: str
    runner: str
    root: str
    label: str
    mode: FolderMode
    marked: Marked = "mine"
    lent_to: tuple[str, ...] = ()
    once: bool = False
    instructions: FolderInstructions | None = None
    state: Literal["granted", "removed"] = "granted"


class OptionInfo(Wire):
    """An option of a command: one of ``choices``, a number up to ``most``, free text; without ``metavar`` a switch."""

    name: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    most: int | None = None


class CommandInfo(Wire):
    """A command of the command agent, as a runner advertises it.

    ``takes`` says what its ``least`` to ``most`` words are, ``endings`` of which files. ``examples`` are sentences in
    every language; of ``summary`` and ``examples`` each is in one of them.
    """

    name: str
    summary: str
    usage: str
    examples: tuple[str, ...] = ()
    summary_ko: str = ""
    takes: Literal["path", "file", "folder", "words", "line", "name"] = "path"
    endings: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    options: tuple[OptionInfo, ...] = ()


class SandboxInfo(Wire):
    """How commands run on that computer."""

    name: str
    level: Literal["full", "reduced", "none"]
    reason: str | None = None


ModelLabel = Literal["stand_in", "too_small"]
"""What has to stand beside a model's name wherever it shows."""


class ModelInfo(Wire):
    """The model that a computer thinks with unless a task names another. Keys and addresses never cross the wire."""

    name: str
    source: Literal["config", "key", "server", "embedded"]
    label: ModelLabel | None = None
    context_tokens: int | None = None


class Runner(Wire):
    """A computer that does the work. ``models``: every model that a task may name there."""

    id: str
    name: str
    incarnation: str
    protocol: int
    kinds: tuple[str, ...] = ()
    commands: tuple[CommandInfo, ...] = ()
    tools: tuple[str, ...] = ()
    model: ModelInfo | None = None
    models: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    sandbox: SandboxInfo
    slots: int = 20
    hub_trust: Risk = "high"
    """The highest risk that it lets happen on the hub's word; above it a yes has to be signed."""
    trusted: tuple[str, ...] = ()
    """Fingerprints of the devices whose signature it takes."""
    advertised_at: At
    state: Literal["active", "revoked"] = "active"


class Setting(Wire):
    """One setting of the account; its schema is in the registry."""

    id: str
    value: Json = None
    changed_at: At
    changed_by: str


class Delivery(Wire):
    """One notification to one device by one road, with its fate. A table of its own truth, never an event."""

    id: str
    kind: Literal["finished", "needs_you", "failed", "runner_offline", "test"] = Field(alias="class")
    road: str
    device: str | None = None
    thread: str | None = None
    task: str | None = None
    tag: str
    occasion: str = ""
    """``reminder`` or ``second`` where it was said before; of a computer, when it was last heard."""
    seq: int | None = None
    """The event it tells of."""
    fate: Literal["planned", "sent", "accepted", "shown", "tapped", "held", "suppressed", "failed"]
    reason: str | None = None
    attempts: int = 0
    at: At


class Upload(Wire):
    """A file on its way in, bound to the principal that sends it."""

    id: str
    name: str
    size: int
    offset: int
    media_type: str
    sha256: str | None = None
    expires_at: At


class Presence(Wire):
    """How a runner's link stands, as the hub sees it now; never an event.

    ``seen_at`` is when it was last heard. ``slept_seconds`` and ``woke_at`` tell of its last sleep.
    """

    runner: str
    connected: bool
    seen_at: At
    state: LinkState = "up"
    slept_seconds: int | None = None
    woke_at: At | None = None
