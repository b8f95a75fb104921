"""Dates as people write them: ISO, Korean, with month names, and the two orders that look alike.

``03/04/2026`` is decided by the column (a 25 somewhere) or not at all; then it stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

Order = Literal["day", "month"]
"""Which comes first where the year is last."""

_LATE = 12
_CENTURY = 2000
_YEAR_DIGITS = 4
_TIME = r"(?:[T ]\s?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?(?:Z|[AaPp][Mm]|[+-][0-9]{2}:?[0-9]{2}))?)?"
_YEAR_FIRST = re.compile(
    rf"([0-9]{{4}})(?:[-/]|\.\s?|년\s?)([0-9]{{1,2}})(?:[-/]|\.\s?|월\s?)([0-9]{{1,2}})(?:\.|일)?{_TIME}"
)
_YEAR_LAST = re.compile(rf"([0-9]{{1,2}})([-./])([0-9]{{1,2}})\2([0-9]{{4}}|[0-9]{{2}}){_TIME}")
_DAY_NAME = re.compile(r"([0-9]{1,2})\.?[ -]([A-Za-z]{3,9})\.?,?[ -]([0-9]{4}|[0-9]{2})")
_NAME_DAY = re.compile(r"([A-Za-z]{3,9})\.? ([0-9]{1,2})(?:st|nd|rd|th)?,? ([0-9]{4})")
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dating:
    """How a column writes dates. Without an ``order`` where one is needed it is ``ambiguous``."""

    order: Order = "day"
    ambiguous: bool = False


def a_date(cell: str, order: Order) -> date | None:
    """Return the date a cell holds, or nothing."""
    text = cell.strip()
    found = _YEAR_FIRST.fullmatch(text)
    if found is not None:
        return _made(found[1], found[2], found[3])
    found = _YEAR_LAST.fullmatch(text)
    if found is not None:
        first, second = (found[1], found[3]) if order == "day" else (found[3], found[1])
        return _made(found[4], second, first)
    found = _DAY_NAME.fullmatch(text)
    if found is not None:
        return _named(found[3], found[2], found[1])
    found = _NAME_DAY.fullmatch(text)
    return None if found is None else _named(found[3], found[1], found[2])


def dating(cells: Iterable[str]) -> Dating | None:
    """Return how these cells write dates, or nothing when they contradict each other."""
    day_first = month_first = False
    unclear = False
    for cell in cells:
        found = _YEAR_LAST.fullmatch(cell.strip())
        if found is None:
            continue
        day_first = day_first or int(found[1]) > _LATE
        month_first = month_first or int(found[3]) > _LATE
        unclear = unclear or (found[2] != "." and found[1] != found[3])
    if day_first and month_first:
        return None
    return Dating(
        order="month" if month_first else "day",
        ambiguous=unclear and not day_first and not month_first,
    )


def _named(year: str, name: str, day: str) -> date | None:
    month = name[:3].lower()
    return _made(year, str(_MONTHS.index(month) + 1), day) if month in _MONTHS else None


def _made(year: str, month: str, day: str) -> date | None:
    full = int(year) if len(year) == _YEAR_DIGITS else _CENTURY + int(year)
    try:
        return date(full, int(month), int(day))
    except ValueError:
        return None
