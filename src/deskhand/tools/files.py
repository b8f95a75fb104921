"""Tools that look at and change files, through the folder's handle only; no library ever gets a path.

Everything is bounded, and a bound that was met is said in the value (``complete``, ``lines_total``) and in the text.
Which names may be touched at all is the handle's rule, and whether the wish may run is the gate's. Changes go to the
results place; without ``replace`` an existing file stays, and the same bytes again are done already.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX, READ_BYTES_MAX
from deskhand.ports import Entry, FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools.builtin import fitting, ok, source
from deskhand.tools.reading import read_decoded

TRASH: Final = ".deskhand-trash"
"""Where a folder keeps what was thrown away in it."""
_MATCHING: Final = """
SELECT number FROM (SELECT unnest($1::VARCHAR[]) AS line, generate_subscripts($1::VARCHAR[], 1) AS number)
WHERE regexp_matches(line, $2, 'i') ORDER BY number
"""
SEARCHED_BYTES_MAX: Final = 256 * 1024**2
HITS_MAX: Final = 500
HIT_CHARS_MAX: Final = 400
_LINES_AT_ONCE: Final = 50_000


def list_files(wish: wishes.ListFiles, place: Place) -> ToolResult:
    """Return what is there, of a directory or below it."""
    limit = wish.limit
    entries = entries_of(source(wish, place), wish.path, recursive=wish.recursive, limit=limit + 1)
    chosen = [entry for entry in entries[:limit] if _named(entry, wish.pattern)]
    lines = [f"{e.path}{'/' if e.kind == 'directory' else ''}  {e.size}" for e in chosen]
    text = fitting(lines, "entries; look into one directory, or narrow the pattern")
    if len(entries) > limit:
        text += f"\n[only the first {limit} entries]"
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
    return ok(value, text or "(empty)")


def search_files(wish: wishes.SearchFiles, place: Place) -> ToolResult:
    """Return the lines that contain the words, with ``file:line``.

    Raises:
        DeskhandError: ``invalid`` for what is no regular expression.
    """
    matching = _by_pattern(wish.query) if wish.regex else _by_words(wish.query)
    access = source(wish, place)
    entries = entries_of(access, wish.path, recursive=True, limit=LIST_ENTRIES_MAX + 1)
    chosen = [each for each in entries if each.kind == "file" and _named(each, wish.pattern)]
    hits, lines = list[JsonObject](), list[tuple[str, int, str]]()
    left, passed_over = SEARCHED_BYTES_MAX, 0
    for entry in (*chosen, None):
        if len(hits) >= HITS_MAX:
            break
        if entry is not None:
            left -= entry.size if entry.size <= READ_BYTES_MAX else 0
            try:
                read = read_decoded(access, entry.path)[0].lines() if left >= 0 else []
            except DeskhandError:
                passed_over += 1  # no text, too large or gone: a search looks into what can be read
                continue
            lines += [(entry.path, number, line) for number, line in enumerate(read, start=1)]
        if entry is None or len(lines) > _LINES_AT_ONCE:
            for path, number, line in (lines[at] for at in matching([each[2] for each in lines])):
                hits.append(JsonObject(path=path, line=number, text=line[:HIT_CHARS_MAX]))
            lines.clear()
    complete = len(entries) <= LIST_ENTRIES_MAX and len(hits) < HITS_MAX and left >= 0
    found = hits[:HITS_MAX]
    shown = [f"{hit['path']}:{hit['line']}: {hit['text']}" for hit in found]
    text = fitting(shown, "lines; narrow the query, the path or the pattern") or "(nothing)"
    text += "" if complete else "\n[there is more than was searched]"
    text += f"\n[{passed_over} files are no text or too large and were not searched]" * bool(
        passed_over
    )
    return ok({"hits": [*found], "complete": complete}, text)


def entries_of(access: FolderAccess, path: str, *, recursive: bool, limit: int) -> Sequence[Entry]:
    """Return what is there, without what was put into the trash; a file is its own only entry."""
    entry = access.stat(path)
    if entry is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    if entry.kind == "file":
        return (entry,)
    found = [each for each in access.list(path, limit=limit + 1) if each.path != TRASH]
    for each in [*found] if recursive else ():
        if each.kind == "directory" and len(found) < limit:
            with suppress(DeskhandError):  # what cannot be read further down is left out
                found += access.walk(each.path, limit=limit - len(found))
    return sorted(found, key=lambda each: each.path)[:limit]


def _named(entry: Entry, pattern: str) -> bool:
    """Return whether a name fits, or the whole path where the pattern has one."""
    said = entry.path if "/" in pattern else entry.path.rpartition("/")[2]
    return fnmatch.fnmatchcase(said, pattern)


def _by_words(query: str) -> Callable[[Sequence[str]], list[int]]:
    wanted = re.compile(re.escape(query), re.IGNORECASE)
    return lambda lines: [at for at, line in enumerate(lines) if wanted.search(line)]


def _by_pattern(query: str) -> Callable[[Sequence[str]], list[int]]:
    """Search with RE2, which takes no more time than the text is long, whatever the pattern (RL-05)."""
    import duckdb

    database = duckdb.connect(":memory:", config={"threads": 1})

    def matching(lines: Sequence[str]) -> list[int]:
        try:
            found = database.execute(_MATCHING, [lines, query]).fetchall()
        except duckdb.Error as error:
            detail = f"no regular expression (RE2): {str(error)[:200]}"
            raise DeskhandError(Code.INVALID, detail, field="query") from None
        return [int(number) - 1 for (number,) in found]

    matching([""])
    return matching
