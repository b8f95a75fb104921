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

_LINE_CHARS_MAX: Final = 4000
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
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
        names = ", ".join(f"/{each}" for each in near)
        raise DeskhandError(Code.UNKNOWN_COMMAND, f"/{name}; there is {names}", field="text")
    command, line = known[name], unicodedata.normalize("NFC", given).strip()
    if len(line) > _LINE_CHARS_MAX:
        raise DeskhandError(Code.INVALID, f"the line is longer than {_LINE_CHARS_MAX} characters")
    if "\n" in line or "\r" in line:
        raise DeskhandError(Code.INVALID, "a command is one line; leave out the others")
    if command.info.takes == "line":
        said, options = "".join(line.split(None, 1)[1:]), {}
        shell = ["sh", "-c", said] if _FOR_A_SHELL.search(said) else None
        operands = shell or [_DASHES.sub("--", word) for word in _tokens(said)]
    else:
        operands, options = _arguments(_tokens(line)[1:], command)
    if not command.info.least <= len(operands) <= command.info.most:
        missing = len(operands) < command.info.least
        wrong = f"{command.metavar} is missing" if missing else f"too many words: {operands[-1]}"
        raise _invalid(wrong, command, command.metavar)
    language = "ko" if re.search("[가-힣]", line) else "en"
    return Line(name=name, operands=tuple(operands), options=options, language=language)


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


def _invalid(wrong: str, command: Command, field: str) -> DeskhandError:
    return DeskhandError(Code.INVALID, f"{wrong}. Usage: {command.info.usage}", field=field)
