"""What the columns of a table hold and what they add up to, exactly.

Only what may honestly be added up is: identifiers, years, percentages and mixed currencies are not, and the result
says why. Whatever could not be read is counted and named with its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Context, Decimal, localcontext
from typing import Final, Literal

from deskhand.core.dates import Order, a_date, order_of
from deskhand.errors import Code, DeskhandError
from deskhand.tools.tables.numbers import (
    Amount,
    Style,
    StyleVotes,
    amount,
    is_missing,
    places,
    votes,
)
from deskhand.tools.tables.reading import Row, Table

Kind = Literal["number", "percent", "identifier", "mixed", "date", "text"]

VALUE_SHARE_MIN: Final = 0.9
"""A column is a number or date column when at least this share of its values reads as one."""
NEARLY_SHARE_MIN: Final = 0.5
"""A text column in which so many values are numbers is pointed out."""
GROUPS_MAX: Final = 30
"""A column with more different values than this is not grouped by on its own accord."""
UNREADABLE_SHOWN_MAX: Final = 20
AVERAGE_PLACES_MORE: Final = 2
EXACT: Final = Context(prec=200)

_SAMPLE: Final = 2000
_IDENTIFIER = re.compile(
    r"(?:.*[\s_-])?(?:id|nr\.?|code|zip|zipcode|postcode|plz|phone|tel|mobile|sku|isbn|ean|year|month|week)"
    r"|.+[\s_-](?:no\.?|number)|no\.?|#|index|.*(?:번호|코드|연도|년도|연월|주차|순번)|년|월",
    re.IGNORECASE,
)
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


@dataclass(slots=True, kw_only=True)
class Sum:
    """A running total."""

    count: int = 0
    total: Decimal = Decimal(0)
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    places: int = 0

    def add(self, value: Decimal) -> None:
        """Count one value in; the caller's decimal context must be ``EXACT``."""
        self.count += 1
        self.total += value
        self.places = max(self.places, places(value))
        self.minimum = value if self.minimum is None else min(self.minimum, value)
        self.maximum = value if self.maximum is None else max(self.maximum, value)

    def average(self) -> Decimal | None:
        """Return the mean, rounded to two more places than were written."""
        if not self.count:
            return None
        step = Decimal(1).scaleb(-(self.places + AVERAGE_PLACES_MORE))
        return EXACT.divide(self.total, Decimal(self.count)).quantize(step, context=EXACT)


@dataclass(slots=True, kw_only=True)
class Facts:
    """What was counted in one column; ``unreadable`` are the first lines and values that did not fit it."""

    sum: Sum = field(default_factory=Sum)
    missing: int = 0
    unreadable_total: int = 0
    unreadable: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    first: date | None = None
    last: date | None = None


@dataclass(slots=True, kw_only=True)
class Group:
    """The rows that have one value in the grouping column; ``sums`` by column index."""

    name: str
    rows: int = 0
    sums: dict[int, Sum] = field(default_factory=dict[int, Sum])


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that is known of a table."""

    columns: tuple[Column, ...]
    facts: tuple[Facts, ...]
    by: Column | None
    groups: tuple[Group, ...]


def summarise(table: Table, *, by: str | None) -> Summary:
    """Return what the columns hold and add up to, per value of a column that is named or has a handful of them.

    Raises:
        DeskhandError: ``not_found`` when ``by`` is no column; the detail names those there are.
    """
    columns = recognise(table)
    chosen = _grouping(table, columns, by)
    facts = tuple(Facts() for _ in columns)
    groups: dict[str, Group] = {}
    with localcontext(EXACT):
        for row in table.rows:
            group = None
            if chosen is not None:
                name = row.cells[chosen.index].strip()
                group = groups.setdefault(name, Group(name=name))
                group.rows += 1
            for column, fact in zip(columns, facts, strict=True):
                _count(row, column, fact, group)
    return Summary(columns=columns, facts=facts, by=chosen, groups=tuple(groups.values()))


def recognise(table: Table) -> tuple[Column, ...]:
    """Return what each column holds, decided by its own values and, when they leave it open, by the other columns."""
    samples = [_sample(table.rows, index) for index in range(table.width)]
    voted = [votes(sample) for sample in samples]
    leaning = _style(
        sum(vote.point for vote in voted),
        sum(vote.comma for vote in voted),
        Style.COMMA if table.delimiter == ";" else Style.POINT,
    )
    return tuple(
        _column(Column(index=index, name=name, kind="text"), sample, vote, leaning)
        for index, (name, sample, vote) in enumerate(zip(table.names, samples, voted, strict=True))
    )


def value_of(cell: str, column: Column) -> Decimal | date | None:
    """Return what a cell of this column means: a number in its currency, a day, or nothing beyond its words."""
    if column.measured:
        found = amount(cell, column.style)
        return found.value if found and found.currency in ("", column.currency) else None
    return a_date(cell, column.order) if column.dated else None


def _count(row: Row, column: Column, fact: Facts, group: Group | None) -> None:
    cell = row.cells[column.index]
    if is_missing(cell):
        fact.missing += 1
        return
    if not column.measured and not column.dated:
        return
    found = value_of(cell, column)
    if found is None:
        fact.unreadable_total += 1
        if len(fact.unreadable) < UNREADABLE_SHOWN_MAX:
            fact.unreadable.append((row.line, cell.strip()[:80]))
    elif isinstance(found, date):
        fact.first = min(fact.first or found, found)
        fact.last = max(fact.last or found, found)
    else:
        fact.sum.add(found)
        if group is not None:
            group.sums.setdefault(column.index, Sum()).add(found)


def _sample(rows: Sequence[Row], index: int) -> list[str]:
    """Values spread over the whole table, so that a late 25/12 still decides the order of dates."""
    step = max(1, len(rows) // _SAMPLE)
    cells = (row.cells[index] for row in rows[::step])
    return [cell for cell in cells if not is_missing(cell)]


def _column(blank: Column, sample: list[str], vote: StyleVotes, leaning: Style) -> Column:
    if not sample:
        return blank
    needed, order = len(sample) * VALUE_SHARE_MIN, order_of(sample)
    if order is not None and sum(a_date(cell, order) is not None for cell in sample) >= needed:
        unsure = sample[0].strip() if order == "either" else ""
        return replace(blank, kind="date", order=order, unsure=unsure)
    style = _style(vote.point, vote.comma, leaning)
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
        unsure=vote.either if not vote.point and not vote.comma else "",
    )


def _style(point: int, comma: int, otherwise: Style) -> Style:
    if point == comma:
        return otherwise
    return Style.POINT if point > comma else Style.COMMA


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
