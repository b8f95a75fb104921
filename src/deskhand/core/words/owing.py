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

from deskhand.core.dates import date_in
from deskhand.core.words.cues import Cue, scan
from deskhand.core.words.days import day_meant
from deskhand.core.words.wording import wording

_LOOKED_AT_CHARS: Final = 2000
_HEAD_LINES: Final = 8
_WORDS: Final = wording("owing")
_BOX: Final = re.compile("|".join(_WORDS["box"]))
_OWNERS: Final = [re.compile(form) for form in _WORDS["owners"]]
_NOBODY: Final = frozenset(_WORDS["nobody"].split())
_DUE: Final = [re.compile("|".join(_WORDS["by"])), re.compile(_WORDS["day"])]


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
        """Return whether it is one of this person, and has a date where one is asked for."""
        named = _same_person(self.owner, owner) or (not self.owner and _begins(self.words, owner))
        return (not owner or named) and bool(self.due or not due)


def actions_in(lines: Sequence[str], path: str) -> list[Action]:
    """Return every action of a note, open and done."""
    noted, head, found = noted_on(lines, path), list[str](), list[Action]()
    for line in scan(lines, path, sought=(Cue.ACTION, Cue.DECISION)):
        if line.is_heading:
            head = _cells(line.words) if "|" in line.words else []
        elif line.cues & {Cue.ACTION, Cue.DONE}:
            words = line.words[:_LOOKED_AT_CHARS]
            row = dict(zip(head, _cells(words), strict=False)) if words.startswith("|") else {}
            status = _column(row, "status")
            due = _due(_column(row, "due")) or _column(row, "due") or _due(words)
            found.append(
                Action(
                    path=path,
                    number=line.number,
                    words=line.words,
                    done=Cue.DONE in line.cues or bool(re.fullmatch(_WORDS["finished"], status)),
                    owner=_column(row, "owner") or _owner(words),
                    due=due,
                    day=day_meant(due, noted),
                )
            )
    return found


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip(" |").split("|")]


def _column(row: dict[str, str], name: str) -> str:
    """Return the cell under a head of this kind, nothing where it only holds a place."""
    form = _WORDS["columns"][name]
    found = (cell for head, cell in row.items() if re.search(form, head))
    return next((cell for cell in found if cell.strip("-–—? ")), "")


def noted_on(lines: Sequence[str], path: str) -> date | None:
    """Return the day a note says it is of: in its name, else in its first lines."""
    places = (path.rpartition("/")[2], *lines[:_HEAD_LINES])
    return next((day for line in places if (day := date_in(line)) is not None), None)


def _due(words: str) -> str:
    hit = _DUE[0].search(words) or _DUE[1].search(words)
    return "" if hit is None else next(said for said in hit.groups() if said)


def _owner(words: str) -> str:
    said = _BOX.sub("", words)
    for pattern in _OWNERS:
        hit = pattern.search(said)
        name = hit["who"].strip(" *_") if hit else ""
        if name and name.split()[0].casefold() not in _NOBODY:
            return name
    return ""


def _same_person(owner: str, wanted: str) -> bool:
    """``anna`` is ``Anna Meier`` and ``@anna.meier``; ``Ann`` is not."""
    names = re.split(r"[\s,&+/]+", owner.casefold().replace("@", " "))
    sought = wanted.casefold().lstrip("@").split()
    return bool(sought) and all(
        any(part in (name, *re.split(r"[._-]", name)) or _titled(name, part) for name in names)
        for part in sought
    )


def _begins(words: str, owner: str) -> bool:
    """A name that alone would be no sure one, since it could be a thing."""
    form = rf"{re.escape(owner)}{_WORDS['title']}?(?:이|가|은|는|께서)?(?![\w가-힣])"
    return re.match(form, _BOX.sub("", words), re.IGNORECASE) is not None


def _titled(name: str, part: str) -> bool:
    return "가" <= part[:1] <= "힣" and bool(re.fullmatch(re.escape(part) + _WORDS["title"], name))
