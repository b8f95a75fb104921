"""Tables become another: stacked or joined, filtered, added up, sorted, cut. Exact decimals only.

Cells stay as they were written; only where files write the same column in different ways do they get one form. It
refuses to drop anything silently: what was left out, did not fit or stands there twice is a remark.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, localcontext
from operator import ge, gt, le, lt
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import JsonObject
from deskhand.protocol.wishes import Shape
from deskhand.tools.tables.reading import EXACT, Column, Style, Table, amount, folded, is_missing, recognise, value_of

ROWS_OUT_MAX: Final = 200_000
_NAMED_MAX: Final = 5
_DIFFERING: Final = "differs"
_AND: Final = re.compile(r"\s+(?:and|그리고)\s+(?=\S.*?(?:[<>=≤≥~]|\scontains\s))", re.IGNORECASE)
_CONDITION: Final = re.compile(r"(.+?)\s*(<=|>=|!=|<>|==|[=<>≤≥~]|\scontains\s)\s*(.*)", re.IGNORECASE)
_Order = Callable[[Decimal, Decimal], bool]
_ORDERS: Final[dict[str, _Order]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_SAME: Final = {"<>": "!=", "==": "=", "≤": "<=", "≥": ">=", "contains": "~"}
Row = tuple[str, ...]
Figures = Mapping[str, Decimal]


@dataclass(slots=True, kw_only=True)
class Grid:
    """Columns and their rows; ``remarks`` say what is not in it, or not as it was."""

    columns: tuple[Column, ...]
    rows: list[Row]
    remarks: list[JsonObject] = field(default_factory=list[JsonObject])

    def remark(self, what: str, **values: str | int) -> None:
        """Add a remark; one about nothing is none."""
        if 0 not in values.values():
            self.remarks.append({"what": what, **values})

    def place(self, name: str) -> int:
        """Return where a column is.

        Raises:
            DeskhandError: ``not_found`` with the columns there are.
        """
        names = [folded(column.name) for column in self.columns]
        if folded(name) in names:
            return names.index(folded(name))
        there = ", ".join(column.name for column in self.columns)
        raise DeskhandError(Code.NOT_FOUND, f"no column {name}; there is {there}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The file of a table; of a report also the ``figures`` of its columns, and how many there are of groups."""

    grid: Grid
    data: bytes
    figures: Sequence[tuple[Column, Figures]] = ()
    grouped: int = 0


def shape(tables: Sequence[tuple[str, Table]], wish: Shape) -> Grid:
    """Return what is asked for.

    Raises:
        DeskhandError: ``not_found`` for a column, ``invalid`` for a condition or a sum that makes no sense,
            ``too_large``.
    """
    with localcontext(EXACT):
        grids = [_grid(name, table, wish) for name, table in tables]
        names = [name for name, _ in tables]
        grid = _joined(grids, names, wish.on) if wish.on else _stacked(grids, names, wish.origin)
        grid.remarks[:0] = [remark for each in grids for remark in each.remarks]
        for said in filter(None, _AND.split(wish.where)):
            fits, before = _condition(grid, said), len(grid.rows)
            grid.rows = [row for row in grid.rows if fits(row)]
            grid.remark("kept", count=len(grid.rows), total=before, condition=said)
        if wish.unique:
            whole = slice(0, len(grid.columns) - bool(wish.origin and len(tables) > 1))
            distinct = {tuple(map(str.strip, row[whole])): row for row in reversed(grid.rows)}
            grid.remark("doubles", count=len(grid.rows) - len(distinct))
            grid.rows = [*reversed(distinct.values())]
        if wish.by or wish.sum:
            grid = _added_up(grid, wish)
        _sort(grid, wish)
        if wish.top:
            grid.remark("cut", count=max(0, len(grid.rows) - wish.top))
            grid.rows = grid.rows[: wish.top]
        if wish.columns:
            kept = [grid.place(name) for name in wish.columns]
            grid.columns = tuple(grid.columns[n] for n in kept)
            grid.rows = [tuple(row[n] for n in kept) for row in grid.rows]
    if not grid.rows:
        total = sum(len(table.rows) for _, table in tables)
        detail = f"none of {total:,} rows fits {wish.where}" if total else "there are no rows in it"
        raise DeskhandError(Code.NOT_FOUND, detail)
    if len(grid.rows) > ROWS_OUT_MAX:
        raise DeskhandError(Code.TOO_LARGE, f"more than {ROWS_OUT_MAX:,} rows; narrow it")
    return grid


def typed(cell: str, column: Column) -> Decimal | None:
    """Return a cell as it is compared: a number, also where a column is not added up; of a day its place among all."""
    if column.kind in ("identifier", "mixed"):
        return column.number(cell, column)
    found = value_of(cell, column)
    return Decimal(found.toordinal()) if isinstance(found, date) else found


