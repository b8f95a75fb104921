"""A report of a table: a workbook with what it adds up to, its rows, and how its file was read.

It refuses to add up what has no honest sum. Whatever was left out, could not be read or means two things is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Final

from deskhand.protocol.wishes import Shape
from deskhand.texts import language_of, text
from deskhand.tools import workbooks
from deskhand.tools.tables.columns import EXACT, Column, value_of
from deskhand.tools.tables.numbers import amount, is_missing, places
from deskhand.tools.tables.reading import Table
from deskhand.tools.tables.shaping import Grid, shape
from deskhand.tools.workbooks import Cell

ROWS_SHEET_MAX: Final = 20_000
CELLS_SHEET_MAX: Final = 300_000
GROUPS_MAX: Final = 30
"""A column with more different values than this is not grouped by on its own accord."""
GROUPS_SHOWN_MAX: Final = 200
SKIPPED_SHOWN_MAX: Final = 50
_UNREADABLE_SHOWN_MAX: Final = 5
_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MEASURES: Final = ("sum", "average", "minimum", "maximum")
Figures = Mapping[str, Decimal]
_Cells = Sequence[Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A file and the ``figures`` in it: of each column that has some, and of ``groups`` by their ``shape``."""

    whole: Grid
    figures: Sequence[tuple[Column, Figures]]
    groups: Grid | None
    shape: Shape
    data: bytes


def report(path: str, table: Table, wish: Shape, *, language: str) -> Report:
    """Return what is asked for, by the values of a column that is named, else of one that has a handful of them.

    It is in ``language``, what is about Korean words in Korean.

    Raises:
        DeskhandError: ``not_found`` for a column, or where there are no rows.
    """
    whole = shape([(path, table)], Shape())
    grouping = wish.by or _grouping(table, whole.columns)
    wish = wish.model_copy(update={"by": grouping, "top": GROUPS_SHOWN_MAX})
    groups = shape([(path, table)], wish) if grouping else None
    told = _Told(path, table, whole.columns, language_of(*table.names, default=language))
    with localcontext(EXACT):
        found = [(column, _measured(column, table)) for column in whole.columns if column.measured]
        figures = [(column, each) for column, each in found if each]
        summary = [*told.summary(figures), *(told.groups(groups) if groups else ())]
        notes = [*told.file(), *told.read(), *told.left_out(dict(figures))]
    rows = workbooks.table_rows(whole.columns, whole.rows[: told.rows_max])
    sheets = (
        workbooks.Sheet(name=told.say("sheet.summary"), rows=summary, headed=False),
        workbooks.Sheet(name=told.say("sheet.data"), rows=rows),
        workbooks.Sheet(name=told.say("sheet.notes"), rows=notes, headed=False),
    )
    data = workbooks.build(sheets)
    return Report(whole=whole, figures=figures, groups=groups, shape=wish, data=data)


