"""Checks of tables, reports and copies: everything is computed anew by other code and compared, a copy line by line.

From the wish come only names, conditions and the cells in which figures lie; the figures come from the files. It
shares no reading of numbers, no choosing of rows and no adding up with ``tools.tables`` on purpose.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from typing import Final

from deskhand.ports import Place, ToolResult
from deskhand.protocol.wishes import CheckCopied, CheckReport, CheckTable, Shape
from deskhand.texts import text
from deskhand.tools.builtin import result, source
from deskhand.tools.checks.quotes import counted
from deskhand.tools.reading import Reader
from deskhand.tools.tables import shaping
from deskhand.tools.tables.columns import EXACT, Column
from deskhand.tools.tables.numbers import is_missing
from deskhand.tools.tables.reading import Table, folded
from deskhand.tools.tables.shaping import ORDERS, Grid, conditions_in, parts_of, typed
from deskhand.tools.tabling import Tabling
from deskhand.tools.writing.documents import rendered

_NOT_TEXT: Final = re.compile(r"\[(?:page \d+ of \d+|sheet .*: \d+ rows)\]|\W+|_+")
_EVIDENCE_FIGURES: Final = 6
_THREE: Final = 3
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


@dataclass(frozen=True, slots=True)
class Recounting:
    """Checks that compute or read again what was made of files, with the reader of the tools."""

    reader: Reader

    async def check_table(self, wish: CheckTable, place: Place) -> ToolResult:
        """Make it once more from the files, which must give the same bytes, and its rows by other code."""
        tables, _ = await Tabling(self.reader).load(wish.tables, place)
        return await self.reader.offload(partial(_compared, wish, tables, place))

    async def check_report(self, wish: CheckReport, place: Place) -> ToolResult:
        """Make it once more, which must give the same bytes, and every figure in it by other code."""
        tables, _ = await Tabling(self.reader).load(wish.tables, place)
        return await self.reader.offload(partial(_recomputed, wish, *tables[0], place))

    async def check_copied(self, wish: CheckCopied, place: Place) -> ToolResult:
        """Look for the words of every line, in their order; marks of a kind of document are no words."""
        bare = partial(_bare, paged=wish.path.endswith(".pdf"))
        result_lines = (await self.reader.lines(place.results, wish.path, place)).lines
        there = "".join(map(bare, result_lines))
        total, missing, at = 0, list[str](), 0
        for path in wish.paths:
            lines = (await self.reader.lines(source(wish, place), path, place)).lines
            for number, words in enumerate(map(bare, lines), start=1):
                stands = there.find(words, at)
                missing += [f"{path}:{number}"] if stands < 0 else []
                at = stands + len(words) if stands >= 0 else at
            total += len(lines)
        return counted(wish, "copied", total, missing, least=1)


def _bare(line: str, *, paged: bool) -> str:
    """Return the letters and digits of a line; of a PDF also where a page begins."""
    return "\f" if paged and line.startswith("[page ") else _NOT_TEXT.sub("", line)


def _compared(wish: CheckTable, tables: Sequence[tuple[str, Table]], place: Place) -> ToolResult:
    said = partial(text, language=wish.language)
    grid = shaping.shape(tables, wish.shape)
    if not _is_there(rendered(wish.path, grid), wish, place):
        return result(said("check.other_file", path=wish.path), passed=False)
    passed = _follows(grid, tables, wish.shape)
    total = sum(len(table.rows) for _, table in tables)
    key = "check.table" if passed else "check.table_differs"
    return result(said(key, rows=len(grid.rows), total=total), passed=passed)


def _is_there(data: bytes, wish: CheckTable, place: Place) -> bool:
    return place.results.sha256(wish.path) == hashlib.sha256(data).hexdigest()


def _follows(grid: Grid, tables: Sequence[tuple[str, Table]], wish: Shape) -> bool:
    """Return whether rows are what was asked of the tables, chosen and added up here; their order is taken as it is."""
    with localcontext(EXACT):
        own = shaping.together(tables, wish)
        for said in conditions_in(wish.where):
            own.rows = [row for row in own.rows if _holds(own, row, said)]
        if wish.by or wish.sum:
            own = _added_up(own, wish)
        return shaping.arranged(own, wish).rows == grid.rows


def _added_up(own: Grid, wish: Shape) -> Grid:
    by, sums, columns = shaping.added_columns(own, wish)
    groups = defaultdict[shaping.Row, list[shaping.Row]](list)
    for row in own.rows:
        groups[tuple(row[n].strip() for n in by)].append(row)

    def total(inside: Sequence[shaping.Row], n: int) -> str:
        numbers = (_number_in(row[n], own.columns[n]) for row in inside)
        return f"{sum((each for each in numbers if each is not None), Decimal(0)):f}"

    rows = [(*g, str(len(some)), *(total(some, n) for n in sums)) for g, some in groups.items()]
    return Grid(columns=columns, rows=rows)


def _holds(own: Grid, row: shaping.Row, said: str) -> bool:
    """Return whether a condition fits; numbers are read as the check of totals does, days are places among all days."""
    name, operator, value = parts_of(said)
    n = own.place(name)
    cell, column = row[n], own.columns[n]
    is_number = column.kind in ("number", "percent", "identifier")
    number = _number_in(cell, column) if is_number else typed(cell, column)
    asked = shaping.asked_value(value, column)
    if operator in ORDERS:
        return number is not None and asked is not None and ORDERS[operator](number, asked)
    words = folded(cell)
    same = words == folded(value) if number is None or asked is None else number == asked
    same = same if value else is_missing(cell)
    return folded(value) in words if operator == "~" else same is (operator == "=")


# --- a report


def _recomputed(wish: CheckReport, path: str, table: Table, place: Place) -> ToolResult:
    """Compute every figure anew, and look for it in the workbook."""
    from deskhand.tools import workbooks
    from deskhand.tools.writing.reporting import report

    said = partial(text, language=wish.language)
    made = report(path, table, wish.shape, language=wish.language)
    if not _is_there(made.data, wish, place):
        return result(said("check.other_file", path=wish.path), passed=False)
    (page, *_) = workbooks.cells(made.data).values()
    there = {_figure(cell) for row in page for cell in row}
    wrong, sums, total = list[str](), list[str](), 1
    for column, figures in made.figures:
        own, total = _figures(column, table, figures["average"]), total + len(figures)
        for measure, written in figures.items():
            is_share = column.kind == "percent" and measure != "count"
            shown = written.scaleb(-2) if is_share else written
            is_right = written == own[measure] and shown in there
            key, into = ("figure", sums) if is_right else ("figure_wrong", wrong)
            if measure == "sum" or not is_right:
                both = {"written": f"{written:,f}", "found": f"{own[measure]:,f}"}
                into.append(said(f"check.{key}", label=column.name, **both))
    if made.groups:
        total += len(made.groups.rows) * (len(made.groups.columns) - 1)
        if not _follows(made.groups, [(path, table)], made.shape):
            rows = len(made.groups.rows)
            wrong.append(said("check.table_differs", rows=rows, total=len(table.rows)))
    if wrong:
        count = said("check.figures_wrong", wrong=len(wrong), total=total)
        return result(f"{count} {'; '.join(wrong[:_EVIDENCE_FIGURES])}", passed=False)
    figures = ", ".join(sums[:_EVIDENCE_FIGURES])
    key = "check.figures" if figures else "check.figures_only"
    return result(said(key, figures=figures, total=total, rows=len(table.rows)), passed=True)


def _figures(column: Column, table: Table, mean: Decimal) -> dict[str, Decimal]:
    """Return what a column comes to, the mean with as many decimals as another."""
    with localcontext(EXACT):
        cells = (_number_in(row.cells[column.index], column) for row in table.rows)
        numbers = [number for number in cells if number is not None]
        total, nothing = sum(numbers, Decimal(0)), Decimal(0)
        return {
            "count": Decimal(len(numbers)),
            "sum": total,
            "average": (total / max(1, len(numbers))).quantize(mean),
            "minimum": min(numbers, default=nothing),
            "maximum": max(numbers, default=nothing),
        }


def _figure(value: object) -> Decimal | None:
    """Return a number of a workbook; a long text stands for what a double cannot hold."""
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    long = _LONG.fullmatch(value) if isinstance(value, str) else None
    return None if long is None else Decimal(long[1])


def _number_in(cell: str, column: Column) -> Decimal | None:
    """Read a number by taking it apart: money, sign, power, decimals, groups of three."""
    kept = cell.strip()
    for word in filter(None, (*_MONEY.get(column.currency, ()), column.currency, "%")):
        kept = kept.replace(word, "").strip()
    bare = kept.strip("()+-− ")
    if not bare:
        return None
    before, _, after = kept.partition(bare)
    sign = _SIGNS.get(f"{before.strip()}0{after.strip()}")
    mantissa, has_power, power = bare.lower().partition("e")
    whole, _, decimals = mantissa.partition("," if column.style == "comma" else ".")
    digits, places = _ungrouped(whole), power[power[:1] in ("+", "-") :] if has_power else "0"
    if sign is None or digits is None or len(bare) > _DIGITS_MAX or not digits + decimals:
        return None
    if not (_is_digits(f"0{decimals}") and _is_digits(places) and int(places) <= _POWER):
        return None
    return sign * Decimal(f"{digits}.{decimals}e{power or '0'}")


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


_LONG = re.compile(r"'?(-?(?=[0-9.]{16})[0-9]+(?:\.[0-9]+)?)")
_SIGNS: Final = {"0": 1, "+0": 1, "-0": -1, "−0": -1, "0-": -1, "(0)": -1}
_GAPS: Final = frozenset(",.'’ \u00a0\u2009\u202f")
_WORDS = "USD US$ $|EUR €|GBP £|JPY ¥|KRW ₩ 원|INR ₹|SEK kr|PLN zł"
_MONEY: Final = {code: signs for code, *signs in (each.split() for each in _WORDS.split("|"))}