def _condition(grid: Grid, said: str) -> Callable[[Row], bool]:
    """Return the test that a condition is; nothing but ``!=`` fits an empty cell, and ``= ""`` asks for it.

    Raises:
        DeskhandError: ``invalid`` with how it is written, or where amounts are of several currencies.
    """
    found = _CONDITION.fullmatch(said.strip())
    if found is None:
        detail = f'{said}; write "COLUMN OPERATOR VALUE" with = != < <= > >= or ~ (contains)'
        raise DeskhandError(Code.INVALID, detail, field="where")
    name, operator, value = (each.strip() for each in found.groups())
    operator, value = operator.casefold(), value.strip("\"'“”")
    operator, place = _SAME.get(operator, operator), grid.place(name)
    column, text = grid.columns[place], folded(value)
    wanted = _asked_value(value, column) if text and operator != "~" else None
    if operator in _ORDERS and wanted is None:
        detail = f"{column.name} holds {column.kind}, {value} is none; use = or ~"
        raise DeskhandError(Code.INVALID, detail, field="where")

    def fits(row: Row) -> bool:
        cell = row[place]
        if operator == "~":
            return text in folded(cell)
        there = typed(cell, column) if wanted is not None else None
        if wanted is not None and operator in _ORDERS:
            return there is not None and _ORDERS[operator](there, wanted)
        same = folded(cell) == text if there is None else there == wanted
        return (same if text else is_missing(cell)) is (operator == "=")

    return fits


def _asked_value(value: str, column: Column) -> Decimal | None:
    """Return what a person compares with: written as the column is, else as people write to programs."""
    _refuse_mixed(column)
    found = typed(value, column)
    if found is not None or column.kind in ("text", "date"):
        return found
    number = amount(value, Style.POINT) or amount(value, column.style)
    if number and column.currency and number.currency not in ("", column.currency):
        detail = f"{column.name} is in {column.currency}, {value} is not"
        raise DeskhandError(Code.INVALID, detail, field="where")
    return number and number.value


def _refuse_mixed(column: Column) -> None:
    if column.kind == "mixed":
        detail = f"{column.name} mixes currencies or units; choose by its words, with ~ (contains)"
        raise DeskhandError(Code.INVALID, detail)


def _grid(name: str, table: Table, wish: Shape) -> Grid:
    rows = [row.cells for row in table.rows]
    grid = Grid(columns=recognise(table), rows=rows)
    if table.totals is not None and wish.whole:
        rows.append(table.totals.cells)
    elif table.totals is not None:
        grid.remark("totals_row", file=name)
    lines = ", ".join(str(row.line) for row in table.skipped[:_NAMED_MAX])
    grid.remark("skipped", file=name, count=len(table.skipped), lines=lines or 0)
    return grid


def _stacked(grids: Sequence[Grid], files: Sequence[str], origin: str) -> Grid:
    """Put rows below rows, columns by their names."""
    if len(grids) == 1:
        return replace(grids[0], remarks=[])
    places = [{folded(c.name): n for n, c in enumerate(grid.columns)} for grid in grids]
    order = [*dict.fromkeys(n for each in places for n in each)]
    whole, columns, cells = replace(grids[0], rows=[], remarks=[]), list[Column](), list[Row]()
    for name in order:
        of = [(grid, place.get(name)) for grid, place in zip(grids, places, strict=True)]
        lacking = [file for file, (_, n) in zip(files, of, strict=True) if n is None]
        columns.append(to := _one_column([(grid, n) for grid, n in of if n is not None]))
        whole.remark("lacking", column=to.name, files=", ".join(lacking) or 0)
        whole.remark("differing", column=to.name if to.unsure == _DIFFERING else 0)
        there = ("" if n is None else _anew(row[n], g, n, to) for g, n in of for row in g.rows)
        cells.append((*there,))
    if origin:
        taken = origin if folded(origin) not in order else f"{origin} ({len(order) + 1})"
        columns.append(Column(index=len(columns), name=taken, kind="text"))
        cells.append((*(f for g, f in zip(grids, files, strict=True) for _ in g.rows),))
    whole.rows, whole.columns = [*zip(*cells, strict=True)], tuple(columns)
    return whole


def _one_column(of: Sequence[tuple[Grid, int]]) -> Column:
    """Return what the columns of one name are together."""
    filled = [g.columns[n] for g, n in of if not all(is_missing(row[n]) for row in g.rows)]
    first, *others = filled or [of[0][0].columns[of[0][1]]]
    money = {c.currency for c in filled if c.currency}
    if any(c.kind != first.kind or c.dated is not first.dated for c in others) or len(money) > 1:
        return replace(first, kind="text", currency="", unsure=_DIFFERING)
    if first.measured or first.dated:
        currency = next(iter(money), "")
        return replace(first, style=Style.POINT, order="day", unsure="", currency=currency)
    return first


