"""Tools for reports: look at a CSV, add it up exactly, write an xlsx.

A big table never travels through an agent: a sheet may name its file (``table``) and is filled here. Numbers are
exact text everywhere; a float never appears in a wish or a result.
"""

from __future__ import annotations

import hashlib

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools.builtin import ok, source
from deskhand.tools.changing import write_once
from deskhand.tools.tables.reading import Table, read
from deskhand.tools.tables.totals import described, recognise


def read_table(wish: wishes.ReadTable, place: Place) -> ToolResult:
    """Return how a table is written, what its columns hold and add up to."""
    table, digest = table_at(source(wish, place), wish.path)
    value: JsonObject = {"path": wish.path, "sha256": digest, **described(table, by=wish.by)}
    return ok(value, f"{len(table.rows)} rows, {table.width} columns")


def write_workbook(wish: wishes.WriteWorkbook, place: Place) -> ToolResult:
    """Write an xlsx; a sheet of a table's file must be of the very file that was added up.

    Raises:
        DeskhandError: ``conflict`` when it changed meanwhile, and what writing raises.
    """
    from deskhand.tools import workbooks

    def sheet(said: wishes.Sheet) -> workbooks.Sheet:
        if said.table is None:
            rows = [[workbooks.cell_of(cell) for cell in row] for row in said.rows]
            return workbooks.Sheet(name=said.name, rows=rows, widths=tuple(said.widths))
        table, digest = table_at(source(said.table, place), said.table.path)
        if digest != said.table.sha256:
            raise DeskhandError(Code.CONFLICT, f"{said.table.path} changed while it was read")
        rows = [row.cells for row in table.rows[: said.table.rows_max]]
        return workbooks.table_sheet(said.name, recognise(table), rows)

    data = workbooks.build([sheet(said) for said in wish.sheets])
    return write_once(place.results, wish.path, data, replace=wish.replace)


def table_at(access: FolderAccess, path: str) -> tuple[Table, str]:
    """Return the table of a file, and the file's hash."""
    data = access.read(path, limit=READ_BYTES_MAX)
    return read(data), hashlib.sha256(data).hexdigest()
