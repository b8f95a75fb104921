"""Tools for tables and workbooks: look at a CSV, add it up exactly, write an xlsx.

A big table never travels through an agent: a sheet may name its file (``table``) and is filled here. Numbers are
exact text everywhere; a float never appears in a wish or a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools import workbooks
from deskhand.tools.builtin import ok, source
from deskhand.tools.changing import write_once
from deskhand.tools.tables.numbers import amount, is_missing, places
from deskhand.tools.tables.reading import Row, Table, read
from deskhand.tools.tables.totals import (
    Column,
    Facts,
    Group,
    Summary,
    recognise,
    summarise,
    value_of,
)
from deskhand.tools.workbooks import Cell, Sheet

GROUPS_GIVEN_MAX: Final = 200
SKIPPED_GIVEN_MAX: Final = 50
WIDTH_MAX: Final = 60


def read_table(wish: wishes.ReadTable, place: Place) -> ToolResult:
    """Return how a table is written, what its columns hold and add up to."""
    table, digest = _table_at(source(wish, place), wish.path)
    value = {"path": wish.path, "sha256": digest, **_table_json(table, by=wish.by)}
    return ok(value, f"{len(table.rows)} rows, {table.width} columns")


def write_workbook(wish: wishes.WriteWorkbook, place: Place) -> ToolResult:
    """Write an xlsx."""
    data = workbooks.build([_sheet(sheet, place) for sheet in wish.sheets])
    return write_once(place.results, wish.path, data, replace=wish.replace)


def _table_at(access: FolderAccess, path: str) -> tuple[Table, str]:
    data = access.read(path, limit=READ_BYTES_MAX)
    return read(data), hashlib.sha256(data).hexdigest()


def _table_json(table: Table, *, by: str | None) -> JsonObject:
    summary = summarise(table, by=by)
    columns = zip(summary.columns, summary.facts, strict=True)
    return {
        "encoding": table.encoding,
        "delimiter": table.delimiter,
        "quoted": table.quoted,
        "width": table.width,
        "header_line": table.header_line,
        "rows_total": len(table.rows),
        "blank_lines": table.blank_lines,
        "renamed": [*table.renamed],
        "skipped": [
            {"line": row.line, "why": _why_skipped(row, table), "fields": len(row.cells)}
            for row in table.skipped[:SKIPPED_GIVEN_MAX]
        ],
        "skipped_total": len(table.skipped),
        "columns": [_column_json(column, facts) for column, facts in columns],
        "groups": _groups_json(summary),
        "totals_row": _totals_json(table, summary),
    }


def _column_json(column: Column, facts: Facts) -> JsonObject:
    added = facts.sum
    return {
        "name": column.name,
        "kind": column.kind,
        "style": column.style.value,
        "currency": column.currency,
        "unsure": column.unsure,
        "count": added.count,
        "missing": facts.missing,
        "unreadable": [{"line": line, "value": value} for line, value in facts.unreadable],
        "unreadable_total": facts.unreadable_total,
        "sum": _plain(added.total) if column.adds_up else None,
        "average": _plain(added.average()),
        "minimum": _plain(added.minimum),
        "maximum": _plain(added.maximum),
        "first": facts.first.isoformat() if facts.first else None,
        "last": facts.last.isoformat() if facts.last else None,
    }


def _groups_json(summary: Summary) -> JsonObject | None:
    """Groups by their weight; of each column the sum where it means something, else the average."""
    if summary.by is None:
        return None
    measured = [column for column in summary.columns if column.measured]
    adding = next((column.index for column in measured if column.adds_up), None)

    def weight(group: Group) -> tuple[Decimal, str]:
        first = group.sums.get(adding) if adding is not None else None
        return (-first.total if first else Decimal(-group.rows), group.name)

    def value(group: Group, column: Column) -> str | None:
        found = group.sums.get(column.index)
        return _plain(found and (found.total if column.adds_up else found.average()))

    def shown(group: Group) -> JsonObject:
        values = [value(group, column) for column in measured]
        return {"name": group.name, "rows": group.rows, "values": [*values]}

    heaviest = sorted(summary.groups, key=weight)[:GROUPS_GIVEN_MAX]
    return {
        "column": summary.by.index,
        "measures": [column.index for column in measured],
        "groups": [*map(shown, heaviest)],
        "groups_total": len(summary.groups),
    }


def _totals_json(table: Table, summary: Summary) -> JsonObject | None:
    """A last row that already added up: what it says beside what we found."""
    if table.totals is None:
        return None
    compared: list[Json] = []
    for column, facts in zip(summary.columns, summary.facts, strict=True):
        said, found = amount(table.totals.cells[column.index], column.style), facts.sum.total
        if column.adds_up and said is not None:
            same = {
                "said": _plain(said.value),
                "found": _plain(found),
                "equal": said.value == found,
            }
            compared.append({"column": column.index, **same})
    return {"line": table.totals.line, "compared": compared}


def _why_skipped(row: Row, table: Table) -> str:
    first = table.header_line or next((each.line for each in table.rows), 0)
    return "before_header" if row.line < first else "width"


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _sheet(wish: wishes.Sheet, place: Place) -> Sheet:
    if wish.table is not None:
        return _table_sheet(wish.name, wish.table, place)
    rows = [[_cell(cell) for cell in row] for row in wish.rows]
    widths = tuple(min(WIDTH_MAX, width) for width in wish.widths)
    return Sheet(name=wish.name, rows=rows, widths=widths)


def _cell(cell: Json) -> Cell:
    wish = wishes.Cell.from_json(cell if isinstance(cell, dict) else {"v": cell})
    return Cell(value=wish.v, kind=wish.kind, places=wish.places, look=wish.look)


def _table_sheet(name: str, wish: wishes.TableFile, place: Place) -> Sheet:
    """Return the sheet of a file; it must be the very file that was added up.

    Raises:
        DeskhandError: ``conflict`` when it changed meanwhile.
    """
    table, digest = _table_at(source(wish, place), wish.path)
    if digest != wish.sha256:
        raise DeskhandError(Code.CONFLICT, f"{wish.path} changed while it was read")
    rows = [row.cells for row in table.rows[: wish.rows_max]]
    return sheet_of(name, recognise(table), rows)


def sheet_of(name: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Sheet:
    """Return the sheet of a table: what was understood as numbers or dates, the rest as it is written."""
    decimals = [_decimals(column, [row[n] for row in rows]) for n, column in enumerate(columns)]

    def lines() -> Iterator[list[Cell]]:
        yield [Cell(value=column.name, look="header") for column in columns]
        for row in rows:
            yield [_table_cell(*each) for each in zip(row, columns, decimals, strict=True)]

    seen = [[column.name, *(row[n] for row in rows[:200])] for n, column in enumerate(columns)]
    widths = tuple(min(WIDTH_MAX, 2 + max(6, *map(len, said))) for said in seen)
    return Sheet(name=name, rows=lines(), widths=widths, table=(len(columns), len(rows) + 1))


def _decimals(column: Column, cells: Sequence[str]) -> int:
    """Return how many decimals a column shows: as many as the longest number in it has."""
    found = (value_of(cell, column) for cell in cells if column.measured and not is_missing(cell))
    return min(6, max((places(each) for each in found if isinstance(each, Decimal)), default=0))


def _table_cell(cell: str, column: Column, decimals: int) -> Cell:
    """What was understood becomes a number or date; everything else stays as it was written."""
    if is_missing(cell):
        return Cell(value=cell.strip() or None)
    found = value_of(cell, column)
    if isinstance(found, Decimal):
        kind = "percent" if column.kind == "percent" else "number"
        return Cell(value=_plain(found), kind=kind, places=decimals)
    if isinstance(found, date) and ":" not in cell:
        return Cell(value=found.isoformat(), kind="date")
    return Cell(value=cell)
