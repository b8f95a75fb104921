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
from deskhand.limits import LIST_ENTRIES_MAX, READ_BYTES_MAX
from deskhand.ports import Entry, FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.builtin import ok, source
from deskhand.tools.decoding import Decoded, decode

READ_CHARS_MAX: Final = 1_000_000
"""How much text one call gives to an agent's code; a model sees ``TOOL_TEXT_CHARS_MAX`` of it."""
HITS_MAX: Final = 500
HIT_CHARS_MAX: Final = 400


def list_files(wish: wishes.ListFiles, place: Place) -> ToolResult:
    """Return what is there, of a directory or below it."""
    limit = wish.limit
    entries = _entries(source(wish, place), wish.path, recursive=wish.recursive, limit=limit + 1)
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


def read_file(wish: wishes.ReadFile, place: Place) -> ToolResult:
    """Return lines of a text file."""
    first = wish.from_line
    value, lines, total = _read_text(source(wish, place), wish.path, first, READ_CHARS_MAX)
    lines = lines[: wish.limit]
    value["lines"] = [*lines]
    text, last = "\n".join(lines), first + len(lines) - 1
    if last < total:
        text += f"\n[lines {first} to {last} of {total}]"
    return ok(value, text)


def read_files(wish: wishes.ReadFiles, place: Place) -> ToolResult:
    """Return lines of many; what is no text is said, not an error, and ``unread`` did not fit into this call."""
    access, files = source(wish, place), list[Json]()
    left = READ_CHARS_MAX
    for path in wish.paths:
        first = 1 if files else wish.from_line
        try:
            file, lines, total = _read_text(access, path, first, left)
        except DeskhandError as error:
            files.append({"path": path, "error": str(error.code)})
            continue
        files.append(file)
        left -= sum(len(line) + 1 for line in lines)
        if left <= 0 or first + len(lines) <= total:
            break  # gone on with in a call of its own
    unread = wish.paths[len(files) :]
    text = f"{len(files)} files looked at, {len(unread)} not reached"
    return ok({"files": files, "unread": [*unread]}, text)


def search_files(wish: wishes.SearchFiles, place: Place) -> ToolResult:
    """Return the lines that contain the words, with ``file:line``."""
    wanted = re.compile(re.escape(wish.query), re.IGNORECASE)
    access = source(wish, place)
    entries = _entries(access, wish.path, recursive=True, limit=LIST_ENTRIES_MAX + 1)
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


def read_decoded(access: FolderAccess, path: str) -> tuple[Decoded, str]:
    """Return a text file and the hash of its bytes.

    Raises:
        DeskhandError: ``unsupported_type`` for what is no text, and what reading raises.
    """
    data = access.read(path, limit=READ_BYTES_MAX)
    decoded = decode(data)
    if decoded is None:
        raise DeskhandError(Code.UNSUPPORTED_TYPE, f"{path} is no text")
    return decoded, hashlib.sha256(data).hexdigest()


def _entries(access: FolderAccess, path: str, *, recursive: bool, limit: int) -> Sequence[Entry]:
    entry = access.stat(path)
    if entry is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    if entry.kind == "file":
        return (entry,)
    return access.walk(path, limit=limit) if recursive else access.list(path, limit=limit)


def _named(entry: Entry, pattern: str) -> bool:
    return fnmatch.fnmatchcase(entry.path.rpartition("/")[2], pattern)


def _read_text(
    access: FolderAccess, path: str, first: int, chars: int
) -> tuple[JsonObject, list[str], int]:
    """Return what is to be said of a file, as many of its lines as fit but at least one, and how many it has."""
    decoded, digest = read_decoded(access, path)
    every = decoded.lines()
    lines: list[str] = []
    for line in every[first - 1 :]:
        chars -= len(line) + 1
        if chars < 0 and lines:
            break
        lines.append(line)
    value: JsonObject = {
        "path": path,
        "encoding": decoded.encoding,
        "sha256": digest,
        "from_line": first,
        "lines": [*lines],
        "lines_total": len(every),
    }
    return value, lines, len(every)
