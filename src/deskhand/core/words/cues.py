"""What a line of notes is: an action, a decision, a risk, a date. Patterns in English and Korean, no model.

The one definition both sides use: the command that makes a briefing and the check that counts whether every action
is in it. It refuses to interpret: a cue says that certain words stand there, never what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deskhand.core.quotes import bare, visible
from deskhand.core.words.wording import wording


class Cue(StrEnum):
    """What marks a line."""

    ACTION = "action"
    DONE = "done"
    DECISION = "decision"
    RISK = "risk"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line with words in it; ``words`` is what may be quoted."""

    number: int
    words: str
    cues: frozenset[Cue] = frozenset()
    is_heading: bool = False
    is_item: bool = False


def scan(
    lines: Sequence[str], path: str, *, sought: Collection[Cue] = frozenset(Cue)
) -> list[Line]:
    """Return the lines that say something, each with the cues sought; sections mark the items below them.

    Of a stored mail the headers say nothing.
    """
    section, start = _Section(sought), 0
    if path.lower().endswith(".eml"):
        start = next((place for place, line in enumerate(lines) if not line.strip()), 0)
    found = (
        section.take(number, seen=visible(raw, path), following=following)
        for number, (raw, following) in enumerate(zip(lines, (*lines[1:], ""), strict=False), 1)
        if number > start
    )
    return [line for line in found if line is not None]


def cues_of(words: str, sought: Collection[Cue] = frozenset(Cue)) -> frozenset[Cue]:
    """Return what the words of one line say by themselves, of what is sought; a slow look is spared the others."""
    found = {cue for cue, form in _PATTERNS.items() if cue in sought and form.search(words)}
    if Cue.DECISION not in found and _promise(words):
        found.add(Cue.ACTION)
    if _DONE.search(words):
        found = (found - {Cue.ACTION}) | {Cue.DONE}
    if _UNDECIDED.search(words):
        found = (found - {Cue.DECISION}) | {Cue.RISK}
    return frozenset(found)


def cue_place(words: str) -> int:
    """Return where in a long line the telling words are, so that a cut keeps them."""
    hits = (pattern.search(words) for pattern in _PATTERNS.values())
    return next((hit.start() for hit in hits if hit is not None), 0)


class _Section:
    """The heading a line stands under. A short ``Actions:`` opens a section that ends at a gap after its items."""

    def __init__(self, sought: Collection[Cue]) -> None:
        self._sought = sought
        self._cue: Cue | None = None
        self._items = 0
        self._gap = False
        self._next: tuple[int, str] | None = None
        """How the heading after this one begins, where headings are numbered."""

    def take(self, number: int, *, seen: str, following: str) -> Line | None:
        words, is_item = bare(seen), bool(_ITEM.match(seen))
        if not words or _RULE.fullmatch(seen):
            self._gap = self._gap or not words
            return None
        if "|" in seen and "-" in following and _TABLE_RULE.fullmatch(following):
            return Line(number=number, words=words, is_heading=True)  # names columns, says nothing
        hit = _NUMBERED.match(seen)
        at = (int(hit[1]), hit[2]) if hit else None
        is_next = at is not None and at == self._next
        if at and self._next and at[1] == self._next[1]:
            self._next = None  # its items have numbers of the same kind
        if (
            is_next
            or _BARE_SECTION.fullmatch(words)
            or (not is_item and _is_heading(seen, following))
        ):
            self._next = (at[0] + 1, at[1]) if at else None
            name = words.strip(" :：[]#*")
            self._cue = next(
                (cue for cue, pattern in _SECTIONS.items() if pattern.search(name)), None
            )
            self._items, self._gap = 0, False
            return Line(number=number, words=words, is_heading=True)
        if self._gap and self._items and not is_item:
            self._cue = None  # prose after the list is no longer part of it
        self._gap, self._items = False, self._items + 1
        cues = cues_of(words, self._sought)
        if self._cue is not None and not self._contradicted(words, cues):
            cues |= {self._cue}
        return Line(number=number, words=words, cues=cues, is_item=is_item)

    def _contradicted(self, words: str, cues: frozenset[Cue]) -> bool:
        """What is ticked off is no action, and what is still open is no decision."""
        if self._cue is Cue.DECISION:
            return _UNDECIDED.search(words) is not None
        decided = Cue.DECISION in cues and Cue.ACTION not in cues
        return self._cue is Cue.ACTION and (Cue.DONE in cues or decided)


_SOFT_WORDS_MAX: Final = 5
_SOFT_CHARS_MAX: Final = 80


def _is_heading(seen: str, following: str) -> bool:
    """``# Title`` and underlined titles are headings; so is a short ``Actions:`` or ``[할 일]`` of its own."""
    marked = re.match(r"#{1,6}\s", seen) or re.fullmatch(r"\s*(?:={3,}|-{3,})\s*", following)
    short = len(seen) <= _SOFT_CHARS_MAX and len(seen.split()) <= _SOFT_WORDS_MAX
    if not marked and not (short and _SOFT_HEADING.search(seen)):
        return False
    # A heading that itself says what to do opens nothing.
    return not (_LABELLED.search(seen) and Cue.ACTION in cues_of(bare(seen)))


def _promise(words: str) -> bool:
    """``Anna to send ...`` and ``We will call ...`` are actions; ``It will rain`` is none."""
    hit = _PROMISE.match(words)
    return hit is not None and hit["who"].split()[0].lower() not in _NOBODY


_LABELLED = re.compile(r"[:：]\**\s*[^\s*]+\s+\S+")
_SOFT_HEADING = re.compile(r"[:：]$|^\*\*[^*]+\*\*$|^\[[^\]]{2,}\]$|^【.+】$")
_RULE = re.compile(r"[\s=_*~\-|:+#]+|```.*|~~~.*")
_TABLE_RULE = re.compile(r"[\s:|-]+")
_NUMBERED = re.compile(r"([0-9]{1,3})([.)])\s")
_ITEM = re.compile(r"\s*(?:[-*+•·■□▪○●]\s+|[0-9]{1,3}[.)]\s+|\[[ xX]\])")
_WORDS: Final = wording("cues")
_BARE_SECTION, _DONE, _PROMISE = (
    re.compile(_WORDS[name]) for name in ("section", "done", "promise")
)
_NOBODY: Final = frozenset(_WORDS["nobody"].split())
_SECTIONS: Final = {Cue(name): re.compile(form) for name, form in _WORDS["sections"].items()}
_LINES: Final = {
    name: re.compile("|".join([rf"\b(?i:{'|'.join(told['words'])})", *told["forms"]]))
    for name, told in _WORDS["lines"].items()
}
_UNDECIDED: Final = _LINES.pop("undecided")
_PATTERNS: Final = {Cue(name): form for name, form in _LINES.items()}
