"""What a person or a program reads: results on stdout, progress and refusals on stderr, in the reader's language.

Everything that others wrote (agents, files, people) is shown with its control and direction characters spelled out, so
that it cannot move the cursor or pretend to be another line (PI-08). It refuses to ask when nobody can answer.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import INVITE_SECONDS
from deskhand.secret import mask
from deskhand.texts import LANGUAGES, catalogue, text

Obj = dict[str, Any]
"""A JSON object as the hub sent it."""

Column = str | Callable[[Obj], object]
"""A field, the id of a sentence with a field in it, or what makes a cell of an object."""

_COLORS: Final = {"good": "32", "bad": "31", "ask": "33", "dim": "2"}
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT: Final = frozenset("\n\t\u200c\u200d")
"""Joiners too: some languages and families of emoji need them, and they are harmless on a line of its own."""


class Exit(IntEnum):
    """How a command ends, for scripts."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    FAILED = 3
    WAITS = 4
    CANCELED = 5
    UNVERIFIED = 6
    TIMEOUT = 7
    INTERRUPTED = 130


class Refusal(DeskhandError):  # noqa: N818 - the other side is right; we are only told
    """A no in words that are there already, such as the error object of the hub's answer."""

    def __init__(self, failure: Obj) -> None:
        # A newer hub may have codes that this build does not know; they are shown as they came.
        super().__init__(next((one for one in Code if one == failure["code"]), Code.INTERNAL))
        self.failure, self.args = failure, (str(failure.get("message", "")),)


def plain(said: object) -> str:
    """Return text that can only be read: what would act on a terminal is spelled out."""
    return "".join(
        letter if letter in _KEPT or unicodedata.category(letter) not in _HIDDEN else f"\\u{ord(letter):04x}"
        for letter in str(said)
    )


def one_line(said: object, *, most: int = 200) -> str:
    """Return the first line, cut."""
    line = plain(said).strip().split("\n", 1)[0].replace("\t", " ")
    return line if len(line) <= most else line[: most - 1] + "…"


def moment(at: object) -> str:
    """Return a time as people read it, to the second."""
    return str(at)[:19].replace("T", " ")


def width(said: str) -> int:
    """Return how many columns a text takes on a terminal."""
    letters = [letter for letter in said if not unicodedata.combining(letter)]
    return len(letters) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in letters)


