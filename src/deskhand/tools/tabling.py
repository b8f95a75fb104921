"""Tools for tables: read from csv, tsv and Excel, added up, shaped, and written as what the name says.

A table never travels through an agent: a wish names its file. Numbers are exact; a float never appears in a wish or a
result.
"""

from __future__ import annotations

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
from deskhand.tools.tables.shaping import Grid, shape
from deskhand.tools.writing.documents import rendered

_BOOKS: Final = (".xlsx", ".xlsm")


@dataclass(frozen=True, slots=True)
class Tabling:
    """Reads tables and writes what becomes of them; Excel files are taken apart by the reader's way."""

    reader: Reader

    async def table(
        self, access: FolderAccess, path: str, place: Place, sheet: str = ""
    ) -> tuple[Table, str]:
        """Return a file's table, and the names of the sheets that were not asked for.

        Raises:
            DeskhandError: ``unsupported_type``, ``invalid``: no table; ``not_found``: no such sheet or file.
        """
        with about(path):
            data, others = await self._read(access, path), ""
            if PurePosixPath(path).suffix.lower() in _BOOKS:
                sheets = await self._sheets(data, place)
                name = sheet or next(iter(sheets), "")
                if name not in sheets:
                    detail = f"no sheet {name}; there is {', '.join(sheets)}"
                    raise DeskhandError(Code.NOT_FOUND, detail)
                data = sheets.pop(name).encode("utf-8", errors="replace")
                others = "" if sheet else ", ".join(sheets)
            return await self.reader.offload(partial(read, data)), others

    async def load(
        self, wish: wishes.SourceFiles, place: Place
    ) -> tuple[list[tuple[str, Table]], list[JsonObject]]:
        """Return every file's table under its name, and which sheets of them were not asked for."""
        access = source(wish, place)
        found = [(p, await self.table(access, p, place, wish.sheet)) for p in wish.paths]
        others: list[JsonObject] = [
            {"what": "sheets", "file": path, "sheets": more} for path, (_, more) in found if more
        ]
        return [(path, table) for path, (table, _) in found], others

    async def write_table(self, wish: wishes.WriteTable, place: Place) -> ToolResult:
        """Write it and return how many rows it has, its columns and the remarks."""
        tables, others = await self.load(wish.tables, place)
        grid = await self.reader.offload(lambda: shape(tables, wish.shape))
        data = await self.reader.offload(lambda: rendered(wish.path, grid))
        return await self._table_written(wish, data, grid, others, place)

    async def write_report(self, wish: wishes.WriteReport, place: Place) -> ToolResult:
        """Write it and return how many rows its table has, its columns and the remarks."""
        from deskhand.tools.writing.reporting import report

        ((path, table), *_), others = await self.load(wish.tables, place)
        made = await self.reader.offload(
            lambda: report(path, table, wish.shape, language=wish.language)
        )
        return await self._table_written(wish, made.data, made.whole, others, place)

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

    async def _table_written(
        self, wish: wishes.Write, data: bytes, grid: Grid, others: list[JsonObject], place: Place
    ) -> ToolResult:
        written = await self._written(wish, data, place)
        value: JsonObject = {
            **written.value,
            "rows": len(grid.rows),
            "columns": [column.name for column in grid.columns],
            "remarks": [*others, *grid.remarks],
        }
        return ok(value, f"{written.text}, {len(grid.rows)} rows")

    async def _written(self, wish: wishes.Write, data: bytes, place: Place) -> ToolResult:
        return await self.reader.offload(
            lambda: write_once(place.results, wish.path, data, replace=wish.replace)
        )
