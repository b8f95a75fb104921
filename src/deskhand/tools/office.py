"""Files that office programs open: a workbook of sheets and tables, its cells back from bytes, and Word from markdown.

No paths, no formulas, no clock.

Text that a spreadsheet program would run (a leading ``=``, ``+``, ``-``, ``@``) is neutralised (UP-09). The same
sheets give the same bytes. What is read back is bounded before anything is unpacked.

A Word file gets headings, lists, tables, code, bold and italic; what is not known stays as it is written. It loads
nothing: a picture or link becomes its words and its address. The same text gives the same bytes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Final

from deskhand.errors import Code, DeskhandError
from deskhand.tools.tables.reading import Column, is_missing, places, value_of

if TYPE_CHECKING:
    from docx.document import Document as Word
    from docx.text.paragraph import Paragraph
    from markdown_it.token import Token
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

CELL_CHARS_MAX: Final = 32_000
UNPACKED_BYTES_MAX: Final = 512 * 1024**2
CELLS_READ_MAX: Final = 500_000
_EXACT_DIGITS: Final = 15

Value = None | bool | int | float | str | Decimal | date


class Bold(str):
    """A text in bold."""

    __slots__ = ()


class Percent(Decimal):
    """A number that is shown as a share of a hundred."""

    __slots__ = ()


def build(sheets: Iterable[tuple[str, Iterable[Sequence[Value]]]]) -> bytes:
    """Return an xlsx file of sheets, columns as wide as what begins them; the same sheets give the same bytes.

    A number that a cell cannot hold exactly becomes text.
    """
    from openpyxl import Workbook
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    for title, values in sheets:
        # Three letters less than may be: a name that stands twice gets a number.
        name, rows = _NOT_IN_NAMES.sub(" ", title).strip("' ")[:28], iter(values)
        page, first = book.create_sheet(name or None), [*islice(rows, 200)]
        page.freeze_panes = "A2"
        for place, column in enumerate(zip_longest(*first), start=1):
            width = 2 + max(6, *(len(str(value or "")) for value in column))
            page.column_dimensions[get_column_letter(place)].width = min(60, width)
        for row in chain(first, rows):
            page.append([_made(page, value) for value in row])
    raw = io.BytesIO()
    book.save(raw)
    return settled(raw.getvalue())


def table_rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[Sequence[Value]]:
    """Return a header and the cells of a table: what was understood as numbers or dates, the rest as it is written."""
    yield [Bold(column.name) for column in columns]
    for row in rows:
        yield [*map(_table_cell, row, columns)]


def _table_cell(cell: str, column: Column) -> Value:
    """What was understood becomes a number or date; everything else stays as it was written."""
    found = value_of(cell, column)
    if found is None or (":" in cell and column.dated):
        return (cell.strip() or None) if is_missing(cell) else cell
    return Percent(found) if column.kind == "percent" and isinstance(found, Decimal) else found


def cells(data: bytes) -> dict[str, list[list[Value]]]:
    """Return sheet -> rows -> values, numbers exact as they lie in the file, of formulas the last value.

    Raises:
        DeskhandError: ``unsupported_type`` for what is no workbook, ``too_large``.
    """
    from openpyxl import load_workbook

    found: dict[str, list[list[Value]]] = {}
    left = CELLS_READ_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(info.file_size for info in packed.infolist())
        if size > UNPACKED_BYTES_MAX:
            raise DeskhandError(Code.TOO_LARGE, "it unpacks to more than is allowed")
        for page in load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets:
            rows = found[page.title] = list[list[Value]]()
            for row in page.iter_rows(values_only=True):
                left -= len(row)
                if left < 0:
                    raise DeskhandError(Code.TOO_LARGE, "more cells than are read at once")
                rows.append([_value(value) for value in row])
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, OSError) as error:
        raise DeskhandError(Code.UNSUPPORTED_TYPE, "it is no workbook") from error
    return found


def neutral(text: str) -> str:
    """Return text that no spreadsheet program runs (UP-09), without characters a workbook cannot hold."""
    clean = _UNHOLDABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    if len(clean) > CELL_CHARS_MAX:
        clean = f"{clean[:CELL_CHARS_MAX]} […]"
    return f"'{clean}" if clean.startswith(_STARTERS) else clean


def _made(page: WriteOnlyWorksheet, said: Value) -> object:
    """Return the library's cell, or a plain value where that is all."""
    value, form = exact(said), None
    if isinstance(value, str):
        value = neutral(value) or None
    elif isinstance(value, date):
        value, form = datetime.combine(value, time()), "yyyy-mm-dd"
    elif value is not None:
        decimals = "0" * min(6, places(said)) if isinstance(said, Decimal) else ""
        form = f"{'0' if isinstance(said, Percent) else '#,##0'}{'.' * bool(decimals)}{decimals}"
        form += "%" * isinstance(said, Percent)
    if form is None and not isinstance(said, Bold):
        return value
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    made = WriteOnlyCell(page, value=value)
    made.number_format = form or "General"
    made.font = Font(bold=isinstance(said, Bold))
    return made


