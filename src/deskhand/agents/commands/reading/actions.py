"""``/actions PATH... [--owner NAME] [--due] [--out NAME]``: every action of notes, with who and by when.

A line is quoted as it stands, and so are its owner and due date; a day is put beside only where it is meant beyond
doubt. It refuses to leave one out silently: what had no room is counted and its files are named.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from deskhand.agents.commands.command import Command, Plan, StoppedError, Work
from deskhand.agents.commands.notes import (
    MARK,
    Found,
    Note,
    action_checks,
    page_name,
    read_notes,
    write_page,
)
from deskhand.core.quotes import Quote, cut, show_row
from deskhand.core.words.cues import cue_place
from deskhand.core.words.owing import Action, actions_in
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

_WORDS_CHARS_MAX: Final = 400
_PAGE_BYTES_MAX: Final = 150_000
"""An approval must be able to show all of it."""
_NAMED_MAX: Final = 12


class _Item(NamedTuple):
    path: str
    action: Action


def _plan(work: Work) -> Plan:
    """List, read, pick out, write, read again."""
    wanted = page_name(work, "actions.md")
    work, found = yield from read_notes(work)
    owner, due = work.option("owner"), "due" in work.line.options
    every = _every(found.notes)
    items = [item for item in every if item.action.wanted(owner=owner, due=due)]
    if owner and not items:
        raise StoppedError(_nobody(owner, every, work))
    limits: JsonObject = {"owner": owner, "due": due, "done": True}
    counts = {"open": sum(not item.action.done for item in items), "notes": len(found.notes)}
    counts |= {"done": len(items) - counts["open"], "dated": sum(bool(i.action.due) for i in items)}
    if not items:
        none = action_checks(work, "", found.notes, **limits)
        return Done(summary=work.say("actions.none", **counts), checks=none)
    rows, left = _rows(items)
    page = _page(rows, left, work, found)
    notes = () if left else found.notes
    return (yield from write_page(work, wanted, page, "actions.found", counts, notes, **limits))


ACTIONS: Final = Command.of("actions", _plan)


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _every(notes: tuple[Note, ...]) -> list[_Item]:
    return [_Item(note.path, each) for note in notes for each in actions_in(note.lines, note.path)]


def _rows(items: list[_Item]) -> tuple[list[tuple[bool, str]], Counter[str]]:
    """Return the rows in the order of their days, whether each is done, and how many of which file had no room."""
    rows: list[tuple[bool, str]] = []
    left, room = Counter[str](), _PAGE_BYTES_MAX
    for item in sorted(items, key=_order):
        action = item.action
        shown = cut(action.words, at=cue_place(action.words), limit=_WORDS_CHARS_MAX)
        day = action.day.isoformat() if action.day else ""
        beside = f" ({day})" if day and day != action.due else ""
        quote = Quote(text=shown, path=item.path, line=action.number)
        row = show_row(quote, action.owner or "–", f"{action.due or '–'}{beside}")
        room -= len(row.encode()) + 1
        if room < 0:
            left[item.path] += 1
        else:
            rows.append((action.done, row))
    return rows, left


def _order(item: _Item) -> tuple[bool, date, str, int]:
    action = item.action
    return not action.due, action.day or date.max, item.path, action.number


def _page(rows: list[tuple[bool, str]], left: Counter[str], work: Work, found: Found) -> str:
    title = work.say("actions.title", path=" ".join(work.line.operands))
    blocks = [f"# {title}", work.say("brief.about", count=len(found.notes))]
    if left:
        named = ", ".join(f"{path} ({count})" for path, count in left.most_common(_NAMED_MAX))
        blocks.append(work.say("brief.left", count=left.total(), named=named))
    for done, key in ((False, "actions.open"), (True, "actions.done")):
        chosen = [row for is_done, row in rows if is_done is done]
        if chosen:
            head = f"| {work.say('actions.columns')} |\n|---|---|---|---|"
            blocks.append("\n".join([f"## {work.say(key, count=len(chosen))}\n", head, *chosen]))
    return "\n\n".join([*blocks, *found.left_aside(work), MARK]) + "\n"


def _nobody(owner: str, every: list[_Item], work: Work) -> str:
    known = Counter(item.action.owner for item in every if item.action.owner)
    names = ", ".join(name for name, _ in known.most_common(_NAMED_MAX))
    key = "actions.nobody" if names else "actions.nobody_named"
    return work.say(key, owner=owner, names=names)
