"""Check of a report: adds the table up again, by other code than the one that wrote it, and compares the cells.

From the wish it takes only where to look: how the file is written and in which cells the figures lie. The figures
themselves come from the two files. It shares no number reading with ``tools.tables`` on purpose.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal, localcontext
from functools import partial
from typing import Final

from openpyxl.utils.cell import coordinate_to_tuple

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol.wishes import CheckTotals, Figure, TableSource
from deskhand.texts import text
from deskhand.tools import workbooks
from deskhand.tools.builtin import source
from deskhand.tools.checks.quotes import checked, result

_Cells = list[list[workbooks.Value]]
_Rows = list[list[str]]
_Key = tuple[int, tuple[int, str] | None]
_Values = list[Decimal | None]
"""A number per row, or nothing where the cell holds none."""
_EVIDENCE_FIGURES: Final = 6
EXACT: Final = Context(prec=200)
_THREE: Final = 3
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


def check_totals(wish: CheckTotals, place: Place) -> ToolResult:
    """Add the table up again and compare; the columns of a ``data_sheet`` must add up to the same sums."""

    def work() -> ToolResult:
        rows = list(_rows(source(wish, place), wish.table))
        if wish.table.totals_row:
            rows = rows[:-1]
        pages = workbooks.cells(place.results.read(wish.workbook, limit=READ_BYTES_MAX))
        for name in (wish.sheet, wish.data_sheet):
            if name and name not in pages:
                sentence = text("check.no_sheet", language=wish.language, sheet=name)
                return result(sentence, passed=False)
        with localcontext(EXACT):
            return _compared(wish, rows, pages[wish.sheet], pages.get(wish.data_sheet))

    return checked(work, wish)


def _compared(wish: CheckTotals, rows: _Rows, page: _Cells, copy: _Cells | None) -> ToolResult:
    """Return whether every figure is what the table adds up to, on the sheet and in the copy of the data."""
    said, facts = partial(text, language=wish.language), wish.facts
    seen = _collected(facts, rows)
    wrong: list[str] = []
    right: list[str] = []
    for fact in facts:
        found = _measure(fact, seen[_key(fact)])
        whole = fact.measure == "sum" and fact.group is None
        written = [_written(page, fact)]
        if whole and copy is not None:
            written.append(_added(copy, fact.column, len(rows)))
        differing = [value for value in written if value is None or value != found]
        if differing or whole:
            key, into = ("figure_wrong", wrong) if differing else ("figure", right)
            there = _shown((*differing, found)[0], fact.places)
            shown = {"label": fact.label, "written": there, "found": _shown(found, fact.places)}
            into.append(said(f"check.{key}", **shown))
    if wrong:
        count = said("check.figures_wrong", wrong=len(wrong), total=len(facts))
        return result(f"{count} {'; '.join(wrong[:_EVIDENCE_FIGURES])}", passed=False)
    figures = ", ".join(right[:_EVIDENCE_FIGURES])
    key = "check.figures" if figures else "check.figures_only"
    sentence = said(key, figures=figures, total=len(facts), rows=len(rows))
    return result(sentence, passed=bool(facts))


def _rows(access: FolderAccess, table: TableSource) -> Iterator[list[str]]:
    """Yield the rows of the right width from a line on, read with the csv module alone."""
    data = access.read(table.path, limit=READ_BYTES_MAX)
    try:
        lines = io.StringIO(data.decode(table.encoding), newline="")
        quoting = csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE
        reader = csv.reader(lines, delimiter=table.delimiter, quoting=quoting)
        line = 1
        for row in reader:
            cells = _trimmed(row, table.width) if line >= table.first_line else None
            line = reader.line_num + 1
            if cells is not None:
                yield cells
    except (UnicodeDecodeError, LookupError, csv.Error, TypeError) as error:
        raise DeskhandError(Code.INVALID, f"{table.path} cannot be read as it was") from error


def _trimmed(row: list[str], width: int) -> list[str] | None:
    while len(row) > width and not row[-1].strip():
        row = row[:-1]
    return row if len(row) == width and any(cell.strip() for cell in row) else None


def _key(fact: Figure) -> _Key:
    return fact.column, fact.group and (fact.group.column, fact.group.name)


def _collected(facts: Sequence[Figure], rows: _Rows) -> dict[_Key, _Values]:
    """Gather the cells of every column (and group) that a fact is about, in one pass over the rows."""
    seen: dict[_Key, _Values] = {_key(fact): [] for fact in facts}
    columns = {fact.column: fact for fact in facts}
    groupings = {fact.group.column for fact in facts if fact.group is not None}
    for row in rows:
        groups = [None, *((index, row[index].strip()) for index in groupings if index < len(row))]
        for index, fact in columns.items():
            value = number_in(row[index], fact) if index < len(row) else None
            for group in groups:
                if (index, group) in seen:
                    seen[index, group].append(value)
    return seen


def number_in(cell: str, fact: Figure) -> Decimal | None:
    """Read a number by taking it apart: sign, money, percent, groups of three, decimals."""
    kept = cell.strip()
    if _is_digits(kept) and len(kept) <= _DIGITS_MAX:
        return Decimal(kept)
    signs = 0
    if kept.startswith("(") and kept.endswith(")"):
        signs, kept = 1, kept[1:-1]
    for word in (*_MONEY.get(fact.currency, ()), fact.currency, "%"):
        kept = kept.replace(word, "").strip() if word else kept
    negative = bool(signs) or kept[:1] in _MINUS or kept[-1:] == "-"
    bare = kept.strip("+-−")
    if signs + len(kept) - len(bare) > 1 or len(bare) > _DIGITS_MAX:
        return None
    value = _joined(bare.strip(), "," if fact.style == "comma" else ".")
    return -value if negative and value is not None else value


def _joined(kept: str, mark: str) -> Decimal | None:
    """Put the groups of three together; any other grouping is no number."""
    mantissa, has_power, power = kept.replace("E", "e").partition("e")
    if has_power and not _is_digits(power[power[:1] in ("+", "-") :]):
        return None
    whole, _, decimals = mantissa.partition(mark)
    digits = _ungrouped(whole)
    if digits is None or not (digits or decimals) or not _is_digits(f"{decimals}0"):
        return None
    if abs(int(power or 0)) > _POWER:
        return None
    return Decimal(f"{digits or '0'}.{decimals or '0'}e{power or '0'}")


def _is_digits(kept: str) -> bool:
    return kept.isascii() and kept.isdecimal()


def _ungrouped(whole: str) -> str | None:
    """Return only the digits: all of them, or groups of three behind one kind of gap."""
    gaps = {letter for letter in whole if not _is_digits(letter)}
    if not gaps:
        return whole
    gap = gaps.pop()
    groups = whole.split(gap)
    fits = not gaps and gap in _GAPS and all(len(group) == _THREE for group in groups[1:])
    return "".join(groups) if fits and 0 < len(groups[0]) <= _THREE else None


def _measure(fact: Figure, cells: _Values) -> Decimal | None:
    values = [value for value in cells if value is not None]
    if fact.measure in ("rows", "count"):
        return Decimal(len(cells if fact.measure == "rows" else values))
    total = sum(values, Decimal(0))
    if fact.measure == "sum" or not values:
        return total if fact.measure == "sum" else None
    if fact.measure == "average":
        return (total / len(values)).quantize(Decimal(1).scaleb(-fact.places))
    return min(values) if fact.measure == "minimum" else max(values)


def _added(page: _Cells, column: int, rows: int) -> Decimal | None:
    """Add up a column of the data sheet below its header; nothing when it has another number of rows."""
    if len(page) != rows + 1:
        return None
    values = (_figure(row[column]) for row in page[1:] if column < len(row))
    return sum((value for value in values if value is not None), Decimal(0))


def _written(page: _Cells, fact: Figure) -> Decimal | None:
    """Return the figure in its cell."""
    try:
        row, column = coordinate_to_tuple(fact.cell)
        found = _figure(page[row - 1][column - 1])
    except (IndexError, ValueError):
        return None
    return found.scaleb(2) if found is not None and fact.percent else found


def _figure(value: workbooks.Value) -> Decimal | None:
    """Return a number of a workbook; a long text stands for what a double cannot hold."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value)
    long = _LONG.fullmatch(value) if isinstance(value, str) else None
    return None if long is None else Decimal(long[1])


def _shown(value: Decimal | None, places: int) -> str:
    """Return a figure for people, with at least so many decimals and no empty ones beyond."""
    if value is None:
        return "–"
    exponent = value.normalize().as_tuple().exponent
    written = -exponent if isinstance(exponent, int) else 0
    return f"{value:,.{max(places, written)}f}"


_LONG = re.compile(r"'?(-?(?=[0-9.]{16})[0-9]+(?:\.[0-9]+)?)")
_MINUS: Final = ("-", "−")
_GAPS: Final = frozenset(",.'’ \u00a0\u2009\u202f")
_WORDS = "USD US$ $|EUR €|GBP £|JPY ¥|KRW ₩ 원|INR ₹|SEK kr|PLN zł"
_MONEY: Final = {code: signs for code, *signs in (each.split() for each in _WORDS.split("|"))}
