"""``/risks FILE... [--out NAME]``: what of the published checklist stands in a contract, quoted, and what does not.

It says every pattern it looked for. It refuses to paraphrase or to judge: it is a search for words and no legal advice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from deskhand.agents.commands.command import Command, Plan, StoppedError, Work
from deskhand.agents.commands.notes import Note, read_notes
from deskhand.core.quotes import Quote, cut, show
from deskhand.core.words.risks import checklist, risks_in
from deskhand.ports import Done

_LINES_SHOWN_MAX: Final = 8


def _plan(work: Work) -> Plan:
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
    return (yield from found.write(page, "risks.found", counts))


RISKS: Final = Command.of("risks", _plan)


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _places(notes: tuple[Note, ...]) -> dict[str, list[str]]:
    """Return the quotes of every pattern that stands in the notes."""
    places = dict[str, list[str]]()
    for note in notes:
        for name, hits in risks_in(note.lines, note.path).items():
            quotes = (Quote(text=cut(h.words, at=h.at), path=note.path, line=h.line) for h in hits)
            places.setdefault(name, []).extend(map(show, quotes))
    return places
