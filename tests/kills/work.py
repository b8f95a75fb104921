"""The work of the lives: a scripted agent that does what a task's words say, and tools whose effects are counted.

An effect is one appended line in a file outside both homes, so that nothing that dies can take it back. Labels name
the task, the turn and the call: the same wish always has the same label. It refuses to remember anything in memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, cast

from deskhand.clock import SystemClock, stamp
from deskhand.errors import DeskhandError
from deskhand.permissions.rules import Kind
from deskhand.ports import (
    Ask,
    CheckWish,
    Done,
    Effect,
    FolderAccess,
    GiveUp,
    Move,
    Place,
    ToolCall,
    ToolResult,
    Turn,
    Wishes,
)
from deskhand.protocol.tasks import Brief, PlanItem
from deskhand.protocol.wire import Json, JsonObject
from tests.kills.passing import EFFECTS, Passing, tell, told

AGENT: Final = "scripted"
TOOLS: Final[dict[str, Effect]] = {"pure": "pure", "idem": "idempotent", "probe": "probe", "once": "unknown"}
THINKS_SECONDS: Final = 0.2
WORKS_SECONDS: Final = 0.05
_COMMAND: Final = 'printf %s "$0" >> "$0.a" && sleep 0.08 && printf %s "$0" >> "$0.b"'
"""Run twice, or by halves, it leaves something else than run once."""


class Script:
    """Makes the move that the next word of the task says; its end tells what each call came to."""

    name = AGENT

    def __init__(self, passing: Passing) -> None:
        """Think in one life."""
        self._passing = passing
        self._clock = SystemClock()

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move."""
        with self._passing.step():
            self._passing.at("model call, before")
            await self._clock.sleep(THINKS_SECONDS)
            move = moved(brief.text.split(), history)
            self._passing.at("model call, after")
            return move


def moved(words: Sequence[str], history: Sequence[Turn]) -> Move:
    """Return what follows from a task's words and what happened so far."""
    name, tried = words[0], sum(isinstance(turn.move, Done) for turn in history)
    n = len(history) - tried
    if n + 1 >= len(words):
        return _claimed(words, history, tried=tried)
    word, label, says = words[n + 1], f"{name}.{n}", f"{name} says {n}"
    if word == "ask":
        return Ask(text="Which one?", choices=("this", "that"), say=says)
    if word == "stop":
        return GiveUp(reasons=(json.dumps(outcomes(name, history)),), say=says)
    plan = (PlanItem(text="write"), PlanItem(text="write again")) if word == "twice" else None
    criteria = ("done twice",) if word == "twice" else ()
    word = {"out": "idem", "twice": "pure"}.get(word, word)
    calls = (_call(word, f"{label}.{words[n + 1] if word != 'pure' else word}"),)
    if word == "many":
        calls = tuple(_call(one, f"{label}.{one}") for one in ("pure", "idem", "once", "probe"))
    elif word == "again":
        calls = (_call("once", f"{name}.again"), _call("once", f"{name}.again"))
    return Wishes(calls=calls, say=says, plan=plan, criteria=criteria)


def _claimed(words: Sequence[str], history: Sequence[Turn], *, tried: int) -> Done:
    """Return the end, whose first checks may be for what is not there."""
    name = words[0]
    made = [str(result.value["path"]) for turn in history for result in turn.results if "path" in result.value]
    checks = tuple(CheckWish(name=f"look {path}", call=_look(path)) for path in made)
    if "twice" in words and not tried:
        checks = (CheckWish(name="look for more", call=_look(f"{name}.none.txt")),)
    outputs = tuple(made[:1]) if "out" in words else ()
    summary = json.dumps(outcomes(name, history))
    return Done(summary=summary, outputs=outputs, checks=checks, say=f"{name} says {len(history)}.{tried}")


def outcomes(name: str, history: Sequence[Turn]) -> list[list[str]]:
    """Return [label, outcome] of every call, as the agent was told."""
    found: list[list[str]] = []
    for turn in history:
        if isinstance(turn.move, Wishes):
            for call, result in zip(turn.move.calls, turn.results, strict=True):
                found.append([label_of(call.arguments), result.outcome])
    return [[name, "end"], *found]


def label_of(arguments: JsonObject) -> str:
    """Return the label that a call carries."""
    argv = arguments.get("argv")
    return str(cast("list[str]", argv)[-1] if argv else arguments.get("label"))


def _call(word: str, label: str) -> ToolCall:
    if word == "cmd":
        argv: list[Json] = ["/bin/sh", "-c", _COMMAND, label]
        return ToolCall(tool="run_command", arguments={"argv": argv, "seconds": 20}, title="command")
    return ToolCall(tool=word, arguments={"label": label}, title=f"use {word}")


def _look(path: str) -> ToolCall:
    label = path.removesuffix(".txt")
    return ToolCall(tool="pure", arguments={"label": label, "wanted": label}, title="look")


class OracleTool:
    """Has one effect per call, written down where no process can lose it. ``pure`` only looks."""

    def __init__(self, name: str, passing: Passing) -> None:
        """Belong to one life."""
        self.name = name
        self.effect: Effect = TOOLS[name]
        self.writes = self.effect != "pure"
        self.kind: Kind = "safe"
        self._passing = passing
        self._clock = SystemClock()

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file it is about."""
        return str(_of(place).root / f"{arguments['label']}.txt")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Have the effect."""
        label = str(arguments["label"])
        self._tell("began", label)
        await self._clock.sleep(WORKS_SECONDS)
        value: JsonObject = {}
        if self.effect == "pure":
            value["passed"] = _holds(place, label)
        else:
            self._tell("effect", label)
        self._passing.at(f"{self.effect} tool, midway")
        if self.effect == "idempotent":
            _of(place).write(f"{label}.txt", label.encode())
            value["path"] = f"{label}.txt"
        await self._clock.sleep(WORKS_SECONDS)
        return ToolResult(outcome="ok", value=value, text=label)

    async def probe(self, arguments: JsonObject, place: Place) -> ToolResult | None:
        """Say whether it happened."""
        del place
        lines = told(self._passing.place / EFFECTS)
        found = any(line.get("effect") == str(arguments["label"]) for line in lines)
        return ToolResult(outcome="ok", value={}, text="found") if found else None

    def _tell(self, what: str, label: str) -> None:
        at = stamp(self._clock.now())
        tell(self._passing.place / EFFECTS, **{what: label}, tool=self.name, at=at)


def _holds(place: Place, label: str) -> bool:
    try:
        return _of(place).read(f"{label}.txt", limit=1000).decode() == label
    except DeskhandError:
        return False


def _of(place: Place) -> FolderAccess:
    return place.folder or place.results
