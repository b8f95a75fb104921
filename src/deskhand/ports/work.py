"""What thinks in an attempt and the moves it can make; and where work happens: folders by handle, the sandbox, tools.

Types only: an agent never runs a tool itself, the gate stands in front of all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeVar, runtime_checkable

from deskhand import limits
from deskhand.permissions.rules import Kind
from deskhand.protocol.objects import FolderMode, SandboxInfo
from deskhand.protocol.tasks import Brief, Check, PlanItem
from deskhand.protocol.wire import JsonObject

Effect = Literal["pure", "idempotent", "probe", "unknown"]
"""What a crash between intent and result means (design 3): repeat, repeat, look, or tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A wish of an agent. ``title`` is one plain line for people ("read notes/a.md")."""

    tool: str
    arguments: JsonObject
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a wish came to. ``value`` is for the agent's code, ``text`` for a model or a person."""

    outcome: Literal["ok", "error", "denied", "unknown"]
    value: JsonObject
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What thinking of one move cost: the model by the name it gave itself, its tokens, and the price if it is known.

    ``usd`` is an exact amount of dollars; ``None`` says that nobody knows, which is not nothing.
    """

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    usd: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    say: str = ""
    spent: Spent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes(_Said):
    """The agent wants these tools used, in this order; ``say`` is text for the person.

    ``plan`` is the checklist as it stands now, and ``criteria`` the task restated; without them nothing changes.
    """

    calls: tuple[ToolCall, ...]
    plan: tuple[PlanItem, ...] | None = None
    criteria: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(_Said):
    """The agent wants to know something from a person."""

    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckWish:
    """A check that the agent's command knows how to make, by a pure tool.

    The tool's result must say ``{"passed": true}`` in its value; anything else is a failed check.
    """

    name: str
    call: ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(_Said):
    """The agent believes it is done. ``outputs`` are paths in the results place; ``checks`` say how to see it.

    Without outputs and changes it is the plain answer to a plain question. ``plan`` is the checklist at the end.
    """

    summary: str
    outputs: tuple[str, ...] = ()
    checks: tuple[CheckWish, ...] = ()
    plan: tuple[PlanItem, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp(_Said):
    """The agent says honestly that it cannot; each reason is a sentence for the person."""

    reasons: tuple[str, ...]


Move = Wishes | Ask | Done | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One earlier move and what came of it: results of its calls, or the answer to its question."""

    move: Move
    results: tuple[ToolResult, ...] = ()
    answer: str | None = None
    steering: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """A tool as a model is told of it: what it is for, and the JSON Schema of its arguments."""

    name: str
    description: str
    schema: JsonObject


class Agent(Protocol):
    """What thinks in an attempt. It never runs a tool itself, and keeps no state that history cannot rebuild."""

    @property
    def name(self) -> str:
        """The name a task's ``agent`` field carries."""
        ...

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: what stands in the way, for a person; the attempt ends ``not_done`` or waits.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a verifier may look at: a result by its name, and its text as far as it could be read."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a verifier found, one check per criterion that it could judge, and what thinking of it cost."""

    checks: tuple[Check, ...]
    spent: Spent | None = None


@runtime_checkable
class Verifier(Protocol):
    """What judges results in the light of their criteria. It never sees the story of the work."""

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        """Return one check per criterion that was judged; one that was not judged is absent.

        Raises:
            DeskhandError: what stands in the way; it is no judgement.
        """
        ...


