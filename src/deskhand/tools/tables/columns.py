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
from deskhand.tools.tables.numbers import WORDS, Amount, Style, amount, is_missing, votes
from deskhand.tools.tables.reading import Row, Table

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


Read = Callable[[str, Column], Decimal | None]
"""How a number is read."""


def recognise(table: Table) -> tuple[Column, ...]:
    """Return what each column holds, decided by its own values and, when they leave it open, by the other columns."""
    samples = [_sample(table.rows, index) for index in range(len(table.names))]
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


def _sample(rows: Sequence[Row], index: int) -> list[str]:
    """Values spread over the whole table, so that a late 25/12 still decides the order of dates."""
    step = max(1, len(rows) // 2000)
    cells = (row.cells[index] for row in rows[::step])
    return [cell for cell in cells if not is_missing(cell)]


def _column(blank: Column, sample: list[str], style: Style, either: str) -> Column:
    if not sample:
        return blank
    # Most of the values read as one; a column of which only half do is pointed out.
    needed, order = len(sample) * 0.9, order_of(sample)
    if order is not None and sum(a_date(cell, order) is not None for cell in sample) >= needed:
        unsure = sample[0].strip() if order == "either" else ""
        return replace(blank, kind="date", order=order, unsure=unsure)
    read = [amount(cell, style) for cell in sample]
    amounts = [found for found in read if found is not None]
    if len(amounts) < needed:
        nearly = len(amounts) > len(sample) * 0.5
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
