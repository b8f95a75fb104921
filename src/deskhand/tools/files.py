"""Tools that look through a folder: what is there, which files have some words and where, which files are there twice.

Everything goes through the folder's handle; no library ever gets a path. Everything is bounded, and a bound that was
met is said in the value (``complete``) and in the text. They refuse to guess from names that two files are the same.
"""

from __future__ import annotations

import fnmatch
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import accumulate
from operator import itemgetter
from typing import Final

from deskhand.core.dates import date_in
from deskhand.core.quotes import bare, cut, visible
from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX
from deskhand.ports import Entry, FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.builtin import fitting, ok, source
from deskhand.tools.reading import APART, Reader

TRASH: Final = ".deskhand-trash"
"""Where a folder keeps what was thrown away in it."""
READ_IN_ALL_MAX: Final = 256 * 1024**2
_DOCUMENTS_MAX: Final = 60
_HASHED_BYTES: Final = 16 * 1024**3
"""What one search reads, in bytes and in files that need a parser, and one comparison hashes; beyond it is said."""
FOUND_MAX: Final = 100
_QUOTED_MAX: Final = 3
_QUOTE_CHARS_MAX: Final = 400

_Rank = tuple[int, int, int, int, str]
"""More of the words first, then those in the name, then those together in a line, then the newest."""


def list_files(wish: wishes.ListFiles, place: Place) -> ToolResult:
    """Return what is there, of a directory or below it."""
    access = source(wish, place)
    entries, complete = entries_of(access, wish.path, recursive=wish.recursive, limit=wish.limit)
    chosen = [entry for entry in entries if _named(entry, wish.pattern)]
    lines = [f"{e.path}{'/' if e.kind == 'directory' else ''}  {e.size}" for e in chosen]
    text = fitting(lines, "entries; look into one directory, or narrow the pattern")
    if not complete:
        text += f"\n[only the first {wish.limit} entries]"
    told = [{**_facts(entry), "kind": entry.kind} for entry in chosen]
    return ok({"entries": [*told], "complete": complete}, text or "(empty)")


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds files by what is known of them; the reader reads what is no plain text."""

    reader: Reader

    async def find_files(self, wish: wishes.FindFiles, place: Place) -> ToolResult:
        """Return what was found, best first, and how many files were looked at."""
        access = source(wish, place)
        entries, complete = await self.reader.offload(lambda: _files(access, wish.path))
        chosen = sorted((e for e in entries if _fits(e, wish)), key=lambda e: -e.modified_ns)
        words = [plain(word) for word in wish.words]
        left, documents, unread = READ_IN_ALL_MAX, _DOCUMENTS_MAX, 0
        hits = list[tuple[_Rank, JsonObject, str]]()
        for entry in chosen:
            left -= entry.size
            parsed = entry.path.casefold().endswith(APART)
            documents -= parsed
            lines: Sequence[str] = ()
            if words and left >= 0 and (documents >= 0 or not parsed):
                with suppress(DeskhandError):  # no text, too large or gone: it still has a name
                    lines = (await self.reader.lines(access, entry.path, place)).lines
            elif words:
                unread += 1
            hits.append(await self.reader.offload(partial(_hit, entry, words, lines)))
        hits = [hit for hit in sorted(hits, key=itemgetter(0)) if hit[0][0] or not words]
        value: JsonObject = {
            "files": [hit for _, hit, _ in hits[:FOUND_MAX]],
            "found_total": len(hits),
            "looked_at": len(entries),
            "unread_total": unread,
            "complete": complete,
        }
        told = fitting([said for _, _, said in hits], "files; take other words, or look in one directory")
        left = ["[there are more files than were looked at]"] * (not complete)
        left += [f"[{unread} files were not opened: it would take too long]"] * bool(unread)
        return ok(value, "\n".join([told or "(nothing)", *left]))


def find_duplicates(wish: wishes.FindDuplicates, place: Place) -> ToolResult:
    """Return the groups of equal files, those with most to win first; empty ones are no copies of each other."""
    access = source(wish, place)
    entries, complete = _files(access, wish.path)
    sizes, same = defaultdict[int, list[Entry]](list), defaultdict[str, list[Entry]](list)
    for entry in entries:
        sizes[entry.size].append(entry)
    by_size = sorted(sizes.items(), reverse=True)
    alike = [entry for size, some in by_size if size and len(some) > 1 for entry in some]
    unread = list[Json]()
    for entry, hashed in zip(alike, accumulate(entry.size for entry in alike), strict=True):
        if hashed > _HASHED_BYTES:
            complete = False
            break
        try:
            same[access.sha256(entry.path)].append(entry)
        except DeskhandError:
            unread.append(entry.path)
    groups = [_group(digest, files) for digest, files in same.items() if _copies(files) > 1]
    groups.sort(key=lambda group: -int(str(group["wasted"])))
    value: JsonObject = {"groups": [*groups], "looked_at": len(entries), "unread": unread, "complete": complete}
    return ok(value, f"{len(groups)} groups of equal files among {len(entries)}")


def entries_of(
    access: FolderAccess, path: str, *, recursive: bool = True, hidden: bool = True, limit: int = LIST_ENTRIES_MAX
) -> tuple[Sequence[Entry], bool]:
    """Return what is there, and whether that is all, without what was put into the trash; a file is its own only entry.

    What cannot be read further down is left out, and so is what is in a hidden directory where nobody asks for it: it
    may hold more than all the others.
    """

    def inside(directory: str) -> Iterator[Entry]:
        for entry in access.list(directory, limit=LIST_ENTRIES_MAX + 1):
            covered = not hidden and entry.path.rpartition("/")[2].startswith((".", "~$"))
            if entry.path != TRASH and not covered:
                yield entry

    there = access.stat(path)
    if there is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    if there.kind == "file":
        return (there,), True
    found = [*inside(path)]
    for each in found if recursive else ():  # it grows while it is gone through
        if each.kind == "directory" and len(found) <= limit:
            with suppress(DeskhandError):
                found += inside(each.path)
    return sorted(found, key=lambda each: each.path)[:limit], len(found) <= limit


def plain(word: str) -> str:
    """Return a word as it is compared: composed, without case."""
    return unicodedata.normalize("NFC", word).casefold()


def _files(access: FolderAccess, path: str) -> tuple[list[Entry], bool]:
    """Return the files below a path that people know of, and whether that is all."""
    entries, complete = entries_of(access, path, hidden=False)
    return [entry for entry in entries if entry.kind == "file"], complete


def _facts(entry: Entry) -> JsonObject:
    seconds = entry.modified_ns // 10**9
    return {"path": entry.path, "size": entry.size, "modified_seconds": seconds}


def _named(entry: Entry, pattern: str) -> bool:
    """Return whether a name fits, or the whole path where the pattern has one."""
    said = entry.path if "/" in pattern else entry.path.rpartition("/")[2]
    return fnmatch.fnmatchcase(said, pattern)


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
    found = sorted(found)[:_QUOTED_MAX]
    hit: JsonObject = {
        **_facts(entry),
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
