"""Reading a command line as people type it on a phone: quotes that curl, dashes that grow, Korean file names.

It refuses what it does not know and says what there is instead; no word of a line is ever ignored.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from deskhand.agents.commands.command import Command, Line
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import OptionInfo

LINE_CHARS_MAX: Final = 4000
_NEAR_MAX: Final = 3
_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "„": "“", "「": "」"}
_OPENS: Final = r"(?<![^\s=])"
_QUOTED = re.compile(_OPENS + f"(?:{'|'.join(f'{a}[^{b}]*{b}' for a, b in _QUOTES.items())})")
_TOKEN = re.compile(rf"(?:{_QUOTED.pattern}|(?!{_OPENS}[{''.join(_QUOTES)}])\S)+")
_FOR_A_SHELL = re.compile(r"""[|&;<>()$`\\*?\[\]#~{}!"']|^\w+=""")
_DASHES = re.compile(r"^[—–―−]{1,2}(?=[^\W\d_])")


def parse_line(given: str, commands: Sequence[Command]) -> Line:
    """Return the line a text is.

    Raises:
        DeskhandError: ``unknown_command`` with the nearest names; ``invalid`` naming the wrong word and the usage.
    """
    name = (given.split() or [""])[0].lstrip("/").casefold()
    known = {command.name: command for command in commands}
    if not given.lstrip().startswith("/") or name not in known:
        near = difflib.get_close_matches(name, known, n=_NEAR_MAX, cutoff=0.4) or sorted(known)
        names = ", ".join(f"/{each}" for each in near)
        raise DeskhandError(Code.UNKNOWN_COMMAND, f"/{name}; there is {names}", field="text")
    command = known[name]
    if command.info.takes == "line":
        operands, options = _argv("".join(_one_line(given).split(None, 1)[1:])), {}
    else:
        operands, options = _arguments(_tokens(given)[1:], command)
    if not command.info.least <= len(operands) <= command.info.most:
        missing = len(operands) < command.info.least
        wrong = f"{command.metavar} is missing" if missing else f"too many words: {operands[-1]}"
        raise _invalid(wrong, command, command.metavar)
    language = "ko" if any("가" <= letter <= "힣" for letter in given) else "en"
    return Line(name=name, operands=tuple(operands), options=options, language=language)


def _argv(said: str) -> list[str]:
    """Return the words of a program's call; what only a shell understands goes to one, as it stands."""
    if _FOR_A_SHELL.search(said):
        return ["sh", "-c", said]
    return [_DASHES.sub("--", word) for word in _tokens(said)]


def _arguments(tokens: Sequence[str], command: Command) -> tuple[list[str], dict[str, str | int]]:
    known = {option.name: option for option in command.info.options}
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
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"; did you mean --{near[0]}" if near else ""
            raise _invalid(f"unknown option {dashed}{hint}", command, name)
        if name in options:
            raise _invalid(f"--{name} stands twice", command, name)
        option = known[name]
        if not option.metavar and joined:
            raise _invalid(f"--{name} takes no value", command, name)
        if option.metavar and not joined and not rest:
            raise _invalid(f"--{name} needs {option.metavar}", command, name)
        said = value if joined else rest.pop(0) if option.metavar else ""
        options[name] = _value(said, option, command) if option.metavar else 1
    return operands, options


def _value(value: str, option: OptionInfo, command: Command) -> str | int:
    if not value.strip():
        raise _invalid(f"--{option.name} is empty", command, option.name)
    if option.choices and value.casefold() not in option.choices:
        wrong = f"--{option.name} must be one of {', '.join(option.choices)}"
        raise _invalid(wrong, command, option.name)
    if option.most is None:
        return value.casefold() if option.choices else value
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= option.most):
        wrong = f"--{option.name} must be a number from 1 to {option.most}"
        raise _invalid(wrong, command, option.name)
    return int(value)


def _tokens(given: str) -> list[str]:
    """Split at white space outside quotes; a quote opens only where a word (or a value after ``=``) starts.

    Raises:
        DeskhandError: ``invalid`` for a quote nobody closed, more than one line, or a line too long.
    """
    line = _one_line(given)
    if left := _TOKEN.sub("", line).strip():
        raise DeskhandError(Code.INVALID, f"a quote is not closed: {_QUOTES[left[0]]} is missing")
    return [_QUOTED.sub(lambda hit: hit[0][1:-1], token) for token in _TOKEN.findall(line)]


def _one_line(given: str) -> str:
    line = unicodedata.normalize("NFC", given).strip()
    if len(line) > LINE_CHARS_MAX:
        raise DeskhandError(Code.INVALID, f"the line is longer than {LINE_CHARS_MAX} characters")
    if "\n" in line or "\r" in line:
        raise DeskhandError(Code.INVALID, "a command is one line; leave out the others")
    return line


def _invalid(wrong: str, command: Command, field: str) -> DeskhandError:
    return DeskhandError(Code.INVALID, f"{wrong}. Usage: {command.info.usage}", field=field)
