"""Tools for tables and workbooks: look at a CSV, add it up exactly, write an xlsx, read one back.

A big table never travels through an agent: a sheet may name its file (``table``) and is filled here. Numbers are
exact text everywhere; a float never appears in a wish or a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import Effect, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools import workbooks
from deskhand.tools.arguments import Arguments, shown, shown_result, source
from deskhand.tools.changes import write_once
from deskhand.tools.files import bounded
from deskhand.tools.tables.dates import a_date
from deskhand.tools.tables.numbers import is_missing, places
from deskhand.tools.tables.reading import Table, read
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

ROWS_GIVEN_MAX: Final = 1000
ROWS_SHEET_MAX: Final = 20_000
GROUPS_GIVEN_MAX: Final = 200
SKIPPED_GIVEN_MAX: Final = 50
SHEETS_MAX: Final = 20
INLINE_ROWS_MAX: Final = 5000
CELLS_GIVEN_MAX: Final = 20_000
WIDTH_MAX: Final = 60


class ReadTable:
    """``read_table {path, rows?, by?, from?}``: how a CSV or TSV is written, what its columns hold and add up to."""

    name = "read_table"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file."""
        return shown(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read all of it, give its first rows and its sums.

        Raises:
            DeskhandError: ``invalid``, ``not_found``, ``too_large``, ``unsupported_type``.
        """
        given = Arguments(arguments)
        path, rows = given.path(), given.integer("rows", 20, least=0, most=ROWS_GIVEN_MAX)
        by = given.text("by", "", most=200) or None
        access = source(given, place)
        given.finish()
        value = await self._offload(lambda: _looked_at(access, path, rows=rows, by=by))
        text = f"{value['rows_total']} rows, {len(cast('list[Json]', value['columns']))} columns"
        return ToolResult(outcome="ok", value=value, text=bounded(text))


class WriteWorkbook:
    """``write_workbook {path, sheets, replace?}``: an xlsx from plain sheets.

    A sheet is ``{name, rows, widths?, freeze?}`` with cells that are text, whole numbers, nothing or
    ``{v, as, places, look}``; or ``{name, table: {path, sha256, rows_max?}}``, filled from that file.
    """

    name = "write_workbook"
    effect: Effect = "idempotent"
    writes = True

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file."""
        return shown_result(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Write it.

        Raises:
            DeskhandError: ``invalid``, ``conflict`` (the name is taken, or a table changed meanwhile) and what
                writing raises.
        """
        given = Arguments(arguments)
        path, replace = given.path(), given.flag("replace", default=False)
        wanted = [Arguments(sheet) for sheet in given.objects("sheets", most=SHEETS_MAX)]
        given.finish()
        value = await self._offload(lambda: _written(place, path, wanted, replace=replace))
        return ToolResult(outcome="ok", value=value, text=f"wrote {path}, {value['size']} bytes")


class ReadWorkbook:
    """``read_workbook {path, from?}``: the cells of an xlsx as values, bounded."""

    name = "read_workbook"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file."""
        return shown(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read it.

        Raises:
            DeskhandError: ``invalid``, ``not_found``, ``too_large``, ``unsupported_type``.
        """
        given = Arguments(arguments)
        path, access = given.path(), source(given, place)
        given.finish()
        value = await self._offload(lambda: _cells(access, path))
        return ToolResult(outcome="ok", value=value, text=bounded(_as_text(value)))


def table_at(access: FolderAccess, path: str) -> tuple[Table, str]:
    """Return a table and the hash of its file.

    Raises:
        DeskhandError: what reading raises.
    """
    data = access.read(path, limit=READ_BYTES_MAX)
    return read(data), hashlib.sha256(data).hexdigest()


def _looked_at(access: FolderAccess, path: str, *, rows: int, by: str | None) -> JsonObject:
    table, digest = table_at(access, path)
    summary = summarise(table, by=by)
    skipped: list[Json] = [
        {"line": s.line, "why": s.why, "fields": s.fields}
        for s in table.skipped[:SKIPPED_GIVEN_MAX]
    ]
    dialect = table.dialect
    return {
        "path": path,
        "sha256": digest,
        "encoding": dialect.encoding,
        "delimiter": dialect.delimiter,
        "quoted": dialect.quoted,
        "width": dialect.width,
        "header_line": dialect.header_line,
        "rows_total": len(table.rows),
        "rows": [[*row.cells] for row in table.rows[:rows]],
        "blank_lines": table.blank_lines,
        "renamed": [*table.renamed],
        "skipped": skipped,
        "skipped_total": len(table.skipped),
        "columns": [
            _column_json(column, facts)
            for column, facts in zip(summary.columns, summary.facts, strict=True)
        ],
        "groups": _groups_json(summary),
        "totals_row": _totals_json(summary),
    }


def _column_json(column: Column, facts: Facts) -> JsonObject:
    added = facts.sum
    unreadable: list[Json] = [{"line": u.line, "value": u.value} for u in facts.unreadable]
    return {
        "name": column.name,
        "kind": column.kind,
        "style": column.style.value,
        "order": column.order,
        "currency": column.currency,
        "unsure": column.unsure,
        "places": added.places,
        "count": added.count,
        "missing": facts.missing,
        "unreadable": unreadable,
        "unreadable_total": facts.unreadable_count,
        "sum": _plain(added.total) if column.adds_up else None,
        "average": _plain(added.average()),
        "minimum": _plain(added.minimum),
        "maximum": _plain(added.maximum),
        "first": facts.first.isoformat() if facts.first else None,
        "last": facts.last.isoformat() if facts.last else None,
    }


def _groups_json(summary: Summary) -> JsonObject | None:
    if summary.by is None:
        return None
    measured = [column for column in summary.columns if column.measured]
    adding = [column for column in measured if column.adds_up]

    def weight(group: Group) -> tuple[Decimal, str]:
        first = group.sums.get(adding[0].index) if adding else None
        return (-first.total if first else Decimal(-group.rows), group.name)

    ordered = sorted(summary.groups, key=weight)[:GROUPS_GIVEN_MAX]
    groups: list[Json] = [
        {
            "name": group.name,
            "rows": group.rows,
            "values": [_group_value(group, column) for column in measured],
        }
        for group in ordered
    ]
    return {
        "column": summary.by.index,
        "measures": [column.index for column in measured],
        "groups": groups,
        "groups_total": len(summary.groups),
    }


def _group_value(group: Group, column: Column) -> str | None:
    """The sum where it means something, else the average."""
    found = group.sums.get(column.index)
    if found is None:
        return None
    return _plain(found.total if column.adds_up else found.average())


def _totals_json(summary: Summary) -> JsonObject | None:
    """A last row that already added up: what it says beside what we found."""
    row = summary.table.totals
    if row is None:
        return None
    compared: list[Json] = []
    for column, facts in zip(summary.columns, summary.facts, strict=True):
        said = value_of(row.cells[column.index], column) if column.adds_up else None
        if said is not None:
            compared.append(
                {
                    "column": column.index,
                    "said": _plain(said.value),
                    "found": _plain(facts.sum.total),
                    "equal": said.value == facts.sum.total,
                }
            )
    return {"line": row.line, "compared": compared}


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _written(place: Place, path: str, wanted: Sequence[Arguments], *, replace: bool) -> JsonObject:
    sheets = [_sheet(sheet, place) for sheet in wanted]
    return write_once(place.results, path, workbooks.build(sheets), replace=replace)


def _sheet(given: Arguments, place: Place) -> Sheet:
    name = given.text("name", most=200)
    table = given.inner("table")
    if table is not None:
        given.finish()
        return _table_sheet(name, table, place)
    rows = [_row(row) for row in given.items("rows", most=INLINE_ROWS_MAX)]
    widths = given.items("widths", most=500, least=0) if given.has("widths") else []
    freeze = given.text("freeze", "", most=10) or None
    given.finish()
    return Sheet(
        name=name,
        rows=rows,
        widths=tuple(min(WIDTH_MAX, width) for width in widths if isinstance(width, int)),
        freeze=freeze,
    )


def _row(row: Json) -> list[Cell]:
    if not isinstance(row, list):
        raise DeskhandError(Code.INVALID, "a row must be a list of cells", field="rows")
    return [_cell(cell) for cell in row]


def _cell(cell: Json) -> Cell:
    if cell is None or (isinstance(cell, (str, int)) and not isinstance(cell, bool)):
        return Cell(value=cell)
    if not isinstance(cell, dict):
        raise DeskhandError(
            Code.INVALID, "a cell is text, a whole number or an object", field="rows"
        )
    given = Arguments(cell)
    value = given.scalar("v")
    made = Cell(
        value=value,
        kind=cast(
            "workbooks.As", given.choice("as", ("text", "number", "percent", "date"), "text")
        ),
        places=given.integer("places", 0, least=0, most=12),
        look=cast(
            "workbooks.Look",
            given.choice("look", ("plain", "title", "header", "total", "note"), "plain"),
        ),
    )
    given.finish()
    return made


def _table_sheet(name: str, given: Arguments, place: Place) -> Sheet:
    path, expected = given.path(), given.text("sha256", most=64)
    most = given.integer("rows_max", ROWS_SHEET_MAX, least=1, most=ROWS_SHEET_MAX)
    access = source(given, place)
    given.finish()
    table, digest = table_at(access, path)
    if digest != expected:
        raise DeskhandError(Code.CONFLICT, f"{path} changed while it was read")
    columns = recognise(table)
    rows = table.rows[:most]
    decimals = [_decimals(column, [row.cells[column.index] for row in rows]) for column in columns]
    last = workbooks.get_column_letter(len(columns))

    def lines() -> Iterator[list[Cell]]:
        yield [Cell(value=column.name, look="header") for column in columns]
        for row in rows:
            yield [
                _table_cell(row.cells[column.index], column, decimal)
                for column, decimal in zip(columns, decimals, strict=True)
            ]

    widths = tuple(
        min(WIDTH_MAX, 2 + max(len(column.name), *_lengths(table, column))) for column in columns
    )
    return Sheet(
        name=name, rows=lines(), widths=widths, freeze="A2", filtered=f"A1:{last}{len(rows) + 1}"
    )


def _lengths(table: Table, column: Column) -> list[int]:
    return [6, *(len(row.cells[column.index]) for row in table.rows[:200])]


def _decimals(column: Column, cells: Sequence[str]) -> int:
    if not column.measured:
        return 0
    found = (value_of(cell, column) for cell in cells if not is_missing(cell))
    return min(6, max((places(each.value) for each in found if each is not None), default=0))


def _table_cell(cell: str, column: Column, decimals: int) -> Cell:
    """What was understood becomes a number or date; everything else stays as it was written."""
    if is_missing(cell):
        return Cell(value=cell.strip() or None)
    if column.measured:
        found = value_of(cell, column)
        if found is not None:
            kind = "percent" if column.kind == "percent" else "number"
            return Cell(value=_plain(found.value), kind=kind, places=decimals)
    if column.kind == "date" and not column.unsure:
        day = a_date(cell, column.order)
        if day is not None and ":" not in cell:
            return Cell(value=day.isoformat(), kind="date")
    return Cell(value=cell)


def _cells(access: FolderAccess, path: str) -> JsonObject:
    data = access.read(path, limit=READ_BYTES_MAX)
    left = CELLS_GIVEN_MAX
    complete = True
    sheets: list[Json] = []
    for name, rows in workbooks.cells(data).items():
        given: list[Json] = []
        for row in rows:
            left -= len(row)
            if left < 0:
                complete = False
                break
            given.append([_value_json(value) for value in row])
        sheets.append({"name": name, "rows": given, "rows_total": len(rows)})
    return {"path": path, "sheets": sheets, "complete": complete}


def _value_json(value: workbooks.Value) -> Json:
    if isinstance(value, Decimal):
        return {"n": f"{value:f}"}
    return {"d": value.isoformat()} if isinstance(value, date) else value


def _as_text(value: JsonObject) -> str:
    lines: list[str] = []
    for sheet in cast("list[JsonObject]", value["sheets"]):
        lines.append(f"[{sheet['name']}]")
        lines += [
            "\t".join("" if cell is None else _cell_text(cell) for cell in row)
            for row in cast("list[list[Json]]", sheet["rows"])
        ]
    return "\n".join(lines)


def _cell_text(cell: Json) -> str:
    if isinstance(cell, dict):
        return str(next(iter(cell.values())))
    return str(cell)
