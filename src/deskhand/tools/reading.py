"""Tools that read files: every kind a person keeps becomes numbered lines, for models, for commands and for checks.

Plain text is decoded here; what needs a parser is read apart from the runner. ``value`` has the bare lines for code,
the text is cut to what a model should get, and then says how to read on. No library ever gets a path.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath
from typing import Final, cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX, TOOL_TEXT_CHARS_MAX
from deskhand.ports import FolderAccess, Offload, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.apart.asking import Apart
from deskhand.tools.builtin import about, fitting, ok, source, within
from deskhand.tools.decoding import Decoded, decode
from deskhand.tools.tables.reading import delimiter_of

READ_CHARS_MAX: Final = 1_000_000
"""How much text one call gives to an agent's code; a model sees ``TOOL_TEXT_CHARS_MAX`` of it."""
UNWALLED: Final = "this computer has no sandbox: it was asked locked, in a process of its own"
TABLE_BYTES_MAX: Final = 200 * 1024**2
LINE_CHARS_MAX: Final = 2_000
"""How much of one line a model sees."""
APART: Final = (".pdf", ".docx", ".xlsx", ".xlsm", ".eml", ".html", ".htm")
"""What needs a parser."""
_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_TAKEN_AT: Final = re.compile(rb"(?:19|20)\d\d:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d\x00")
_CURES: Final = {
    Code.TOO_LARGE: "use query_table for a table, or run_command for a part",
    Code.NOT_FOUND: "list_files shows what there is",
}
_FRAME: Final = re.compile(rb"\xff[\xc0-\xc2]\x00.\x08(.{4})", re.DOTALL)
"""Where a jpeg says its size; a small picture inside it has one of its own."""


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
                return await self.offload(lambda: _plain(data, kind))
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


def _plain(data: bytes, kind: str) -> Lines:
    digest, notes = hashlib.sha256(data).hexdigest(), ()
    picture = image_note(data)
    if picture is not None:
        return Lines(lines=[picture], sha256=digest)
    decoded = decode(data)
    lines = decoded.lines()
    if kind in (".csv", ".tsv") and lines:
        notes = (f"table, columns divided by {_DELIMITERS.get(delimiter_of(lines), 'a mark')}",)
    return Lines(lines=lines, sha256=digest, encoding=decoded.encoding, notes=notes)


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
