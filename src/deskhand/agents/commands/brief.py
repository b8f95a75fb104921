"""``/brief PATH... [--pages N] [--out NAME]``: an extractive briefing over notes. Every line is a quote with its source.

It never paraphrases and never leaves out an action silently: what had no room is counted and its file is named.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from deskhand.agents.commands.brief_lines import Note, choose
from deskhand.agents.commands.brief_page import MARK, PAGES_MAX, WORDS_PER_PAGE, Paper, compose
from deskhand.agents.commands.command import (
    Command,
    Line,
    Option,
    Plan,
    Steps,
    StoppedError,
    Voice,
    number,
    objects,
    strings,
    voice_for,
    words,
)
from deskhand.core.quotes import quotable
from deskhand.ports import CheckWish, Done
from deskhand.protocol.wire import JsonObject

NOTE_ENDINGS: Final = frozenset(
    ("md", "markdown", "txt", "text", "rst", "org", "adoc", "log", "eml", "html", "htm")
)
FILES_PER_READ: Final = 200
CHARS_MAX: Final = 16_000_000
ACTION_PATHS_PER_CHECK: Final = 500


@dataclass(slots=True, kw_only=True)
class _Found:
    """What lies under the paths of the line; ``others`` are no text, ``cut`` was not read to its end."""

    entries: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    others: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])
    complete: bool = True


def _plan(line: Line, before: Done | None) -> Plan:
    """List, read, choose, write, read again."""
    voice = voice_for(line)
    wanted = voice.name_for(line, "briefing.md", ".md", ".markdown", ".txt")
    found = yield from _found(line, voice)
    notes = yield from _read(found, voice)
    if not notes:
        raise StoppedError(_nothing(line, found, voice))
    voice = voice_for(line, "".join("".join(note.lines[:20])[:1000] for note in notes[:20]))
    name, replace = yield from voice.free_name(wanted, before)
    pages = line.options.get("pages")
    paper = Paper(
        title=" ".join(line.operands),
        pages=pages if isinstance(pages, int) else 1,
        voice=voice,
        notes=notes,
        not_read=tuple(_not_read(found, voice)),
    )
    page = compose(choose(notes), paper)
    content: JsonObject = {"path": name, "content": page.text, "replace": replace}
    checks = _checks(name, page.text, () if page.actions_left else notes, voice)
    evidence = yield from voice.write(voice.call("write_file", "write", content, path=name), checks)
    count = math.ceil(len(page.text.split()) / WORDS_PER_PAGE)
    key = "brief.summary.one" if count == 1 else "brief.summary.many"
    summary = voice.say(key, pages=count, lines=page.quotes, evidence=evidence)
    if page.actions_left:
        summary += voice.say("brief.actions_left", count=page.actions_left)
    return Done(summary=summary, outputs=(name,), checks=checks)


BRIEF: Final = Command(
    name="brief",
    metavar="PATH...",
    operands=range(1, 51),
    options=(
        Option(name="pages", metavar="N", most=PAGES_MAX),
        Option(name="out", metavar="NAME"),
    ),
    plan=_plan,
)


def _checks(
    name: str, content: str, notes: tuple[Note, ...], voice: Voice
) -> tuple[CheckWish, ...]:
    """Return what shall be read again once it is done; actions of the notes only when none had to be left out."""
    digest = hashlib.sha256(content.encode("utf-8", errors="replace")).hexdigest()
    paths, most = [note.path for note in notes], ACTION_PATHS_PER_CHECK
    batches = [paths[start : start + most] for start in range(0, len(paths), most)]
    actions = (voice.check("actions", name, {"path": name, "paths": [*each]}) for each in batches)
    return (voice.check("quotes", name, {"path": name, "sha256": digest}), *actions)


def _found(line: Line, voice: Voice) -> Steps[_Found]:
    """List every path; of a folder take what people keep notes in, of a file named outright take it as it is."""
    found = _Found()
    seen: set[str] = set()
    for operand in line.operands:
        arguments: JsonObject = {"path": operand, "recursive": True}
        value = yield from voice.use(voice.call("list_files", "list", arguments, path=operand))
        found.complete = found.complete and value.get("complete") is True
        entries = [entry for entry in objects(value, "entries") if entry.get("kind") == "file"]
        plain = "/".join(part for part in operand.split("/") if part not in ("", "."))
        outright = [words(entry, "path") for entry in entries] == [plain]
        for entry in sorted(entries, key=lambda each: words(each, "path")):
            path = words(entry, "path")
            if path in seen or any(part.startswith((".", "~$")) for part in path.split("/")):
                continue
            seen.add(path)
            if (outright or _ending(path) in NOTE_ENDINGS) and quotable(path):
                found.entries[path] = entry
            else:
                found.others[_ending(path) or path] += 1
    return found


def _read(found: _Found, voice: Voice) -> Steps[tuple[Note, ...]]:
    """Read the notes in a few calls; a file larger than one call is gone on with from the next line."""
    waiting = [path for path, entry in found.entries.items() if number(entry, "size")]
    lines: dict[str, list[str]] = {path: [] for path in waiting}
    first, left = 1, CHARS_MAX
    while waiting and left > 0:
        batch, waiting = waiting[:FILES_PER_READ], waiting[FILES_PER_READ:]
        arguments: JsonObject = {"paths": [*batch], "from_line": first}
        step = voice.call("read_files", "read", arguments, count=len(batch), first=batch[0])
        value = yield from voice.use(step)
        waiting, first = [*strings(value, "unread"), *waiting], 1
        for file in objects(value, "files"):
            path, got = words(file, "path"), strings(file, "lines")
            if "error" in file:
                found.others[_ending(path) or path] += 1
                lines.pop(path, None)
                continue
            lines[path] += got
            left -= sum(map(len, got))
            following = number(file, "from_line") + len(got)
            if got and following <= number(file, "lines_total"):
                waiting, first = [path, *waiting], following
    found.cut = waiting
    return tuple(
        Note(path=path, lines=tuple(got), modified_seconds=number(entry, "modified_seconds"))
        for path, got in lines.items()
        for entry in (found.entries[path],)
        if got and got[-1] != MARK
    )


def _nothing(line: Line, found: _Found, voice: Voice) -> str:
    where = " ".join(line.operands)
    if found.others:
        return voice.say("brief.no_notes", path=where, kinds=_kinds(found.others))
    return voice.say("brief.blank" if found.entries else "brief.empty", path=where)


def _not_read(found: _Found, voice: Voice) -> list[str]:
    """Say what was left aside: other kinds of files, ends of huge ones, a listing that was cut."""
    said: list[str] = []
    if found.others:
        count, kinds = found.others.total(), _kinds(found.others)
        said.append(voice.say("brief.others", count=count, kinds=kinds))
    if found.cut:
        shown = ", ".join(found.cut[:3])
        said.append(voice.say("brief.cut", count=len(found.cut), shown=shown))
    if not found.complete:
        said.append(voice.say("brief.incomplete"))
    return said


def _kinds(others: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in others.most_common(4))


def _ending(path: str) -> str:
    name = path.rpartition("/")[2].lstrip(".")
    return name.rpartition(".")[2].casefold() if "." in name else ""
