"""Tools for tables: read from csv, tsv and Excel, added up, shaped, and written as what the name says.

A table never travels through an agent: a wish names its file. Numbers are exact; a float never appears in a wish or a
result.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.tools.builtin import about, ok, source
from deskhand.tools.changing import write_once
from deskhand.tools.reading import Reader
from deskhand.tools.tables.columns import Read, number_of
from deskhand.tools.tables.reading import Table
from deskhand.tools.tables.reading import read as read_table
from deskhand.tools.tables.shaping import Made, shape
from deskhand.tools.writing.documents import rendered

_Tables = list[tuple[str, Table]]


@dataclass(frozen=True, slots=True)
class Tabling:
    """Reads tables and writes what becomes of them; Excel files are taken apart by the reader's way."""

    reader: Reader

    async def load(
        self, wish: wishes.SourceFiles, place: Place
    ) -> tuple[_Tables, list[JsonObject]]:
        """Return every file's table under its name, and which sheets of them were not asked for.

        Raises:
            DeskhandError: ``unsupported_type``, ``invalid``: no table; ``not_found``: no such sheet or file.
        """
        access, tables, others = source(wish, place), _Tables(), list[JsonObject]()
        for path in wish.paths:
            with about(path):
                data = await self._read(access, path)
                if PurePosixPath(path).suffix.lower() in (".xlsx", ".xlsm"):
                    sheets = await self._sheets(data, place)
                    name = wish.sheet or next(iter(sheets), "")
                    if name not in sheets:
                        detail = f"no sheet {name}; there is {', '.join(sheets)}"
                        raise DeskhandError(Code.NOT_FOUND, detail)
                    data = sheets.pop(name).encode("utf-8", errors="replace")
                    if sheets and not wish.sheet:
                        others.append({"what": "sheets", "file": path, "sheets": ", ".join(sheets)})
                tables.append((path, await self.reader.offload(partial(read_table, data))))
        return tables, others

    async def write_table(self, wish: wishes.WriteTable, place: Place) -> ToolResult:
        """Write it and return how many rows it has, its columns and the remarks."""
        tables, others = await self.load(wish.tables, place)
        made = await self.reader.offload(lambda: made_of(wish, tables))
        written, grid = await self._written(wish, made.data, place), made.grid
        columns: JsonObject = {"columns": [column.name for column in grid.columns]}
        counted: JsonObject = {"rows": len(grid.rows), "remarks": [*others, *grid.remarks]}
        value = {**written.value, **columns, **counted}
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


def made_of(
    wish: wishes.WriteTable | wishes.CheckTable, tables: _Tables, *, read: Read = number_of
) -> Made:
    """Return the file of a table, or of a report on one."""
    if isinstance(wish, wishes.WriteReport | wishes.CheckReport):
        from deskhand.tools.writing.reporting import report

        return report(*tables[0], wish.shape, language=wish.language, read=read)
    grid = shape(tables, wish.shape, read=read)
    return Made(grid=grid, data=rendered(wish.path, grid))
