"""Documents, tables and reports out: the suffix of the name says which kind, and what a person opens is checked for what it could do.

A table never travels through an agent: a wish names its file, which is read from csv, tsv and Excel, added up and shaped.
Numbers are exact; a float never appears in a wish or a result. It refuses to send anything: a mail is a draft that a
mail program opens unsent. No cell becomes a formula (UP-09).

A report of a table is a workbook with what it adds up to, its rows, and how its file was read. It refuses to add up what
has no honest sum. Whatever was left out, could not be read or means two things is said.
"""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from email.message import EmailMessage
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import Final, TypeVar, cast

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import JsonObject
from deskhand.texts import language_of, text
from deskhand.tools.builtin import about, ok, source
from deskhand.tools.changing import write_once
from deskhand.tools.office import CELLS_READ_MAX, Bold, Percent, Value, build, exact, neutral, table_rows, word
from deskhand.tools.reading import Reader
from deskhand.tools.tables.reading import EXACT, Column, Table, amount, is_missing, places, value_of
from deskhand.tools.tables.reading import read as read_table
from deskhand.tools.tables.shaping import Figures, Grid, Made, shape

_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MEASURES: Final = ("sum", "average", "minimum", "maximum")
_Rows = Iterator[Sequence[Value]]
_Tables = list[tuple[str, Table]]
_W = TypeVar("_W")


@dataclass(frozen=True, slots=True)
class Tabling:
    """Reads tables and writes what becomes of them; Excel files are taken apart by the reader's way."""

    reader: Reader

    async def load(self, wish: wishes.SourceFiles, place: Place) -> tuple[_Tables, list[JsonObject]]:
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
        return await self.reader.offload(lambda: write_once(place.results, wish.path, data, replace=wish.replace))


def made_of(wish: wishes.WriteTable | wishes.CheckTable, tables: _Tables) -> Made:
    """Return the file of a table that its name asks for, or of a report on one; the same table is the same bytes.

    Raises:
        DeskhandError: ``invalid`` for a kind that is not known, and what shaping raises.
    """
    if isinstance(wish, wishes.WriteReport | wishes.CheckReport):
        return report(*tables[0], wish.shape, language=wish.language)
    grid = shape(tables, wish.shape)
    return Made(grid=grid, data=_made(wish.path, grid, _TABLES))


def write_document(wish: wishes.WriteDocument, place: Place) -> ToolResult:
    """Write the document that the name asks for.

    Raises:
        DeskhandError: ``invalid`` for a kind that is not known, or what this kind cannot be made from; ``conflict``.
    """
    data = _made(wish.path, wish, _DOCUMENTS)
    return write_once(place.results, wish.path, data, replace=wish.replace)


def _made(path: str, of: _W, kinds: Mapping[str, Callable[[_W], bytes]]) -> bytes:
    make = kinds.get(PurePosixPath(path).suffix.lower())
    if make is None:
        raise DeskhandError(Code.INVALID, f"it ends in {', '.join(kinds)}", field="path")
    return make(of)


