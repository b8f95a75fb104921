"""Checks of tables and copies: a table is computed anew by a database and compared row by row, a copy line by line.

The database gets the cells as they are written, and numbers that other code has read (``checks.totals``). From the
wish come only names and conditions; every figure comes from the files.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from functools import partial
from typing import Final

from deskhand.errors import DeskhandError
from deskhand.ports import Offload, Place, ToolResult
from deskhand.protocol.wishes import CheckCopied, CheckTable, Figure, Shape
from deskhand.texts import text
from deskhand.tools.builtin import source
from deskhand.tools.checks.quotes import result
from deskhand.tools.checks.totals import EXACT, number_in
from deskhand.tools.reading import Reader
from deskhand.tools.tables.numbers import MISSING
from deskhand.tools.tables.reading import Table
from deskhand.tools.tables.shaping import (
    Grid,
    asked_value,
    columns_of,
    conditions_in,
    folded,
    parts_of,
    shape,
    typed,
)
from deskhand.tools.tables.totals import Column
from deskhand.tools.writing.tables import Tabling, rendered

_NOT_TEXT: Final = re.compile(r"\[(?:page \d+ of \d+|sheet .*: \d+ rows)\]|\W+|_+")
Value = Decimal | str
_Rows = list[tuple[Value, ...]]


class Recounting:
    """Checks that compute or read again what was made of files.

    Args:
        tabling: reads tables.
        reader: reads every kind of file.
        offload: runs blocking work.
    """

    def __init__(self, tabling: Tabling, reader: Reader, *, offload: Offload) -> None:
        self._tabling = tabling
        self._reader = reader
        self._offload = offload

    async def check_table(self, wish: CheckTable, place: Place) -> ToolResult:
        """Make it once more from the files, which must give the same bytes, and its rows by the database."""
        try:
            tables, _ = await self._tabling.load(wish.tables, place)
            return await self._offload(partial(_compared, wish, tables, place))
        except DeskhandError as error:
            return result(error.sentence(wish.language), passed=False)

    async def check_copied(self, wish: CheckCopied, place: Place) -> ToolResult:
        """Look for the words of every line, in their order; marks of a kind of document are no words."""
        bare = partial(_bare, paged=wish.path.endswith(".pdf"))
        try:
            there = "".join(
                map(bare, (await self._reader.lines(place.results, wish.path, place)).lines)
            )
            found, missing, at = 0, list[str](), 0
            for path in wish.paths:
                lines = (await self._reader.lines(source(wish, place), path, place)).lines
                for number, words in enumerate(map(bare, lines), start=1):
                    stands = there.find(words, at)
                    found += stands >= 0
                    missing += [f"{path}:{number}"] if stands < 0 else []
                    at = stands + len(words) if stands >= 0 else at
        except DeskhandError as error:
            return result(error.sentence(wish.language), passed=False)
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
    with localcontext(EXACT):
        expected = _expected(tables, wish.shape, grid)
        actual = [*_values(grid, origin=bool(wish.shape.origin) and len(tables) > 1)]
    top = wish.shape.top
    strange = Counter(actual) - Counter(expected)
    short = len(actual) != min(top or len(expected), len(expected))
    rows, total = len(actual), sum(len(table.rows) for _, table in tables)
    passed = not strange and not short
    key = "check.table" if passed else "check.table_differs"
    return result(said(key, rows=rows, total=total), passed=passed)


def _values(grid: Grid, *, origin: bool) -> Iterator[tuple[Value, ...]]:
    columns = grid.columns[: len(grid.columns) - origin]
    for row in grid.rows:
        yield tuple(_value(cell, column) for cell, column in zip(row, columns, strict=False))


def _value(cell: str, column: Column) -> Value:
    found = typed(cell, column) if column.measured or column.dated else None
    return cell.strip() if found is None else found


def _reader_of(column: Column) -> Callable[[str], Decimal | None]:
    """Return what reads a column's numbers as the check of totals does; days are places among all days."""
    if column.kind not in ("number", "percent", "identifier"):
        return lambda cell: typed(cell, column)
    figure = Figure(cell="A1", style=column.style.value, currency=column.currency)
    return lambda cell: number_in(cell, figure)


