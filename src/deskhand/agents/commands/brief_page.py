"""The page itself: how many lines fit, in which order they stand, and what is said about those that did not.

The bound is words of the whole document, headings and sources included. Actions go in before anything else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from deskhand.agents.commands.brief_lines import SECTIONS, Pick, Picks, alike, tokens
from deskhand.agents.commands.command import Voice
from deskhand.agents.commands.notes import MARK, Note
from deskhand.core.cues import Cue, cue_place
from deskhand.core.quotes import Quote, cut, show
from deskhand.core.words.owing import noted_on

WORDS_PER_PAGE: Final = 450
ACTION_CHARS_MAX: Final = 400
QUOTE_CHARS_MAX: Final = 240
_SOURCES_SHOWN_MAX: Final = 12
_LEFT_SHOWN_MAX: Final = 5
_OTHERS_TRIED_MAX: Final = 2000
_ACTION_WORDS: Final = 60
_HEADINGS_WORDS: Final = 12
"""What the headings of the sections take that are not there yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What the page is about, and how much of it there may be."""

    title: str
    pages: int
    voice: Voice
    notes: tuple[Note, ...]
    not_read: tuple[str, ...] = ()


def compose(picks: Picks, paper: Paper) -> Page:
    """Return the briefing: every action that fits, a short table of sources, then the best of the rest."""
    room = paper.pages * WORDS_PER_PAGE
    draft = Page(paper=paper, picks=picks, about=_about(paper), actions=picks.actions)
    while draft.actions and (over := draft.words() - room) > 0:
        fewer = draft.actions[: -max(1, over // _ACTION_WORDS)]
        draft = replace(draft, actions=fewer)
    draft = replace(draft, sources=min(_SOURCES_SHOWN_MAX, len(paper.notes)))
    while draft.sources and draft.words() > room:
        draft = replace(draft, sources=draft.sources - 1)
    draft = replace(draft, others=_fitting(draft, room - draft.words() - _HEADINGS_WORDS))
    while draft.others and draft.words() > room:
        draft = replace(draft, others=draft.others[:-1])
    return draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A briefing; ``sources`` is how many rows its table of sources has."""

    paper: Paper
    picks: Picks
    about: str
    actions: tuple[Pick, ...]
    others: tuple[Pick, ...] = ()
    sources: int = 0

    @property
    def quotes(self) -> int:
        """How many lines it quotes."""
        return len(self.actions) + len(self.others)

    @property
    def actions_left(self) -> int:
        """How many actions had no room; they are counted in it."""
        return len(self.picks.actions) - len(self.actions)

    def words(self) -> int:
        """Return how many words it has, headings and sources included."""
        return len(self.render().split())

    def render(self) -> str:
        """Return its Markdown."""
        blocks = [f"# {self._say('title', path=self.paper.title)}", self.about, *self._left()]
        quoted = sorted((*self.actions, *self.others), key=lambda pick: (pick.path, pick.number))
        for section in (*SECTIONS, None):
            lines = [_quoted(pick) for pick in quoted if pick.section is section]
            if lines:
                heading = self._say(f"section.{section or 'key'}")
                blocks.append(f"## {heading}\n\n" + "\n".join(lines))
        return "\n\n".join([*blocks, *self._table(), *self.paper.not_read, MARK]) + "\n"

    def _say(self, key: str, **values: object) -> str:
        return self.paper.voice.say(f"brief.{key}", **values)

    def _left(self) -> list[str]:
        """Say how many actions had no room, and in which files they are."""
        left = Counter(pick.path for pick in self.picks.actions[len(self.actions) :])
        if not left:
            return []
        named = ", ".join(f"{path} ({count})" for path, count in left.most_common(_LEFT_SHOWN_MAX))
        if len(left) > _LEFT_SHOWN_MAX:
            named += " " + self._say("left_more", count=len(left) - _LEFT_SHOWN_MAX)
        return [self._say("left", count=left.total(), named=named)]

    def _table(self) -> list[str]:
        quoted = Counter(pick.path for pick in (*self.actions, *self.others))
        notes = sorted(self.paper.notes, key=lambda note: (-quoted[note.path], note.path))
        rows = [
            f"| {note.path.replace('|', '/')} | {len(note.lines)} | {quoted[note.path]} |"
            for note in notes[: self.sources]
        ]
        blocks = [f"## {self._say('section.sources')}"]
        if rows:
            blocks.append("\n".join([f"| {self._say('columns')} |", "|---|---|---|", *rows]))
        if len(notes) > len(rows):
            blocks.append(self._say("more_sources", count=len(notes) - len(rows)))
        return blocks


def _about(paper: Paper) -> str:
    days = sorted(day for note in paper.notes if (day := _day_of(note)) is not None)
    ends = dict.fromkeys(day.isoformat() for day in (*days[:1], *days[-1:]))
    said = paper.voice.say("brief.about", count=len(paper.notes))
    return f"{' – '.join(ends)} · {said}" if ends else said


def _fitting(draft: Page, room: int) -> tuple[Pick, ...]:
    """Return the other lines that fit, in their order, without those that only repeat."""
    taken: list[Pick] = []
    said = [tokens(pick.words) for pick in draft.actions]
    for pick in draft.picks.others[:_OTHERS_TRIED_MAX]:
        cost, found = len(_quoted(pick).split()), tokens(pick.words)
        if cost <= room and not any(alike(found, other) for other in said):
            room -= cost
            taken.append(pick)
            said.append(found)
    return tuple(taken)


def _quoted(pick: Pick) -> str:
    """Return the line of the page for a line of a note; a very long one is cut visibly, around what marks it."""
    limit = ACTION_CHARS_MAX if pick.section is Cue.ACTION else QUOTE_CHARS_MAX
    shown = cut(pick.words, at=cue_place(pick.words), limit=limit)
    return show(Quote(text=shown, path=pick.path, line=pick.number))


def _day_of(note: Note) -> date | None:
    """Return the day a note is about: from its name, else its first lines, else when it was last changed."""
    found = noted_on(note.lines, note.path)
    if found is None and note.modified_seconds:
        return datetime.fromtimestamp(note.modified_seconds, UTC).date()
    return found