def _anew(cell: str, grid: Grid, n: int, to: Column) -> str:
    """Return a cell as the column that it comes to writes it."""
    column = grid.columns[n]
    found = value_of(cell, column) if to.measured or to.dated else None
    if isinstance(found, Decimal):
        return f"{found:f}{'%' * (column.kind == 'percent')}"
    return cell if found is None or ":" in cell else found.isoformat()


def _joined(grids: Sequence[Grid], files: Sequence[str], on: str) -> Grid:
    """Put rows beside rows that have the same key; what has no partner stays, with empty cells."""
    whole, key = replace(grids[0], remarks=[]), grids[0].place(on)
    same = replace(whole.columns[key], kind="identifier")
    whole.columns = (*whole.columns[:key], same, *whole.columns[key + 1 :])
    for grid, file in zip(grids[1:], files[1:], strict=True):
        other, found = grid.place(on), defaultdict[str, list[Row]](list)
        for row in grid.rows:
            found[row[other].strip()].append((*row[:other], *row[other + 1 :]))
        more = [column for n, column in enumerate(grid.columns) if n != other]
        keys = Counter(row[key].strip() for row in whole.rows)
        late = {each: rows for each, rows in found.items() if not each or each not in keys}
        beside = {each: rows for each, rows in found.items() if each not in late}
        alone = {each: count for each, count in keys.items() if each not in beside}
        only = {each: len(rows) for each, rows in late.items()}
        double = {each: 1 for each, rows in beside.items() if keys[each] > 1 or len(rows) > 1}
        said = {"no_partner": alone, "no_partner_in": only, "key_twice": double}
        for what, those in said.items():
            shown = ", ".join(each or "–" for each in [*those][:_NAMED_MAX])
            whole.remark(what, count=sum(those.values()), file=file, keys=shown or "–")
        total = sum(count * len(beside.get(each, [""])) for each, count in keys.items())
        if total > ROWS_OUT_MAX:
            raise DeskhandError(Code.TOO_LARGE, f"{total:,} rows: {on} is no key")
        gap, left, right = [("",) * len(more)], ("",) * key, ("",) * (len(whole.columns) - key - 1)
        taken = {folded(column.name) for column in whole.columns}
        rows = [(*row, *cells) for row in whole.rows for cells in beside.get(row[key].strip(), gap)]
        new = [(*left, key, *right, *cells) for key, some in late.items() for cells in some]
        whole.rows = [*rows, *new]
        whole.columns += tuple(replace(c, name=f"{c.name} ({file})") if folded(c.name) in taken else c for c in more)
    return whole


def _added_up(grid: Grid, wish: Shape) -> Grid:
    """Return one row for each group: its values, how many rows, and the sums."""
    by = [grid.place(name) for name in wish.by]
    sums = [grid.place(name) for name in wish.sum]
    sums = sums or [n for n, column in enumerate(grid.columns) if column.kind == "number" and n not in by]
    for n in sums:
        column = grid.columns[n]
        if column.kind != "number":
            detail = f"{column.name} holds {column.kind} and has no honest sum"
            raise DeskhandError(Code.INVALID, detail, field="sum")
        cells = (row[n] for row in grid.rows if not is_missing(row[n]))
        count = sum(column.number(cell, column) is None for cell in cells)
        grid.remark("unreadable", column=column.name, count=count)
    groups = defaultdict[Row, list[Row]](list)
    for row in grid.rows:
        groups[tuple(row[n].strip() for n in by)].append(row)

    def added(inside: Sequence[Row], n: int) -> str:
        values = (grid.columns[n].number(row[n], grid.columns[n]) for row in inside)
        return f"{sum((value for value in values if value is not None), Decimal(0)):f}"

    number = Column(index=len(by), name=wish.count, kind="number")
    summed = [replace(grid.columns[n], style=Style.POINT, unsure="") for n in sums]
    columns = (*(grid.columns[n] for n in by), number, *summed)
    rows = [(*g, str(len(some)), *(added(some, n) for n in sums)) for g, some in groups.items()]
    return replace(grid, columns=columns, rows=rows)


def _sort(grid: Grid, wish: Shape) -> None:
    """Sort by a column, from the largest with a minus; the largest groups come first where only some are asked for."""
    name = wish.sort.strip()
    down = name.startswith(("-", "−", "–"))
    if name:
        place = grid.place(name.lstrip("-−–+ "))
    elif wish.top and (wish.by or wish.sum):
        place, down = min(len(wish.by) + 1, len(grid.columns) - 1), True
    else:
        return
    column = grid.columns[place]
    _refuse_mixed(column)

    def meant(row: Row) -> tuple[Decimal, str]:
        return typed(row[place], column) or Decimal(0), folded(row[place])

    def kinds(row: Row) -> int:
        return 2 if is_missing(row[place]) else int(typed(row[place], column) is None)

    grid.rows.sort(key=meant, reverse=down)
    grid.rows.sort(key=kinds)