def _csv(rows: Iterable[Iterable[object]], delimiter: str = ",") -> bytes:
    """Return the file as spreadsheet programs expect it, with the mark that says it is UTF-8."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode("utf-8-sig", errors="replace")


def _text(wish: wishes.WriteDocument) -> bytes:
    return wish.content.encode("utf-8", errors="replace")


def _workbook(wish: wishes.WriteDocument) -> bytes:
    tables = ((one.name, *one.rows) for one in _tables(wish))
    return build(
        (name, [[Bold(said) if isinstance(said, str) else said for said in head], *rows])
        for name, head, *rows in tables
    )


def _delimited(wish: wishes.WriteDocument) -> bytes:
    one, *more = _tables(wish)
    if more:
        raise DeskhandError(Code.INVALID, "a csv holds one table", field="tables")
    return _csv([neutral(v) if isinstance(v, str) else v for v in row] for row in one.rows)


def _mail(wish: wishes.WriteDocument) -> bytes:
    mail = EmailMessage()
    try:
        mail["To"], mail["Subject"], mail["X-Unsent"] = ", ".join(wish.to), wish.subject, "1"
        mail.set_content(wish.content)
    except (ValueError, UnicodeError) as error:
        raise DeskhandError(Code.INVALID, str(error)[:200], field="to") from None
    return bytes(mail)


def _tables(wish: wishes.WriteDocument) -> list[wishes.DocumentTable]:
    if not wish.tables:
        detail = 'say the rows: [{"name": "Sales", "rows": [["Region", "Sum"], ["North", 10]]}]'
        raise DeskhandError(Code.INVALID, detail, field="tables")
    return wish.tables


def _sheet(grid: Grid) -> bytes:
    if len(grid.columns) * len(grid.rows) > CELLS_READ_MAX:
        detail = f"more than {CELLS_READ_MAX:,} cells; take .csv for so many"
        raise DeskhandError(Code.TOO_LARGE, detail, field="path")
    return build([("Table", table_rows(grid.columns, grid.rows))])


def _separated(grid: Grid, *, delimiter: str) -> bytes:
    """Leave cells as they are written; only what is no value is made harmless."""

    def cell(said: str, column: Column) -> str:
        return said if is_missing(said) or amount(said, column.style) else neutral(said)

    rows = ([*map(cell, row, grid.columns)] for row in grid.rows)
    return _csv(chain([[neutral(column.name) for column in grid.columns]], rows), delimiter)


def _markdown(grid: Grid) -> bytes:
    rows = [[column.name for column in grid.columns], *grid.rows]
    said = ([" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows)
    head, *lines = (f"| {' | '.join(row)} |" for row in said)
    return "\n".join([head, "|" + "---|" * len(grid.columns), *lines, ""]).encode()


def _json(grid: Grid) -> bytes:
    """Return a list of objects; what a double holds exactly is a number."""
    names, *rows = ([*map(exact, row)] for row in table_rows(grid.columns, grid.rows))
    said = [dict(zip(names, row, strict=True)) for row in rows]
    written = json.dumps(said, ensure_ascii=False, indent=1, default=str)
    return (written + "\n").encode(errors="replace")


_DOCUMENTS: Final[Mapping[str, Callable[[wishes.WriteDocument], bytes]]] = {
    ".md": _text,
    ".txt": _text,
    ".docx": lambda wish: word(wish.content),
    ".xlsx": _workbook,
    ".csv": _delimited,
    ".eml": _mail,
}
_TABLES: Final[Mapping[str, Callable[[Grid], bytes]]] = {
    ".xlsx": _sheet,
    ".csv": partial(_separated, delimiter=","),
    ".tsv": partial(_separated, delimiter="\t"),
    ".md": _markdown,
    ".json": _json,
}


# --- reports


def report(path: str, table: Table, wish: wishes.Shape, *, language: str) -> Made:
    """Return what is asked for, by the values of a column that is named, else of one that has a handful of them.

    It is in ``language``, what is about Korean words in Korean.

    Raises:
        DeskhandError: ``not_found`` for a column, or where there are no rows.
    """
    whole = shape([(path, table)], wishes.Shape())
    wish = wish.model_copy(update={"by": wish.by or _grouping(table, whole.columns), "top": 200})
    groups = shape([(path, table)], wish) if wish.by else None
    told = _Told(path, table, whole.columns, language_of(*table.names, default=language))
    figures = [(column, found) for column in whole.columns if (found := _measured(column, table))]
    summary = [*told.summary(figures), *(told.groups(groups) if groups else ())]
    notes = [*told.file(), *told.read(), *told.left_out(figures)]
    rows = table_rows(whole.columns, whole.rows[: told.rows_max])
    sheets = {"summary": summary, "data": rows, "notes": notes}
    data = build((told.say(f"sheet.{name}"), each) for name, each in sheets.items())
    grouped = len(groups.rows) * (len(groups.columns) - 1) if groups else 0
    return Made(grid=whole, figures=figures, grouped=grouped + 1, data=data)


def _grouping(table: Table, columns: Sequence[Column]) -> list[str]:
    has_sums = any(column.kind == "number" for column in columns)
    # A column with more different values is not grouped by on its own accord.
    most = min(30, len(table.rows) // 2) if has_sums else 0
    texts = (column for column in columns if column.kind == "text")
    found = ((c.name, {row.cells[c.index].strip() for row in table.rows}) for c in texts)
    return next(([name] for name, values in found if 1 < len(values) <= most), list[str]())


def _measured(column: Column, table: Table) -> dict[str, Decimal]:
    """Return how many numbers there are and what they come to, the mean with two more places than were written."""
    cells = (column.number(row.cells[column.index], column) for row in table.rows)
    numbers = [value for value in cells if value is not None]
    if not numbers or not column.measured:
        return {}
    step = Decimal(1).scaleb(-2 - max(map(places, numbers)))
    with localcontext(EXACT):
        total = sum(numbers, Decimal(0))
        average = (total / len(numbers)).quantize(step)
    return {
        **({"sum": total} if column.kind == "number" else {}),
        "count": Decimal(len(numbers)),
        "average": average,
        "minimum": min(numbers),
        "maximum": max(numbers),
    }


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said of a table, row by row."""

    path: str
    table: Table
    columns: Sequence[Column]
    language: str

    def say(self, key: str, **values: object) -> str:
        return text(f"command.report.{key}", language=self.language, **values)

    def heads(self, *keys: str) -> Sequence[Bold]:
        return [Bold(self.say(key)) for key in keys]

    @property
    def rows_max(self) -> int:
        return min(20_000, 300_000 // len(self.columns))

    def summary(self, found: Sequence[tuple[Column, Figures]]) -> _Rows:
        """Say how many rows there are, and of each column how many values and what they come to."""
        rows = len(self.table.rows)
        yield [Bold(self.say("title", path=self.path))]
        yield [self.say("rows"), rows]
        yield []
        yield self.heads(*(f"head.{head}" for head in ("column", "count", "missing", *_MEASURES)))
        for column, figures in found:
            kind, count = Percent if column.kind == "percent" else Decimal, int(figures["count"])
            shown = (kind(figures[measure]) if measure in figures else None for measure in _MEASURES)
            yield [column.name, count, rows - count, *shown]

    def groups(self, groups: Grid) -> _Rows:
        """Say of each group how many rows it has and their sums."""
        yield []
        yield [Bold(self.say("by", column=groups.columns[0].name))]
        yield from table_rows(groups.columns, groups.rows)

    def file(self) -> _Rows:
        """Say how the file is written, and what of it is not in the data or in no sum."""
        table = self.table
        known, header = _DELIMITERS.get(table.delimiter), table.header_line
        said = {
            "file": self.path,
            "encoding": table.encoding,
            "delimiter": self.say(f"delimiter.{known}") if known else table.delimiter,
            "header": self.say("line", line=header) if header else self.say("note.no_header"),
            "quotes": "" if table.quoted else self.say("note.quotes_open"),
        }
        if len(table.rows) > self.rows_max:
            said["data_cut"] = self.say("first_rows", count=self.rows_max)
        if table.totals:
            said["totals_row"] = self.say("line", line=table.totals.line)
        yield self.heads("notes_title")
        yield from ([self.say(f"note.{key}"), value] for key, value in said.items() if value)

    def read(self) -> _Rows:
        """Say as what each column was read, and what in it somebody should look at."""
        yield self.heads("head.column", "note.read_as", "note.look_at")
        for column in self.columns:
            cells = [(row.line, row.cells[column.index]) for row in self.table.rows]
            values = [value_of(cell, column) for _, cell in cells]
            days = [value for value in values if isinstance(value, date)]
            read = [self.say(f"kind.{column.kind}")]
            read += [self.say(f"style.{column.style}")] if column.measured else []
            read += [f"{min(days)} – {max(days)}"] if days else []
            look = list[str]()
            if column.unsure:
                kind = column.kind if column.kind in ("date", "text") else "number"
                look.append(self.say(f"unsure_{kind}", value=column.unsure))
            unread = [
                self.say("line_value", line=line, value=cell.strip()[:80])
                for (line, cell), value in zip(cells, values, strict=True)
                if value is None and not is_missing(cell) and (column.measured or column.dated)
            ]
            if unread:
                shown = ", ".join(unread[:5])
                look.append(self.say("unreadable", count=len(unread), shown=shown))
            said = ", ".join(filter(None, [*read, column.currency]))
            yield [column.name, said, "; ".join(look)]

    def left_out(self, figures: Sequence[tuple[Column, Figures]]) -> _Rows:
        """Say what a totals row says that adds up otherwise or the same, and which rows are in no sum."""
        totals = self.table.totals
        for column, found in figures:
            said = totals and amount(totals.cells[column.index], column.style)
            if said and "sum" in found:
                key = "totals_equal" if said.value == found["sum"] else "totals_differ"
                values = {"said": f"{said.value:f}", "found": f"{found['sum']:f}"}
                yield [column.name, self.say(key, **values)]
        if skipped := self.table.skipped:
            yield [Bold(self.say("note.skipped", count=len(skipped))), *self.heads("note.why")]
            for row in skipped[:50]:
                why = {"fields": len(row.cells), "width": len(self.columns)}
                yield [self.say("line", line=row.line), self.say("skipped.width", **why)]
