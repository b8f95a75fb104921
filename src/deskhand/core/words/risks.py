"""What a contract is looked through for: the published checklist, and where its patterns stand in a document.

Forms of words in English and Korean, as data in ``risks.toml``, and three comparisons. It refuses to judge: a hit says
that words stand there, never that a clause is good, bad or valid.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

from deskhand.core.dates import date_in
from deskhand.core.words.notes import bare, visible
from deskhand.texts import table

_WORDS: Final = table("deskhand.core.words", "risks.toml")
_LINES_MAX: Final = 3
"""A clause is quoted over so many lines at most."""
_GAP: Final = r"(?:[^.;。\n]|\.(?=\S)|\n(?![^\S\n]*\n)){0,120}?"
_TITLE_CHARS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One thing to look for: its name and why it matters in each language; without ``forms`` it is computed."""

    id: str
    name: dict[str, str]
    why: dict[str, str]
    forms: Sequence[str] = ()

    def spans(self, whole: str) -> Iterator[re.Match[str]]:
        """Return where it stands in a text."""
        if not self.forms:
            return _COMPUTED[self.id](whole)
        joined = "|".join(self.forms).replace(" ~", "\0").replace("~", "\0")
        spaced = joined.replace(" ?", r"\s{0,4}").replace(" ", r"\s{1,4}")
        return re.finditer(spaced.replace("\0", _GAP), whole, re.IGNORECASE)


class Hit(NamedTuple):
    """Words that a pattern found in a line, and where in it they begin."""

    line: int
    words: str
    at: int


@cache
def checklist() -> tuple[Pattern, ...]:
    """Return all patterns in the order of the checklist."""
    return tuple(Pattern(**one) for one in _WORDS["pattern"])


def risks_in(lines: Sequence[str], path: str) -> dict[str, list[Hit]]:
    """Return of every pattern that stands in a document its lines, by the pattern's id."""
    seen = [visible(line, path) for line in lines]
    whole, starts = "\n".join(seen), [0, *accumulate(len(line) + 1 for line in seen)]
    found = defaultdict[str, dict[int, Hit]](dict)
    for pattern in checklist():
        for span in pattern.spans(whole):
            first, last = (bisect_right(starts, at) for at in (span.start(), span.end() - 1))
            for number in range(first, min(last + 1, first + _LINES_MAX)):
                line = seen[number - 1]
                words = bare(line)
                at = max(0, span.start() - starts[number - 1] - len(line) + len(words))
                if words:
                    found[pattern.id].setdefault(number, Hit(number, words, at))
    return {name: [*hits.values()] for name, hits in found.items()}


def _amounts(whole: str) -> Iterator[re.Match[str]]:
    """``thirty (60) days``."""
    numbers: dict[str, int] = _WORDS["numbers"]
    word = "|".join(numbers)
    for hit in re.finditer(rf"(?i)\b({word})(?:[- ]({word}))?\s{{0,4}}\(([0-9]{{1,3}})\)", whole):
        if sum(numbers[each.lower()] for each in hit.groups()[:2] if each) != int(hit[3]):
            yield hit


def _dates(whole: str) -> Iterator[re.Match[str]]:
    """The same kind of day, with another date."""
    hits = re.finditer(_WORDS["computed"]["dated"], whole)
    dated = [(hit, day) for hit in hits if (day := date_in(hit["near"])) is not None]
    days = Counter(kind for kind, _ in {(hit[0].casefold(), day) for hit, day in dated})
    yield from (hit for hit, _ in dated if days[hit[0].casefold()] > 1)


def _attachments(whole: str) -> Iterator[re.Match[str]]:
    """References to what has no heading of its own: a short line that begins so."""
    form = _WORDS["computed"]["attachment"]
    short = (line for line in whole.split("\n") if len(line) < _TITLE_CHARS_MAX and line[-1:] != ".")
    there = {_attached(hit) for line in short if (hit := re.match(rf"(?:{form})(?!\w)", bare(line)))}
    yield from (hit for hit in re.finditer(form, whole) if _attached(hit) not in there)


def _attached(hit: re.Match[str]) -> str:
    return " ".join(filter(None, hit.groups())).casefold()


_COMPUTED: Final = {"amount-words": _amounts, "two-dates": _dates, "attachments": _attachments}
