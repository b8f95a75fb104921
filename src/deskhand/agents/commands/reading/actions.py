"""``/actions PATH... [--owner NAME] [--due] [--out NAME]``: every action of notes, with who and by when.

A line is quoted as it stands, and so are its owner and due date; a day is put beside only where it is meant beyond
doubt. It refuses to leave one out silently: what had no room is counted and its files are named.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import lru_cache
from typing import Final

from deskhand.agents.commands.command import Command, Plan, StoppedError, Work
from deskhand.agents.commands.notes import Note, read_notes
from deskhand.core.quotes import Quote, cut, show
from deskhand.core.words.cues import cue_place
from deskhand.core.words.owing import Action, actions_in
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

_PAGE_BYTES_MAX: Final = 150_000
"""An approval must be able to show all of it."""
_NAMED_MAX: Final = 12


def _plan(work: Work) -> Plan:
    """List, read, pick out, write, read again."""
    found = yield from read_notes(work, "actions.md")
    work, owner, due = found.work, work.option("owner"), "due" in work.line.options
    every = _every(found.notes)
    actions = [action for action in every if action.wanted(owner=owner, due=due)]
    if owner and not actions:
        known = Counter(action.owner for action in every if action.owner)
        names = ", ".join(name for name, _ in known.most_common(_NAMED_MAX)) or "–"
        raise StoppedError(work.say("actions.nobody", owner=owner, names=names))
    limits: JsonObject = {"owner": owner, "due": due, "done": True}
    counts = {"open": sum(not action.done for action in actions), "notes": len(found.notes)}
    counts |= {"done": len(actions) - counts["open"], "dated": sum(bool(a.due) for a in actions)}
    if not actions:
        checks = found.action_checks(None, **limits)
        return Done(summary=work.say("actions.none", **counts), checks=checks)
    rows, left, room = {False: list[str](), True: list[str]()}, list[str](), _PAGE_BYTES_MAX
    for action in sorted(actions, key=_order):
        row = _row(action)
        room -= len(row.encode()) + 1
        (rows[action.done] if room >= 0 else left).append(row if room >= 0 else action.path)
    blocks = [work.say("brief.about", count=counts["notes"]), *found.left_out(left)]
    head = f"| {work.say('actions.columns')} |\n|---|---|---|---|"
    for done, key in ((False, "actions.open"), (True, "actions.done")):
        if rows[done]:
            heading = f"## {work.say(key, count=len(rows[done]))}\n"
            blocks.append("\n".join([heading, head, *rows[done]]))
    page = found.page(work.say("actions.title", path=" ".join(work.line.operands)), *blocks)
    return (yield from found.write(page, "actions.found", counts, None if left else limits))


ACTIONS: Final = Command.of("actions", _plan)


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _every(notes: tuple[Note, ...]) -> list[Action]:
    return [action for note in notes for action in actions_in(note.lines, note.path)]


def _order(action: Action) -> tuple[bool, date, str, int]:
    return not action.due, action.day or date.max, action.path, action.number


def _row(action: Action) -> str:
    shown = cut(action.words, at=cue_place(action.words))
    beside = f" ({action.day})" if action.day and str(action.day) != action.due else ""
    quote = Quote(text=shown, path=action.path, line=action.number)
    return show(quote, action.owner or "–", f"{action.due or '–'}{beside}")
