"""Which lines of many notes are worth a place on one page: marked lines first, then what is new and says much.

Plain counting, so that anyone can see why a line is there: cues, numbers, dates, position, and how rare its words
are among all notes. It refuses to change a line.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, zip_longest
from typing import Final

from deskhand.agents.commands.notes import Note
from deskhand.core.words.cues import Cue, Line, scan
from deskhand.core.words.wording import wording

SECTIONS: Final = (Cue.DECISION, Cue.ACTION, Cue.RISK, Cue.DATE)
"""In the order of the page; what is left are key points."""

_ALIKE: Final = 0.8
_WORDS_LOW, _WORDS_HIGH = 4, 40
_EARLY: Final = 5
_UNBROKEN = re.compile(r"[!-~\t]{61,}$")
_WORD = re.compile(r"[^\W_]+")
_META = re.compile(wording("brief")["meta"])
_COMMON: Final = frozenset(wording("brief")["common"].split())


@dataclass(frozen=True, slots=True)
class Pick:
    """A line that may go on the page; ``section`` is nothing for a key point."""

    path: str
    number: int
    words: str
    section: Cue | None
    score: float


@lru_cache(maxsize=2)
def choose(notes: tuple[Note, ...]) -> tuple[tuple[Pick, ...], tuple[Pick, ...]]:
    """Return what could go on the page, best first: every action, equal ones once; then the others in turn.

    Pure, so the replays of one plan need not count the same notes again.
    """
    scanned = [(note, _worth_reading(note)) for note in notes]
    rarity = _rarity([line for _, lines in scanned for line in lines])
    sections: dict[Cue | None, list[Pick]] = {section: [] for section in (*SECTIONS, None)}
    for note, lines in scanned:
        for place, line in enumerate(lines):
            section = _section(line)
            if section is Cue.DATE and place == 0 and not line.is_item:
                continue  # the title of the note, with its day
            score = _score(line, rarity) + (0.3 if place < _EARLY else 0.0)
            if section is not None or (score > 0 and not _META.match(line.words)):
                sections[section].append(Pick(note.path, line.number, line.words, section, score))
    actions = {pick.words: pick for pick in reversed(sections.pop(Cue.ACTION))}
    ranked = [_ranked(picks) for picks in sections.values()]
    in_turn = (pick for picks in zip_longest(*ranked) for pick in picks if pick is not None)
    return tuple(_ranked(actions.values())), tuple(in_turn)


def tokens(words: str) -> frozenset[str]:
    """Return the words that tell lines apart."""
    return frozenset(word for word in _WORD.findall(words.casefold()) if word not in _COMMON)


def alike(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether two lines say nearly the same words."""
    both = len(first & second)
    return bool(both) and both >= _ALIKE * len(first | second)


def _worth_reading(note: Note) -> list[Line]:
    """Leave out headings and what nobody reads, encoded parts and bare links; an action is always read."""
    lines = (line for line in scan(note.lines, note.path) if not line.is_heading)
    return [line for line in lines if Cue.ACTION in line.cues or not _UNBROKEN.match(line.words)]


def _section(line: Line) -> Cue | None:
    if Cue.ACTION in line.cues:
        return Cue.ACTION
    if Cue.DONE in line.cues or _META.match(line.words):
        return None
    return next((cue for cue in SECTIONS if cue in line.cues), None)


def _rarity(lines: Sequence[Line]) -> dict[str, float]:
    """Return how telling each word is, from 0 (everywhere) to 1 (once)."""
    seen = Counter(word for line in lines for word in tokens(line.words))
    total = len(lines) + 1
    scale = math.log(total) or 1.0
    return {word: math.log(total / count) / scale for word, count in seen.items()}


def _score(line: Line, rarity: dict[str, float]) -> float:
    found = tokens(line.words)
    if not found:
        return 0.0
    # Rounded once, so that a replay in another process finds the same order.
    novelty = math.fsum(rarity.get(word, 0.0) for word in found) / len(found)
    count = len(line.words.split())
    fit = 0.5 if _WORDS_LOW <= count <= _WORDS_HIGH else -0.3
    telling = 0.4 if any(letter.isdigit() for letter in line.words) else 0.0
    marked = 0.3 * len(line.cues - {Cue.DONE}) + (0.2 if line.is_item else 0.0)
    done = -0.5 if Cue.DONE in line.cues else 0.0
    return novelty + fit + telling + marked + done


def _ranked(picks: Iterable[Pick]) -> list[Pick]:
    """Best first, but every file gets a word before one file gets its second."""
    best = sorted(picks, key=lambda pick: (-pick.score, pick.path, pick.number))
    nth: defaultdict[str, count[int]] = defaultdict(count)
    ranked = [(next(nth[pick.path]), pick) for pick in best]
    return [pick for _, pick in sorted(ranked, key=lambda rank: rank[0])]
