"""Scripted agents: obedient, lying, looping, malformed. Each is a pure function of the history it is given.

They refuse to think: what they do is written down, so that a test says what must follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from deskhand.ports import CheckWish, Done, Move, ToolCall, Turn, Wishes
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import Json

Scripted = Move | Callable[[Sequence[Turn]], Move]


def call(tool: str, title: str = "", /, **arguments: Json) -> ToolCall:
    """Return a wish for a tool."""
    return ToolCall(tool=tool, arguments=arguments, title=title or tool)


def wish(*calls: ToolCall, say: str = "") -> Wishes:
    """Return a move that wishes for tools."""
    return Wishes(calls=calls, say=say)


def check(name: str, wanted: ToolCall) -> CheckWish:
    """Return a wish for a check."""
    return CheckWish(name=name, call=wanted)


@dataclass(slots=True)
class Obedient:
    """Makes its moves one after the other; the number of turns so far says which is next."""

    moves: Sequence[Scripted]
    name: str = "scripted"
    asked: int = 0
    seen: list[tuple[Turn, ...]] = field(default_factory=list[tuple[Turn, ...]])

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the move of this turn; after the last one, that one again."""
        del brief
        self.asked += 1
        self.seen.append(tuple(history))
        next_one = self.moves[min(len(history), len(self.moves) - 1)]
        return next_one(history) if callable(next_one) else next_one


@dataclass(slots=True)
class Lying:
    """Does nothing, and says that everything is done and lies in a file."""

    name: str = "lying"
    output: str = "report.md"

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Claim success."""
        del brief, history
        return Done(summary="All done and checked.", outputs=(self.output,))


@dataclass(slots=True)
class Looping:
    """Wishes for the same thing forever."""

    name: str = "looping"

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Wish for it again."""
        del brief, history
        return wish(call("list_files", path="."))


@dataclass(slots=True)
class Malformed:
    """Returns what is no move at all."""

    name: str = "malformed"
    answer: object = "rm -rf /"

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return nonsense."""
        del brief, history
        return cast("Move", self.answer)
