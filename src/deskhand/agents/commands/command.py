"""What a command is: a typed line, and a plan that can be replayed.

A plan is a generator of wishes. It gets the results of each and ends with ``Done`` or ``GiveUp``. It may keep nothing
outside itself: the agent builds it anew for every move and feeds it the history, so a crash loses nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from typing import Any, Final, Literal, Self, TypeVar

from deskhand.agents.commands.values import objects, words
from deskhand.clock import unstamp
from deskhand.ports import CheckWish, Done, GiveUp, ToolCall, ToolResult, Turn, Wishes
from deskhand.protocol.objects import CommandInfo, OptionInfo
from deskhand.protocol.wire import JsonObject
from deskhand.texts import LANGUAGES, text

T = TypeVar("T")
Plan = Generator[Wishes, Turn, Done | GiveUp]
Steps = Generator[Wishes, Turn, T]
"""A part of a plan that returns something to it."""

NAME_CHARS_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A ``--name VALUE`` of a command: a number from 1 when it has a ``most``, one of ``choices``, else text.

    Without a ``metavar`` it is a switch: ``options`` of the line holds 1 where it stands.
    """

    name: str
    metavar: str = ""
    most: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """Return how it is typed."""
        return f"--{self.name} {'|'.join(self.choices) or self.metavar}".rstrip()

    @property
    def info(self) -> OptionInfo:
        """Return what a runner advertises."""
        metavar = "|".join(self.choices) or self.metavar
        return OptionInfo(name=self.name, metavar=metavar, choices=self.choices, most=self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command line that was understood. ``language`` is the one the person wrote in, ``at`` when."""

    name: str
    operands: tuple[str, ...] = ()
    options: Mapping[str, str | int] = field(default_factory=dict[str, "str | int"])
    language: str = "en"
    at: str = "1970-01-01T00:00:00.000Z"

    @property
    def today(self) -> date:
        """The day on which it was written, where this computer is."""
        return unstamp(self.at).astimezone().date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command; its sentences and examples are ``command.NAME.*`` in the catalogue.

    ``plan`` gets the line, and an earlier end of the same task whose checks failed: its outputs may be replaced.
    ``takes`` says what its words are, ``endings`` of which files. The words of one that takes a ``line`` are a single
    operand, as it was typed.
    """

    name: str
    metavar: str
    operands: range
    plan: Callable[[Line, Done | None], Plan]
    options: tuple[Option, ...] = ()
    takes: Literal["path", "file", "folder", "words", "line", "name"] = "path"
    endings: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, plan: Callable[[Line, Done | None], Plan]) -> Self:
        """Return the command whose words and options stand in ``commands.toml``."""
        told = _table()[name]
        options = tuple(Option(**each) for each in told.pop("options", ()))
        metavar, operands = told.pop("words"), range(told.pop("least"), told.pop("most") + 1)
        return cls(
            name=name, metavar=metavar, operands=operands, plan=plan, options=options, **told
        )

    @property
    def usage(self) -> str:
        """Return the one line that shows how to call it."""
        options = (f"[{option.usage}]" for option in self.options)
        return " ".join((f"/{self.name}", self.metavar, *options))

    @property
    def info(self) -> CommandInfo:
        """Return what a runner advertises."""
        examples = tuple(example for each in LANGUAGES for example in self.examples(each))
        summary = f"command.{self.name}.summary"
        return CommandInfo(
            name=self.name,
            summary=text(summary),
            summary_ko=text(summary, language="ko"),
            usage=self.usage,
            examples=examples,
            takes=self.takes,
            endings=self.endings,
            least=self.operands.start,
            most=self.operands.stop - 1,
            options=tuple(option.info for option in self.options),
        )

    def examples(self, language: str) -> list[str]:
        """Return sentences that ask for it."""
        return text(f"command.{self.name}.examples", language=language).splitlines()


def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(
        files("deskhand.agents.commands").joinpath("commands.toml").read_text(encoding="utf-8")
    )


