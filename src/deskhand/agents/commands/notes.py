"""The notes that lie under the paths of a line: found, read, and the page that is made of them.

It refuses to skip anything silently: a file of another kind, the end of a huge one and a listing that was cut are named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from deskhand.agents.commands.command import Checks, Steps, StoppedError, Work
from deskhand.agents.commands.values import ending_of, number, objects, plain, strings, words
from deskhand.core.quotes import quotable
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

MARK: Final = "<!-- deskhand: quoted from notes, line by line -->"
"""The last line of what we write from notes, so that it is not taken for one."""

_KINDS: Final = "md markdown txt text rst org adoc log eml html htm docx pdf"
_ENDINGS: Final = frozenset(_KINDS.split())
_FILES_PER_READ: Final = 200
_CHARS_MAX: Final = 16_000_000
_PATHS_PER_CHECK: Final = 500
_NAMED_MAX: Final = 5


class Note(NamedTuple):
    """A text file that was read; ``remarks`` say its kind, its pages and what is not in it."""

    path: str
    lines: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Found:
    """Notes, and what lay beside them: ``others`` are no text, ``cut`` was not read to its end."""

    work: Work
    wanted: str
    """What the page that is made of them shall be called."""
    notes: tuple[Note, ...] = ()
    others: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])
    complete: bool = True
    actions: JsonObject | None = None
    """Which actions of the notes have to be on the page, as its check is told; none of them where it has no room."""

    def page(self, title: str, *blocks: str) -> str:
        """Return the Markdown of a page, at its end what was not read."""
        work, named = self.work, _named(self.others)
        said = work.more("brief.others", self.others.total(), kinds=named)
        said += work.more("brief.cut", len(self.cut), shown=", ".join(self.cut[:_NAMED_MAX]))
        said += [] if self.complete else [work.say("brief.incomplete")]
        return "\n\n".join([f"# {title}", *blocks, *said, MARK]) + "\n"

    def left_out(self, paths: Iterable[str]) -> list[str]:
        """Say how many actions had no room, and in which files they are."""
        files = Counter(paths)
        more = self.work.more("brief.left_more", len(files) - _NAMED_MAX)
        return self.work.more("brief.left", files.total(), named=" ".join([_named(files), *more]))

    def action_checks(self, page: str | None) -> Checks:
        """Return what looks in a page, or in nothing, for every action of the notes."""
        paths, most = [note.path for note in self.notes], _PATHS_PER_CHECK
        wanted: JsonObject = {"path": page, **(self.actions or {})}
        batches = (paths[start : start + most] for start in range(0, len(paths), most))
        told = (self.work.check("actions", page or "", {**wanted, "paths": [*b]}) for b in batches)
        return (*told,)

    def write(self, page: str, key: str, **counts: object) -> Steps[Done]:
        """Write a page of quotes, to be read again."""
        name, replacing = yield from self.work.free_name(self.wanted)
        content: JsonObject = {"path": name, "content": page, "replace": replacing}
        digest = hashlib.sha256(page.encode("utf-8", errors="replace")).hexdigest()
        quotes = self.work.check("quotes", name, {"path": name, "sha256": digest})
        actions = () if self.actions is None else self.action_checks(name)
        writing = self.work.call("write_file", "write", content, path=name)
        return (yield from self.work.deliver(writing, (quotes, *actions), key, **counts))


def read_notes(work: Work, page: str) -> Steps[Found]:
    """List every path and read the notes there, to answer in their language; stop with the reason without any."""
    found = Found(work=work, wanted=work.name_for(page, ".md", ".markdown", ".txt"))
    sizes = yield from _listed(work, found)
    found.notes = yield from _read([path for path in sizes if sizes[path]], found)
    if found.notes:
        found.work = work.about(*("".join(note.lines[:20])[:1000] for note in found.notes[:20]))
        return found
    key = "brief.no_notes" if found.others else "brief.blank" if sizes else "brief.empty"
    where = " ".join(work.line.operands)
    raise StoppedError(work.say(key, path=where, kinds=_named(found.others)))


def _listed(work: Work, found: Found) -> Steps[dict[str, int]]:
    """Take of a folder what people keep notes in, and a file named outright as it is; return their sizes."""
    sizes, seen = dict[str, int](), set[str]()
    for operand in work.line.operands:
        wish: JsonObject = {"path": operand, "recursive": True}
        value = yield from work.ask("list_files", "list", wish, path=operand)
        found.complete = found.complete and value.get("complete") is True
        entries = [entry for entry in objects(value, "entries") if entry.get("kind") == "file"]
        files = {words(entry, "path"): number(entry, "size") for entry in entries}
        outright = [*files] == [plain(operand)]
        for path in sorted(files.keys() - seen):
            if any(part.startswith((".", "~$")) for part in path.split("/")):
                continue
            seen.add(path)
            if (outright or ending_of(path) in _ENDINGS) and quotable(path):
                sizes[path] = files[path]
            else:
                found.others[ending_of(path) or path] += 1
    return sizes


def _read(waiting: list[str], found: Found) -> Steps[tuple[Note, ...]]:
    """Read the notes in a few calls; a file larger than one call is gone on with from the next line."""
    lines = {path: list[str]() for path in waiting}
    remarks = dict[str, tuple[str, ...]]()
    first, left = 1, _CHARS_MAX
    while waiting and left > 0:
        batch, waiting = waiting[:_FILES_PER_READ], waiting[_FILES_PER_READ:]
        wish: JsonObject = {"paths": [*batch], "from_line": first}
        about = {"count": len(batch), "first": batch[0]}
        value = yield from found.work.ask("read_files", "read", wish, **about)
        waiting, first = [*strings(value, "unread"), *waiting], 1
        for file in objects(value, "files"):
            path, got = words(file, "path"), strings(file, "lines")
            if "error" in file:
                found.others[ending_of(path) or path] += 1
                lines.pop(path, None)
                continue
            lines[path] += got
            remarks[path] = (*strings(file, "notes"),)
            left -= sum(map(len, got))
            following = number(file, "from_line") + len(got)
            if got and following <= number(file, "lines_total"):
                waiting, first = [path, *waiting], following
    found.cut = waiting
    whole = ((path, got) for path, got in lines.items() if got and got[-1] != MARK)
    return tuple(Note(path, (*got,), remarks[path]) for path, got in whole)


def _named(files: Counter[str]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in files.most_common(_NAMED_MAX))
