"""The process that stands apart: it bounds itself, answers one question about files in JSON, and ends. For ``asking`` only.

Documents (pdf, docx, xlsx, eml, html) become lines of text that a model can read and a check can quote. Everything is
bounded; what was left out is said in a note. It refuses what is protected by a password, and it never follows a link,
loads a picture or runs anything that lies in a document.

A query is one SELECT over tables that were loaded before it: a model wrote it, so it gets nothing else to reach (FS-01,
NE-08). The data is put into memory first; then DuckDB is closed and locked: no files, no network, no extensions, no
settings, no other statement than one that reads. Memory is bounded here, time by whoever asks.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from email import message_from_bytes, policy
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.limits import INTEGER_MAX
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.builtin import about
from deskhand.tools.office import cells
from deskhand.tools.tables.reading import decode, delimiter_of

if TYPE_CHECKING:
    import duckdb
    from pypdf import PageObject

CHARS_MAX: Final = 1_000_000
_BOUNDS: Final = {"AS": 1536 * 1024**2, "CPU": 40, "FSIZE": 512 * 1024**2, "NOFILE": 64, "CORE": 0}
CPU_SECONDS_MAX: Final = 12.0
MERGED_BYTES_MAX: Final = 12_000_000
SEPARATED: Final = "sep=,\n"
"""Says of a text which mark divides its columns."""
ROWS_MAX: Final = 1_000
CELL_CHARS_MAX: Final = 2_000
ROWS_CHARS_MAX: Final = 500_000
_READS: Final = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""What a statement may be; a PIVOT comes as several that only read."""
_HINT: Final = re.compile(r"\Asep=.\r?\n")
_READ_CSV: Final = (
    "read_csv(?, delim = ?, sample_size = -1, null_padding = true, ignore_errors = true, store_rejects = true)"
)
_OPEN, _DESCRIBE, _LOCK = files(__package__ or "").joinpath("query.sql").read_text("utf-8").split("\n\n")
_WITHIN: Final = {"td": " | ", "th": " | "}
_SILENT: Final = frozenset({"script", "style", "template", "svg"})
_BLOCK: Final = re.compile(
    r"address|article|aside|blockquote|br|d[dlt]|div|footer|form|h[1-6r]|header|li|main|nav|[ou]l|p|pre|section"
    r"|table|title|tr"
)


