"""``/actions`` and ``/risks``: pages of quotes, each with its file and line.

``/actions PATH... [--owner NAME] [--due] [--out NAME]`` lists every action of notes, with who and by when: a line is
quoted as it stands, and so are its owner and due date; a day is put beside only where it is meant beyond doubt. It
refuses to leave one out silently: what had no room is counted and its files are named.
``/risks FILE... [--out NAME]`` says what of the published checklist stands in a contract, and what does not. It refuses
to paraphrase or to judge: it is a search for words and no legal advice.
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
from deskhand.core.words.risks import checklist, risks_in
from deskhand.ports import Done

_PAGE_BYTES_MAX: Final = 150_000
"""An approval must be able to show all of it."""
_NAMED_MAX: Final = 12
_LINES_SHOWN_MAX: Final = 8
"""Of one risk."""


def _actions(work: Work) -> Plan:
    """List, read, pick out, write, read again."""
    found = yield from read_notes(work, "actions.md")
    work, owner, due = found.work, work.option("owner"), "due" in work.line.options
    every = _every(found.notes)
    actions = [action for action in every if action.wanted(owner=owner, due=due)]
    if owner and not actions:
        known = Counter(action.owner for action in every if action.owner)
        names = ", ".join(name for name, _ in known.most_common(_NAMED_MAX)) or "–"
        raise StoppedError(work.say("actions.nobody", owner=owner, names=names))
    found.actions = {"owner": owner, "due": due, "done": True}
    counts = {"open": sum(not action.done for action in actions), "notes": len(found.notes)}
    counts |= {"done": len(actions) - counts["open"], "dated": sum(bool(a.due) for a in actions)}
    if not actions:
        summary = work.say("actions.none", **counts)
        return Done(summary=summary, checks=found.action_checks(None))
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
    found.actions = None if left else found.actions
    return (yield from found.write(page, "actions.found", **counts))


ACTIONS: Final = Command.of("actions", _actions)


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


def _risks(work: Work) -> Plan:
    """Read, look for every pattern, write, read again."""
    found = yield from read_notes(work, "risks.md")
    work, notes = found.work, found.notes
    paths = ", ".join(note.path for note in notes)
    if not any(words for note in notes for words in note.lines if words[:6] != "[page "):
        raise StoppedError(work.say("risks.no_text", path=paths))
    places = _places(notes)
    counts = {"found": len(places), "total": len(checklist()), "path": paths}
    if not places:
        return Done(summary=work.say("risks.none", **counts))
    blocks, absent = [work.say("risks.about", **counts)], list[str]()
    for pattern in checklist():
        name, why, there = (
            pattern.name[work.language],
            pattern.why[work.language],
            places.get(pattern.id),
        )
        if not there:
            absent.append(name)
            continue
        more = work.more("risks.more", len(there) - _LINES_SHOWN_MAX)
        head = f"## {name} ({pattern.id})\n\n{why}\n"
        blocks.append("\n".join([head, *there[:_LINES_SHOWN_MAX], *more]))
    if absent:
        blocks.append(f"## {work.say('risks.absent')}\n\n{' · '.join(absent)}")
    blocks += [f"{note.path}: {'; '.join(note.remarks)}" for note in notes if note.remarks]
    page = found.page(work.say("risks.title", **counts), *blocks)
    return (yield from found.write(page, "risks.found", **counts))


RISKS: Final = Command.of("risks", _risks)


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _places(notes: tuple[Note, ...]) -> dict[str, list[str]]:
    """Return the quotes of every pattern that stands in the notes."""
    places = dict[str, list[str]]()
    for note in notes:
        for name, hits in risks_in(note.lines, note.path).items():
            quotes = (Quote(text=cut(h.words, at=h.at), path=note.path, line=h.line) for h in hits)
            places.setdefault(name, []).extend(map(show, quotes))
    return places
