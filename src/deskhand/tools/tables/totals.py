"""What the columns of a table hold and what they add up to, exactly.

Only what may honestly be added up is: identifiers, years, percentages and mixed currencies are not, and the result
says why. Whatever could not be read is counted and named with its line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Context, Decimal, localcontext
from operator import itemgetter
from typing import Final, Literal

from deskhand.core.dates import Order, a_date, order_of
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.tables.numbers import WORDS, Amount, Style, amount, is_missing, places, votes
from deskhand.tools.tables.reading import Row, Table

Value = Decimal | date | None
Kind = Literal["number", "percent", "identifier", "mixed", "date", "text"]

VALUE_SHARE_MIN: Final = 0.9
"""A column is a number or date column when at least this share of its values reads as one."""
NEARLY_SHARE_MIN: Final = 0.5
"""A text column in which so many values are numbers is pointed out."""
GROUPS_MAX: Final = 30
"""A column with more different values than this is not grouped by on its own accord."""
GROUPS_GIVEN_MAX: Final = 200
SKIPPED_GIVEN_MAX: Final = 50
UNREADABLE_SHOWN_MAX: Final = 20
AVERAGE_PLACES_MORE: Final = 2
EXACT: Final = Context(prec=200)

_SAMPLE: Final = 2000
_OF_FILES: Final = ("encoding", "delimiter", "quoted", "width", "header_line", "blank_lines")
_OF_COLUMNS: Final = ("name", "kind", "style", "currency", "unsure")
_IDENTIFIER = re.compile("|".join(WORDS["identifier"]), re.IGNORECASE)
_LEADING_ZERO = re.compile(r"0[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column holds. ``unsure`` is a value that means two things and nothing decides."""

    index: int
    name: str
    kind: Kind
    style: Style = Style.POINT
    order: Order = "day"
    currency: str = ""
    unsure: str = ""

    @property
    def adds_up(self) -> bool:
        """Whether a sum of it means something."""
        return self.kind == "number"

    @property
    def measured(self) -> bool:
        """Whether an average, smallest and largest value mean something."""
        return self.kind in ("number", "percent")

    @property
    def dated(self) -> bool:
        """Whether its cells are days beyond doubt."""
        return self.kind == "date" and not self.unsure


def described(table: Table, *, by: str | None) -> JsonObject:
    """Return how a table is written, what its columns hold and add up to, all of it and by the values of one.

    That is the one that is named, else one that has a handful of them.

    Raises:
        DeskhandError: ``not_found`` when ``by`` is no column; the detail names those there are.
    """
    columns = recognise(table)
    chosen = _grouping(table, columns, by)
    with localcontext(EXACT):
        values = [[value_of(row.cells[c.index], c) for row in table.rows] for c in columns]
        return {
            **{name: getattr(table, name) for name in _OF_FILES},
            "rows_total": len(table.rows),
            "renamed": [*table.renamed],
            "skipped": [_skipped(row, table) for row in table.skipped[:SKIPPED_GIVEN_MAX]],
            "skipped_total": len(table.skipped),
            "columns": [_told(column, values[column.index], table.rows) for column in columns],
            "groups": _groups(table.rows, columns, values, chosen) if chosen else None,
            "totals_row": _totals(table.totals, columns, values) if table.totals else None,
        }


def _told(column: Column, values: Sequence[Value], rows: Sequence[Row]) -> JsonObject:
    """Return what a column holds; ``unreadable`` are the first lines and values that did not fit it."""
    cells = [row.cells[column.index] for row in rows]
    missing = [is_missing(cell) for cell in cells]
    unread: list[JsonObject] = [
        {"line": row.line, "value": cell.strip()[:80]}
        for row, cell, gone, value in zip(rows, cells, missing, values, strict=True)
        if value is None and not gone and (column.measured or column.dated)
    ]
    days = [value for value in values if isinstance(value, date)]
    return {
        **{name: getattr(column, name) for name in _OF_COLUMNS},
        "missing": sum(missing),
        "unreadable": [*unread[:UNREADABLE_SHOWN_MAX]],
        "unreadable_total": len(unread),
        "first": min(days).isoformat() if days else None,
        "last": max(days).isoformat() if days else None,
        **_measures(column, values),
    }


def _measures(column: Column, values: Iterable[Value]) -> JsonObject:
    """Return how many numbers there are and what they come to, the mean with two more places than were written."""
    numbers = [value for value in values if isinstance(value, Decimal)]
    total, most = sum(numbers, Decimal(0)), max(map(places, numbers), default=0)
    step = Decimal(1).scaleb(-most - AVERAGE_PLACES_MORE)
    measures = {
        "sum": total if numbers and column.adds_up else None,
        "average": (total / len(numbers)).quantize(step) if numbers else None,
        "minimum": min(numbers, default=None),
        "maximum": max(numbers, default=None),
    }
    told = {name: None if each is None else f"{each:f}" for name, each in measures.items()}
    return {"count": len(numbers), **told}


