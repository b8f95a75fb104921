"""Tools for tables: read from csv, tsv and Excel, added up, shaped, and written as what the name says.

A big table never travels through an agent: a sheet may name its file (``table``) and is filled here. Numbers are
exact text everywhere; a float never appears in a wish or a result.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Final, cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools.builtin import about, ok, source
from deskhand.tools.changing import write_once
from deskhand.tools.reading import Reader
from deskhand.tools.tables.reading import Table, read
from deskhand.tools.tables.shaping import shape
from deskhand.tools.tables.totals import described, recognise
from deskhand.tools.writing.documents import rendered

_BOOKS: Final = (".xlsx", ".xlsm")


@dataclass(frozen=True, slots=True)
class Tabling:
    """Reads tables and writes what becomes of them; Excel files are taken apart by the reader's way."""

    reader: Reader

    async def table(
        self, access: FolderAccess, path: str, place: Place, sheet: str = ""
    ) -> tuple[Table, str, str]:
        """Return a file's table, the file's hash, and the names of the sheets that were not asked for.

        Raises:
            DeskhandError: ``unsupported_type``, ``invalid``: no table; ``not_found``: no such sheet or file.
        """
        with about(path):
            data, others = await self._read(access, path), ""
            digest = hashlib.sha256(data).hexdigest()
            if PurePosixPath(path).suffix.lower() in _BOOKS:
                sheets = await self._sheets(data, place)
                name = sheet or next(iter(sheets), "")
                if name not in sheets:
                    detail = f"no sheet {name}; there is {', '.join(sheets)}"
                    raise DeskhandError(Code.NOT_FOUND, detail)
                data = sheets.pop(name).encode("utf-8", errors="replace")
                others = "" if sheet else ", ".join(sheets)
            return await self.reader.offload(partial(read, data)), digest, others

    async def load(
        self, wish: wishes.SourceFiles, place: Place
    ) -> tuple[list[tuple[str, Table]], list[JsonObject]]:
        """Return every file's table under its name, and which sheets of them were not asked for."""
        access = source(wish, place)
        found = [(p, await self.table(access, p, place, wish.sheet)) for p in wish.paths]
        others: list[JsonObject] = [
            {"what": "sheets", "file": path, "sheets": more} for path, (_, _, more) in found if more
        ]
        return [(path, table) for path, (table, _, _) in found], others

    async def read_table(self, wish: wishes.ReadTable, place: Place) -> ToolResult:
        """Return how a table is written, what its columns hold and add up to."""
        table, digest, _ = await self.table(source(wish, place), wish.path, place)
        told = await self.reader.offload(lambda: described(table, by=wish.by))
        value: JsonObject = {"path": wish.path, "sha256": digest, **told}
        return ok(value, f"{len(table.rows)} rows, {table.width} columns")

    async def write_workbook(self, wish: wishes.WriteWorkbook, place: Place) -> ToolResult:
        """Write an xlsx; a sheet of a table's file must be of the very file that was added up.

        Raises:
            DeskhandError: ``conflict`` when it changed meanwhile, and what writing raises.
        """
        from deskhand.tools import workbooks

        sheets = list[workbooks.Sheet]()
        for sheet in wish.sheets:
            rows = [[workbooks.cell_of(cell) for cell in row] for row in sheet.rows]
            made = workbooks.Sheet(name=sheet.name, rows=rows, widths=tuple(sheet.widths))
            if of := sheet.table:
                table, digest, _ = await self.table(source(of, place), of.path, place)
                if digest != of.sha256:
                    raise DeskhandError(Code.CONFLICT, f"{of.path} changed while it was read")
                cells = [row.cells for row in table.rows[: of.rows_max]]
                made = workbooks.table_sheet(sheet.name, recognise(table), cells)
            sheets.append(made)
        data = await self.reader.offload(lambda: workbooks.build(sheets))
        return await self._written(wish, data, place)

    async def write_table(self, wish: wishes.WriteTable, place: Place) -> ToolResult:
        """Write it and return how many rows it has, its columns and the remarks."""
        tables, others = await self.load(wish.tables, place)

        grid = await self.reader.offload(lambda: shape(tables, wish.shape))
        data = await self.reader.offload(lambda: rendered(wish.path, grid))
        written = await self._written(wish, data, place)
        value: JsonObject = {
            **written.value,
            "rows": len(grid.rows),
            "columns": [column.name for column in grid.columns],
            "remarks": [*others, *grid.remarks],
        }
        return ok(value, f"{written.text}, {len(grid.rows)} rows")

    async def merge_pdfs(self, wish: wishes.MergePdfs, place: Place) -> ToolResult:
        """Write the pages of all, in their order, and return how many there are."""
        access = source(wish.files, place)
        files = [await self._read(access, path) for path in wish.files.paths]
        answer = await self.reader.apart.ask({"do": "pdfs"}, files, place)
        written = await self._written(wish, b64decode(str(answer["data"])), place)
        return ok({**written.value, "pages": answer["pages"]}, written.text)

    async def list_sheets(self, wish: wishes.SourceFiles, place: Place) -> ToolResult:
        """Return the sheets of an Excel file that have something in them."""
        data = await self._read(source(wish, place), wish.paths[0])
        names = [*await self._sheets(data, place)]
        return ok({"sheets": [*names]}, "\n".join(names))

    async def _read(self, access: FolderAccess, path: str) -> bytes:
        return await self.reader.offload(partial(access.read, path, limit=READ_BYTES_MAX))

    async def _sheets(self, data: bytes, place: Place) -> dict[str, str]:
        answer = await self.reader.apart.ask({"do": "sheets"}, [data], place)
        return cast("dict[str, str]", answer["sheets"])

    async def _written(self, wish: wishes.Write, data: bytes, place: Place) -> ToolResult:
        return await self.reader.offload(
            lambda: write_once(place.results, wish.path, data, replace=wish.replace)
        )
