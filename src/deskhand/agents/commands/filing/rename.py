"""``/rename PATH PATTERN`` or ``--replace OLD --with NEW``: new names by a pattern, the ending of each kept.

``{name}``, ``{n:03}``, ``{date}``, and ``{name:lower}``. Names that would be the same get numbers, and files that take
each other's names go by a third. It refuses a pattern that makes all names the same.
"""

from __future__ import annotations

import re
from typing import Final

from deskhand.agents.commands.command import Command, Line, Plan, StoppedError, Voice, voice_for
from deskhand.agents.commands.filing.making import ending_of, stem_of
from deskhand.agents.commands.filing.moving import free, listed, move_all
from deskhand.agents.commands.filing.organize import day_of
from deskhand.agents.commands.values import words
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

_FIELD: Final = re.compile(r"\{(name|n|date)(?::(lower|upper|0?[1-9]))?\}")


def _plan(line: Line, before: Done | None) -> Plan:
    """List, make the names, write the list, move."""
    voice = voice_for(line, " ".join(line.operands))
    pattern, old, new = _asked(line, voice)
    entries, taken = yield from listed(line.operands[0], voice)
    if pattern and len(entries) > 1 and not _FIELD.search(pattern):
        raise StoppedError(voice.say("rename.same", pattern=pattern))
    taken -= {words(entry, "path").casefold() for entry in entries}
    pairs = dict[str, str]()
    for n, entry in enumerate(entries, start=1):
        path = words(entry, "path")
        folder, slash, name = path.rpartition("/")
        stem, ending = stem_of(path), name[len(stem_of(path)) :]
        made = _named(pattern, entry, stem, n) if pattern else stem.replace(old, new)
        made = " ".join(made.split()).strip(" .")
        made = made.removesuffix(ending) if ending_of(made) == ending_of(path) else made
        if not made or "/" in made:
            raise StoppedError(voice.say("rename.no_name", path=path, name=made))
        to = free(f"{folder}{slash}{made}{ending}", taken)
        if to != path:
            pairs[path] = to
    return (yield from move_all(pairs, line, voice, before))


RENAME: Final = Command.of("rename", _plan)


def _asked(line: Line, voice: Voice) -> tuple[str, str, str]:
    """Return the pattern, or what to replace with what."""
    said, options = line.operands[1:], line.options
    if "replace" in options and not said:
        return "", str(options["replace"]), str(options.get("with", ""))
    match said:
        case ("replace", old, "with", new):
            return "", old, new
        case (pattern,) if not options.keys() & {"replace", "with"}:
            return pattern, "", ""
        case _:
            raise StoppedError(voice.say("rename.how"))


def _named(pattern: str, entry: JsonObject, stem: str, n: int) -> str:
    day = day_of(entry)
    if "{date" in pattern:
        stem = stem.replace(day, "").strip(" -_") or stem
    values = {"name": stem, "date": day}

    def field(found: re.Match[str]) -> str:
        form = found[2] or ""
        if found[1] == "n":
            return f"{n:{form}}" if form.isdigit() else str(n)
        value = values[found[1]]
        return value.lower() if form == "lower" else value.upper() if form == "upper" else value

    return _FIELD.sub(field, pattern)