def main() -> None:
    """Answer the question in the first argument about the files in the others."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries complain about is no answer
    for bound, value in _BOUNDS.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{bound}"), (value, value))
    question, *paths = sys.argv[1:]
    said = json.dumps(_answer(json.loads(question), paths), ensure_ascii=False)
    sys.stdout.buffer.write(said.encode("utf-8", errors="replace"))


def _answer(question: JsonObject, paths: list[str]) -> JsonObject:
    code = Code.UNSUPPORTED_TYPE
    detail = "it is damaged, or not what its name says; open it on the computer and save it anew"
    try:
        return queried(question, paths) if question["do"] == "query" else answer(question, paths)
    except DeskhandError as error:
        code, detail = error.code, error.detail
    except MemoryError:
        code, detail = Code.TOO_LARGE, "it unpacks to more than is read at once"
    except Exception as error:  # noqa: BLE001 - whatever a parser does with a broken file
        detail = f"{detail} ({type(error).__name__})"
    return {"error": code.value, "detail": detail}


def answer(question: JsonObject, paths: list[str]) -> JsonObject:
    """Return ``{lines, notes}`` of one document of the kind that is asked, or what else is done with whole files."""
    if whole := _WHOLE.get(str(question["do"])):
        return whole(paths)
    lines, notes, left = list[str](), list[str](), CHARS_MAX
    for line in _READERS[str(question["kind"])](_read(paths[0]), notes):
        for part in line.splitlines() or [""]:
            if part.strip() or (lines and lines[-1]):
                lines.append(part.rstrip())
                left -= len(part) + 1
        if left < 0 or time.process_time() > CPU_SECONDS_MAX:
            notes.append(f"only its beginning was read, {len(lines)} lines: it is too long")
            break
    if lines and not lines[-1]:
        lines.pop()
    return {"lines": [*lines], "notes": [*notes]}


def sheets(paths: list[str]) -> JsonObject:
    """Return ``{sheets: {name: csv}}`` of a workbook, those with something in them."""
    found = JsonObject()
    for name, rows in cells(_read(paths[0])).items():
        filled = [row for row in rows if any(cell is not None for cell in row)]
        text = io.StringIO(SEPARATED, newline="")
        text.seek(len(SEPARATED))
        csv.writer(text).writerows(filled)
        if filled:
            found[name] = text.getvalue()
    return {"sheets": found}


def pdfs(paths: list[str]) -> JsonObject:
    """Return the pages of all files in one, in their order, and how many there are."""
    from pypdf import PdfWriter

    writer, out = PdfWriter(), io.BytesIO()
    for path in paths:
        for page in _pages(_read(path)):
            writer.add_page(page)
    writer.write(out)
    if out.tell() > MERGED_BYTES_MAX:
        raise DeskhandError(Code.TOO_LARGE, f"more than {MERGED_BYTES_MAX:,} bytes; merge fewer")
    return {"pages": len(writer.pages), "data": b64encode(out.getvalue()).decode()}


def _pages(data: bytes) -> Sequence[PageObject]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise _locked()
    return reader.pages


def _pdf(data: bytes, notes: list[str]) -> Iterator[str]:
    pages, said = _pages(data), 0
    notes.append(f"pdf, {len(pages)} pages")
    for number, page in enumerate(pages, start=1):
        text = page.extract_text()
        said += len(text.strip())
        yield f"[page {number} of {len(pages)}]"
        yield text
    if not said:
        notes.append("there is no text in it; it may be scanned pictures")


def _docx(data: bytes, notes: list[str]) -> Iterator[str]:
    from docx import Document
    from docx.table import Table

    document = Document(io.BytesIO(data))
    notes.append("docx")
    page = document.sections[0]
    yield from (f"[header] {each.text}" for each in page.header.paragraphs if each.text)
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                yield _row(cell.text for cell in row.cells)
            continue
        style = str(block.style.name) if block.style else ""
        level = re.fullmatch(r"Heading (\d)", style)
        mark = "#" * int(level[1]) + " " if level else "- " if style.startswith("List") else ""
        yield mark + block.text
    yield from (f"[footer] {each.text}" for each in page.footer.paragraphs if each.text)


def _xlsx(data: bytes, notes: list[str]) -> Iterator[str]:
    sheets = cells(data)
    notes.append(f"xlsx, {len(sheets)} sheets")
    for name, rows in sheets.items():
        yield f"[sheet {name}: {len(rows)} rows]"
        yield from (_row("" if value is None else str(value) for value in row) for row in rows)


def _eml(data: bytes, notes: list[str]) -> Iterator[str]:
    mail = message_from_bytes(data, policy=policy.default)
    notes.append("mail")
    yield from (f"{name}: {mail[name]}" for name in ("From", "To", "Cc", "Date", "Subject") if mail[name])
    yield ""
    body = mail.get_body(preferencelist=("plain", "html"))
    if body is not None:
        raw = cast("bytes", body.get_payload(decode=True) or b"")
        said = _mail_text(raw, body.get_content_charset())
        yield from _visible(said) if body.get_content_subtype() == "html" else [said]
    for part in mail.iter_attachments():
        size = len(cast("bytes", part.get_payload(decode=True) or b""))
        yield f"[attachment {part.get_filename() or 'without a name'}: {part.get_content_type()}, {size} bytes]"


def _mail_text(raw: bytes, charset: str | None) -> str:
    with suppress(LookupError, UnicodeDecodeError):
        return raw.decode(charset or "utf-8")
    return decode(raw).text


def _html(data: bytes, notes: list[str]) -> Iterator[str]:
    notes.append("html, its visible text")
    yield from _visible(decode(data).text)


def _visible(html: str) -> Iterator[str]:
    page = _Page()
    page.feed(html)
    page.close()
    for line in "".join(page.said).split("\n"):
        yield " ".join(line.split())


class _Page(HTMLParser):
    """Collects the text of a page that a reader would see."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._silent = 0

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        level = tag[1:] if tag[:1] == "h" else ""
        mark = "#" * int(level) + " " if level.isdigit() else "- " if tag == "li" else ""
        alt = dict(attrs).get("alt") if tag == "img" else ""
        self.said += [f"\n{mark}" * bool(_BLOCK.fullmatch(tag)), _WITHIN.get(tag, ""), alt or ""]

    @override
    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        self.said.append("\n" if _BLOCK.fullmatch(tag) else "")

    @override
    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.said.append(data.replace("\n", " "))


def _row(cells: Iterable[str]) -> str:
    shown = [" ".join(cell.split())[:500] for cell in cells]
    while shown and not shown[-1]:
        shown.pop()
    return f"| {' | '.join(shown)} |" if shown else ""


def _read(path: str) -> bytes:
    """Return a file's bytes; an office file with a password is no archive but a container of the old kind."""
    data = Path(path).read_bytes()
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise _locked()
    return data


