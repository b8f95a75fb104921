"""Drives an agent over real tools without a runner: move, call, history, until it ends; then its checks.

History passes through JSON at every step, as a journal would store it. No gate and no journal: what those do is
tested with the runner.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from deskhand.errors import DeskhandError
from deskhand.ports import (
    Agent,
    Command,
    CommandResult,
    Done,
    FolderAccess,
    GiveUp,
    Place,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Wishes,
)
from deskhand.protocol.objects import FolderMode, Origin, SandboxInfo, Trust
from deskhand.protocol.tasks import Brief, Check
from deskhand.protocol.wire import JsonObject

R = TypeVar("R")
MOVES_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """How it went: every turn, the end, and what the checks of the end said."""

    turns: tuple[Turn, ...]
    end: Done | GiveUp
    checks: tuple[Check, ...]


class RecordedSandbox:
    """A sandbox that runs nothing: it keeps the command and answers with a given result."""

    def __init__(self, answer: CommandResult) -> None:
        """Keep the answer."""
        self.answer = answer
        self.commands: list[Command] = []

    @property
    def info(self) -> SandboxInfo:
        """No wall: what is done apart runs in a real process then."""
        return SandboxInfo(name="recorded", level="none")

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Keep the command."""
        del access
        self.commands.append(command)
        return self.answer

    async def ended(self, key: str) -> CommandResult | None:
        """Return how the command of this step ended, if it ran."""
        return self.answer if key in [command.key for command in self.commands] else None


def place_of(folder: FolderAccess, *, results: FolderAccess | None = None) -> Place:
    """Return a place with a folder that may be worked in."""
    nothing = CommandResult(exit_code=0, output=b"", truncated=False, timed_out=False)
    return Place(folder=folder, results=results or folder, mode=FolderMode.WORKSPACE, sandbox=RecordedSandbox(nothing))


def brief_of(text: str) -> Brief:
    """Return the brief of a task that a person typed at the command line."""
    return Brief(
        task="tsk_driven",
        thread="thr_driven",
        epoch=1,
        title=text[:80],
        text=text,
        agent="commands",
        origin=Origin(surface="cli"),
        trust=Trust.OWNER,
        created_at="2026-11-21T09:00:00.000Z",
    )


async def inline(work: Callable[[], R]) -> R:
    """Offload that runs the work here and now."""
    return work()


def offloaded(work: Callable[[], R], /) -> Awaitable[R]:
    """Run inline; the shape of ``ports.Offload``."""
    return inline(work)


async def drive(agent: Agent, brief: Brief, place: Place, tools: Mapping[str, Tool]) -> Driven:
    """Let the agent work to its end and run its checks.

    Raises:
        DeskhandError: what the agent itself raises.
        RuntimeError: it asks a person, or does not end.
    """
    turns: list[Turn] = []
    for _ in range(MOVES_MAX):
        move = await agent.move(brief, turns)
        if isinstance(move, (Done, GiveUp)):
            checks = move.checks if isinstance(move, Done) else ()
            found = [await checked(wish.name, wish.call, place, tools) for wish in checks]
            return Driven(turns=tuple(turns), end=move, checks=tuple(found))
        if not isinstance(move, Wishes):
            break
        results = [await called(call, place, tools) for call in move.calls]
        turns.append(Turn(move=move, results=tuple(results)))
    raise RuntimeError("the agent asked a person, or did not end")


async def called(call: ToolCall, place: Place, tools: Mapping[str, Tool]) -> ToolResult:
    """Call one tool as a runner does: a refusal is an ``error`` result; all passes through JSON."""
    try:
        result = await tools[call.tool].call(_again(call.arguments), place)
    except DeskhandError as error:
        return ToolResult(outcome="error", value={}, text=error.sentence())
    return ToolResult(outcome=result.outcome, value=_again(result.value), text=result.text)


async def checked(name: str, call: ToolCall, place: Place, tools: Mapping[str, Tool]) -> Check:
    """Run a check tool and return the check."""
    result = await called(call, place, tools)
    return Check(name=name, passed=result.value.get("passed") is True, evidence=result.text)


async def replays(agent: Agent, brief: Brief, turns: Sequence[Turn]) -> bool:
    """Return whether every prefix of a history gives the move that followed it."""
    return all([(await agent.move(brief, turns[:n])) == turns[n].move for n in range(len(turns))])


def _again(value: JsonObject) -> JsonObject:
    return cast("JsonObject", json.loads(json.dumps(value)))
