"""Documents and tables out: the suffix of the name says which kind, and what a person opens is checked for what it could do.

It refuses to send anything: a mail is a draft that a mail program opens unsent. No cell becomes a formula (UP-09).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from email.message import EmailMessage
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import Final, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json
from deskhand.tools.changing import write_once
from deskhand.tools.tables.columns import Column
from deskhand.tools.tables.reading import is_missing, places
from deskhand.tools.tables.shaping import Grid, typed

_W = TypeVar("_W")


def write_document(wish: wishes.WriteDocument, place: Place) -> ToolResult:
    """Write the document that the name asks for.

    Raises:
        DeskhandError: ``invalid`` for a kind that is not known, or what this kind cannot be made from; ``conflict``.
    """
    data = _made(wish.path, wish, _DOCUMENTS)
    return write_once(place.results, wish.path, data, replace=wish.replace)


def rendered(path: str, grid: Grid) -> bytes:
    """Return the file of a table that a name asks for; the same table is the same bytes.

    Raises:
        DeskhandError: ``invalid`` for a kind that is not known.
    """
    return _made(path, grid, _TABLES)


def _made(path: str, of: _W, kinds: Mapping[str, Callable[[_W], bytes]]) -> bytes:
    make = kinds.get(PurePosixPath(path).suffix.lower())
    if make is None:
        raise DeskhandError(Code.INVALID, f"it ends in {', '.join(kinds)}", field="path")
    return make(of)


def _csv(rows: Iterable[Iterable[str]], delimiter: str = ",") -> bytes:
    """Return the file as spreadsheet programs expect it, with the mark that says it is UTF-8."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode("utf-8-sig", errors="replace")


def _text(wish: wishes.WriteDocument) -> bytes:
    return wish.content.encode("utf-8", errors="replace")


def _word(wish: wishes.WriteDocument) -> bytes:
    from deskhand.tools.writing.word import word

    return word(wish.content)


def _workbook(wish: wishes.WriteDocument) -> bytes:
    from deskhand.tools.workbooks import Cell, build

    def cell(value: Json) -> Cell:
        if isinstance(value, float):
            exact = Decimal(repr(value))
            return Cell(value=exact, places=places(exact))
        return Cell(value=value if isinstance(value, int) else _as_text(value) or None)

    def rows(head: Sequence[Json], *others: Sequence[Json]) -> list[list[Cell]]:
        names = [Cell(value=_as_text(name), bold=True) for name in head]
        return [names, *([*map(cell, row)] for row in others)]

    return build((name, rows(*table)) for name, table in _tables(wish))


def _delimited(wish: wishes.WriteDocument) -> bytes:
    from deskhand.tools.workbooks import neutral

    (_, rows), *more = _tables(wish)
    if more:
        raise DeskhandError(Code.INVALID, "a csv holds one table", field="tables")
    return _csv([neutral(v) if isinstance(v, str) else _as_text(v) for v in row] for row in rows)


def _mail(wish: wishes.WriteDocument) -> bytes:
    mail = EmailMessage()
    try:
        mail["To"], mail["Subject"], mail["X-Unsent"] = ", ".join(wish.to), wish.subject, "1"
        mail.set_content(wish.content)
    except (ValueError, UnicodeError) as error:
        raise DeskhandError(Code.INVALID, str(error)[:200], field="to") from None
    return bytes(mail)


def _tables(wish: wishes.WriteDocument) -> list[tuple[str, Sequence[Sequence[Json]]]]:
    """Return the tables that are given, else those in the markdown."""
    from deskhand.tools.writing.word import blocks, plain

    drawn = (block.rows for block in blocks(wish.content) if block.rows)
    given: list[tuple[str, Sequence[Sequence[Json]]]] = [(t.name, t.rows) for t in wish.tables]
    for number, rows in enumerate(() if given else drawn, start=1):
        given.append((f"Table {number}", [[plain(cell) for cell in row] for row in rows]))
    if not given:
        detail = 'say the rows: [{"name": "Sales", "rows": [["Region", "Sum"], ["North", 10]]}]'
        raise DeskhandError(Code.INVALID, detail, field="tables")
    return given


def _as_text(value: Json) -> str:
    return "" if value is None else str(value)


def _sheet(grid: Grid) -> bytes:
    from deskhand.tools.workbooks import CELLS_READ_MAX, build, table_rows

    if len(grid.columns) * len(grid.rows) > CELLS_READ_MAX:
        detail = f"more than {CELLS_READ_MAX:,} cells; take .csv for so many"
        raise DeskhandError(Code.TOO_LARGE, detail, field="path")
    return build([("Table", table_rows(grid.columns, grid.rows))])


def _separated(grid: Grid, *, delimiter: str) -> bytes:
    """Leave cells as they are written; only what is no value is made harmless."""
    from deskhand.tools.workbooks import neutral

    def cell(said: str, column: Column) -> str:
        value = is_missing(said) or typed(said, column) is not None
        return said if value else neutral(said)

    rows = ([*map(cell, row, grid.columns)] for row in grid.rows)
    return _csv(chain([[neutral(column.name) for column in grid.columns]], rows), delimiter)


def _markdown(grid: Grid) -> bytes:
    rows = [[column.name for column in grid.columns], *grid.rows]
    said = ([" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows)
    head, *lines = (f"| {' | '.join(row)} |" for row in said)
    return "\n".join([head, "|" + "---|" * len(grid.columns), *lines, ""]).encode()


def _json(grid: Grid) -> bytes:
    """Return a list of objects; what a double holds exactly is a number."""
    from deskhand.tools.workbooks import exact, table_rows

    names, *rows = ([*map(exact, row)] for row in table_rows(grid.columns, grid.rows))
    said = [dict(zip(names, row, strict=True)) for row in rows]
    written = json.dumps(said, ensure_ascii=False, indent=1, default=str)
    return (written + "\n").encode(errors="replace")


_DOCUMENTS: Final[Mapping[str, Callable[[wishes.WriteDocument], bytes]]] = {
    ".md": _text,
    ".txt": _text,
    ".docx": _word,
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