def _grouping(table: Table, columns: Sequence[Column]) -> list[str]:
    most = min(GROUPS_MAX, len(table.rows) // 2) if any(each.adds_up for each in columns) else 0
    texts = (column for column in columns if column.kind == "text")
    found = ((c.name, {row.cells[c.index].strip() for row in table.rows}) for c in texts)
    return next(([name] for name, values in found if 1 < len(values) <= most), list[str]())


def _measured(column: Column, table: Table) -> dict[str, Decimal]:
    """Return how many numbers there are and what they come to, the mean with two more places than were written."""
    cells = (value_of(row.cells[column.index], column) for row in table.rows)
    numbers = [value for value in cells if isinstance(value, Decimal)]
    if not numbers:
        return {}
    total = sum(numbers, Decimal(0))
    step = Decimal(1).scaleb(-2 - max(map(places, numbers)))
    return {
        **({"sum": total} if column.adds_up else {}),
        "count": Decimal(len(numbers)),
        "average": (total / len(numbers)).quantize(step),
        "minimum": min(numbers),
        "maximum": max(numbers),
    }


def _row(*said: str | int | Decimal | Cell | None, look: workbooks.Look = "plain") -> _Cells:
    return [each if isinstance(each, Cell) else Cell(value=each, look=look) for each in said]


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said of a table, row by row."""

    path: str
    table: Table
    columns: Sequence[Column]
    language: str

    def say(self, key: str, **values: object) -> str:
        return text(f"command.report.{key}", language=self.language, **values)

    @property
    def rows_max(self) -> int:
        return min(ROWS_SHEET_MAX, CELLS_SHEET_MAX // len(self.columns))

    def summary(self, found: Sequence[tuple[Column, Figures]]) -> Iterator[_Cells]:
        """Say how many rows there are, and of each column how many values and what they come to."""
        rows, heads = len(self.table.rows), ("column", "count", "missing", *_MEASURES)
        yield _row(self.say("title", path=self.path), look="title")
        yield _row(self.say("rows"), rows)
        yield []
        yield _row(*(self.say(f"head.{head}") for head in heads), look="header")
        for column, figures in found:
            form, shown = column.kind == "percent", (figures.get(measure) for measure in _MEASURES)
            cells = (each and Cell(value=each, percent=form, places=places(each)) for each in shown)
            count = int(figures["count"])
            yield _row(column.name, count, rows - count, *cells)

    def groups(self, groups: Grid) -> Iterator[_Cells]:
        """Say of each group how many rows it has and their sums."""
        yield []
        yield _row(self.say("by", column=groups.columns[0].name), look="title")
        yield from workbooks.table_rows(groups.columns, groups.rows)

    def file(self) -> Iterator[_Cells]:
        """Say how the file is written."""
        delimiter, header = self.table.delimiter, self.table.header_line
        known = _DELIMITERS.get(delimiter)
        line = self.say("line", line=header) if header else self.say("note.no_header")
        yield _row(self.say("notes_title"), look="title")
        yield _row(self.say("note.file"), self.path)
        yield _row(self.say("note.encoding"), self.table.encoding)
        yield _row(
            self.say("note.delimiter"), self.say(f"delimiter.{known}") if known else delimiter
        )
        yield _row(self.say("note.header"), line)
        if not self.table.quoted:
            yield _row(self.say("note.quotes"), self.say("note.quotes_open"))
        yield []

    def read(self) -> Iterator[_Cells]:
        """Say as what each column was read, and what in it somebody should look at."""
        heads = ("head.column", "note.read_as", "note.look_at")
        yield _row(*map(self.say, heads), look="header")
        for column in self.columns:
            cells = [(row.line, row.cells[column.index]) for row in self.table.rows]
            values = [(*each, value_of(each[1], column)) for each in cells]
            read = [self.say(f"kind.{column.kind}")]
            read += [self.say(f"style.{column.style}")] if column.measured else []
            read += [column.currency] if column.currency else []
            days = [value for _, _, value in values if isinstance(value, date)]
            read += [f"{min(days)} – {max(days)}"] if days else []
            look = list[str]()
            if column.unsure:
                kind = column.kind if column.kind in ("date", "text") else "number"
                look.append(self.say(f"unsure_{kind}", value=column.unsure))
            unread = [
                self.say("line_value", line=line, value=cell.strip()[:80])
                for line, cell, value in values
                if value is None and not is_missing(cell) and (column.measured or column.dated)
            ]
            if unread:
                shown = ", ".join(unread[:_UNREADABLE_SHOWN_MAX])
                look.append(self.say("unreadable", count=len(unread), shown=shown))
            yield _row(column.name, ", ".join(read), "; ".join(look) or None)

    def left_out(self, figures: Mapping[Column, Figures]) -> Iterator[_Cells]:
        """Say which rows are not in the data, or in no sum, and why."""
        if len(self.table.rows) > self.rows_max:
            yield _row(self.say("note.data_cut"), self.say("first_rows", count=self.rows_max))
        if self.table.totals:
            yield []
            yield _row(self.say("note.totals_row"), self.say("line", line=self.table.totals.line))
            for column, found in figures.items():
                said = amount(self.table.totals.cells[column.index], column.style)
                if said and "sum" in found:
                    key = "totals_equal" if said.value == found["sum"] else "totals_differ"
                    values = {"said": f"{said.value:f}", "found": f"{found['sum']:f}"}
                    yield _row(column.name, self.say(key, **values))
        if skipped := self.table.skipped:
            yield []
            count = self.say("note.skipped", count=len(skipped))
            yield _row(count, self.say("note.why"), look="header")
            for row in skipped[:SKIPPED_SHOWN_MAX]:
                why = {"fields": len(row.cells), "width": len(self.columns)}
                yield _row(self.say("line", line=row.line), self.say("skipped.width", **why))
