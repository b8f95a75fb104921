"""Bytes of a workbook from plain sheets, and cells back from bytes. No paths, no formulas, no clock.

Text that a spreadsheet program would run (a leading ``=``, ``+``, ``-``, ``@``) is neutralised (UP-09). The same
sheets give the same bytes. What is read back is bounded before anything is unpacked.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from deskhand.errors import Code, DeskhandError

CELL_CHARS_MAX: Final = 32_000
SHEET_NAME_CHARS_MAX: Final = 31
UNPACKED_BYTES_MAX: Final = 512 * 1024**2
CELLS_READ_MAX: Final = 500_000
_EXACT_DIGITS: Final = 15
_STAMP: Final = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_ZIP_STAMP: Final = (2000, 1, 1, 0, 0, 0)

As = Literal["text", "number", "percent", "date"]
Look = Literal["plain", "title", "header", "total", "note"]
Value = None | bool | int | str | Decimal | date


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell. Numbers and dates come as text and are exact; what a cell cannot hold exactly stays text."""

    value: str | int | None
    kind: As = "text"
    places: int = 0
    look: Look = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A sheet; ``widths`` in characters, ``freeze`` the first cell that scrolls."""

    name: str
    rows: Iterable[Sequence[Cell]]
    widths: tuple[int, ...] = ()
    freeze: str | None = None
    filtered: str | None = None


def build(sheets: Sequence[Sheet]) -> bytes:
    """Return an xlsx file; the same sheets give the same bytes."""
    book = Workbook(write_only=True)
    looks = _Looks()
    for name, sheet in zip(_sheet_names(sheets), sheets, strict=True):
        page = book.create_sheet(name)
        page.freeze_panes = sheet.freeze
        for number, width in enumerate(sheet.widths, start=1):
            page.column_dimensions[get_column_letter(number)].width = width
        if sheet.filtered is not None:
            page.auto_filter.ref = sheet.filtered
        for row in sheet.rows:
            page.append([looks.cell(page, cell) for cell in row])
    raw = io.BytesIO()
    book.save(raw)
    return _settled(raw.getvalue())


def cells(data: bytes, *, most: int = CELLS_READ_MAX) -> dict[str, list[list[Value]]]:
    """Return sheet -> rows -> values, numbers exact as they lie in the file.

    Raises:
        DeskhandError: ``unsupported_type`` for what is no workbook, ``too_large``.
    """
    _refuse_bomb(data)
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=False)
        found: dict[str, list[list[Value]]] = {}
        for page in book.worksheets:
            found[page.title] = []
            for row in page.iter_rows(values_only=True):
                values = [_value(value) for value in row]
                most -= len(values)
                if most < 0:
                    raise DeskhandError(Code.TOO_LARGE, "more cells than are read at once")
                found[page.title].append(values)
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, OSError) as error:
        raise DeskhandError(Code.UNSUPPORTED_TYPE, "it is no workbook") from error
    return found


def neutral(text: str) -> str:
    """Return text that no spreadsheet program runs (UP-09), without characters a workbook cannot hold."""
    clean = _UNHOLDABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    if len(clean) > CELL_CHARS_MAX:
        clean = f"{clean[:CELL_CHARS_MAX]} […]"
    return f"'{clean}" if clean.startswith(_STARTERS) else clean


class _Looks:
    """Styles, made once per workbook and shared by its cells."""

    def __init__(self) -> None:
        line = Side(style="thin", color="8EA4B8")
        self._fonts = {
            "title": Font(bold=True, size=14, color="1F3A52"),
            "header": Font(bold=True, color="FFFFFF"),
            "total": Font(bold=True),
            "note": Font(italic=True, color="5A6B7B"),
        }
        self._fill = PatternFill("solid", fgColor="1F4E79")
        self._top = Border(top=line)
        self._centre = Alignment(vertical="center", wrap_text=True)

    def cell(self, page: WriteOnlyWorksheet, cell: Cell) -> object:
        """Return the library's cell."""
        value, form = _stored(cell)
        if cell.look == "plain" and form is None:
            return value
        made = WriteOnlyCell(page, value=value)
        if form is not None:
            made.number_format = form
        font = self._fonts.get(cell.look)
        if font is not None:
            made.font = font
        if cell.look == "header":
            made.fill = self._fill
            made.alignment = self._centre
        elif cell.look == "total":
            made.border = self._top
        return made


def _stored(cell: Cell) -> tuple[str | int | float | datetime | None, str | None]:
    """Return what goes into the file and its number format."""
    value = cell.value
    if value is None or isinstance(value, int):
        return value, "#,##0" if isinstance(value, int) else None
    if cell.kind in ("number", "percent"):
        number = _as_number(value, percent=cell.kind == "percent")
        if number is not None:
            return number, _form(cell)
    elif cell.kind == "date":
        try:
            return datetime.combine(date.fromisoformat(value), time()), "yyyy-mm-dd"
        except ValueError:
            pass  # kept as it was written
    return neutral(value), None


def _as_number(text: str, *, percent: bool) -> int | float | None:
    """A workbook holds doubles: what one cannot hold exactly must not become a number."""
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return None
    if percent:
        exact = exact.scaleb(-2)
    if not exact.is_finite() or len(exact.normalize().as_tuple().digits) > _EXACT_DIGITS:
        return None
    if exact == exact.to_integral_value():
        return int(exact)
    return float(exact)


def _form(cell: Cell) -> str:
    decimals = f".{'0' * cell.places}" if cell.places else ""
    return f"0{decimals}%" if cell.kind == "percent" else f"#,##0{decimals}"


def _value(value: object) -> Value:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, datetime):
        return value.date() if value.time() == time() else value.isoformat(" ")
    return value if isinstance(value, date) else str(value)


def _sheet_names(sheets: Sequence[Sheet]) -> Iterator[str]:
    taken: set[str] = set()
    for number, sheet in enumerate(sheets, start=1):
        name = _NOT_IN_NAMES.sub(" ", sheet.name).strip("' ")[:SHEET_NAME_CHARS_MAX]
        if not name or name.casefold() in taken:
            name = f"Sheet {number}"
        taken.add(name.casefold())
        yield name


def _settled(raw: bytes) -> bytes:
    """Pack again with fixed times, so that equal content is equal bytes."""
    settled = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as before,
        zipfile.ZipFile(settled, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for name in before.namelist():
            data = before.read(name)
            if name == "docProps/core.xml":
                data = _MODIFIED.sub(rf"\g<1>{_STAMP.isoformat()}Z<".encode(), data)
            info = zipfile.ZipInfo(name, _ZIP_STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            after.writestr(info, data)
    return settled.getvalue()


def _refuse_bomb(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(info.file_size for info in packed.infolist())
    except (zipfile.BadZipFile, ValueError) as error:
        raise DeskhandError(Code.UNSUPPORTED_TYPE, "it is no workbook") from error
    if size > UNPACKED_BYTES_MAX:
        raise DeskhandError(Code.TOO_LARGE, "it unpacks to more than is allowed")


_STARTERS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_UNHOLDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_MODIFIED = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*<")
