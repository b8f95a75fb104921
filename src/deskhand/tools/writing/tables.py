"""Tables out of tables: read from csv, tsv and Excel, shaped, and written as what the name says.

A big table never travels through an agent. Text that a spreadsheet program would run stays text (UP-09).
"""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import PurePosixPath
from typing import Final, cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Offload, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools.apart.asking import Apart
from deskhand.tools.builtin import about, ok, source
from deskhand.tools.changing import write_once
from deskhand.tools.tables.numbers import is_missing
from deskhand.tools.tables.reading import Table, read
from deskhand.tools.tables.shaping import Grid, cells_of, shape, typed

_BOOKS: Final = (".xlsx", ".xlsm")


class Tabling:
    """Reads tables and writes what becomes of them.

    Args:
        offload: runs blocking work.
        apart: takes Excel files apart.
    """

    def __init__(self, *, offload: Offload, apart: Apart) -> None:
        self._offload = offload
        self._apart = apart

    async def load(
        self, wish: wishes.SourceFiles, place: Place
    ) -> tuple[list[tuple[str, Table]], list[JsonObject]]:
        """Return every file's table under its name, and which sheets of them were not asked for.

        Raises:
            DeskhandError: ``unsupported_type``, ``invalid``: no table; ``not_found``: no such sheet or file.
        """
        tables, others = list[tuple[str, Table]](), list[JsonObject]()
        for path in wish.paths:
            access = source(wish, place)
            with about(path):
                data = await self._offload(partial(access.read, path, limit=READ_BYTES_MAX))
                if PurePosixPath(path).suffix.lower() in _BOOKS:
                    data, more = await self._sheet(data, wish.sheet, place)
                    named: JsonObject = {"what": "sheets", "file": path, "sheets": ", ".join(more)}
                    others += [named] if more else []
                tables.append((path, await self._offload(partial(read, data))))
        return tables, others

    async def _sheet(self, data: bytes, wanted: str, place: Place) -> tuple[bytes, list[str]]:
        """Return a sheet as csv: that of the name, else the first with something in it; and the names of the others."""
        answer = await self._apart.ask({"do": "sheets"}, [data], place)
        sheets = cast("dict[str, str]", answer["sheets"])
        name = wanted or next(iter(sheets), "")
        if name not in sheets:
            raise DeskhandError(Code.NOT_FOUND, f"no sheet {name}; there is {', '.join(sheets)}")
        others = [] if wanted else [each for each in sheets if each != name]
        return sheets[name].encode("utf-8", errors="replace"), others

    async def write_table(self, wish: wishes.WriteTable, place: Place) -> ToolResult:
        """Write it and return how many rows it has, its columns and the remarks."""
        tables, others = await self.load(wish.tables, place)

        def work() -> ToolResult:
            grid = shape(tables, wish.shape)
            written = write_once(
                place.results, wish.path, rendered(wish.path, grid), replace=wish.replace
            )
            value: JsonObject = {
                **written.value,
                "rows": len(grid.rows),
                "rows_in": [len(table.rows) for _, table in tables],
                "columns": [column.name for column in grid.columns],
                "remarks": [*others, *grid.remarks],
            }
            return ok(value, f"{written.text}, {len(grid.rows)} rows")

        return await self._offload(work)

    async def merge_pdfs(self, wish: wishes.MergePdfs, place: Place) -> ToolResult:
        """Write the pages of all, in their order, and return how many there are."""
        access = source(wish.files, place)

        def read_all() -> list[bytes]:
            return [access.read(path, limit=READ_BYTES_MAX) for path in wish.files.paths]

        answer = await self._apart.ask({"do": "pdfs"}, await self._offload(read_all), place)
        data = b64decode(str(answer["data"]))
        written = await self._offload(
            lambda: write_once(place.results, wish.path, data, replace=wish.replace)
        )
        return ok({**written.value, "pages": answer["pages"]}, written.text)

    async def list_sheets(self, wish: wishes.SourceFiles, place: Place) -> ToolResult:
        """Return the sheets of an Excel file that have something in them."""
        access: FolderAccess = source(wish, place)
        data = await self._offload(lambda: access.read(wish.paths[0], limit=READ_BYTES_MAX))
        answer = await self._apart.ask({"do": "sheets"}, [data], place)
        names = [*cast("dict[str, str]", answer["sheets"])]
        return ok({"sheets": [*names]}, "\n".join(names))


def rendered(path: str, grid: Grid) -> bytes:
    """Return the file that a name asks for; the same table is the same bytes.

    Raises:
        DeskhandError: ``invalid`` for a kind that is not known.
    """
    make = _KINDS.get(PurePosixPath(path).suffix.lower())
    if make is None:
        raise DeskhandError(Code.INVALID, f"it ends in {', '.join(_KINDS)}", field="path")
    return make(grid)


def _xlsx(grid: Grid) -> bytes:
    from deskhand.tools.workbooks import CELLS_READ_MAX, build, table_sheet

    if len(grid.columns) * len(grid.rows) > CELLS_READ_MAX:
        detail = f"more than {CELLS_READ_MAX:,} cells; take .csv for so many"
        raise DeskhandError(Code.TOO_LARGE, detail, field="path")
    return build([table_sheet("Table", grid.columns, grid.rows)])


def _csv(grid: Grid, *, delimiter: str) -> bytes:
    from deskhand.tools.workbooks import neutral

    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    for number, row in enumerate(cells_of(grid)):
        cells = zip(row, grid.columns, strict=True)
        writer.writerow(
            cell
            if number and (is_missing(cell) or typed(cell, column) is not None)
            else neutral(cell)
            for cell, column in cells
        )
    return out.getvalue().encode("utf-8-sig", errors="replace")


def _markdown(grid: Grid) -> bytes:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"

    head, *rows = cells_of(grid)
    lines = [line(head), "|" + "---|" * len(head), *map(line, rows)]
    return ("\n".join(lines) + "\n").encode("utf-8", errors="replace")


def _json(grid: Grid) -> bytes:
    """Return a list of objects; what a double holds exactly is a number."""
    names = [column.name for column in grid.columns]
    columns = grid.columns

    def value(n: int, cell: str) -> str | int | float | None:
        found = typed(cell, columns[n]) if columns[n].measured else None
        if isinstance(found, Decimal) and columns[n].kind == "number":
            whole = int(found) if found == found.to_integral_value() else float(found)
            return whole if Decimal(repr(whole)) == found else cell
        return cell or None

    rows = [{names[n]: value(n, cell) for n, cell in enumerate(row)} for row in grid.rows]
    return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode("utf-8", errors="replace")


_KINDS: Final[dict[str, Callable[[Grid], bytes]]] = {
    ".xlsx": _xlsx,
    ".csv": partial(_csv, delimiter=","),
    ".tsv": partial(_csv, delimiter="\t"),
    ".md": _markdown,
    ".json": _json,
}
