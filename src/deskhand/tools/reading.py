"""Tools that read a folder: what is there, which files have some words and where, which are there twice, and their lines.

Every kind of file that a person keeps becomes numbered lines, for models, for commands and for checks. Plain text is decoded here; what needs a parser is read apart from the runner. ``value`` has the bare lines for code,
the text is cut to what a model should get, and then says how to read on. Everything is bounded, and a bound that was
met is said in the value (``complete``) and in the text. No library ever gets a path. They refuse to guess from names
that two files are the same.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import struct
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import accumulate, count
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Final, cast

from deskhand.core.dates import date_in
from deskhand.core.words.notes import bare, cut, visible
from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX, READ_BYTES_MAX, TOOL_TEXT_CHARS_MAX
from deskhand.ports import Entry, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.apart.asking import Apart
from deskhand.tools.builtin import about, fitting, ok, source, within
from deskhand.tools.tables.reading import Decoded, decode

READ_CHARS_MAX: Final = 1_000_000
"""How much text one call gives to an agent's code; a model sees ``TOOL_TEXT_CHARS_MAX`` of it."""
UNWALLED: Final = "this computer has no sandbox: it was asked locked, in a process of its own"
TABLE_BYTES_MAX: Final = 200 * 1024**2
LINE_CHARS_MAX: Final = 2_000
"""How much of one line a model sees."""
APART: Final = (".pdf", ".docx", ".xlsx", ".xlsm", ".eml", ".html", ".htm")
"""What needs a parser."""
_TAKEN_AT: Final = re.compile(rb"(?:19|20)\d\d:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d\x00")
_CURES: Final = {
    Code.TOO_LARGE: "use query_table for a table, or run_command for a part",
    Code.NOT_FOUND: "list_files shows what there is",
}
_FRAME: Final = re.compile(rb"\xff[\xc0-\xc2]\x00.\x08(.{4})", re.DOTALL)
"""Where a jpeg says its size; a small picture inside it has one of its own."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A file as lines; ``notes`` say what kind it is, and what of it was left out."""

    lines: Sequence[str]
    sha256: str
    encoding: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads files of every kind that it knows; ``apart`` parses what strangers wrote."""

    offload: Offload
    apart: Apart

    async def lines(self, access: FolderAccess, path: str, place: Place) -> Lines:
        """Return a file as lines.

        Raises:
            DeskhandError: ``unsupported_type`` for what is neither text nor a known kind, or damaged, or sealed;
                ``too_large``, ``timeout``; what opening raises.
        """
        data = await self.offload(lambda: _bytes(access, path))
        return await self.content(data, path, place)

    async def content(self, data: bytes, path: str, place: Place) -> Lines:
        """Return bytes as lines, by what the name says that they are; raises as :meth:`lines` does."""
        kind = PurePosixPath(path).suffix.lower()
        with about(path):
            if kind not in APART:
                return await self.offload(lambda: _plain(data))
            answer = await self.apart.ask({"do": "read", "kind": kind}, [data], place)
        lines, notes = (_texts(answer[part]) for part in ("lines", "notes"))
        return Lines(lines=lines, sha256=hashlib.sha256(data).hexdigest(), notes=(*notes,))

    async def read_file(self, wish: wishes.ReadFile, place: Place) -> ToolResult:
        """Return lines of a file."""
        found = await self.lines(source(wish, place), wish.path, place)
        chosen = within(found.lines[wish.from_line - 1 :][: wish.limit], READ_CHARS_MAX)
        value = _value(wish.path, found, chosen, wish.from_line)
        return ok(value, numbered(found, chosen, wish.from_line, TOOL_TEXT_CHARS_MAX))

    async def read_files(self, wish: wishes.ReadFiles, place: Place) -> ToolResult:
        """Return lines of many; what cannot be read is said, and ``unread`` did not fit into this call."""
        access, files, texts = source(wish, place), list[Json](), list[str]()
        left, room = READ_CHARS_MAX, TOOL_TEXT_CHARS_MAX - 1_000
        for path in wish.paths:
            try:
                found = await self.lines(access, path, place)
            except DeskhandError as error:
                files.append({"path": path, "error": str(error.code)})
                texts.append(f"== {path}: {error.sentence()}")
                continue
            chosen = within(found.lines, left)
            if left <= 0 or (files and len(chosen) < len(found.lines)):
                break
            files.append(_value(path, found, chosen, 1))
            texts.append(f"== {path}\n{numbered(found, chosen, 1, max(1_000, room))}")
            left -= sum(len(line) + 1 for line in chosen)
            room -= len(texts[-1])
        unread = wish.paths[len(files) :]
        texts += [f"== {path}: not reached" for path in unread]
        rest = "files; ask for them in another call"
        return ok({"files": files, "unread": [*unread]}, fitting(texts, rest))

    async def find_files(self, wish: wishes.FindFiles, place: Place) -> ToolResult:
        """Return what was found, best first, and how many files were looked at."""
        access = source(wish, place)
        entries, complete = await self.offload(lambda: _files(access, wish.path))
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
                    lines = (await self.lines(access, entry.path, place)).lines
            elif words:
                unread += 1
            hits.append(await self.offload(partial(_hit, entry, words, lines)))
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

    async def query_table(self, wish: wishes.QueryTable, place: Place) -> ToolResult:
        """Return the rows of a query over files."""
        access = source(wish, place)
        limit = TABLE_BYTES_MAX // len(wish.paths)
        files = await self.offload(lambda: [_bytes(access, p, limit=limit) for p in wish.paths])
        question: JsonObject = {"do": "query", "names": [*wish.paths], "sql": wish.sql}
        answer = await self.apart.ask(question, files, place)
        rows = [answer["columns"], *cast("list[Json]", answer["rows"])] if wish.sql else []
        lines = [" | ".join(_texts(row)) for row in rows]
        if not answer["complete"]:
            lines.append("[… more rows; sum up, or say LIMIT and OFFSET]")
        notes = [f"[{note}]" for note in _texts(answer["notes"])]
        if place.sandbox.info.level == "none":
            notes.append(f"[{UNWALLED}]")
        return ok(answer, "\n".join([*(lines or _texts(answer["tables"])), *notes]))


def numbered(found: Lines, chosen: Sequence[str], first: int, chars: int) -> str:
    """Return some lines of a file with their numbers, as many as fit, and how to see the others."""

    def said(number: int, line: str) -> str:
        cut = len(line) - LINE_CHARS_MAX
        more = f" [… {cut:,} more characters]" if cut > 0 else ""
        return f"{number}: {line[:LINE_CHARS_MAX]}{more}"

    if not chosen:
        return f"(nothing here; it has {len(found.lines)} lines)"
    notes = [f"[{'; '.join(found.notes)}]"] if found.notes else []
    shown = within(map(said, count(first), chosen), chars - 200)
    more = len(found.lines) - first + 1 - len(shown)
    if more > 0:
        shown.append(f"[… {more:,} more lines; read on with from_line={first + len(shown)}]")
    return "\n".join([*notes, *shown])


def read_decoded(access: FolderAccess, path: str) -> tuple[Decoded, str]:
    """Return a text file and the hash of its bytes.

    Raises:
        DeskhandError: ``unsupported_type`` for what is no text, and what reading raises.
    """
    data = _bytes(access, path)
    with about(path):
        return decode(data), hashlib.sha256(data).hexdigest()


def image_note(data: bytes) -> str | None:
    """Return kind, size and date of a picture from its first bytes, or nothing when it is none."""
    with suppress(struct.error, ValueError):
        for start, kind, size in _PICTURES:
            if data.startswith(start) and (found := size(data)):
                taken = _TAKEN_AT.search(data, 0, 64 * 1024)
                when = f", taken {taken[0][:-1].decode()}" if taken else ""
                return f"{kind} picture, {found[0]} x {found[1]} pixels{when}"
    return None


_PICTURES: Final[tuple[tuple[bytes, str, Callable[[bytes], Sequence[int]]], ...]] = (
    (b"\x89PNG", "png", lambda data: struct.unpack_from(">II", data, 16)),
    (b"GIF8", "gif", lambda data: struct.unpack_from("<HH", data, 6)),
    (b"\xff\xd8", "jpeg", lambda data: struct.unpack(">HH", max(_FRAME.findall(data)))[::-1]),
)


def _plain(data: bytes) -> Lines:
    digest = hashlib.sha256(data).hexdigest()
    picture = image_note(data)
    if picture is not None:
        return Lines(lines=[picture], sha256=digest)
    decoded = decode(data)
    return Lines(lines=decoded.lines(), sha256=digest, encoding=decoded.encoding)


def _bytes(access: FolderAccess, path: str, *, limit: int = READ_BYTES_MAX) -> bytes:
    """Read a file; an error says what to do instead."""
    try:
        return access.read(path, limit=limit)
    except DeskhandError as error:
        detail = "; ".join(filter(None, (f"{path}: {error.detail}", _CURES.get(error.code))))
        raise DeskhandError(error.code, detail) from None


def _value(path: str, found: Lines, chosen: Sequence[str], first: int) -> JsonObject:
    about: JsonObject = {"path": path, "encoding": found.encoding, "sha256": found.sha256}
    lines: JsonObject = {"from_line": first, "lines": [*chosen], "lines_total": len(found.lines)}
    return {**about, **lines, "notes": [*found.notes]}


def _texts(said: Json) -> list[str]:
    return ["" if each is None else str(each) for each in cast("list[Json]", said)]


# --- looking through


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
