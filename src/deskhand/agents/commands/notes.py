"""The notes that lie under the paths of a line: found, read, and whatever is left aside counted and said.

It refuses to skip anything silently: a file of another kind, the end of a huge one and a listing that was cut are named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deskhand.agents.commands.command import Steps, StoppedError, Work
from deskhand.agents.commands.values import ending_of, number, objects, plain, strings, words
from deskhand.core.quotes import quotable
from deskhand.ports import CheckWish, Done
from deskhand.protocol.wire import Json, JsonObject

MARK: Final = "<!-- deskhand: quoted from notes, line by line -->"
"""The last line of what we write from notes, so that it is not taken for one."""

_KINDS: Final = "md markdown txt text rst org adoc log eml html htm docx pdf"
_ENDINGS: Final = frozenset(_KINDS.split())
_FILES_PER_READ: Final = 200
_CHARS_MAX: Final = 16_000_000
_PATHS_PER_CHECK: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text file that was read."""

    path: str
    lines: tuple[str, ...]
    modified_seconds: int = 0
    remarks: tuple[str, ...] = ()
    """What its reader said of it: its kind, its pages, what is not in it."""


@dataclass(slots=True, kw_only=True)
class Found:
    """Notes, and what lay beside them: ``others`` are no text, ``cut`` was not read to its end."""

    notes: tuple[Note, ...] = ()
    others: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])
    complete: bool = True

    def left_aside(self, work: Work) -> list[str]:
        """Say what was not read."""
        said = work.more("brief.others", self.others.total(), kinds=_kinds(self.others))
        said += work.more("brief.cut", len(self.cut), shown=", ".join(self.cut[:3]))
        if not self.complete:
            said.append(work.say("brief.incomplete"))
        return said


def page_name(work: Work, default: str) -> str:
    """Return the name of the page that the line asks for."""
    return work.name_for(default, ".md", ".markdown", ".txt")


def action_checks(
    work: Work, page: str, notes: Sequence[Note], **wanted: Json
) -> tuple[CheckWish, ...]:
    """Return what looks in a page, or in nothing, for every action of notes that is ``wanted``."""
    paths, most = [note.path for note in notes], _PATHS_PER_CHECK
    batches = (paths[start : start + most] for start in range(0, len(paths), most))
    return tuple(
        work.check("actions", page, {"path": page or None, "paths": [*each], **wanted})
        for each in batches
    )


def write_page(
    work: Work,
    wanted: str,
    page: str,
    key: str,
    counts: Mapping[str, object],
    notes: Sequence[Note] = (),
    **limits: Json,
) -> Steps[Done]:
    """Write a page of quotes, to be read again with every action of ``notes`` within ``limits``."""
    name, replacing = yield from work.free_name(wanted)
    content: JsonObject = {"path": name, "content": page, "replace": replacing}
    digest = hashlib.sha256(page.encode("utf-8", errors="replace")).hexdigest()
    quotes = work.check("quotes", name, {"path": name, "sha256": digest})
    checks = (quotes, *action_checks(work, name, notes, **limits))
    writing = work.call("write_file", "write", content, path=name)
    return (yield from work.deliver(writing, checks, key, **counts))


def read_notes(work: Work) -> Steps[tuple[Work, Found]]:
    """List every path and read the notes there, to answer in their language; stop with the reason without any."""
    found = Found()
    entries = yield from _listed(work, found)
    found.notes = yield from _read(entries, work, found)
    if found.notes:
        return work.about(*("".join(note.lines[:20])[:1000] for note in found.notes[:20])), found
    key = "brief.no_notes" if found.others else "brief.blank" if entries else "brief.empty"
    where = " ".join(work.line.operands)
    raise StoppedError(work.say(key, path=where, kinds=_kinds(found.others)))


def _listed(work: Work, found: Found) -> Steps[dict[str, JsonObject]]:
    """Take of a folder what people keep notes in, and a file named outright as it is."""
    taken: dict[str, JsonObject] = {}
    seen: set[str] = set()
    for operand in work.line.operands:
        wish: JsonObject = {"path": operand, "recursive": True}
        value = yield from work.ask("list_files", "list", wish, path=operand)
        found.complete = found.complete and value.get("complete") is True
        entries = [entry for entry in objects(value, "entries") if entry.get("kind") == "file"]
        files = {words(entry, "path"): entry for entry in entries}
        outright = [*files] == [plain(operand)]
        for path in sorted(files.keys() - seen):
            if any(part.startswith((".", "~$")) for part in path.split("/")):
                continue
            seen.add(path)
            if (outright or ending_of(path) in _ENDINGS) and quotable(path):
                taken[path] = files[path]
            else:
                found.others[ending_of(path) or path] += 1
    return taken


def _read(entries: Mapping[str, JsonObject], work: Work, found: Found) -> Steps[tuple[Note, ...]]:
    """Read the notes in a few calls; a file larger than one call is gone on with from the next line."""
    waiting = [path for path, entry in entries.items() if number(entry, "size")]
    lines: dict[str, list[str]] = {path: [] for path in waiting}
    remarks: dict[str, list[str]] = {}
    first, left = 1, _CHARS_MAX
    while waiting and left > 0:
        batch, waiting = waiting[:_FILES_PER_READ], waiting[_FILES_PER_READ:]
        wish: JsonObject = {"paths": [*batch], "from_line": first}
        value = yield from work.ask("read_files", "read", wish, count=len(batch), first=batch[0])
        waiting, first = [*strings(value, "unread"), *waiting], 1
        for file in objects(value, "files"):
            path, got = words(file, "path"), strings(file, "lines")
            if "error" in file:
                found.others[ending_of(path) or path] += 1
                lines.pop(path, None)
                continue
            lines[path] += got
            remarks[path] = strings(file, "notes")
            left -= sum(map(len, got))
            following = number(file, "from_line") + len(got)
            if got and following <= number(file, "lines_total"):
                waiting, first = [path, *waiting], following
    found.cut = waiting
    return tuple(
        Note(
            path=path,
            lines=tuple(got),
            modified_seconds=number(entries[path], "modified_seconds"),
            remarks=tuple(remarks[path]),
        )
        for path, got in lines.items()
        if got and got[-1] != MARK
    )


def _kinds(others: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in others.most_common(4))