def _locked() -> DeskhandError:
    detail = "it is protected with a password; ask the person for a copy without one"
    return DeskhandError(Code.UNSUPPORTED_TYPE, detail)


def queried(question: JsonObject, paths: list[str]) -> JsonObject:
    """Return ``{columns, rows, complete, tables, notes}`` of a query over files, or of their tables without one.

    Raises:
        DeskhandError: ``invalid`` with what DuckDB said and which tables there are.
    """
    import duckdb

    database, notes = duckdb.connect(":memory:"), list[str]()
    database.execute(_OPEN)
    for name, path in zip(cast("list[str]", question["names"]), paths, strict=True):
        notes += _load(database, PurePosixPath(name), path)
    tables = [str(row[0]) for row in database.execute(_DESCRIBE).fetchall()]
    database.execute(_LOCK)
    asked: JsonObject = {"columns": [], "rows": [], "complete": True}
    try:
        if question["sql"]:
            asked = _asked(database, str(question["sql"]))
    except (duckdb.Error, ValueError) as error:
        said = " ".join(str(error).split())[:500]
        raise DeskhandError(Code.INVALID, f"{said}; tables: {'; '.join(tables)}") from None
    return {**asked, "tables": [*tables], "notes": [*notes]}


def _asked(database: duckdb.DuckDBPyConnection, sql: str) -> JsonObject:
    statements = database.extract_statements(sql)
    if len(statements) != 1 or statements[0].type.name not in _READS:
        raise ValueError("say one SELECT statement")
    database.execute(sql)
    columns = [str(column[0]) for column in database.description or ()]
    rows, left, row = list[Json](), ROWS_CHARS_MAX, database.fetchone()
    while row is not None and len(rows) < ROWS_MAX and left > 0:
        rows.append([_value(value) for value in row])
        left -= len(str(rows[-1]))
        row = database.fetchone()
    return {"columns": [*columns], "rows": rows, "complete": row is None}


def _value(value: object) -> Json:
    """Return a value as JSON has it; a number that is not whole as exact text."""
    if value is None or (isinstance(value, int) and abs(value) <= INTEGER_MAX):
        return value
    return str(value)[:CELL_CHARS_MAX]


def _load(database: duckdb.DuckDBPyConnection, name: PurePosixPath, path: str) -> list[str]:
    """Put a file into the database by its suffix, each of its tables under its name; return what is to be said of it."""
    stem, kind = name.stem, name.suffix.lower()
    if kind in (".json", ".jsonl", ".ndjson"):
        _create(database, stem, "read_json(?)", path)
        return []
    if kind in (".xlsx", ".xlsm"):
        found = cast("dict[str, str]", sheets([path])["sheets"])
        texts = {stem if len(found) == 1 else f"{stem}_{title}": text for title, text in found.items()}
    else:
        with about(stem):
            texts = {stem: decode(Path(path).read_bytes()).text}
    return [note for each, text in texts.items() for note in _csv(database, each, text)]


def _csv(database: duckdb.DuckDBPyConnection, stem: str, text: str) -> list[str]:
    delimiter = delimiter_of([*io.StringIO(text[:200_000], newline="")])
    with tempfile.TemporaryFile() as file:
        file.write(_HINT.sub("", text).encode(errors="replace"))
        file.flush()
        name = _create(database, stem, _READ_CSV, f"/dev/fd/{file.fileno()}", delimiter)
    database.execute("SELECT count(DISTINCT line) FROM reject_errors")
    (lost,) = database.fetchone() or (0,)
    database.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    return [f"{lost} lines of {name} do not fit its columns and are not in it"] * bool(lost)


def _create(database: duckdb.DuckDBPyConnection, stem: str, source: str, *arguments: str) -> str:
    base = re.sub(r"\W+", "_", stem).strip("_") or "t"
    name = base = f"t_{base}" if base[0].isdigit() else base
    database.execute("SELECT lower(table_name) FROM duckdb_tables()")
    taken = [row[0] for row in database.fetchall()]
    while name.lower() in taken:
        name = f"{base}_{len(taken) + 1}"
        taken.append("")
    database.execute(f'CREATE TABLE "{name}" AS FROM {source}', arguments)
    return name


_WHOLE: Final = {"sheets": sheets, "pdfs": pdfs}
_READERS: Final[dict[str, Callable[[bytes, list[str]], Iterator[str]]]] = {
    ".pdf": _pdf,
    ".docx": _docx,
    **dict.fromkeys((".xlsx", ".xlsm"), _xlsx),
    ".eml": _eml,
    **dict.fromkeys((".html", ".htm"), _html),
}
