"""Tools that look at and change files, through the folder's handle only; no library ever gets a path.

Everything is bounded, and a bound that was met is said in the value (``complete``, ``lines_total``) and in the text.
Which names may be touched at all is the handle's rule, and whether the wish may run is the gate's. Changes go to the
results place; without ``replace`` an existing file stays, and the same bytes again are done already.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX
from deskhand.ports import Entry, FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools.builtin import ok, source
from deskhand.tools.reading import read_decoded

TRASH: Final = ".deskhand-trash"
"""Where a folder keeps what was thrown away in it."""
HITS_MAX: Final = 500
HIT_CHARS_MAX: Final = 400


def list_files(wish: wishes.ListFiles, place: Place) -> ToolResult:
    """Return what is there, of a directory or below it."""
    limit = wish.limit
    entries = entries_of(source(wish, place), wish.path, recursive=wish.recursive, limit=limit + 1)
    chosen = [entry for entry in entries[:limit] if _named(entry, wish.pattern)]
    lines = [f"{e.path}{'/' if e.kind == 'directory' else ''}  {e.size}" for e in chosen]
    if len(entries) > limit:
        lines.append(f"[only the first {limit} entries]")
    value: JsonObject = {
        "entries": [
            {
                "path": entry.path,
                "kind": entry.kind,
                "size": entry.size,
                "modified_seconds": entry.modified_ns // 1_000_000_000,
            }
            for entry in chosen
        ],
        "complete": len(entries) <= limit,
    }
    return ok(value, "\n".join(lines) or "(empty)")


def search_files(wish: wishes.SearchFiles, place: Place) -> ToolResult:
    """Return the lines that contain the words, with ``file:line``."""
    wanted = re.compile(re.escape(wish.query), re.IGNORECASE)
    access = source(wish, place)
    entries = entries_of(access, wish.path, recursive=True, limit=LIST_ENTRIES_MAX + 1)
    hits: list[JsonObject] = []
    for entry in entries:
        if entry.kind != "file" or not _named(entry, wish.pattern) or len(hits) >= HITS_MAX:
            continue
        try:
            lines = read_decoded(access, entry.path)[0].lines()
        except DeskhandError:
            continue  # no text, too large or gone: a search looks into what can be read
        hits += [
            JsonObject(path=entry.path, line=number, text=line[:HIT_CHARS_MAX])
            for number, line in enumerate(lines, start=1)
            if wanted.search(line)
        ]
    complete = len(entries) <= LIST_ENTRIES_MAX and len(hits) < HITS_MAX
    found = hits[:HITS_MAX]
    shown = [f"{hit['path']}:{hit['line']}: {hit['text']}" for hit in found]
    if not complete:
        shown.append("[there is more than was searched]")
    return ok({"hits": [*found], "complete": complete}, "\n".join(shown) or "(nothing)")


def write_file(wish: wishes.WriteFile, place: Place) -> ToolResult:
    """Write a text file in UTF-8."""
    data = wish.content.encode("utf-8", errors="replace")
    return write_once(place.results, wish.path, data, replace=wish.replace)


def make_directory(wish: wishes.MakeDirectory, place: Place) -> ToolResult:
    """Make a directory and its parents."""
    place.results.mkdir(wish.path)
    return ok({"path": wish.path}, f"made {wish.path}/")


def move_file(wish: wishes.MoveFile, place: Place) -> ToolResult:
    """Move to a free name; whether a crash came before or after it nobody can tell."""
    place.results.move(wish.path, wish.to)
    return ok({"path": wish.path, "to": wish.to}, f"moved {wish.path} to {wish.to}")


def write_once(access: FolderAccess, path: str, data: bytes, *, replace: bool) -> ToolResult:
    """Write bytes; the same bytes already there are done, other bytes stay unless ``replace``.

    Raises:
        DeskhandError: ``conflict`` and what writing raises.
    """
    digest = hashlib.sha256(data).hexdigest()
    there = access.stat(path)
    if there is None or there.kind != "file" or access.sha256(path) != digest:
        if there is not None and not replace:
            raise DeskhandError(Code.CONFLICT, f"{path} exists already")
        parent = path.rpartition("/")[0]
        if parent:
            access.mkdir(parent)
        access.write(path, data, expect=None if replace else "")
    value: JsonObject = {"path": path, "size": len(data), "sha256": digest}
    return ok(value, f"wrote {path}, {len(data)} bytes")


def entries_of(access: FolderAccess, path: str, *, recursive: bool, limit: int) -> Sequence[Entry]:
    """Return what is there, without what was put into the trash; a file is its own only entry."""
    entry = access.stat(path)
    if entry is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    if entry.kind == "file":
        return (entry,)
    found = access.walk(path, limit=limit) if recursive else access.list(path, limit=limit)
    return [each for each in found if TRASH in path or not each.path.startswith(TRASH)]


def _named(entry: Entry, pattern: str) -> bool:
    return fnmatch.fnmatchcase(entry.path.rpartition("/")[2], pattern)
