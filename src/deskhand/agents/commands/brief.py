"""``/brief PATH... [--pages N] [--out NAME]``: an extractive briefing over notes. Every line is a quote with its source.

The bound is words of the whole page, headings and sources included. Actions go in before anything else. It never
paraphrases and never leaves out an action silently: what had no room is counted and its file is named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Final

from deskhand.agents.commands.brief_lines import SECTIONS, Pick, alike, choose, tokens
from deskhand.agents.commands.command import Command, Plan, Work
from deskhand.agents.commands.notes import MARK, Found, Note, page_name, read_notes, write_page
from deskhand.core.quotes import Quote, cut, show
from deskhand.core.words.cues import Cue, cue_place
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


def _plan(work: Work) -> Plan:
    """List, read, choose, write, read again."""
    wanted = page_name(work, "briefing.md")
    work, found = yield from read_notes(work)
    page = _composed(work, found)
    text, left = page.render(), len(page.left)
    count = math.ceil(len(text.split()) / WORDS_PER_PAGE)
    key = "brief.summary.one" if count == 1 else "brief.summary.many"
    counts = {"pages": count, "lines": len(page.actions + page.others)}
    done = yield from write_page(work, wanted, text, key, counts, () if left else found.notes)
    said = work.more("brief.actions_left", left)
    return replace(done, summary=done.summary + "".join(said))


BRIEF: Final = Command.of("brief", _plan)


def _composed(work: Work, found: Found) -> _Page:
    """Return the briefing: every action that fits, a short table of sources, then the best of the rest."""
    actions, others = choose(found.notes)
    about = _about(work, found)
    page = _Page(work=work, found=found, about=about, every=actions, actions=[*actions])
    while page.actions and (over := page.over()) > 0:
        del page.actions[-max(1, over // _ACTION_WORDS) :]
    page.sources = min(_SOURCES_SHOWN_MAX, len(found.notes))
    while page.sources and page.over() > 0:
        page.sources -= 1
    page.others = _fitting(page, others)
    while page.others and page.over() > 0:
        page.others.pop()
    return page


@dataclass(slots=True, kw_only=True)
class _Page:
    """A briefing; ``sources`` is how many rows its table of sources has, ``every`` all actions there are."""

    work: Work
    found: Found
    about: str
    every: tuple[Pick, ...]
    actions: list[Pick]
    others: list[Pick] = field(default_factory=list[Pick])
    sources: int = 0

    @property
    def left(self) -> tuple[Pick, ...]:
        """The actions that had no room."""
        return self.every[len(self.actions) :]

    def over(self) -> int:
        """Return how many words it has too many, headings and sources included."""
        return len(self.render().split()) - int(self.work.option("pages", "1")) * WORDS_PER_PAGE

    def render(self) -> str:
        """Return its Markdown."""
        title = self._say("title", path=" ".join(self.work.line.operands))
        blocks = [f"# {title}", self.about, *self._left()]
        quoted = sorted(self.actions + self.others, key=lambda pick: (pick.path, pick.number))
        for section in (*SECTIONS, None):
            lines = [_quoted(pick) for pick in quoted if pick.section is section]
            if lines:
                heading = self._say(f"section.{section or 'key'}")
                blocks.append(f"## {heading}\n\n" + "\n".join(lines))
        not_read = self.found.left_aside(self.work)
        return "\n\n".join([*blocks, *self._table(), *not_read, MARK]) + "\n"

    def _say(self, key: str, **values: object) -> str:
        return self.work.say(f"brief.{key}", **values)

    def _left(self) -> list[str]:
        """Say how many actions had no room, and in which files they are."""
        left = Counter(pick.path for pick in self.left)
        if not left:
            return []
        named = ", ".join(f"{path} ({count})" for path, count in left.most_common(_LEFT_SHOWN_MAX))
        more = self.work.more("brief.left_more", len(left) - _LEFT_SHOWN_MAX)
        return [self._say("left", count=left.total(), named=" ".join([named, *more]))]

    def _table(self) -> list[str]:
        quoted = Counter(pick.path for pick in self.actions + self.others)
        notes = sorted(self.found.notes, key=lambda note: (-quoted[note.path], note.path))
        rows = [
            f"| {note.path.replace('|', '/')} | {len(note.lines)} | {quoted[note.path]} |"
            for note in notes[: self.sources]
        ]
        blocks = [f"## {self._say('section.sources')}"]
        if rows:
            blocks.append("\n".join([f"| {self._say('columns')} |", "|---|---|---|", *rows]))
        return blocks + self.work.more("brief.more_sources", len(notes) - len(rows))


def _about(work: Work, found: Found) -> str:
    days = sorted(day for note in found.notes if (day := _day_of(note)) is not None)
    ends = dict.fromkeys(day.isoformat() for day in (*days[:1], *days[-1:]))
    said = work.say("brief.about", count=len(found.notes))
    return f"{' – '.join(ends)} · {said}" if ends else said


def _fitting(page: _Page, others: Sequence[Pick]) -> list[Pick]:
    """Return the other lines that fit, in their order, without those that only repeat."""
    taken: list[Pick] = []
    room = -page.over() - _HEADINGS_WORDS
    said = [tokens(pick.words) for pick in page.actions]
    for pick in others[:_OTHERS_TRIED_MAX]:
        cost, found = len(_quoted(pick).split()), tokens(pick.words)
        if cost <= room and not any(alike(found, other) for other in said):
            room -= cost
            taken.append(pick)
            said.append(found)
    return taken


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
