"""What the columns of a table hold.

Only what may honestly be added up is a number: identifiers, years, percentages and mixed currencies are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Context, Decimal
from typing import Final, Literal

from deskhand.core.dates import Order, a_date, order_of
from deskhand.tools.tables.reading import WORDS, Amount, Style, Table, amount, is_missing, votes

Value = Decimal | date | None
Kind = Literal["number", "percent", "identifier", "mixed", "date", "text"]

EXACT: Final = Context(prec=200)

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
    def measured(self) -> bool:
        """Whether an average, smallest and largest value mean something."""
        return self.kind in ("number", "percent")

    @property
    def dated(self) -> bool:
        """Whether its cells are days beyond doubt."""
        return self.kind == "date" and not self.unsure


Read = Callable[[str, Column], Decimal | None]
"""How a number is read."""


def recognise(table: Table) -> tuple[Column, ...]:
    """Return what each column holds, decided by its own values and, when they leave it open, by the other columns."""
    # Spread over the whole table, so that a late 25/12 still decides the order of dates.
    rows, found = table.rows[:: max(1, len(table.rows) // 2000)], list[Column]()
    columns = ([row.cells[n] for row in rows] for n in range(len(table.names)))
    samples = [[cell for cell in cells if not is_missing(cell)] for cells in columns]
    voted = [votes(sample) for sample in samples]
    leaning = sum(vote for vote, _ in voted) or (-1 if table.delimiter == ";" else 1)
    for name, sample, (vote, either) in zip(table.names, samples, voted, strict=True):
        style = Style.POINT if (vote or leaning) > 0 else Style.COMMA
        blank = Column(index=len(found), name=name, kind="text", style=style)
        found.append(_column(blank, sample, "" if vote else either) if sample else blank)
    return tuple(found)


def number_of(cell: str, column: Column) -> Decimal | None:
    """Return the number in a cell, nothing where it is of another currency than its column."""
    found = amount(cell, column.style)
    same = found and (column.kind == "mixed" or found.currency in ("", column.currency))
    return found.value if found and same else None


def value_of(cell: str, column: Column, read: Read = number_of) -> Value:
    """Return what a cell of this column means: a number in its currency, a day, or nothing beyond its words."""
    if column.measured:
        return read(cell, column)
    return a_date(cell, column.order) if column.dated else None


def _column(blank: Column, sample: list[str], either: str) -> Column:
    # Most of the values read as one; a column of which only half do is pointed out.
    needed, order = len(sample) * 0.9, order_of(sample)
    if order is not None and sum(a_date(cell, order) is not None for cell in sample) >= needed:
        unsure = sample[0].strip() if order == "either" else ""
        return replace(blank, kind="date", order=order, unsure=unsure)
    read = [amount(cell, blank.style) for cell in sample]
    amounts = [found for found in read if found is not None]
    if len(amounts) < needed:
        nearly = len(amounts) > len(sample) * 0.5
        return replace(blank, unsure=sample[read.index(None)].strip()[:80] if nearly else "")
    kind, currency = _numbers(blank.name, sample, amounts)
    return replace(blank, kind=kind, currency=currency, unsure=either)


def _numbers(name: str, sample: Sequence[str], amounts: Sequence[Amount]) -> tuple[Kind, str]:
    """Return what kind of numbers they are, and their currency if they have one."""
    percents = sum(found.percent for found in amounts)
    currency, *others = sorted({found.currency for found in amounts} - {""}) or [""]
    if others or 0 < percents < len(amounts):
        return "mixed", ""
    if percents:
        return "percent", currency
    if not currency and all(found.value == found.value.to_integral_value() for found in amounts):
        zeros = any(_LEADING_ZERO.fullmatch(cell.strip()) for cell in sample)
        if zeros or _IDENTIFIER.fullmatch(name):
            return "identifier", ""
    return "number", currency