@dataclass(slots=True, kw_only=True)
class Screen:
    """Where one run of a command speaks."""

    language: str = LANGUAGES[0]
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = False
    asks: bool = False

    def say(self, key: str, /, **values: object) -> str:
        """Return a sentence of the catalogue with what others wrote made plain."""
        shown = {name: plain(value) for name, value in values.items()}
        return text(f"cli.{key}", language=self.language, **shown)

    def knows(self, key: str) -> bool:
        """Whether the catalogue has a sentence."""
        return f"cli.{key}" in catalogue(self.language)

    def label(self, label: str | None) -> str:
        """Return what is said behind the name of a model that is not one for work."""
        return self.say(f"model.label.{label}") if label else ""

    def out(self, *lines: str) -> None:
        """Print lines of the result; ``--json`` has only the one object."""
        if lines and not self.json:
            sys.stdout.write(plain("\n".join(lines)) + "\n")
            sys.stdout.flush()

    def note(self, line: str, style: str = "") -> None:
        """Print progress, unless silence was asked for."""
        if not self.quiet:
            self.err(line, style)

    def err(self, line: str, style: str = "") -> None:
        """Print to stderr whatever was asked for."""
        shown = mask(plain(line))
        if self.color and style:
            shown = f"\033[{_COLORS[style]}m{shown}\033[0m"
        sys.stderr.write(shown + "\n")
        sys.stderr.flush()

    def result(self, value: object) -> None:
        """Print the one object of ``--json``."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def answer(self, value: object, *lines: str) -> int:
        """Print the one object of ``--json``, or else the lines that say it; return 0."""
        self.out(*lines)
        if self.json:
            self.result(value)
        return Exit.DONE

    def done(self, value: object, key: str, /, **values: object) -> int:
        """Print the object of ``--json``, or else note that it was done; return 0."""
        if not self.json:
            self.note(self.say(key, **values), "good")
        return self.answer(value)

    def listed(self, items: list[Obj], *columns: Column, none: str | None = None) -> int:
        """Print ``{"items"}`` or a table, with a sentence where there are none; return 0."""
        self.columns(items, *columns)
        if none and not items and not self.json:
            self.note(self.say(none))
        return self.answer({"items": items})

    def columns(self, items: Iterable[Obj], *columns: Column) -> None:
        """Print objects in a table: fields of theirs, or what a column makes of each."""

        def cell(one: Obj, column: Column) -> object:
            if callable(column):
                return column(one)
            if "{" in column:
                return self.say(column.format(**one))
            said = one.get(column)
            return moment(said) if column.endswith("at") else "" if said is None else said

        cells = [[one_line(cell(one, column)) for column in columns] for one in items]
        wide = [max(map(width, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            padded = (cell + " " * (room - width(cell)) for cell, room in zip(row, wide, strict=True))
            self.out("  ".join(padded).rstrip())

    def confirm(self, question: str, *, default: bool) -> bool:
        """Ask yes or no; the default where nobody can answer."""
        if not self.asks:
            return default
        answer = self.ask(f"{question} [{'Y/n' if default else 'y/N'}]").lower()
        return answer.startswith(("y", "예", "ㅇ", "네")) if answer else default

    def ask(self, question: str, *, default: str = "") -> str:
        """Ask for a line; the default where nobody can answer or nothing was typed."""
        if not self.asks:
            return default
        sys.stderr.write(plain(question) + " ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt
        return line.strip() or default

    def invitation(self, made: Obj) -> None:
        """Print link and digits, and what is missing where a phone would come in by it.

        The link is drawn for a camera too, where a phone can open it and there is a screen. The secret stands behind
        ``#`` and never reaches a log.
        """
        url, code, page = str(made["url"]), str(made["code"]), made["kind"] == "page"
        if made.get("picture") and self.color and not (self.quiet or self.json):
            import segno

            # Drawn by us from our own link: its escapes are meant.
            segno.make_qr(url, error="l").terminal(sys.stdout, compact=True, border=2)
            sys.stdout.flush()
        self.out(self.say("pair.link", link=url))
        self.out(self.say("pair.code", code=f"{code[:3]} {code[3:]}", minutes=INVITE_SECONDS // 60))
        if page and not url.startswith("https:"):
            self.out(self.plain_road() if made.get("picture") else self.say("pair.here"))

    def plain_road(self) -> str:
        """Say what a page over plain HTTP lacks, and another road for notices: to a topic that nobody guesses."""
        return self.say("pair.plain", topic=Ids(SystemClock()).secret(12))

    def admits(self, name: str, match: str) -> bool:
        """Ask the person whether the device that shows this number may join."""
        asked = self.say("pair.asks", name=one_line(name), match=" ".join(match))
        return self.confirm(asked, default=True)

    def fail(self, error: DeskhandError) -> None:
        """Say what was refused and what helps; with ``--json`` also as the error object on stdout, as over HTTP."""
        said, cure = error.sentence(self.language), error.cure(self.language)
        failure: Obj = {"code": error.code, "message": said, "cure": cure}
        failure |= {"retryable": error.code.retryable} | ({"field": error.field} if error.field else {})
        if isinstance(error, Refusal):
            failure = error.failure
        if self.json:
            self.result({"error": failure})
        self.err(f"deskhand: {failure['message']}", "bad")
        if failure.get("cure"):
            self.err(f"  {failure['cure']}")


speak: Final = Screen()
"""The one of this process; ``main`` sets it up."""


def from_stdin(said: str) -> str:
    """Return a text, read from stdin where ``-`` stands for it.

    Raises:
        DeskhandError: ``invalid`` when there is nothing to say.
    """
    read = sys.stdin.read().strip("\n") if said == "-" else said
    if not read.strip():
        raise DeskhandError(Code.INVALID, speak.say("flag.empty_text"), field="TEXT")
    return read


def link_line(computer: Obj) -> str:
    """Say how a computer's link stands: connected, or why not and since when."""
    state, seen = computer.get("link"), computer.get("seen_at") or "–"
    return speak.say(f"link.{state or 'unseen'}", seen=seen)


def model_line(computer: Obj) -> str:
    """Say which model a computer thinks with."""
    model: Obj | None = computer.get("model")
    if model is None:
        return speak.say("runners.no_model")
    return speak.say("runners.model", name=model["name"], label=speak.label(model.get("label")))
