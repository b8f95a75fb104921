"""What a command is: a typed line, how it is read, and a plan that can be replayed.

Lines are read as people type them on a phone: quotes that curl, dashes that grow, Korean file names. What is not known
is refused with what there is instead; no word of a line is ever ignored.

A plan is a generator of wishes. It gets the results of each and ends with ``Done`` or ``GiveUp``. It may keep nothing
outside itself: the agent builds it anew for every move and feeds it the history, so a crash loses nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import Final, TypeVar

from deskhand.agents.commands.values import number, objects, strings, words
from deskhand.errors import Code, DeskhandError
from deskhand.ports import CheckWish, Done, GiveUp, ToolCall, Turn, Wishes
from deskhand.protocol.objects import CommandInfo, OptionInfo
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import LANGUAGES, language_of, table, text

T = TypeVar("T")
Plan = Generator[Wishes, Turn, Done | GiveUp]
Steps = Generator[Wishes, Turn, T]
"""A part of a plan that returns something to it."""
Checks = tuple[CheckWish, ...]

_LINE_CHARS_MAX: Final = 4000
_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "„": "“", "「": "」"}
_OPENS: Final = r"(?<![^\s=])"
_QUOTED = re.compile(_OPENS + f"(?:{'|'.join(f'{a}[^{b}]*{b}' for a, b in _QUOTES.items())})")
_TOKEN = re.compile(rf"(?:{_QUOTED.pattern}|(?!{_OPENS}[{''.join(_QUOTES)}])\S)+")
_FOR_A_SHELL = re.compile(r"""[|&;<>()$`\\*?\[\]#~{}!"']|^\w+=""")
_DASHES = re.compile(r"^[—–―−]{1,2}(?=[^\W\d_])")
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


def info_of(name: str) -> CommandInfo:
    """Return a command: its words and options stand in ``commands.toml``, its sentences and examples in the catalogue.

    The words of one that takes a ``line`` are a single operand, as it was typed. An option without a metavar is a
    switch: ``options`` of the line holds 1 where it stands.
    """
    told = {**TYPED[name]}
    expected, options = told.pop("words"), tuple(map(OptionInfo.from_json, told.pop("options", ())))
    typed = (f"[{f'--{option.name} {option.metavar}'.rstrip()}]" for option in options)
    return CommandInfo(
        name=name,
        summary=text(f"command.{name}.summary"),
        summary_ko=text(f"command.{name}.summary", language="ko"),
        usage=" ".join((f"/{name}", expected, *typed)),
        examples=tuple(each for language in LANGUAGES for each in examples(name, language)),
        options=options,
        **told,
    )


def examples(name: str, language: str) -> list[str]:
    """Return sentences that ask for a command."""
    return text(f"command.{name}.examples", language=language).splitlines()


def parse_line(given: str, commands: Sequence[CommandInfo]) -> Line:
    """Return the line a text is.

    Raises:
        DeskhandError: ``unknown_command`` (the hub says which there are); ``invalid`` naming the wrong word and the usage.
    """
    name = (given.split() or [""])[0].lstrip("/").casefold()
    known = {command.name: command for command in commands}
    if not given.lstrip().startswith("/") or name not in known:
        raise DeskhandError(Code.UNKNOWN_COMMAND, f"/{name}", field="text")
    command, line = known[name], unicodedata.normalize("NFC", given).strip()
    if len(line) > _LINE_CHARS_MAX:
        raise DeskhandError(Code.INVALID, f"the line is longer than {_LINE_CHARS_MAX} characters")
    if "\n" in line or "\r" in line:
        raise DeskhandError(Code.INVALID, "a command is one line; leave out the others")
    if command.takes == "line":
        said, options = "".join(line.split(None, 1)[1:]), {}
        shell = ["sh", "-c", said] if _FOR_A_SHELL.search(said) else None
        operands = shell or [_DASHES.sub("--", word) for word in _tokens(said)]
    else:
        operands, options = _arguments(_tokens(line)[1:], command)
    if not command.least <= len(operands) <= command.most:
        missing, expected = len(operands) < command.least, TYPED[name]["words"]
        wrong = f"{expected} is missing" if missing else f"too many words: {operands[-1]}"
        raise _invalid(wrong, command, expected)
    language = "ko" if re.search("[가-힣]", line) else "en"
    return Line(name=name, operands=tuple(operands), options=options, language=language)


def _arguments(tokens: Sequence[str], command: CommandInfo) -> tuple[list[str], dict[str, str | int]]:
    known = {option.name: option for option in command.options}
    operands, options, rest = list[str](), dict[str, str | int](), [*tokens]
    while rest:
        token = rest.pop(0)
        if token == "--":  # noqa: S105 - the mark after which nothing is an option
            return [*operands, *rest], options
        dashed = _DASHES.sub("--", token)
        if not dashed.startswith("-") or dashed == "-":
            operands.append(token)
            continue
        name, joined, value = dashed.lstrip("-").partition("=")
        if name not in known:
            raise _invalid(f"unknown option {dashed}", command, name)
        option = known[name]
        if option.metavar and not joined:
            value = rest.pop(0) if rest else ""
        wrong = "stands twice" if name in options else _wrong(option, value, joined)
        if wrong:
            raise _invalid(f"--{name} {wrong}", command, name)
        said = value.casefold() if option.choices else value
        options[name] = int(value) if option.most else said if option.metavar else 1
    return operands, options


def _wrong(option: OptionInfo, value: str, joined: str) -> str:
    """Return what is wrong with the value of an option, nothing where it fits."""
    if not option.metavar:
        return "takes no value" if joined else ""
    if not value.strip():
        return f"needs {option.metavar}"
    if option.choices and value.casefold() not in option.choices:
        return f"must be one of {', '.join(option.choices)}"
    is_number = value.isascii() and value.isdigit() and 1 <= int(value) <= (option.most or 1)
    return f"must be a number from 1 to {option.most}" if option.most and not is_number else ""


def _tokens(line: str) -> list[str]:
    """Split at white space outside quotes; a quote opens only where a word (or a value after ``=``) starts.

    Raises:
        DeskhandError: ``invalid`` for a quote nobody closed.
    """
    if left := _TOKEN.sub("", line).strip():
        raise DeskhandError(Code.INVALID, f"a quote is not closed: {_QUOTES[left[0]]} is missing")
    return [_QUOTED.sub(lambda hit: hit[0][1:-1], token) for token in _TOKEN.findall(line)]


def _invalid(wrong: str, command: CommandInfo, field: str) -> DeskhandError:
    return DeskhandError(Code.INVALID, f"{wrong}. Usage: {command.usage}", field=field)


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
        return ToolCall(tool=tool, arguments=arguments, title=text(f"step.{step}", language=self.language, **values))

    def check(self, name: str, path: str, arguments: JsonObject) -> CheckWish:
        """Return what shall be looked at again in a result, by the check tool of this name."""
        call = self.call(f"check_{name}", f"check_{name}", {**arguments, "language": self.language}, path=path)
        return CheckWish(name=text(f"check_name.{name}", language=self.language), call=call)

    def file_checks(self, facts: Sequence[Json]) -> Checks:
        """Return what looks at files again, so many at a time."""
        parts = (facts[start : start + _FACTS_MAX] for start in range(0, len(facts), _FACTS_MAX))
        return tuple(self.check("files", "", {"files": [*part]}) for part in parts)

    def ask(self, tool: str, step: str, arguments: JsonObject, **values: object) -> Steps[JsonObject]:
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

    def deliver(self, writing: ToolCall, checks: Checks, key: str, *remarks: str, **values: object) -> Steps[Done]:
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
