"""What people owe by their notes: every action with who and by when, in the words that stand there.

The one definition both sides use: the command that lists actions and the check that looks whether one is missing. It
refuses to guess: a name or a day that does not stand in the line is none, and a day that could be two is left as written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from deskhand.core.dates import date_in, day_meant
from deskhand.core.wording import wording
from deskhand.core.words.cues import Cue, scan

_LOOKED_AT_CHARS: Final = 2000
_HEAD_LINES: Final = 8
_WORDS: Final = wording("owing")
_BOX: Final = re.compile("|".join(_WORDS["box"]))
_NOBODY: Final = frozenset(_WORDS["nobody"].split())
_DUE: Final = [re.compile("|".join(_WORDS["by"])), re.compile(_WORDS["day"])]
_WITHIN: Final = rf"(?i)(?<![^\W_])%s{_WORDS['title']}?(?![^\W_])"
_BEGINS: Final = rf"(?i)^%s{_WORDS['title']}?(?:이|가|은|는|께서)?(?![^\W_])"


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
            column = {name: _column(row, form) for name, form in _WORDS["columns"].items()}
            due = _due(column["due"]) or column["due"] or _due(words)
            found.append(
                Action(
                    path=path,
                    number=line.number,
                    words=line.words,
                    done=Cue.DONE in line.cues or re.fullmatch(_WORDS["finished"], column["status"]) is not None,
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
    names = (hit["who"].strip(" *_") for form in _WORDS["owners"] if (hit := re.search(form, said)))
    return next((name for name in names if name and name.split()[0].casefold() not in _NOBODY), "")