R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a folder; ``path`` is relative to the folder's root, with slashes. Links and devices are ``other``.

    Names of one and the same file have the same ``identity``; a file with a single name has none.
    """

    path: str
    kind: Literal["file", "directory", "other"]
    size: int
    modified_ns: int
    identity: str = ""


class FolderAccess(Protocol):
    """A directory handle: every path is relative to it, no link is ever followed (security 4)."""

    @property
    def root(self) -> Path:
        """Where it was when it was opened; for showing, and for binding into a sandbox."""
        ...

    def read(self, rel: str, *, limit: int) -> bytes:
        """Return a file's bytes."""
        ...

    def write(self, rel: str, data: bytes, *, expect: str | None = None) -> None:
        """Replace or create a file: temporary file, fsync, rename.

        ``expect`` is the hash of what must be there now, ``""`` for nothing; else ``conflict``.
        """
        ...

    def write_from(self, rel: str, source: BinaryIO, *, limit: int, mode: int | None = None) -> None:
        """Do as ``write`` from an open file, never holding it whole in memory.

        Raises:
            DeskhandError: ``too_large`` beyond ``limit``.
        """
        ...

    def mkdir(self, rel: str) -> None:
        """Create a directory and its parents."""
        ...

    def remove(self, rel: str) -> None:
        """Remove a file or an empty directory."""
        ...

    def stat(self, rel: str) -> Entry | None:
        """Return what has this name, or nothing when the name is free; ``"."`` is the folder itself."""
        ...

    def list(self, rel: str, *, limit: int) -> Sequence[Entry]:
        """Return what is directly in a directory, sorted by name, at most ``limit``.

        Raises:
            DeskhandError: ``not_found``, ``path_refused``.
        """
        ...

    def sha256(self, rel: str) -> str:
        """Return the hash of a file's bytes, in hex."""
        ...

    def move(self, rel: str, to: str) -> None:
        """Rename within the folder.

        Raises:
            DeskhandError: ``conflict`` when ``to`` exists.
        """
        ...

    def foreign(self, rel: str) -> bool:
        """Return whether a file came from elsewhere: it was downloaded, or marked as such."""
        ...

    def mark(self, rel: str) -> None:
        """Mark a file as come from elsewhere."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Make what changes inside durable at its end, all at once; thousands of files would take minutes otherwise."""
        ...

    def keep(self, paths: Iterable[str]) -> None:
        """Keep what has these names, and what lies below them, for an undo, all at once before any of it changes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command for the sandbox: argv, never a shell string unless argv says so."""

    argv: tuple[str, ...]
    folder: Path
    writable: bool
    seconds_max: float
    output_bytes_max: int = limits.COMMAND_OUTPUT_BYTES_MAX
    memory_bytes_max: int = limits.COMMAND_MEMORY_BYTES_MAX
    processes_max: int = limits.COMMAND_PROCESSES_MAX
    key: str = ""
    """Names the step it belongs to: with one, it happens once, however often it is asked for after a crash."""
    programs: tuple[Path, ...] = ()
    """Directories beyond the system's that hold what it runs; seen at their own paths, read-only."""
    given: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """Files beside the folder, by their absolute paths in the box."""
    hosts: tuple[str, ...] = ()
    """Hosts that it was permitted to talk to through what is in ``given``; a wall that cannot carry that refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file that a command made, changed or deleted, and that was applied."""

    path: str
    kind: Literal["created", "changed", "deleted"]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedChange:
    """A change that was not applied, and why: an error code, or ``link``, ``special``, ``conflict``, ``too_many``."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended. ``changes`` are applied already; killed midway means nothing happened."""

    exit_code: int | None
    output: bytes
    truncated: bool
    timed_out: bool
    changes: tuple[FileChange, ...] = ()
    refused: tuple[RefusedChange, ...] = ()
    stopped: Literal["time", "memory", "processes", "disk"] | None = None
    """The bound that ended it; nothing was applied then."""


class Sandbox(Protocol):
    """Runs commands behind a wall. Without a wall it refuses; it never runs bare (SH-10)."""

    @property
    def info(self) -> SandboxInfo:
        """What this computer can do, found by trying."""
        ...

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Run it over an overlay of the folder and apply the changes at its end.

        Cancelling the caller kills every process of it, and nothing is applied.

        Raises:
            DeskhandError: ``sandbox_unavailable``.
        """
        ...

    async def ended(self, key: str) -> CommandResult | None:
        """Return how the command of a step ended by our own record; none is kept of a read-only or an old one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tool call may work: the folder of the task and where results go (often the same)."""

    folder: FolderAccess | None
    results: FolderAccess
    mode: FolderMode
    sandbox: Sandbox
    step: str = ""
    """The key of the step that has its effect here, if it is one that must not be had twice."""
    task: str = ""
    """The task it works for, on whose account goes what is said to the internet."""


class Tool(Protocol):
    """One tool. It gets validated arguments and a place; the gate has already said yes."""

    @property
    def name(self) -> str:
        """The name wishes use."""
        ...

    @property
    def effect(self) -> Effect:
        """Its class for recovery."""
        ...

    @property
    def writes(self) -> bool:
        """Whether it may change files or run programs; the gate's first question."""
        ...

    @property
    def kind(self) -> Kind:
        """Its class (security 5): whether what it does stays here."""
        ...

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the resolved thing it will touch, for rules, approval and hash."""
        ...

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Do it.

        Raises:
            DeskhandError: a refusal; becomes an ``error`` result for the agent.
        """
        ...


class Offload(Protocol):
    """Runs a blocking function: in a thread for real, inline in the simulation."""

    def __call__(self, work: Callable[[], R], /) -> Awaitable[R]:
        """Return what ``work`` returns, without blocking the loop."""
        ...
