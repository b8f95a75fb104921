"""What a line of notes is: an action, a decision, a risk, a date. Patterns in English and Korean, no model.

The one definition both sides use: the command that makes a briefing and the check that counts whether every action
is in it. It refuses to interpret: a cue says that certain words stand there, never what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from deskhand.core.quotes import bare, visible
from deskhand.core.wording import wording


class Cue(StrEnum):
    """What marks a line."""

    ACTION = "action"
    DONE = "done"
    DECISION = "decision"
    RISK = "risk"
    DATE = "date"


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


_WORDS: Final = wording("cues")
_FORMS: Final = {name: re.compile(form) for name, form in _WORDS["forms"].items()}
_NOBODY: Final = frozenset(_WORDS["nobody"].split())
_LINES: Final = {
    name: re.compile("|".join([rf"\b(?i:{'|'.join(told['words'])})", *told["forms"]]))
    for name, told in _WORDS["lines"].items()
}
_UNDECIDED: Final = _LINES.pop("undecided")
_PATTERNS: Final = {Cue(name): form for name, form in _LINES.items()}