def exact(value: Value) -> str | int | float | date | None:
    """Return what a double holds exactly as a number; anything else stays what it is."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if not isinstance(value, Decimal):
        return value
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    if len(digits) > _EXACT_DIGITS:
        return f"{value:f}"
    number = value.scaleb(-2) if isinstance(value, Percent) else value
    return int(number) if number == number.to_integral_value() else float(number)


def _value(value: object) -> Value:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, datetime):
        return value.date() if value.time() == time() else value.isoformat(" ")
    return value if isinstance(value, date) else str(value)


def settled(raw: bytes) -> bytes:
    """Pack again with fixed times, so that equal content is equal bytes."""
    settled = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as before, zipfile.ZipFile(settled, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            info = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
            info.external_attr = 0o600 << 16
            data = _MODIFIED.sub(rb"\g<1>2000-01-01T00:00:00Z<", before.read(name))
            after.writestr(info, data, zipfile.ZIP_DEFLATED)
    return settled.getvalue()


# --- Word


def word(markdown: str) -> bytes:
    """Return a docx file."""
    from docx import Document
    from markdown_it import MarkdownIt

    document, around = Document(), list[str]()
    rows: list[list[Token]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(_UNHOLDABLE.sub("", markdown)):
        if token.nesting > 0:
            around.append(token.tag)
            rows += [[]] if token.tag == "tr" else []
        elif token.nesting < 0:
            around.pop()
            if token.tag == "table":
                _table(document, rows)
                rows = []
        elif token.type != "inline":
            if token.content:
                document.add_paragraph(token.content.rstrip("\n"), style="No Spacing")
        elif around[-1] in ("th", "td"):
            rows[-1].append(token)
        else:
            _fill(_paragraph(document, around), token)
    raw = io.BytesIO()
    document.save(raw)
    return settled(raw.getvalue())


def _paragraph(document: Word, around: Sequence[str]) -> Paragraph:
    """Begin what stands in a heading, else in the innermost list or quote."""
    level = around[-1].removeprefix("h")
    if level.isdigit():
        return document.add_heading(level=int(level))
    return document.add_paragraph(style=next((_STYLES[tag] for tag in reversed(around) if tag in _STYLES), None))


def _table(document: Word, rows: Sequence[Sequence[Token]]) -> None:
    table = document.add_table(0, len(rows[0]), style="Table Grid")
    for number, row in enumerate(rows):
        for place, cell in zip(table.add_row().cells, row, strict=True):
            _fill(place.paragraphs[0], cell, bold=number == 0)


def _fill(paragraph: Paragraph, text: Token, *, bold: bool = False) -> None:
    """Put a text into a paragraph, with what is bold, italic and code in it; a link's address follows its words."""
    inside = ["strong_open"] * bold
    links: list[str] = []
    for child in text.children or ():
        said = child.content or _BREAKS.get(child.type, "")
        if child.nesting > 0:
            inside.append(child.type)
            links += [str(child.attrs["href"])] if child.type == "link_open" else []
        elif child.nesting < 0:
            inside.pop()
            said = f" ({links.pop()})" if child.type == "link_close" else ""
        elif child.type == "image":
            said = f"{said} ({child.attrs['src']})"
        run = paragraph.add_run(said)
        run.bold, run.italic = "strong_open" in inside or None, "em_open" in inside or None
        if child.type == "code_inline":
            run.font.name = "Consolas"


_STYLES: Final = {"ul": "List Bullet", "ol": "List Number", "blockquote": "Intense Quote"}
_BREAKS: Final = {"softbreak": " ", "hardbreak": "\n"}
_STARTERS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_UNHOLDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_MODIFIED = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*<")
