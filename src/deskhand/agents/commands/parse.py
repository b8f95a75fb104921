"""Reading a command line as people type it on a phone: quotes that curl, dashes that grow, Korean file names.

It refuses what it does not know and says what there is instead; no word of a line is ever ignored.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from deskhand.agents.commands.command import Line, Option, Spec
from deskhand.errors import Code, DeskhandError

LINE_CHARS_MAX: Final = 4000
_NEAR_MAX: Final = 3
_QUOTES: Final = {'"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "„": "“", "「": "」"}
_DASHES = re.compile(r"^[—–―−]{1,2}(?=[^\W\d_])")


def parse_line(given: str, specs: Sequence[Spec]) -> Line:
    """Return the line a text is.

    Raises:
        DeskhandError: ``unknown_command`` with the nearest names; ``invalid`` naming the wrong word and the usage.
    """
    tokens = _tokens(given)
    name = tokens[0].lstrip("/").casefold() if tokens else ""
    by_name = {spec.name: spec for spec in specs}
    if not given.lstrip().startswith("/") or name not in by_name:
        raise _unknown(name, by_name)
    spec = by_name[name]
    operands, options = _arguments(tokens[1:], spec)
    if not spec.operands_least <= len(operands) <= spec.operands_most:
        missing = len(operands) < spec.operands_least
        wrong = f"{spec.metavar} is missing" if missing else f"too many words: {operands[-1]}"
        raise _invalid(wrong, spec, spec.metavar)
    korean = any("가" <= letter <= "힣" for letter in given)
    return Line(
        name=name,
        operands=tuple(operands),
        options=options,
        language="ko" if korean else "en",
    )


def _arguments(tokens: Sequence[str], spec: Spec) -> tuple[list[str], dict[str, str | int]]:
    known = {option.name: option for option in spec.options}
    operands: list[str] = []
    options: dict[str, str | int] = {}
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":  # noqa: S105 - the mark after which nothing is an option
            operands += rest
            break
        dashed = _DASHES.sub("--", token)
        if not dashed.startswith("-") or dashed == "-":
            operands.append(token)
            continue
        name, joined, value = dashed.lstrip("-").partition("=")
        option = known.get(name)
        if option is None:
            raise _invalid(f"unknown option {dashed}{_near_option(name, known)}", spec, name)
        if name in options:
            raise _invalid(f"--{name} stands twice", spec, name)
        if not joined:
            if not rest:
                raise _invalid(f"--{name} needs {option.metavar}", spec, name)
            value = rest.pop(0)
        options[name] = _value(value, option, spec)
    return operands, options


def _value(value: str, option: Option, spec: Spec) -> str | int:
    if option.kind == "count":
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= option.most):
            raise _invalid(
                f"--{option.name} must be a number from 1 to {option.most}", spec, option.name
            )
        return int(value)
    if not value.strip():
        raise _invalid(f"--{option.name} is empty", spec, option.name)
    return value


def _tokens(given: str) -> list[str]:
    """Split at white space outside quotes; a quote opens only where a word (or a value after ``=``) starts.

    Raises:
        DeskhandError: ``invalid`` for a quote nobody closed, more than one line, or a line too long.
    """
    line = unicodedata.normalize("NFC", given).strip()
    if len(line) > LINE_CHARS_MAX:
        raise DeskhandError(Code.INVALID, f"the line is longer than {LINE_CHARS_MAX} characters")
    if "\n" in line or "\r" in line:
        raise DeskhandError(Code.INVALID, "a command is one line; leave out the others")
    tokens: list[str] = []
    word: str | None = None
    closing = ""
    for letter in line:
        if closing:
            if letter == closing:
                closing = ""
            else:
                word = (word or "") + letter
        elif letter.isspace():
            tokens += [] if word is None else [word]
            word = None
        elif letter in _QUOTES and (word is None or word.endswith("=")):
            word, closing = word or "", _QUOTES[letter]
        else:
            word = (word or "") + letter
    if closing:
        raise DeskhandError(Code.INVALID, f"a quote is not closed: {closing} is missing")
    return tokens if word is None else [*tokens, word]


def _near_option(name: str, known: Mapping[str, Option]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean --{near[0]}" if near else ""


def _unknown(name: str, known: Mapping[str, Spec]) -> DeskhandError:
    near = difflib.get_close_matches(name, known, n=_NEAR_MAX, cutoff=0.4) or sorted(known)
    names = ", ".join(f"/{each}" for each in near)
    return DeskhandError(Code.UNKNOWN_COMMAND, f"/{name}; there is {names}", field="text")


def _invalid(wrong: str, spec: Spec, field: str) -> DeskhandError:
    return DeskhandError(Code.INVALID, f"{wrong}. Usage: {spec.usage}", field=field)