class StoppedError(Exception):
    """The plan cannot go on; each reason is a sentence for the person."""

    def __init__(self, *reasons: str) -> None:
        """Keep the reasons."""
        self.reasons = reasons
        super().__init__("; ".join(reasons))


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaks to the person in one language, and says of each step what it is for. Its steps raise ``StoppedError``."""

    language: str

    def say(self, key: str, **values: object) -> str:
        """Return a sentence about the command."""
        return text(f"command.{key}", language=self.language, **values)

    def call(self, tool: str, step: str, arguments: JsonObject, **values: object) -> ToolCall:
        """Return the wish for a tool, with its step in words."""
        title = text(f"step.{step}", language=self.language, **values)
        return ToolCall(tool=tool, arguments=arguments, title=title)

    def check(self, name: str, path: str, arguments: JsonObject) -> CheckWish:
        """Return what shall be looked at again in a result, by the check tool of this name."""
        told: JsonObject = {**arguments, "language": self.language}
        call = self.call(f"check_{name}", f"check_{name}", told, path=path)
        return CheckWish(name=text(f"check_name.{name}", language=self.language), call=call)

    def use(self, call: ToolCall) -> Steps[JsonObject]:
        """Wish for one tool and return its value; stop when it was denied, failed, or nobody knows what happened."""
        turn = yield Wishes(calls=(call,))
        if len(turn.results) == 1 and turn.results[0].outcome == "ok":
            return turn.results[0].value
        raise self.stopped(call, turn)

    def stopped(self, call: ToolCall, turn: Turn) -> StoppedError:
        """Return why a plan cannot go on after the only call of a turn."""
        unknown = ToolResult(outcome="unknown", value={})
        result = turn.results[0] if len(turn.results) == 1 else unknown
        if result.outcome == "denied":
            return StoppedError(*filter(None, (self.say("denied", what=call.title), result.text)))
        if result.outcome == "unknown" or not result.text:
            return StoppedError(self.say("unknown_outcome", what=call.title))
        return StoppedError(f"{call.title}: {result.text}")

    def name_for(self, line: Line, default: str, *endings: str) -> str:
        """Return the plain file name that a line asks for, with one of the endings."""
        name = str(line.options.get("out", default))
        if "/" in name or "\\" in name or name.startswith(".") or len(name) > NAME_CHARS_MAX:
            raise StoppedError(self.say("out_name", name=name))
        return name if name.casefold().endswith(endings) else name + endings[0]

    def free_name(self, wanted: str, before: Done | None) -> Steps[tuple[str, bool]]:
        """Return a name that is free in the results place, and whether to replace what this task wrote itself."""
        stem, dot, ending = wanted.rpartition(".")
        arguments: JsonObject = {"path": ".", "pattern": f"*.{ending}", "from": "results"}
        call = self.call("list_files", "look_for_name", arguments, name=wanted)
        entries = objects((yield from self.use(call)), "entries")
        taken = {words(entry, "path").casefold() for entry in entries}
        own = before.outputs if before is not None else ()
        name, number = wanted, 2
        while name.casefold() in taken and name not in own:
            name = f"{stem}-{number}{dot}{ending}"
            number += 1
        return name, name in own

    def deliver(
        self, writing: ToolCall, checks: tuple[CheckWish, ...], key: str, **values: object
    ) -> Steps[Done]:
        """Write and run the first check at once: files that changed meanwhile are said now.

        The end says the sentence ``key``, which also gets the check's ``evidence``.
        """
        yield from self.use(writing)
        value = yield from self.use(checks[0].call)
        evidence = words(value, "evidence")
        if value.get("passed") is not True:
            raise StoppedError(self.say("changed_meanwhile"), evidence)
        summary = self.say(key, evidence=evidence, **values)
        return Done(summary=summary, outputs=(words(writing.arguments, "path"),), checks=checks)


def voice_for(line: Line, sample: str = "") -> Voice:
    """Return the voice that answers a line: Korean to who writes it, and about what is written in it."""
    letters = [letter for letter in sample if letter.isalpha()]
    hangul = sum("가" <= letter <= "힣" for letter in letters)
    return Voice("ko" if line.language == "ko" or hangul * 3 > len(letters) else "en")
