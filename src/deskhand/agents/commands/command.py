"""What a command is: a typed line, and a plan that can be replayed.

A plan is a generator of wishes. It gets the results of each and ends with ``Done`` or ``GiveUp``. It may keep nothing
outside itself: the agent builds it anew for every move and feeds it the history, so a crash loses nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from deskhand.ports import Done, GiveUp, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol.objects import CommandInfo
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text

T = TypeVar("T")
Plan = Generator[Wishes, Turn, Done | GiveUp]
Steps = Generator[Wishes, Turn, T]
"""A part of a plan that returns something to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A ``--name VALUE`` of a command."""

    name: str
    metavar: str
    kind: Literal["count", "text"] = "text"
    most: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Name, arguments and examples of a command; its sentences are ``command.NAME.*`` in the catalogue."""

    name: str
    metavar: str
    operands_least: int
    operands_most: int
    options: tuple[Option, ...] = ()
    examples_en: tuple[str, ...]
    examples_ko: tuple[str, ...]

    @property
    def usage(self) -> str:
        """Return the one line that shows how to call it."""
        options = (f"[--{option.name} {option.metavar}]" for option in self.options)
        return " ".join(part for part in (f"/{self.name}", self.metavar, *options) if part)

    @property
    def info(self) -> CommandInfo:
        """Return what a runner advertises."""
        return CommandInfo(
            name=self.name,
            summary=text(f"command.{self.name}.summary"),
            usage=self.usage,
            examples=(*self.examples_en, *self.examples_ko),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command line that was understood. ``language`` is the one the person wrote in."""

    name: str
    operands: tuple[str, ...] = ()
    options: Mapping[str, str | int]
    language: str = "en"

    def words(self, option: str) -> str | None:
        """Return a text option, or nothing."""
        value = self.options.get(option)
        return value if isinstance(value, str) else None

    def count(self, option: str, default: int) -> int:
        """Return a number option."""
        value = self.options.get(option)
        return value if isinstance(value, int) else default


class Command(Protocol):
    """One command."""

    @property
    def spec(self) -> Spec:
        """Name, arguments and examples."""
        ...

    def plan(self, line: Line, brief: Brief, before: Done | None) -> Plan:
        """Return the plan for a line.

        Args:
            line: what was asked for.
            brief: the task.
            before: an earlier end of the same task whose checks failed; its outputs may be replaced.
        """
        ...


class StoppedError(Exception):
    """The plan cannot go on; each reason is a sentence for the person."""

    def __init__(self, *reasons: str) -> None:
        """Keep the reasons."""
        self.reasons = reasons
        super().__init__("; ".join(reasons))


def use(call: ToolCall, *, language: str) -> Steps[JsonObject]:
    """Wish for one tool and return its value.

    Raises:
        StoppedError: it was denied, failed, or nobody knows whether it happened.
    """
    result = yield from attempt(call)
    if result.outcome == "ok":
        return result.value
    raise StoppedError(why_not(call, result, language=language))


def attempt(call: ToolCall) -> Steps[ToolResult]:
    """Wish for one tool and return what came of it, good or bad."""
    turn = yield Wishes(calls=(call,))
    if len(turn.results) != 1:
        return ToolResult(outcome="unknown", value={})
    return turn.results[0]


def why_not(call: ToolCall, result: ToolResult, *, language: str) -> str:
    """Return the sentence for a result that is not ``ok``."""
    if result.outcome == "denied":
        return text("command.denied", language=language, what=call.title)
    if result.outcome == "unknown" or not result.text:
        return text("command.unknown_outcome", language=language, what=call.title)
    return f"{call.title}: {result.text}"


def free_name(wanted: str, *, before: Done | None, language: str) -> Steps[tuple[str, bool]]:
    """Return a name that is free in the results place, and whether to replace (only what this task wrote itself)."""
    stem, dot, ending = wanted.rpartition(".")
    call = ToolCall(
        tool="list_files",
        arguments={"path": ".", "pattern": f"*.{ending}", "from": "results"},
        title=text("step.look_for_name", language=language, name=wanted),
    )
    value = yield from use(call, language=language)
    own = set(before.outputs) if before is not None else set[str]()
    taken = {str(entry.get("path")).casefold() for entry in objects(value, "entries")}
    name, number = wanted, 2
    while name.casefold() in taken and name not in own:
        name = f"{stem}-{number}{dot}{ending}"
        number += 1
    return name, name in own


def objects(value: Mapping[str, Json], field: str) -> list[JsonObject]:
    """Return the objects of a list in a tool's value; anything else is left out."""
    found = value.get(field)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(value: Mapping[str, Json], field: str) -> list[str]:
    """Return the strings of a list in a tool's value."""
    found = value.get(field)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def number(value: Mapping[str, Json], field: str) -> int:
    """Return a whole number of a tool's value, 0 when it is not there."""
    found = value.get(field)
    return found if isinstance(found, int) else 0


def words(value: Mapping[str, Json], field: str) -> str:
    """Return a string of a tool's value, empty when it is not there."""
    found = value.get(field)
    return found if isinstance(found, str) else ""


def mostly_korean(sample: str) -> bool:
    """Return whether a text is written in Korean, to answer in the same language."""
    letters = [letter for letter in sample if letter.isalpha()]
    hangul = sum("가" <= letter <= "힣" for letter in letters)
    return hangul * 3 > len(letters)
