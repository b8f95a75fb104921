"""The page itself: how many lines fit, in which order they stand, and what is said about those that did not.

The bound is words of the whole document, headings and sources included. Actions go in before anything else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from deskhand.agents.commands.brief_lines import SECTIONS, Note, Pick, Picks, alike, tokens
from deskhand.core.cues import Cue, cue_place
from deskhand.core.quotes import Quote, cut, show
from deskhand.texts import text

WORDS_PER_PAGE: Final = 450
PAGES_MAX: Final = 20
ACTION_CHARS_MAX: Final = 400
QUOTE_CHARS_MAX: Final = 240
MARK: Final = "<!-- deskhand: quoted from notes, line by line -->"
"""The last line of a briefing, so that the next one does not quote it."""

_SOURCES_SHOWN_MAX: Final = 12
_LEFT_SHOWN_MAX: Final = 5
_HEAD_LINES: Final = 8
_OTHERS_TRIED_MAX: Final = 2000
_NUMERIC = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})([-._/]?)([0-9]{1,2})\2([0-9]{1,2})(?![0-9])")
_KOREAN = re.compile(r"((?:19|20)[0-9]{2})년 ?([0-9]{1,2})월 ?([0-9]{1,2})일")
_DAY_FIRST = re.compile(r"\b([0-9]{1,2})(?:st|nd|rd|th)? ([A-Z][a-z]{2,8}),? ((?:19|20)[0-9]{2})")
_MONTH_FIRST = re.compile(r"\b([A-Z][a-z]{2,8}) ([0-9]{1,2})(?:st|nd|rd|th)?,? ((?:19|20)[0-9]{2})")
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What the page is about, and how much of it there may be."""

    title: str
    pages: int
    language: str
    notes: tuple[Note, ...]
    not_read: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A finished briefing. ``actions_left`` had no room and are counted in it."""

    text: str
    quotes: int
    actions_left: int


def compose(picks: Picks, paper: Paper) -> Page:
    """Return the briefing: every action that fits, sources, then the best of the rest."""
    room = paper.pages * WORDS_PER_PAGE
    draft = _Draft(paper, picks, actions=list(picks.actions))
    while draft.words() > room and draft.actions:
        over = draft.words() - room
        draft = draft.with_actions(draft.actions[: -max(1, over // 60)])
    return _filled(draft, room).page()


def word_count(document: str) -> int:
    """Return how many words a document has, as white space parts them."""
    return len(document.split())


class _Draft:
    """A page under construction; ``sources`` is how many rows the table of sources has."""

    def __init__(
        self,
        paper: Paper,
        picks: Picks,
        *,
        actions: list[Pick],
        others: Sequence[Pick] = (),
        sources: int = 0,
        about: str = "",
    ) -> None:
        self.actions, self.others, self.sources = actions, others, sources
        self._paper, self._picks = paper, picks
        self._about = about or _about(paper)

    def with_actions(self, actions: list[Pick]) -> _Draft:
        return _Draft(self._paper, self._picks, actions=actions, about=self._about)

    def with_others(self, others: Sequence[Pick], *, sources: int) -> _Draft:
        return _Draft(
            self._paper,
            self._picks,
            actions=self.actions,
            others=others,
            sources=sources,
            about=self._about,
        )

    def candidates(self) -> Sequence[Pick]:
        return self._picks.others

    def files(self) -> int:
        return sum(bool(note.lines) for note in self._paper.notes)

    def words(self) -> int:
        return word_count(self.render())

    def page(self) -> Page:
        return Page(
            text=self.render(),
            quotes=len(self.actions) + len(self.others),
            actions_left=len(self._picks.actions) - len(self.actions),
        )

    def render(self) -> str:
        blocks = [f"# {self._said('title', path=self._paper.title)}", self._about]
        blocks += self._left()
        by_section: dict[Cue | None, list[Pick]] = {}
        for pick in (*self.actions, *self.others):
            by_section.setdefault(pick.section, []).append(pick)
        for section in (*SECTIONS, None):
            chosen = sorted(by_section.get(section, ()), key=lambda pick: (pick.path, pick.number))
            if chosen:
                heading = self._said(f"section.{section or 'key'}")
                lines = "\n".join(quoted(pick) for pick in chosen)
                blocks.append(f"## {heading}\n\n{lines}")
        blocks += self._table()
        return "\n\n".join([*blocks, MARK]) + "\n"

    def _said(self, key: str, **values: object) -> str:
        return text(f"command.brief.{key}", language=self._paper.language, **values)

    def _left(self) -> list[str]:
        """Say how many actions had no room, and in which files they are."""
        shown = {id(pick) for pick in self.actions}
        left = Counter(pick.path for pick in self._picks.actions if id(pick) not in shown)
        if not left:
            return []
        named = ", ".join(f"{path} ({count})" for path, count in left.most_common(_LEFT_SHOWN_MAX))
        more = len(left) - _LEFT_SHOWN_MAX
        if more > 0:
            named += " " + self._said("left_more", count=more)
        return [self._said("left", count=left.total(), named=named)]

    def _table(self) -> list[str]:
        quoted_lines = Counter(pick.path for pick in (*self.actions, *self.others))
        notes = [note for note in self._paper.notes if note.lines]
        notes.sort(key=lambda note: (-quoted_lines[note.path], note.path))
        rows = [
            f"| {note.path.replace('|', '/')} | {len(note.lines)} | {quoted_lines[note.path]} |"
            for note in notes[: self.sources]
        ]
        blocks = [f"## {self._said('section.sources')}"]
        if rows:
            blocks.append("\n".join([f"| {self._said('columns')} |", "|---|---|---|", *rows]))
        if len(notes) > len(rows):
            blocks.append(self._said("more_sources", count=len(notes) - len(rows)))
        return [*blocks, *self._paper.not_read]


def _about(paper: Paper) -> str:
    notes = [note for note in paper.notes if note.lines]
    days = sorted(day for note in notes if (day := day_of(note)) is not None)
    shown = ""
    if days:
        last = "" if days[0] == days[-1] else f" – {days[-1].isoformat()}"
        shown = f"{days[0].isoformat()}{last} · "
    return shown + text("command.brief.about", language=paper.language, count=len(notes))


def _filled(draft: _Draft, room: int) -> _Draft:
    """Give the rest of the room to a short table of sources and then to the other lines, in their order."""
    sources = min(_SOURCES_SHOWN_MAX, draft.files())
    while sources and draft.with_others((), sources=sources).words() > room:
        sources -= 1
    left = room - draft.with_others((), sources=sources).words() - _HEADINGS_WORDS
    taken: list[Pick] = []
    said = [tokens(pick.words) for pick in draft.actions]
    for pick in draft.candidates()[:_OTHERS_TRIED_MAX]:
        cost = word_count(quoted(pick))
        found = tokens(pick.words)
        if cost > left or any(alike(found, other) for other in said):
            continue
        left -= cost
        taken.append(pick)
        said.append(found)
    full = draft.with_others(taken, sources=sources)
    while taken and full.words() > room:
        taken.pop()
        full = draft.with_others(taken, sources=sources)
    return full


_HEADINGS_WORDS: Final = 12
"""What the headings of the sections take that are not there yet."""


def quoted(pick: Pick) -> str:
    """Return the line of the page for a line of a note; a very long one is cut visibly, around what marks it."""
    limit = ACTION_CHARS_MAX if pick.section is Cue.ACTION else QUOTE_CHARS_MAX
    shown = cut(pick.words, at=cue_place(pick.words), limit=limit)
    return show(Quote(text=shown, path=pick.path, line=pick.number))


def day_of(note: Note) -> date | None:
    """Return the day a note is about: from its name, else its first lines, else when it was last changed."""
    for line in (note.path.rpartition("/")[2], *note.lines[:_HEAD_LINES]):
        found = _day_in(line)
        if found is not None:
            return found
    if not note.modified_seconds:
        return None
    return datetime.fromtimestamp(note.modified_seconds, UTC).date()


def _day_in(line: str) -> date | None:
    found = _NUMERIC.search(line)
    if found is not None:
        return _made(found[1], found[3], found[4])
    found = _KOREAN.search(line)
    if found is not None:
        return _made(found[1], found[2], found[3])
    found = _DAY_FIRST.search(line)
    if found is not None:
        return _named(found[3], found[2], found[1])
    found = _MONTH_FIRST.search(line)
    return None if found is None else _named(found[3], found[1], found[2])


def _named(year: str, month: str, day: str) -> date | None:
    name = month[:3].lower()
    return _made(year, str(_MONTHS.index(name) + 1), day) if name in _MONTHS else None


def _made(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
