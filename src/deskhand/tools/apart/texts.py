"""Documents as lines of text that a model can read and a check can quote: pdf, docx, xlsx, eml, html.

Runs apart only. Everything is bounded; what was left out is said in a note. It refuses what is protected by a
password, and it never follows a link, loads a picture or runs anything that lies in a document.
"""

from __future__ import annotations

import csv
import io
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from email import message_from_bytes, policy
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import JsonObject
from deskhand.tools.decoding import decode
from deskhand.tools.workbooks import cells

if TYPE_CHECKING:
    from pypdf import PageObject

CHARS_MAX: Final = 1_000_000
CPU_SECONDS_MAX: Final = 12.0
MERGED_BYTES_MAX: Final = 12_000_000
SEPARATED: Final = "sep=,\n"
"""Says of a text which mark divides its columns."""
_WITHIN: Final = {"td": " | ", "th": " | "}
_SILENT: Final = frozenset({"script", "style", "template", "svg"})
_BLOCK: Final = re.compile(
    r"address|article|aside|blockquote|br|d[dlt]|div|footer|form|h[1-6r]|header|li|main|nav|[ou]l|p|pre|section"
    r"|table|title|tr"
)


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


_WHOLE: Final = {"sheets": sheets, "pdfs": pdfs}
_READERS: Final[dict[str, Callable[[bytes, list[str]], Iterator[str]]]] = {
    ".pdf": _pdf,
    ".docx": _docx,
    **dict.fromkeys((".xlsx", ".xlsm"), _xlsx),
    ".eml": _eml,
    **dict.fromkeys((".html", ".htm"), _html),
}
