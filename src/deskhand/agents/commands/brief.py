"""``/brief PATH... [--pages N] [--out NAME]``: an extractive briefing over notes. Every line is a quote with its source.

The bound is words of the whole page, headings and sources included. Actions go in before anything else, then marked
lines, then what is new and says much: plain counting of cues, figures, different words and position. It never paraphrases and never leaves out an action silently: what had no room is counted and its file
is named.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from typing import Final, NamedTuple

from deskhand.agents.commands.command import Command, Plan, Work
from deskhand.agents.commands.notes import Found, Note, read_notes
from deskhand.core.quotes import Quote, cut, show
from deskhand.core.words.cues import Cue, Line, cue_place, scan
from deskhand.core.words.wording import wording

_WORDS_PER_PAGE: Final = 450
_QUOTE_CHARS_MAX: Final = 300
_OTHERS_TRIED_MAX: Final = 2000
_HEADINGS_WORDS: Final = 16
"""What the headings of all sections take."""
_ALIKE: Final = 0.8
_WORDS_LOW, _WORDS_HIGH, _TELLING = 4, 40, 12
_EARLY: Final = 5
_UNBROKEN = re.compile(r"[!-~\t]{61,}$")
_WORD = re.compile(r"[^\W_]+")
_META = re.compile(wording("brief")["meta"])
_COMMON: Final = frozenset(wording("brief")["common"].split())
_SECTIONS: Final = (Cue.DECISION, Cue.ACTION, Cue.RISK, Cue.DATE)
"""In the order of the page; what is left are key points."""


class _Pick(NamedTuple):
    """A line that may go on the page; ``section`` is nothing for a key point."""

    path: str
    number: int
    words: str
    section: Cue | None
    score: float


def _plan(work: Work) -> Plan:
    """List, read, choose, write, read again."""
    found = yield from read_notes(work, "briefing.md")
    page, picks, left = _composed(found)
    count = math.ceil(len(page.split()) / _WORDS_PER_PAGE)
    key = "brief.summary.one" if count == 1 else "brief.summary.many"
    found.actions = None if left else {}
    done = yield from found.write(page, key, pages=count, lines=len(picks))
    said = found.work.more("brief.actions_left", len(left))
    return replace(done, summary=done.summary + "".join(said))


BRIEF: Final = Command.of("brief", _plan)


def _composed(found: Found) -> tuple[str, list[_Pick], list[_Pick]]:
    """Return the page, the lines on it, and the actions that had no room; of other lines none that repeats another."""
    actions, others = _choose(found.notes)
    most = int(found.work.option("pages", "1")) * _WORDS_PER_PAGE
    room = most - len(_page(found, [], actions).split()) - _HEADINGS_WORDS
    taken, said = list[_Pick](), list[frozenset[str]]()
    for pick in (*actions, *others[:_OTHERS_TRIED_MAX]):
        cost, told = len(_quoted(pick).split()), _tokens(pick.words)
        is_new = pick.section is Cue.ACTION or not any(_alike(told, other) for other in said)
        if cost <= room and is_new:
            room -= cost
            taken.append(pick)
            said.append(told)
    while True:
        there = {*taken}
        left = [pick for pick in actions if pick not in there]
        page = _page(found, taken, left)
        if len(page.split()) <= most or not taken:
            return page, taken, left
        taken.pop()


def _page(found: Found, taken: Iterable[_Pick], left: Iterable[_Pick]) -> str:
    """Return the Markdown of a briefing."""
    say = found.work.say
    about = say("brief.about", count=len(found.notes))
    blocks = [about, *found.left_out(pick.path for pick in left)]
    in_order = sorted(taken)
    for section in (*_SECTIONS, None):
        lines = [_quoted(pick) for pick in in_order if pick.section is section]
        if lines:
            heading = say(f"brief.section.{section or 'key'}")
            blocks.append("\n".join([f"## {heading}\n", *lines]))
    return found.page(say("brief.title", path=" ".join(found.work.line.operands)), *blocks)


def _quoted(pick: _Pick) -> str:
    """Return the line of the page for a line of a note; a very long one is cut visibly, around what marks it."""
    shown = cut(pick.words, at=cue_place(pick.words), limit=_QUOTE_CHARS_MAX)
    return show(Quote(text=shown, path=pick.path, line=pick.number))


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _choose(notes: tuple[Note, ...]) -> tuple[list[_Pick], list[_Pick]]:
    """Return what could go on the page, best first: every action, equal ones once; then the others in turn."""
    sections: dict[Cue | None, list[_Pick]] = {section: [] for section in (*_SECTIONS, None)}
    for note in notes:
        for place, line in enumerate(_worth_reading(note)):
            is_meta = _META.match(line.words) is not None
            section = _section(line, is_meta=is_meta)
            if section is Cue.DATE and place == 0 and not line.is_item:
                continue  # the title of the note, with its day
            if section or (not is_meta and _tokens(line.words)):
                score = _score(line) + 0.3 * (place < _EARLY)
                pick = _Pick(note.path, line.number, line.words, section, score)
                sections[section].append(pick)
    actions = {pick.words: pick for pick in reversed(sections.pop(Cue.ACTION))}
    return _ranked(actions.values()), _in_turn(map(_ranked, sections.values()))


def _tokens(words: str) -> frozenset[str]:
    """Return the words that tell lines apart."""
    return frozenset(word for word in _WORD.findall(words.casefold()) if word not in _COMMON)


def _alike(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether two lines say nearly the same words."""
    return len(first & second) >= _ALIKE * len(first | second) > 0


def _worth_reading(note: Note) -> list[Line]:
    """Leave out headings and what nobody reads, encoded parts and bare links; an action is always read."""
    lines = (line for line in scan(note.lines, note.path) if not line.is_heading)
    return [line for line in lines if Cue.ACTION in line.cues or not _UNBROKEN.match(line.words)]


def _section(line: Line, *, is_meta: bool) -> Cue | None:
    if Cue.ACTION in line.cues:
        return Cue.ACTION
    cues = () if is_meta or Cue.DONE in line.cues else _SECTIONS
    return next((cue for cue in cues if cue in line.cues), None)


def _score(line: Line) -> float:
    """Return how much a line says: different words, figures, and the marks on it; best in the length of a sentence."""
    fits = _WORDS_LOW <= len(line.words.split()) <= _WORDS_HIGH
    tells = any(letter.isdigit() for letter in line.words)
    marks = 0.3 * len(line.cues - {Cue.DONE}) + 0.2 * line.is_item - 0.8 * (Cue.DONE in line.cues)
    return min(len(_tokens(line.words)), _TELLING) / _TELLING + 0.8 * fits + 0.4 * tells + marks


def _ranked(picks: Iterable[_Pick]) -> list[_Pick]:
    """Best first, but every file gets a word before one file gets its second."""
    of = defaultdict[str, list[_Pick]](list)
    for pick in sorted(picks, key=lambda pick: (-pick.score, pick.path, pick.number)):
        of[pick.path].append(pick)
    return _in_turn(of.values())


def _in_turn(groups: Iterable[list[_Pick]]) -> list[_Pick]:
    return [pick for row in zip_longest(*groups) for pick in row if pick is not None]
