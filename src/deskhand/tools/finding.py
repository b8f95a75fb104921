"""Tools that look through a whole folder: for files by what is known of them, and for files that are there twice.

Both are bounded, and a bound that was met is said (``complete``). They refuse to guess from names alone that two files
are the same, or that one is what was looked for: equal is equal bytes, found is words that stand there.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from operator import itemgetter
from typing import Final

from deskhand.core.dates import date_in
from deskhand.core.quotes import bare, cut, visible
from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX
from deskhand.ports import Entry, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.builtin import ok, source
from deskhand.tools.reading import Reader

FOUND_MAX: Final = 100
QUOTED_MAX: Final = 3
_QUOTE_CHARS_MAX: Final = 400
_READ_BYTES: Final = 256 * 1024**2
_PARSED: Final = (".pdf", ".docx", ".xlsx", ".xlsm", ".eml", ".html", ".htm")
_DOCUMENTS_MAX: Final = 60
_HASHED_BYTES: Final = 16 * 1024**3
"""What one search reads and one comparison hashes at most; what is beyond is said."""


_Rank = tuple[int, int, int, int, str]
"""More of the words first, then those in the name, then those together in a line, then the newest."""


class Finder:
    """Finds files.

    Args:
        offload: runs blocking work.
        reader: reads what is no plain text.
    """

    def __init__(self, *, offload: Offload, reader: Reader) -> None:
        self._offload = offload
        self._reader = reader

    async def find_files(self, wish: wishes.FindFiles, place: Place) -> ToolResult:
        """Return what was found, best first, and how many files were looked at."""
        access = source(wish, place)
        entries, complete = await self._offload(lambda: _files(access, wish.path))
        chosen = [entry for entry in entries if _fits(entry, wish)]
        words = [plain(word) for word in wish.words]
        sized, documents, unread = _READ_BYTES, _DOCUMENTS_MAX, 0
        hits: list[tuple[_Rank, JsonObject, str]] = []
        for entry in sorted(chosen, key=lambda entry: -entry.modified_ns):
            sized -= entry.size
            parsed = entry.path.casefold().endswith(_PARSED)
            documents -= parsed
            lines: Sequence[str] = ()
            if words and sized >= 0 and (documents >= 0 or not parsed):
                with suppress(DeskhandError):  # no text, too large or gone: it still has a name
                    lines = (await self._reader.lines(access, entry.path, place)).lines
            elif words:
                unread += 1
            hits.append(await self._offload(partial(_hit, entry, words, lines)))
        hits = [hit for hit in sorted(hits, key=itemgetter(0)) if hit[0][0] or not words]
        value: JsonObject = {
            "files": [hit for _, hit, _ in hits[:FOUND_MAX]],
            "found_total": len(hits),
            "looked_at": len(entries),
            "unread_total": unread,
            "complete": complete,
        }
        told = "\n".join(said for _, _, said in hits[:FOUND_MAX])
        return ok(value, told or "(nothing)")


def find_duplicates(wish: wishes.FindDuplicates, place: Place) -> ToolResult:
    """Return the groups of equal files, those with most to win first; empty ones are no copies of each other."""
    access = source(wish, place)
    entries, complete = _files(access, wish.path)
    sizes = defaultdict[int, list[Entry]](list)
    for entry in entries:
        sizes[entry.size].append(entry)
    same = defaultdict[str, list[Entry]](list)
    left, unread = _HASHED_BYTES, list[Json]()
    for size, alike in sorted(sizes.items(), reverse=True):
        for entry in alike if size and len(alike) > 1 else ():
            left -= size
            try:
                if left >= 0:
                    same[access.sha256(entry.path)].append(entry)
            except DeskhandError:
                unread.append(entry.path)
    groups = [_group(digest, files) for digest, files in same.items() if _copies(files) > 1]
    groups.sort(key=lambda group: -int(str(group["wasted"])))
    value: JsonObject = {
        "groups": [*groups],
        "looked_at": len(entries),
        "unread": [*unread],
        "complete": complete and left >= 0,
    }
    return ok(value, f"{len(groups)} groups of equal files among {len(entries)}")


def plain(word: str) -> str:
    """Return a word as it is compared: composed, without case."""
    return unicodedata.normalize("NFC", word).casefold()


def _files(access: FolderAccess, path: str) -> tuple[list[Entry], bool]:
    """Return the files below a path that people know of, and whether that is all."""
    there = access.stat(path)
    if there is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    files = [there] if there.kind == "file" else _below(access, path, LIST_ENTRIES_MAX + 1)
    return files[:LIST_ENTRIES_MAX], len(files) <= LIST_ENTRIES_MAX


def _below(access: FolderAccess, path: str, room: int) -> list[Entry]:
    """Go through a directory, never into a hidden one: it may hold more files than all the others."""
    found: list[Entry] = []
    for entry in access.list(path, limit=LIST_ENTRIES_MAX + 1):
        hidden = entry.path.rpartition("/")[2].startswith((".", "~$"))
        if len(found) >= room or hidden:
            continue
        if entry.kind == "directory":
            with suppress(DeskhandError):  # gone, or nobody may look into it
                found += _below(access, entry.path, room - len(found))
        elif entry.kind == "file":
            found.append(entry)
    return found


def _fits(entry: Entry, wish: wishes.FindFiles) -> bool:
    """Return whether its kind and one of its days, of change or in its name, are asked for."""
    name = entry.path.rpartition("/")[2]
    ending = name.rpartition(".")[2].casefold()
    if wish.endings and ending not in (each.lstrip(".").casefold() for each in wish.endings):
        return False
    changed = datetime.fromtimestamp(entry.modified_ns // 10**9, UTC).astimezone().date()
    first, last = wish.since or date.min, wish.until or date.max
    return any(day is not None and first <= day <= last for day in (changed, date_in(name)))


def _hit(entry: Entry, words: Sequence[str], lines: Sequence[str]) -> tuple[_Rank, JsonObject, str]:
    """Return how good a file is, what of the words it has in its name and its lines, and that as text."""
    whole, found = plain("\n".join(lines)), list[tuple[int, int, str]]()
    named = every = {word for word in words if word in plain(entry.path)}
    telling = lines if any(word in whole for word in words) else ()
    for number, line in enumerate(telling, start=1):
        there = [word for word in words if word in plain(line)]
        if there:
            shown = bare(visible(line, entry.path))
            place = max(0, plain(shown).find(there[0]))
            found.append((-len(there), number, cut(shown, at=place, limit=_QUOTE_CHARS_MAX)))
            every = every.union(there)
    found = sorted(found)[:QUOTED_MAX]
    hit: JsonObject = {
        "path": entry.path,
        "size": entry.size,
        "modified_seconds": entry.modified_ns // 10**9,
        "words": [*sorted(every)],
        "lines": [{"line": number, "text": text} for _, number, text in found],
    }
    together = min((few for few, _, _ in found), default=0)
    rank = -len(every), -len(named), together, -entry.modified_ns, entry.path
    told = "\n".join([entry.path, *(f"  {number}: {text}" for _, number, text in found)])
    return rank, hit, told


def _copies(files: Sequence[Entry]) -> int:
    """Return how many times the bytes are there: names of one and the same file count once."""
    return len({entry.identity or entry.path for entry in files})


def _group(digest: str, files: Sequence[Entry]) -> JsonObject:
    oldest = sorted(files, key=lambda entry: (entry.modified_ns, len(entry.path), entry.path))
    return {
        "sha256": digest,
        "size": oldest[0].size,
        "wasted": oldest[0].size * (_copies(oldest) - 1),
        "files": [{"path": entry.path, "linked": bool(entry.identity)} for entry in oldest],
    }