def _expected(tables: Sequence[tuple[str, Table]], wish: Shape, grid: Grid) -> _Rows:
    """Return all rows that may be in the result, without the cut."""
    import duckdb  # noqa: PLC0415 - few tasks need it

    database = duckdb.connect(":memory:", config={"threads": 1})
    every = [columns_of(table) for _, table in tables]
    for number, ((_, table), columns) in enumerate(zip(tables, every, strict=True)):
        rows = [*table.rows, *([table.totals] if wish.whole and table.totals else [])]
        lists = list[list[str | None]]()
        for n, column in enumerate(columns):
            cells = [row.cells[n] for row in rows]
            numbers = [
                None if found is None else f"{found:f}" for found in map(_reader_of(column), cells)
            ]
            lists += [[each.strip() for each in cells], [*map(folded, cells)], [*numbers]]
        made = ", ".join(_LOADED.format(n=n) for n in range(len(columns)))
        database.execute(f"CREATE TABLE s{number} AS SELECT {made}", lists)
    relation, names = _relation(tables, every, wish)
    wheres, values = list[str](), list[object]()
    for said in conditions_in(wish.where):
        name, operator, value = parts_of(said)
        place, column = names[folded(name)]
        sql, given = _condition(place, operator, value, column)
        wheres.append(sql)
        values += given
    where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    by = [names[folded(name)][0] for name in wish.by]
    if wish.by or wish.sum:
        added = [names[folded(column.name)][0] for column in grid.columns[len(by) + 1 :]]
        shown = [
            *(f"t{n}, max(n{n})" for n in by),
            "NULL, count(*)",
            *(f"NULL, coalesce(sum(n{n}), 0)" for n in added),
        ]
        where += f" GROUP BY {', '.join(f't{n}' for n in by)}" if by else ""
    else:
        asked = [folded(name) for name in wish.columns] or [*names]
        shown = [f"t{names[name][0]}, n{names[name][0]}" for name in asked]
    distinct = "DISTINCT " if wish.unique else ""
    sql = f"SELECT {distinct}{', '.join(shown)} FROM ({relation}){where}"  # noqa: S608 - no name or value of a person is in it
    rows = database.execute(sql, values).fetchall()
    numeric = [column.measured or column.dated for column in grid.columns]
    return [
        tuple(
            row[2 * n + 1] if is_number and row[2 * n + 1] is not None else row[2 * n]
            for n, is_number in enumerate(numeric[: len(row) // 2])
        )
        for row in rows
    ]


def _relation(
    tables: Sequence[tuple[str, Table]], every: Sequence[Sequence[Column]], wish: Shape
) -> tuple[str, dict[str, tuple[int, Column]]]:
    """Return the rows of all tables as one relation, and where in it the column of a name is."""
    names: dict[str, tuple[int, Column]] = {}
    at = [{folded(column.name): n for n, column in enumerate(columns)} for columns in every]
    if not wish.on:
        for columns in every:
            for column in columns:
                names.setdefault(folded(column.name), (len(names), column))
        parts = (
            ", ".join(
                _PART.format(n=own[name], u=u) if name in own else _GAP.format(u=u)
                for name, (u, _) in names.items()
            )
            for own in at
        )
        selects = (f"SELECT {part} FROM s{s}" for s, part in enumerate(parts))  # noqa: S608
        return " UNION ALL ".join(selects), names
    key, shown, joined = folded(wish.on), list[str](), ""
    for s, ((file, _), columns) in enumerate(zip(tables, every, strict=True)):
        keyed = f"(SELECT *, nullif(t{at[s][key]}, '') AS k FROM s{s}) AS j{s}"  # noqa: S608
        joined = f"{joined} FULL JOIN {keyed} USING (k)" if joined else keyed
        for n, column in enumerate(columns):
            u, name = len(names), folded(column.name)
            if name == key and s:
                continue
            name = folded(f"{column.name} ({file})") if name in names else name
            shown.append(
                f"coalesce(k, '') t{u}, lower(coalesce(k, '')) f{u}, NULL n{u}"
                if name == key
                else _JOINED.format(s=s, n=n, u=u)
            )
            names[name] = (u, column)
    return f"SELECT {', '.join(shown)} FROM {joined}", names  # noqa: S608


def _condition(place: int, operator: str, value: str, column: Column) -> tuple[str, list[object]]:
    asked, words, number = asked_value(value, column), folded(value), f"n{place}"
    there = f"coalesce(f{place}, '')"
    if operator == "~":
        return f"contains({there}, ?)", [words]
    if operator not in ("=", "!="):
        return f"{number} {operator} ?::DECIMAL(38,18)", [f"{asked or 0:f}"]
    if not words:
        sql, given = f"list_contains(?::VARCHAR[], {there})", list[object]([[*MISSING]])
    elif asked is None:
        sql, given = f"{there} = ?", list[object]([words])
    else:
        sql = f"CASE WHEN {number} IS NULL THEN {there} = ? ELSE {number} = ?::DECIMAL(38,18) END"
        given = list[object]([words, f"{asked:f}"])
    return (f"({sql})" if operator == "=" else f"NOT ({sql})"), given


_LOADED: Final = (
    "unnest(?::VARCHAR[]) t{n}, unnest(?::VARCHAR[]) f{n}, unnest(?::DECIMAL(38,18)[]) n{n}"
)
_PART: Final = "t{n} AS t{u}, f{n} AS f{u}, n{n} AS n{u}"
_GAP: Final = "'' AS t{u}, '' AS f{u}, NULL::DECIMAL(38,18) AS n{u}"
_JOINED: Final = (
    "coalesce(j{s}.t{n}, '') AS t{u}, coalesce(j{s}.f{n}, '') AS f{u}, j{s}.n{n} AS n{u}"
)
