"""What a command is: a typed line, and a plan that can be replayed.

A plan is a generator of wishes. It gets the results of each and ends with ``Done`` or ``GiveUp``. It may keep nothing
outside itself: the agent builds it anew for every move and feeds it the history, so a crash loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Final, Self, TypeVar

from deskhand.agents.commands.values import number, objects, strings, words
from deskhand.ports import CheckWish, Done, GiveUp, ToolCall, Turn, Wishes
from deskhand.protocol.objects import CommandInfo, OptionInfo
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import LANGUAGES, language_of, table, text

T = TypeVar("T")
Plan = Generator[Wishes, Turn, Done | GiveUp]
Steps = Generator[Wishes, Turn, T]
"""A part of a plan that returns something to it."""
Checks = tuple[CheckWish, ...]

_NAME_CHARS_MAX: Final = 120
_FACTS_MAX: Final = 2_000
TYPED: Final = table("deskhand.agents.commands", "commands.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command line that was understood. ``language`` is the one the person wrote in, ``at`` when."""

    name: str
    operands: tuple[str, ...] = ()
    options: Mapping[str, str | int] = field(default_factory=dict[str, "str | int"])
    language: str = "en"
    at: str = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command; its words and options stand in ``commands.toml``, its sentences and examples in the catalogue.

    ``metavar`` says what its words are. The words of one that takes a ``line`` are a single operand, as it was typed.
    An option without a metavar is a switch: ``options`` of the line holds 1 where it stands.
    """

    info: CommandInfo
    metavar: str
    plan: Callable[[Work], Plan]

    @classmethod
    def of(cls, name: str, plan: Callable[[Work], Plan]) -> Self:
        """Return the command of this name."""
        told = {**TYPED[name]}
        metavar = told.pop("words")
        options = tuple(map(OptionInfo.from_json, told.pop("options", ())))
        typed = (f"[{f'--{option.name} {option.metavar}'.rstrip()}]" for option in options)
        info = CommandInfo(
            name=name,
            summary=text(f"command.{name}.summary"),
            summary_ko=text(f"command.{name}.summary", language="ko"),
            usage=" ".join((f"/{name}", metavar, *typed)),
            examples=tuple(each for language in LANGUAGES for each in examples(name, language)),
            options=options,
            **told,
        )
        return cls(info=info, metavar=metavar, plan=plan)

    @property
    def name(self) -> str:
        """What is typed after the slash."""
        return self.info.name


def examples(name: str, language: str) -> list[str]:
    """Return sentences that ask for a command."""
    return text(f"command.{name}.examples", language=language).splitlines()


class StoppedError(Exception):
    """The plan cannot go on; each of its ``args`` is a reason, a sentence for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One run of a command: speaks to the person, and says of each step what it is for. Steps raise ``StoppedError``.

    ``before`` is an earlier end of the same task whose checks failed: its outputs may be replaced.
    """

    line: Line
    before: Done | None
    language: str

    def about(self, *samples: str) -> Work:
        """Return it with the language to answer in: Korean to who writes it, and about what is written in it."""
        return replace(self, language=language_of(*samples, default=self.line.language))

    def option(self, name: str, default: str = "") -> str:
        """Return what stands behind an option."""
        return str(self.line.options.get(name, default))

    def say(self, key: str, **values: object) -> str:
        """Return a sentence about the command."""
        return text(f"command.{key}", language=self.language, **values)

    def more(self, key: str, count: int, **values: object) -> list[str]:
        """Return the sentence about so many, nothing where there are none."""
        return [self.say(key, count=count, **values)] if count > 0 else []

    def call(self, tool: str, step: str, arguments: JsonObject, **values: object) -> ToolCall:
        """Return the wish for a tool, with its step in words."""
        title = text(f"step.{step}", language=self.language, **values)
        return ToolCall(tool=tool, arguments=arguments, title=title)

    def check(self, name: str, path: str, arguments: JsonObject) -> CheckWish:
        """Return what shall be looked at again in a result, by the check tool of this name."""
        told: JsonObject = {**arguments, "language": self.language}
        call = self.call(f"check_{name}", f"check_{name}", told, path=path)
        return CheckWish(name=text(f"check_name.{name}", language=self.language), call=call)

    def file_checks(self, facts: Sequence[Json]) -> Checks:
        """Return what looks at files again, so many at a time."""
        parts = (facts[start : start + _FACTS_MAX] for start in range(0, len(facts), _FACTS_MAX))
        return tuple(self.check("files", "", {"files": [*part]}) for part in parts)

    def ask(
        self, tool: str, step: str, arguments: JsonObject, **values: object
    ) -> Steps[JsonObject]:
        """Wish for one tool and return its value."""
        return (yield from self.use(self.call(tool, step, arguments, **values)))

    def lines(self, path: str) -> Steps[tuple[list[str], list[str]]]:
        """Return all lines of a document, and what its reader said of it."""
        lines = list[str]()
        while True:
            wish: JsonObject = {"path": path, "from_line": len(lines) + 1}
            value = yield from self.ask("read_file", "read", wish, count=1, first=path)
            got = strings(value, "lines")
            lines += got
            if not got or len(lines) >= number(value, "lines_total"):
                return lines, strings(value, "notes")

    def use(self, call: ToolCall) -> Steps[JsonObject]:
        """Make one call and return its value; stop when it was denied, failed, or nobody knows what happened."""
        turn = yield Wishes(calls=(call,))
        if turn.results[0].outcome != "ok":
            raise self.stopped(call, turn)
        return turn.results[0].value

    def stopped(self, call: ToolCall, turn: Turn) -> StoppedError:
        """Return why a plan cannot go on after the only call of a turn."""
        (result,) = turn.results
        if result.outcome == "denied":
            return StoppedError(*filter(None, (self.say("denied", what=call.title), result.text)))
        if result.outcome == "unknown" or not result.text:
            return StoppedError(self.say("unknown_outcome", what=call.title))
        return StoppedError(f"{call.title}: {result.text}")

    def name_for(self, default: str, *endings: str) -> str:
        """Return the plain file name that the line asks for, with one of the endings."""
        name = self.option("out", default)
        if "/" in name or "\\" in name or name.startswith(".") or len(name) > _NAME_CHARS_MAX:
            raise StoppedError(self.say("out_name", name=name))
        return name if name.casefold().endswith(endings) else name + endings[0]

    def free_name(self, wanted: str) -> Steps[tuple[str, bool]]:
        """Return a name that is free in the results place, and whether to replace what this task wrote itself."""
        stem, dot, ending = wanted.rpartition(".")
        wish: JsonObject = {"path": ".", "pattern": f"*.{ending}", "from": "results"}
        value = yield from self.ask("list_files", "look_for_name", wish, name=wanted)
        taken = {words(entry, "path").casefold() for entry in objects(value, "entries")}
        own = self.before.outputs if self.before is not None else ()
        names = chain([wanted], (f"{stem}-{n}{dot}{ending}" for n in count(2)))
        name = next(each for each in names if each in own or each.casefold() not in taken)
        return name, name in own

    def deliver(
        self, writing: ToolCall, checks: Checks, key: str, *remarks: str, **values: object
    ) -> Steps[Done]:
        """Write and run the first check at once: files that changed meanwhile are said now.

        The end says the sentence ``key``, which also gets the check's ``evidence``, and what is to be said beside it.
        """
        value = yield from self.use(writing)
        checked = yield from self.use(checks[0].call)
        evidence, name = words(checked, "evidence"), words(writing.arguments, "path")
        if checked.get("passed") is not True:
            raise StoppedError(self.say("changed_meanwhile"), evidence)
        told = (self.say(f"remark.{words(e, 'what')}", **e) for e in objects(value, "remarks"))
        said = "\n".join(f"- {remark}" for remark in [*told, *remarks][:50])
        figures = {"rows": number(value, "rows"), "pages": number(value, "pages")}
        figures["columns"] = len(strings(value, "columns"))
        summary = self.say(key, **{**figures, **values, "name": name, "evidence": evidence})
        return Done(summary=summary, outputs=(name,), checks=checks, say=said)
