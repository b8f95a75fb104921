"""Checks of tables and copies: a table is computed anew by other code and compared row by row, a copy line by line.

Numbers are read as the check of totals reads them. From the wish come only names and conditions; every figure comes
from the files.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from typing import Final

from deskhand.ports import Place, ToolResult
from deskhand.protocol.wishes import CheckCopied, CheckTable, CheckTotals, Shape
from deskhand.texts import text
from deskhand.tools.builtin import result, source
from deskhand.tools.checks.totals import number_in, recomputed
from deskhand.tools.reading import Reader
from deskhand.tools.tables.numbers import is_missing
from deskhand.tools.tables.reading import Table
from deskhand.tools.tables.shaping import (
    ORDERS,
    asked_value,
    columns_of,
    conditions_in,
    folded,
    parts_of,
    shape,
    typed,
)
from deskhand.tools.tables.tabling import Tabling
from deskhand.tools.tables.totals import EXACT, Column
from deskhand.tools.writing.documents import rendered

_NOT_TEXT: Final = re.compile(r"\[(?:page \d+ of \d+|sheet .*: \d+ rows)\]|\W+|_+")
Value = Decimal | str
_Fact = tuple[str, Decimal | None]
_Row = dict[str, _Fact]
_NOTHING: Final[_Fact] = ("", None)


@dataclass(frozen=True, slots=True)
class Recounting:
    """Checks that compute or read again what was made of files, with the reader of the tools."""

    reader: Reader

    async def check_table(self, wish: CheckTable, place: Place) -> ToolResult:
        """Make it once more from the files, which must give the same bytes, and its rows by other code."""
        tables, _ = await Tabling(self.reader).load(wish.tables, place)
        return await self.reader.offload(partial(_compared, wish, tables, place))

    async def check_totals(self, wish: CheckTotals, place: Place) -> ToolResult:
        """Add up the table of a report again."""
        table, _, _ = await Tabling(self.reader).table(source(wish, place), wish.path, place)
        return await self.reader.offload(partial(recomputed, wish, table, place))

    async def check_copied(self, wish: CheckCopied, place: Place) -> ToolResult:
        """Look for the words of every line, in their order; marks of a kind of document are no words."""
        bare = partial(_bare, paged=wish.path.endswith(".pdf"))
        result_lines = (await self.reader.lines(place.results, wish.path, place)).lines
        there = "".join(map(bare, result_lines))
        found, missing, at = 0, list[str](), 0
        for path in wish.paths:
            lines = (await self.reader.lines(source(wish, place), path, place)).lines
            for number, words in enumerate(map(bare, lines), start=1):
                stands = there.find(words, at)
                found += stands >= 0
                missing += [f"{path}:{number}"] if stands < 0 else []
                at = stands + len(words) if stands >= 0 else at
        said = partial(text, language=wish.language)
        sentence = said("check.copied", found=found, total=found + len(missing))
        if missing:
            sentence += "; " + said("check.actions_missing", named=", ".join(missing[:10]))
        return result(sentence, passed=bool(found) and not missing)


def _bare(line: str, *, paged: bool) -> str:
    """Return the letters and digits of a line; of a PDF also where a page begins."""
    return "\f" if paged and line.startswith("[page ") else _NOT_TEXT.sub("", line)


def _compared(wish: CheckTable, tables: Sequence[tuple[str, Table]], place: Place) -> ToolResult:
    said = partial(text, language=wish.language)
    grid = shape(tables, wish.shape)
    digest = hashlib.sha256(rendered(wish.path, grid)).hexdigest()
    if place.results.sha256(wish.path) != digest:
        return result(said("check.other_file", path=wish.path), passed=False)
    shown = grid.columns[: len(grid.columns) - (bool(wish.shape.origin) and len(tables) > 1)]
    with localcontext(EXACT):
        expected = _expected(tables, wish.shape, shown)
        actual = [
            tuple(_value((cell.strip(), typed(cell, c)), c) for cell, c in zip(row, shown))  # noqa: B905 - without the file
            for row in grid.rows
        ]
    short = len(actual) != min(wish.shape.top or len(expected), len(expected))
    passed = not short and not Counter(actual) - Counter(expected)
    total = sum(len(table.rows) for _, table in tables)
    key = "check.table" if passed else "check.table_differs"
    return result(said(key, rows=len(actual), total=total), passed=passed)


def _expected(
    tables: Sequence[tuple[str, Table]], wish: Shape, shown: Sequence[Column]
) -> list[tuple[Value, ...]]:
    """Return all rows that may be in the result, without the cut, and without the column that says the file."""
    own: dict[str, Column] = {}
    rows = list[_Row]()
    for number, (file, table) in enumerate(tables):
        for column in columns_of(table):
            own.setdefault(folded(column.name), column)
        more = _facts(table, wish)
        rows = _beside(rows, more, folded(wish.on), file) if wish.on and number else [*rows, *more]
    for said in conditions_in(wish.where):
        name, operator, value = parts_of(said)
        asked = asked_value(value, own[folded(name)])
        rows = [row for row in rows if _holds(row[folded(name)], operator, value, asked)]
    names = [(folded(column.name), column) for column in shown]
    if not (wish.by or wish.sum):
        found = [tuple(_value(row.get(n, _NOTHING), column) for n, column in names) for row in rows]
        return [*dict.fromkeys(found)] if wish.unique else found
    by, sums = names[: len(wish.by)], [name for name, _ in names[len(wish.by) + 1 :]]
    groups = defaultdict[tuple[str, ...], list[_Row]](list)
    for row in rows:
        groups[tuple(row[name][0] for name, _ in by)].append(row)
    heads = [tuple(_value(group[0][name], c) for name, c in by) for group in groups.values()]
    added = [
        [sum((row[name][1] or Decimal(0) for row in group), Decimal(0)) for name in sums]
        for group in groups.values()
    ]
    counts = map(Decimal, map(len, groups.values()))
    return [
        (*head, count, *totals) for head, count, totals in zip(heads, counts, added, strict=True)
    ]


def _facts(table: Table, wish: Shape) -> list[_Row]:
    """Return the words and the number of every cell, numbers as the check of totals reads them."""
    columns = [(folded(column.name), _reader_of(column)) for column in columns_of(table)]
    rows = [*table.rows, *([table.totals] if wish.whole and table.totals else [])]
    return [
        {
            name: (cell.strip(), read(cell))
            for (name, read), cell in zip(columns, row.cells, strict=True)
        }
        for row in rows
    ]


def _beside(left: list[_Row], right: list[_Row], key: str, file: str) -> list[_Row]:
    """Return each pair of rows with the same key that is not empty, and what has no partner."""
    taken, keys = {name for row in left for name in row}, {row[key][0] for row in left} - {""}
    renamed = [
        {folded(f"{n} ({file})") if n in taken - {key} else n: fact for n, fact in row.items()}
        for row in right
    ]
    partners = defaultdict[str, list[_Row]](list)
    for row in renamed:
        partners[row[key][0] or "\0"].append(row)
    pairs = [row | other for row in left for other in partners.get(row[key][0], [{}])]
    return [*pairs, *(row for row in renamed if row[key][0] not in keys)]


def _holds(fact: _Fact, operator: str, value: str, asked: Decimal | None) -> bool:
    words, number = fact
    if operator in ORDERS:
        return number is not None and asked is not None and ORDERS[operator](number, asked)
    same = folded(words) == folded(value) if number is None or asked is None else number == asked
    same = same if value else is_missing(words)
    return folded(value) in folded(words) if operator == "~" else same is (operator == "=")


def _value(fact: _Fact, column: Column) -> Value:
    words, number = fact
    return words if number is None or not (column.measured or column.dated) else number


def _reader_of(column: Column) -> Callable[[str], Decimal | None]:
    """Return what reads a column's numbers; days are places among all days."""
    if column.kind not in ("number", "percent", "identifier"):
        return lambda cell: typed(cell, column)
    return lambda cell: number_in(cell, column)
