"""``/risks FILE... [--out NAME]``: what of the published checklist stands in a contract, quoted, and what does not.

It says every pattern it looked for. It refuses to paraphrase or to judge: it is a search for words and no legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from deskhand.agents.commands.command import Command, Plan, StoppedError, Work
from deskhand.agents.commands.notes import MARK, Found, Note, page_name, read_notes, write_page
from deskhand.core.quotes import Quote, cut, show
from deskhand.core.words.risks import Hit, Pattern, checklist, risks_in
from deskhand.ports import Done

_LINES_SHOWN_MAX: Final = 8
_WORDS_CHARS_MAX: Final = 400

_Places = list[tuple[Note, Hit]]


def _plan(work: Work) -> Plan:
    """Read, look for every pattern, write, read again."""
    wanted = page_name(work, "risks.md")
    work, found = yield from read_notes(work)
    paths = ", ".join(note.path for note in found.notes)
    if not any(words for note in found.notes for words in note.lines if words[:6] != "[page "):
        raise StoppedError(work.say("risks.no_text", path=paths))
    places = _places(found.notes)
    counts = {"found": sum(map(bool, places.values())), "total": len(places), "path": paths}
    if not counts["found"]:
        return Done(summary=work.say("risks.none", **counts))
    page = _page(places, found, work, counts)
    return (yield from write_page(work, wanted, page, "risks.found", counts))


RISKS: Final = Command.of("risks", _plan)


@lru_cache(maxsize=2)  # a plan is thought anew for every move
def _places(notes: tuple[Note, ...]) -> dict[str, _Places]:
    places: dict[str, _Places] = {pattern.id: [] for pattern in checklist()}
    for note in notes:
        for name, hits in risks_in(note.lines, note.path).items():
            places[name] += [(note, hit) for hit in hits]
    return places


def _page(
    places: dict[str, _Places], found: Found, work: Work, counts: Mapping[str, object]
) -> str:
    blocks = [f"# {work.say('risks.title', **counts)}", work.say("risks.about", **counts)]
    blocks += [_section(one, places[one.id], work) for one in checklist() if places[one.id]]
    absent = [one.name[work.language] for one in checklist() if not places[one.id]]
    if absent:
        blocks.append(f"## {work.say('risks.absent')}\n\n{' · '.join(absent)}")
    remarks = [f"{note.path}: {'; '.join(note.remarks)}" for note in found.notes if note.remarks]
    return "\n\n".join([*blocks, *remarks, *found.left_aside(work), MARK]) + "\n"


def _section(pattern: Pattern, places: _Places, work: Work) -> str:
    name, why = pattern.name[work.language], pattern.why[work.language]
    lines = [f"## {name} ({pattern.id})\n\n{why}\n"]
    for note, hit in places[:_LINES_SHOWN_MAX]:
        shown = cut(hit.words, at=hit.at, limit=_WORDS_CHARS_MAX)
        lines.append(show(Quote(text=shown, path=note.path, line=hit.line)))
    return "\n".join([*lines, *work.more("risks.more", len(places) - _LINES_SHOWN_MAX)])
