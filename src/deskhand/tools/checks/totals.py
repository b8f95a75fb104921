"""Check of a report: adds the table up again, by other code than the one that wrote it, and compares the cells.

From the wish it takes only where to look: the cells in which figures lie, and of what. The figures themselves come
from the two files. It shares no number reading with ``tools.tables`` on purpose.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import Place, ToolResult
from deskhand.protocol.wishes import CheckTotals, Figure
from deskhand.texts import text
from deskhand.tools.builtin import result
from deskhand.tools.tables.reading import Table
from deskhand.tools.tables.totals import EXACT, Column, recognise

if TYPE_CHECKING:
    from deskhand.tools.workbooks import Value

    _Cells = list[list[Value]]
_EVIDENCE_FIGURES: Final = 6
_THREE: Final = 3
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


def recomputed(wish: CheckTotals, table: Table, place: Place) -> ToolResult:
    """Add the table up again and compare; the columns of a ``data_sheet`` must add up to the same sums."""
    from deskhand.tools import workbooks

    pages = workbooks.cells(place.results.read(wish.workbook, limit=READ_BYTES_MAX))
    for name in (wish.sheet, wish.data_sheet):
        if name and name not in pages:
            return result(text("check.no_sheet", language=wish.language, sheet=name), passed=False)
    with localcontext(EXACT):
        return _compared(wish, table, pages[wish.sheet], pages.get(wish.data_sheet))


def _compared(wish: CheckTotals, table: Table, page: _Cells, copy: _Cells | None) -> ToolResult:
    """Return whether every figure is what the table adds up to, on the sheet and in the copy of the data."""
    said, facts, columns = partial(text, language=wish.language), wish.facts, recognise(table)
    places = {fact.column for fact in facts}
    groupings = {fact.group.column for fact in facts if fact.group}
    if max({0} | places | groupings) >= table.width:
        return result(said("check.other_file", path=wish.path), passed=False)
    members = defaultdict[tuple[int, str], list[int]](list)
    for number, row in enumerate(table.rows):
        for index in groupings:
            members[index, row.cells[index].strip()].append(number)
    numbers = {n: [number_in(row.cells[n], columns[n]) for row in table.rows] for n in places}
    wrong, right = list[str](), list[str]()
    for fact in facts:
        inside, group = range(len(table.rows)), fact.group
        values = [
            numbers[fact.column][n]
            for n in (members[group.column, group.name] if group else inside)
        ]
        found, whole = _measure(fact, values), fact.measure == "sum" and not group
        written = [_written(page, fact, columns[fact.column])]
        if whole and copy is not None:
            written.append(_added(copy, fact.column, len(table.rows)))
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
    sentence = said(key, figures=figures, total=len(facts), rows=len(table.rows))
    return result(sentence, passed=bool(facts))


def number_in(cell: str, column: Column) -> Decimal | None:
    """Read a number by taking it apart: sign, money, percent, groups of three, decimals."""
    kept = cell.strip()
    if _is_digits(kept) and len(kept) <= _DIGITS_MAX:
        return Decimal(kept)
    signs = 0
    if kept.startswith("(") and kept.endswith(")"):
        signs, kept = 1, kept[1:-1]
    for word in (*_MONEY.get(column.currency, ()), column.currency, "%"):
        kept = kept.replace(word, "").strip() if word else kept
    negative = bool(signs) or kept[:1] in _MINUS or kept[-1:] == "-"
    bare = kept.strip("+-−")
    if signs + len(kept) - len(bare) > 1 or len(bare) > _DIGITS_MAX:
        return None
    value = _joined(bare.strip(), "," if column.style == "comma" else ".")
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


def _measure(fact: Figure, cells: Sequence[Decimal | None]) -> Decimal | None:
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


def _written(page: _Cells, fact: Figure, column: Column) -> Decimal | None:
    """Return the figure in its cell."""
    from openpyxl.utils.cell import coordinate_to_tuple

    try:
        row, place = coordinate_to_tuple(fact.cell)
        found = _figure(page[row - 1][place - 1])
    except (IndexError, ValueError):
        return None
    counted = column.kind != "percent" or fact.measure in ("rows", "count")
    return found if found is None or counted else found.scaleb(2)


def _figure(value: Value) -> Decimal | None:
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
