"""Tools that look at and change files, through the folder's handle only; no library ever gets a path.

Everything is bounded, and a bound that was met is said in the value (``complete``, ``lines_total``) and in the text.
Which names may be touched at all is the handle's rule, and whether the wish may run is the gate's.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX, READ_BYTES_MAX, TOOL_TEXT_CHARS_MAX
from deskhand.ports import Effect, Entry, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.arguments import Arguments, refused, shown, source
from deskhand.tools.decoding import Decoded, decode

LINES_MAX: Final = 1_000_000
READ_CHARS_MAX: Final = 1_000_000
"""How much text one call gives to an agent's code; a model sees ``TOOL_TEXT_CHARS_MAX`` of it."""
PATHS_MAX: Final = 500
HITS_MAX: Final = 500
HIT_CHARS_MAX: Final = 400
PATTERN_CHARS_MAX: Final = 200


class ListFiles:
    """``list_files {path, recursive?, pattern?, limit?, from?}``: names, kinds and sizes; a file lists as itself."""

    name = "list_files"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the directory."""
        return shown(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """List it.

        Raises:
            DeskhandError: ``invalid``, ``not_found``, ``path_refused``.
        """
        given = Arguments(arguments)
        path, recursive = given.path(default="."), given.flag("recursive", default=False)
        pattern = given.text("pattern", "*", most=PATTERN_CHARS_MAX)
        limit = given.integer("limit", LIST_ENTRIES_MAX, least=1, most=LIST_ENTRIES_MAX)
        access = source(given, place)
        given.finish()
        entries = await self._offload(
            lambda: _entries(access, path, recursive=recursive, limit=limit + 1)
        )
        chosen = [e for e in entries[:limit] if fnmatch.fnmatchcase(e.path.split("/")[-1], pattern)]
        complete = len(entries) <= limit
        value: JsonObject = {
            "entries": [_entry_json(entry) for entry in chosen],
            "complete": complete,
        }
        lines = [f"{e.path}{'/' if e.kind == 'directory' else ''}  {e.size}" for e in chosen]
        if not complete:
            lines.append(f"[only the first {limit} entries]")
        return ToolResult(outcome="ok", value=value, text=bounded("\n".join(lines) or "(empty)"))


class ReadFile:
    """``read_file {path, from_line?, lines?, from?}``: lines of a text file, in whatever encoding it is."""

    name = "read_file"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file."""
        return shown(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read it.

        Raises:
            DeskhandError: ``invalid``, ``not_found``, ``path_refused``, ``too_large``, ``unsupported_type``.
        """
        given = Arguments(arguments)
        path = given.path()
        first = given.integer("from_line", 1, least=1, most=LINES_MAX)
        count = given.integer("lines", LINES_MAX, least=1, most=LINES_MAX)
        access = source(given, place)
        given.finish()
        value = await self._offload(
            lambda: _read_text(access, path, first=first, count=count, chars=READ_CHARS_MAX)
        )
        lines = [str(line) for line in _list(value, "lines")]
        total = value["lines_total"]
        text = "\n".join(lines)
        if isinstance(total, int) and first + len(lines) - 1 < total:
            text += f"\n[lines {first} to {first + len(lines) - 1} of {total}]"
        return ToolResult(outcome="ok", value=value, text=bounded(text))


class ReadFiles:
    """``read_files {paths, from_line?, from?}``: many text files at once; what is no text is said, not an error.

    ``unread`` names what did not fit into one call; ``from_line`` goes on within the first path.
    """

    name = "read_files"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the directory they have in common; :meth:`targets` has each of them."""
        common = _common(self._paths(arguments))
        return shown({"path": common, "from": arguments.get("from")}, place)

    def targets(self, arguments: JsonObject, place: Place) -> tuple[str, ...]:
        """Return every file, for rules about single paths."""
        return tuple(
            shown({"path": path, "from": arguments.get("from")}, place)
            for path in self._paths(arguments)
        )

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read them in order until the bound.

        Raises:
            DeskhandError: ``invalid``.
        """
        given = Arguments(arguments)
        paths = given.texts("paths", most=PATHS_MAX)
        first = given.integer("from_line", 1, least=1, most=LINES_MAX)
        access = source(given, place)
        given.finish()
        value = await self._offload(lambda: _read_many(access, paths, first=first))
        read, unread = _list(value, "files"), _list(value, "unread")
        text = f"{len(read)} files looked at, {len(unread)} not reached"
        return ToolResult(outcome="ok", value=value, text=text)

    def _paths(self, arguments: JsonObject) -> list[str]:
        paths = arguments.get("paths")
        return [str(path) for path in paths] if isinstance(paths, list) else ["."]


class SearchFiles:
    """``search_files {query, path?, pattern?, regex?, from?}``: lines that contain the words, with ``file:line``."""

    name = "search_files"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the directory."""
        return shown(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Search text files of ordinary size, names in order.

        Raises:
            DeskhandError: ``invalid``, ``not_found``, ``path_refused``.
        """
        given = Arguments(arguments)
        query = given.text("query", most=PATTERN_CHARS_MAX)
        path, pattern = given.path(default="."), given.text("pattern", "*", most=PATTERN_CHARS_MAX)
        access = source(given, place)
        given.finish()
        if not query:
            raise refused("query", "is empty")
        value = await self._offload(lambda: _search(access, path, pattern, query))
        hits = [hit for hit in _list(value, "hits") if isinstance(hit, dict)]
        lines = [f"{hit['path']}:{hit['line']}: {hit['text']}" for hit in hits]
        if value["complete"] is not True:
            lines.append("[there is more than was searched]")
        return ToolResult(outcome="ok", value=value, text=bounded("\n".join(lines) or "(nothing)"))


def bounded(text: str) -> str:
    """Return the text, cut with a visible marker where a model would get too much."""
    if len(text) <= TOOL_TEXT_CHARS_MAX:
        return text
    left = len(text) - TOOL_TEXT_CHARS_MAX
    return f"{text[:TOOL_TEXT_CHARS_MAX]}\n[cut: {left} more characters]"


def found_at(access: FolderAccess, path: str) -> Entry:
    """Return what has this name.

    Raises:
        DeskhandError: ``not_found``, ``path_refused``.
    """
    entry = access.stat(path)
    if entry is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    return entry


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
    entry = found_at(access, path)
    if entry.kind == "file":
        return (entry,)
    return access.walk(path, limit=limit) if recursive else access.list(path, limit=limit)


def _entry_json(entry: Entry) -> JsonObject:
    return {
        "path": entry.path,
        "kind": entry.kind,
        "size": entry.size,
        "modified_seconds": entry.modified_ns // 1_000_000_000,
    }


def _read_text(
    access: FolderAccess, path: str, *, first: int, count: int, chars: int
) -> JsonObject:
    decoded, digest = read_decoded(access, path)
    lines = decoded.lines()
    given: list[Json] = []
    for line in lines[first - 1 : first - 1 + count]:
        chars -= len(line) + 1
        if chars < 0 and given:
            break
        given.append(line)
    return {
        "path": path,
        "encoding": decoded.encoding,
        "sha256": digest,
        "from_line": first,
        "lines": given,
        "lines_total": len(lines),
    }


def _read_many(access: FolderAccess, paths: Sequence[str], *, first: int) -> JsonObject:
    files: list[Json] = []
    left = READ_CHARS_MAX
    for number, path in enumerate(paths):
        if left <= 0:
            return {"files": files, "unread": list(paths[number:])}
        try:
            file = _read_text(access, path, first=first, count=LINES_MAX, chars=left)
        except DeskhandError as error:
            files.append({"path": path, "error": str(error.code)})
            continue
        left -= sum(len(str(line)) + 1 for line in _list(file, "lines"))
        files.append(file)
        first = 1
    return {"files": files, "unread": []}


def _search(access: FolderAccess, path: str, pattern: str, query: str) -> JsonObject:
    entries = _entries(access, path, recursive=True, limit=LIST_ENTRIES_MAX + 1)
    complete = len(entries) <= LIST_ENTRIES_MAX
    wanted = re.compile(re.escape(query), re.IGNORECASE)
    hits: list[Json] = []
    for entry in entries:
        if entry.kind != "file" or not fnmatch.fnmatchcase(entry.path.split("/")[-1], pattern):
            continue
        try:
            decoded, _ = read_decoded(access, entry.path)
        except DeskhandError:
            continue  # no text, too large or gone: a search looks into what can be read
        for number, line in enumerate(decoded.lines(), start=1):
            if wanted.search(line):
                hits.append({"path": entry.path, "line": number, "text": line[:HIT_CHARS_MAX]})
            if len(hits) >= HITS_MAX:
                return {"hits": hits, "complete": False}
    return {"hits": hits, "complete": complete}


def _list(value: JsonObject, field: str) -> list[Json]:
    found = value[field]
    return found if isinstance(found, list) else []


def _common(paths: Sequence[str]) -> str:
    split = [path.split("/")[:-1] for path in paths]
    common: list[str] = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) != 1:
            break
        common.append(parts[0])
    return "/".join(common) or "."
