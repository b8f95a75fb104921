"""What thinks in an attempt, and the moves it can make. Types only; an agent never runs a tool itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

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