def _groups(
    rows: Sequence[Row], columns: Sequence[Column], values: Sequence[Sequence[Value]], by: Column
) -> JsonObject:
    """Return the groups by their weight; of each column the sum where it means something, else the average."""
    members = defaultdict[str, list[int]](list)
    for number, row in enumerate(rows):
        members[row.cells[by.index].strip()].append(number)
    measured = [column for column in columns if column.measured]
    adding = next((n for n, column in enumerate(measured) if column.adds_up), None)
    groups = list[tuple[Decimal, str, JsonObject]]()
    for name, inside in members.items():
        found = [
            _measures(c, (values[c.index][n] for n in inside))["sum" if c.adds_up else "average"]
            for c in measured
        ]
        weight = len(inside) if adding is None else str(found[adding] or 0)
        told: JsonObject = {"name": name, "rows": len(inside), "values": [*found]}
        groups.append((-Decimal(weight), name, told))
    return {
        "column": by.index,
        "measures": [column.index for column in measured],
        "groups": [told for _, _, told in sorted(groups, key=itemgetter(0, 1))[:GROUPS_GIVEN_MAX]],
        "groups_total": len(groups),
    }


def _totals(row: Row, columns: Sequence[Column], values: Sequence[Sequence[Value]]) -> JsonObject:
    """Return a last row that already added up: what it says beside what we found."""
    compared = list[Json]()
    for column in columns:
        said = amount(row.cells[column.index], column.style)
        if column.adds_up and said is not None:
            numbers = (each for each in values[column.index] if isinstance(each, Decimal))
            found = sum(numbers, Decimal(0))
            told: JsonObject = {"said": f"{said.value:f}", "found": f"{found:f}"}
            compared.append({"column": column.index, **told, "equal": said.value == found})
    return {"line": row.line, "compared": compared}


def _skipped(row: Row, table: Table) -> JsonObject:
    first = table.header_line or next((each.line for each in table.rows), 0)
    why = "before_header" if row.line < first else "width"
    return {"line": row.line, "why": why, "fields": len(row.cells)}


def recognise(table: Table) -> tuple[Column, ...]:
    """Return what each column holds, decided by its own values and, when they leave it open, by the other columns."""
    samples = [_sample(table.rows, index) for index in range(table.width)]
    voted = [votes(sample) for sample in samples]
    leaning = sum(vote for vote, _ in voted) or (-1 if table.delimiter == ";" else 1)
    return tuple(
        _column(
            Column(index=index, name=name, kind="text"),
            sample,
            Style.POINT if (vote or leaning) > 0 else Style.COMMA,
            "" if vote else either,
        )
        for index, (name, sample, (vote, either)) in enumerate(
            zip(table.names, samples, voted, strict=True)
        )
    )


def value_of(cell: str, column: Column) -> Value:
    """Return what a cell of this column means: a number in its currency, a day, or nothing beyond its words."""
    if column.measured:
        found = amount(cell, column.style)
        return found.value if found and found.currency in ("", column.currency) else None
    return a_date(cell, column.order) if column.dated else None


def _sample(rows: Sequence[Row], index: int) -> list[str]:
    """Values spread over the whole table, so that a late 25/12 still decides the order of dates."""
    step = max(1, len(rows) // _SAMPLE)
    cells = (row.cells[index] for row in rows[::step])
    return [cell for cell in cells if not is_missing(cell)]


def _column(blank: Column, sample: list[str], style: Style, either: str) -> Column:
    if not sample:
        return blank
    needed, order = len(sample) * VALUE_SHARE_MIN, order_of(sample)
    if order is not None and sum(a_date(cell, order) is not None for cell in sample) >= needed:
        unsure = sample[0].strip() if order == "either" else ""
        return replace(blank, kind="date", order=order, unsure=unsure)
    read = [amount(cell, style) for cell in sample]
    amounts = [found for found in read if found is not None]
    if len(amounts) < needed:
        nearly = len(amounts) > len(sample) * NEARLY_SHARE_MIN
        return replace(blank, unsure=sample[read.index(None)].strip()[:80] if nearly else "")
    currencies = {found.currency for found in amounts if found.currency}
    return replace(
        blank,
        kind=_number_kind(blank.name, sample, amounts, currencies),
        style=style,
        currency=next(iter(currencies)) if len(currencies) == 1 else "",
        unsure=either,
    )


def _number_kind(
    name: str, sample: Sequence[str], amounts: Sequence[Amount], currencies: set[str]
) -> Kind:
    percents = sum(found.percent for found in amounts)
    if len(currencies) > 1 or 0 < percents < len(amounts):
        return "mixed"
    if percents:
        return "percent"
    if not currencies and all(found.value == found.value.to_integral_value() for found in amounts):
        zeros = any(_LEADING_ZERO.fullmatch(cell.strip()) for cell in sample)
        if zeros or _IDENTIFIER.fullmatch(name):
            return "identifier"
    return "number"


def _grouping(table: Table, columns: Sequence[Column], by: str | None) -> Column | None:
    if by is not None:
        wanted = " ".join(by.split()).casefold()
        named = next((column for column in columns if column.name.casefold() == wanted), None)
        if named is None:
            there = ", ".join(table.names)
            raise DeskhandError(Code.NOT_FOUND, f"no column {by}; there is {there}")
        return named
    most = min(GROUPS_MAX, len(table.rows) // 2) if any(each.adds_up for each in columns) else 0
    for column in columns:
        if column.kind == "text":
            values = {row.cells[column.index].strip() for row in table.rows}
            if 1 < len(values) <= most:
                return column
    return None
