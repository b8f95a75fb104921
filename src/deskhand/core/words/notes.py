"""What a line of notes is: an action, a decision, a risk, a date; and of every action who owes it and by when.

The one definition both sides use: the commands that make a briefing or list actions, and the checks that look whether one
is missing. Patterns in English and Korean, no model. It refuses to interpret: a cue says that certain words stand there,
never what they mean; and to guess: a name or a day that does not stand in the line is none, and a day that could be two
is left as written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from deskhand.core.dates import date_in, day_meant
from deskhand.core.quotes import bare, visible
from deskhand.texts import table


class Cue(StrEnum):
    """What marks a line."""

    ACTION = "action"
    DONE = "done"
    DECISION = "decision"
    RISK = "risk"
    DATE = "date"


_WORDING: Final = table("deskhand.core.words", "wording.toml")
_WORDS: Final = _WORDING["cues"]
_FORMS: Final = {name: re.compile(form) for name, form in _WORDS["forms"].items()}
_NOBODY: Final = frozenset(_WORDS["nobody"].split())
_LINES: Final = {
    name: re.compile("|".join([rf"\b(?i:{'|'.join(told['words'])})", *told["forms"]]))
    for name, told in _WORDS["lines"].items()
}
_UNDECIDED: Final = _LINES.pop("undecided")
_PATTERNS: Final = {Cue(name): form for name, form in _LINES.items()}


class Line(NamedTuple):
    """One line with words in it; ``words`` is what may be quoted."""

    number: int
    words: str
    cues: frozenset[Cue] = frozenset()
    is_heading: bool = False
    is_item: bool = False


def scan(lines: Sequence[str], path: str) -> list[Line]:
    """Return the lines that say something, each with its cues; sections mark the items below them.

    Of a stored mail the headers say nothing.
    """
    section, start = _Section(), 0
    if path.lower().endswith(".eml"):
        start = next((place for place, line in enumerate(lines) if not line.strip()), 0)
    seen = [*(visible(line, path) for line in lines), ""]
    numbered = enumerate(pairwise(seen), 1)
    return [*filter(None, (section.take(number, *pair) for number, pair in numbered if number > start))]


def cues_of(words: str) -> frozenset[Cue]:
    """Return what the words of one line say by themselves."""
    found = {cue for cue, form in _PATTERNS.items() if form.search(words)}
    promise = _FORMS["promise"].match(words) if Cue.DECISION not in found else None
    if promise and promise["who"].split()[0].lower() not in _NOBODY:
        found.add(Cue.ACTION)  # ``Anna to send ...`` is one, ``It will rain`` is none
    if _FORMS["done"].search(words):
        found = (found - {Cue.ACTION}) | {Cue.DONE}
    if _UNDECIDED.search(words):
        found = (found - {Cue.DECISION}) | {Cue.RISK}
    return frozenset(found)


def cue_place(words: str) -> int:
    """Return where in a long line the telling words are, so that a cut keeps them."""
    hits = (pattern.search(words) for pattern in _PATTERNS.values())
    return next((hit.start() for hit in hits if hit is not None), 0)


@dataclass(slots=True)
class _Section:
    """The heading a line stands under. A short ``Actions:`` opens a section that ends at a gap after its items."""

    _cue: Cue | None = None
    _has_items: bool = False
    _gap: bool = False
    _next: str = ""
    """How the heading after this one begins, where headings are numbered."""

    def take(self, number: int, seen: str, following: str) -> Line | None:
        words, is_item = bare(seen), bool(_FORMS["item"].match(seen))
        if not words or _FORMS["rule"].fullmatch(seen):
            self._gap = self._gap or not words
            return None
        if "|" in seen and "-" in following and _FORMS["table_rule"].fullmatch(following):
            return Line(number, words, is_heading=True)  # names columns, says nothing
        hit = _FORMS["numbered"].match(seen)
        is_next = hit is not None and f"{int(hit[1])}{hit[2]}" == self._next
        if hit and self._next.endswith(hit[2]):
            self._next = ""  # its items have numbers of the same kind
        if is_next or (not is_item and _is_heading(seen, following)) or _FORMS["section"].fullmatch(words):
            self._next = f"{int(hit[1]) + 1}{hit[2]}" if hit else ""
            name = words.strip(" :：[]#*")
            self._cue = next((Cue(cue) for cue, form in _WORDS["sections"].items() if re.search(form, name)), None)
            self._has_items = self._gap = False
            return Line(number, words, is_heading=True)
        if self._gap and self._has_items and not is_item:
            self._cue = None  # prose after the list is no longer part of it
        self._gap, self._has_items = False, True
        cues = cues_of(words)
        # What is ticked off is no action, and what is still open is no decision.
        ended = Cue.DONE in cues or (Cue.DECISION in cues and Cue.ACTION not in cues)
        is_none = {Cue.ACTION: ended, Cue.DECISION: _UNDECIDED.search(words) is not None}
        if self._cue is not None and not is_none.get(self._cue):
            cues |= {self._cue}
        return Line(number, words, cues, is_item=is_item)


_SOFT_WORDS_MAX: Final = 5
_SOFT_CHARS_MAX: Final = 80


def _is_heading(seen: str, following: str) -> bool:
    """``# Title`` and underlined titles are headings; so is a short ``Actions:`` or ``[할 일]`` of its own."""
    marked = re.match(r"#{1,6}\s", seen) or re.fullmatch(r"={3,}|-{3,}", following)
    short = len(seen) <= _SOFT_CHARS_MAX and len(seen.split()) <= _SOFT_WORDS_MAX
    named = marked or (short and _FORMS["soft_heading"].search(seen))
    # A heading that itself says what to do opens nothing.
    return bool(named) and not (_FORMS["labelled"].search(seen) and Cue.ACTION in cues_of(bare(seen)))


