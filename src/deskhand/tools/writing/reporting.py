"""A report of a table: a workbook with what it adds up to, its rows, and how its file was read.

It refuses to add up what has no honest sum. Whatever was left out, could not be read or means two things is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from typing import Final

from deskhand.protocol.wishes import Shape
from deskhand.texts import language_of, text
from deskhand.tools.tables.reading import EXACT, Column, Table, amount, is_missing, places, value_of
from deskhand.tools.tables.shaping import Figures, Grid, Made, shape
from deskhand.tools.workbooks import Bold, Percent, Value, build, table_rows

_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_MEASURES: Final = ("sum", "average", "minimum", "maximum")
_Rows = Iterator[Sequence[Value]]


def report(path: str, table: Table, wish: Shape, *, language: str) -> Made:
    """Return what is asked for, by the values of a column that is named, else of one that has a handful of them.

    It is in ``language``, what is about Korean words in Korean.

    Raises:
        DeskhandError: ``not_found`` for a column, or where there are no rows.
    """
    whole = shape([(path, table)], Shape())
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
