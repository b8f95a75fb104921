"""What a contract is looked through for: the published checklist, and where its patterns stand in a document.

Forms of words in English and Korean, as data in ``risks.toml``. It refuses to judge: a hit says that words stand
there, never that a clause is good, bad or valid.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Final, NamedTuple

from deskhand.core.words.notes import bare, visible
from deskhand.texts import table

_LINES_MAX: Final = 3
"""A clause is quoted over so many lines at most."""
_GAP: Final = r"(?:[^.;。\n]|\.(?=\S)|\n(?![^\S\n]*\n)){0,120}?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One thing to look for: its name and why it matters in each language."""

    id: str
    name: dict[str, str]
    why: dict[str, str]
    forms: Sequence[str]

    def spans(self, whole: str) -> Iterator[re.Match[str]]:
        """Return where it stands in a text."""
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
    return tuple(Pattern(**one) for one in table("deskhand.core.words", "risks.toml")["pattern"])


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