# --- what people owe


_LOOKED_AT_CHARS: Final = 2000
_HEAD_LINES: Final = 8
_OWING: Final = _WORDING["owing"]
_BOX: Final = re.compile("|".join(_OWING["box"]))
_NO_OWNER: Final = frozenset(_OWING["nobody"].split())
_DUE: Final = [re.compile("|".join(_OWING["by"])), re.compile(_OWING["day"])]
_WITHIN: Final = rf"(?i)(?<![^\W_])%s{_OWING['title']}?(?![^\W_])"
_BEGINS: Final = rf"(?i)^%s{_OWING['title']}?(?:이|가|은|는|께서)?(?![^\W_])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A line that says what is to be done, or was; ``day`` is what ``due`` means beyond doubt."""

    path: str
    number: int
    words: str
    done: bool
    owner: str = ""
    due: str = ""
    day: date | None = None

    def wanted(self, *, owner: str = "", due: bool = False) -> bool:
        """Return whether it is one of this person, and has a date where one is asked for.

        ``Anna`` names ``Anna Meier`` and ``@anna.meier``; ``Ann`` does not. A name that alone would be no sure one,
        since it could be a thing, has to begin the line.
        """
        asked = owner.lstrip("@")
        form, parts, there = _BEGINS, [asked], _BOX.sub("", self.words)
        if self.owner:
            form, parts, there = _WITHIN, asked.split(), self.owner
        named = all(re.search(form % re.escape(part), there) for part in parts)
        return (not owner or named) and bool(self.due or not due)


def actions_in(lines: Sequence[str], path: str) -> list[Action]:
    """Return every action of a note, open and done."""
    noted, head, found = noted_on(lines, path), list[str](), list[Action]()
    for line in scan(lines, path):
        if line.is_heading:
            head = _cells(line.words) if "|" in line.words else []
        elif line.cues & {Cue.ACTION, Cue.DONE}:
            words = line.words[:_LOOKED_AT_CHARS]
            row = dict(zip(head, _cells(words), strict=False)) if words.startswith("|") else {}
            column = {name: _column(row, form) for name, form in _OWING["columns"].items()}
            due = _due(column["due"]) or column["due"] or _due(words)
            found.append(
                Action(
                    path=path,
                    number=line.number,
                    words=line.words,
                    done=Cue.DONE in line.cues or re.fullmatch(_OWING["finished"], column["status"]) is not None,
                    owner=column["owner"] or _owner(words),
                    due=due,
                    day=day_meant(due, noted),
                )
            )
    return found


def noted_on(lines: Sequence[str], path: str) -> date | None:
    """Return the day a note says it is of: in its name, else in its first lines."""
    return next(filter(None, map(date_in, (path.rpartition("/")[2], *lines[:_HEAD_LINES]))), None)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip(" |").split("|")]


def _column(row: dict[str, str], form: str) -> str:
    """Return the cell under a head of this form, nothing where it only holds a place."""
    found = (cell for head, cell in row.items() if re.search(form, head))
    return next((cell for cell in found if cell.strip("-–—? ")), "")


def _due(words: str) -> str:
    hit = _DUE[0].search(words) or _DUE[1].search(words)
    return next(filter(None, hit.groups())) if hit else ""


def _owner(words: str) -> str:
    said = _BOX.sub("", words)
    names = (hit["who"].strip(" *_") for form in _OWING["owners"] if (hit := re.search(form, said)))
    return next((name for name in names if name and name.split()[0].casefold() not in _NO_OWNER), "")
