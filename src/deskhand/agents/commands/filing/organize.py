"""``/organize PATH [--by type|date|project] [--only EXT] [--dry-run] [--back LIST]``: files into folders that make sense.

Only files that lie directly in the folder move; what lies in its folders stays. ``--back`` reads such a list and moves
everything back.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import datetime
from typing import Final

from deskhand.agents.commands.command import Command, Line, Plan, Steps, Voice, voice_for
from deskhand.agents.commands.filing.making import ending_of, lines_of, stem_of
from deskhand.agents.commands.filing.moving import free, listed, move_all
from deskhand.agents.commands.values import number, words
from deskhand.core.dates import date_in
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

_STARTERS: Final = "=+-@"
_SHARED_MIN: Final = 2


def _plan(line: Line, before: Done | None) -> Plan:
    """List, decide, write the list, move."""
    path, voice = line.operands[0], voice_for(line, line.operands[0])
    if "back" in line.options:
        pairs = yield from _back(str(line.options["back"]), voice)
        return (yield from move_all(pairs, line, voice, before))
    entries, taken = yield from listed(path, voice)
    only = str(line.options.get("only", "")).casefold().lstrip(".*")
    chosen = [entry for entry in entries if not only or ending_of(words(entry, "path")) == only]
    folders = _folders(chosen, str(line.options.get("by", "type")), voice)
    pairs = dict[str, str]()
    for entry, folder in zip(chosen, folders, strict=True):
        there = words(entry, "path")
        parent, _, name = there.rpartition("/")
        if folder:
            pairs[there] = free("/".join(filter(None, (parent, folder, name))), taken)
    return (yield from move_all(pairs, line, voice, before))


ORGANIZE: Final = Command.of("organize", _plan)


def _folders(entries: list[JsonObject], by: str, voice: Voice) -> list[str]:
    """Return for each file its folder, none where it stays."""
    paths = [words(entry, "path") for entry in entries]
    if by == "date":
        return [day_of(entry)[:7] for entry in entries]
    if by == "project":
        firsts = [_project(path) for path in paths]
        shared = Counter(first.casefold() for first in firsts)
        spelled = {first.casefold(): first for first in reversed(firsts)}
        return [
            spelled[first.casefold()] if first and shared[first.casefold()] >= _SHARED_MIN else ""
            for first in firsts
        ]
    kinds = (kind.partition(": ") for kind in voice.say("organize.types").splitlines())
    of = {ending: name for name, _, endings in kinds for ending in endings.split()}
    return [of.get(ending_of(path), voice.say("organize.other")) for path in paths]


def day_of(entry: JsonObject) -> str:
    """Return the day that a file's name says, else that of its last change."""
    found = date_in(stem_of(words(entry, "path")))
    changed = datetime.fromtimestamp(number(entry, "modified_seconds")).astimezone().date()
    return (found or changed).isoformat()


def _project(path: str) -> str:
    """Return the first word of a name."""
    found = re.match(r"[^\W\d_]{2,}", stem_of(path))
    return found[0] if found else ""


def _back(path: str, voice: Voice) -> Steps[dict[str, str]]:
    """Return the moves of a list, backwards."""
    lines, _ = yield from lines_of(path, voice)
    rows = [row for row in csv.reader(lines) if len(row) == 2][1:]  # noqa: PLR2004 - from and to
    bare = [[each[each[:1] == "'" and each[1:2] in _STARTERS :] for each in row] for row in rows]
    return {to: there for there, to in bare}
