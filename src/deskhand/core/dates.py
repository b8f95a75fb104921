"""Days as people write them: ISO, Korean, with month names, and the two orders that look alike.

``03/04/2026`` is decided by its column (a 25 somewhere) or not at all; it refuses to guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final, Literal

Order = Literal["day", "month", "either"]
"""Which comes first where the year is last."""

_LATE: Final = 12
_CENTURY: Final = 2000
_YEAR_DIGITS: Final = 4
_MONTH_NAMES: Final = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS: Final = _MONTH_NAMES.split()
_TIME = r"(?:[T ]\s?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?: ?(?:Z|[AaPp][Mm]|[+-][0-9]{2}:?[0-9]{2}))?)?"
_YEAR_LAST = re.compile(
    rf"(?P<a>[0-9]{{1,2}})(?P<mark>[-./])(?P<b>[0-9]{{1,2}})(?P=mark)(?P<y>[0-9]{{4}}|[0-9]{{2}}){_TIME}"
)
_CELLS: Final = (
    re.compile(
        r"(?P<y>[0-9]{4})(?:[-/]|\.\s?|년\s?)(?P<m>[0-9]{1,2})(?:[-/]|\.\s?|월\s?)(?P<d>[0-9]{1,2})"
        rf"(?:\.|일)?{_TIME}"
    ),
    re.compile(r"(?P<d>[0-9]{1,2})\.?[ -](?P<m>[A-Za-z]{3,9})\.?,?[ -](?P<y>[0-9]{4}|[0-9]{2})"),
    re.compile(r"(?P<m>[A-Za-z]{3,9})\.? (?P<d>[0-9]{1,2})(?:st|nd|rd|th)?,? (?P<y>[0-9]{4})"),
)
_YEAR = "(?P<y>(?:19|20)[0-9]{2})"
_LINES: Final = (
    re.compile(
        rf"(?<![0-9]){_YEAR}(?P<mark>[-._/]?)(?P<m>[0-9]{{1,2}})(?P=mark)(?P<d>[0-9]{{1,2}})(?![0-9])"
    ),
    re.compile(rf"{_YEAR}년 ?(?P<m>[0-9]{{1,2}})월 ?(?P<d>[0-9]{{1,2}})일"),
    re.compile(rf"\b(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)? (?P<m>[A-Z][a-z]{{2,8}}),? {_YEAR}"),
    re.compile(rf"\b(?P<m>[A-Z][a-z]{{2,8}}) (?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?,? {_YEAR}"),
)


def a_date(cell: str, order: Order) -> date | None:
    """Return the day a whole cell says, or nothing."""
    text = cell.strip()
    last = _YEAR_LAST.fullmatch(text)
    if last is not None:
        day, month = (last["b"], last["a"]) if order == "month" else (last["a"], last["b"])
        return made(last["y"], month, day)
    found = (form.fullmatch(text) for form in _CELLS)
    return next((made(hit["y"], hit["m"], hit["d"]) for hit in found if hit), None)


def date_in(line: str) -> date | None:
    """Return the first day that stands somewhere in a line, written beyond doubt."""
    found = (form.search(line) for form in _LINES)
    days = (made(hit["y"], hit["m"], hit["d"]) for hit in found if hit)
    return next((day for day in days if day is not None), None)


def order_of(cells: Iterable[str]) -> Order | None:
    """Return in which order these cells write days, or nothing when they contradict each other."""
    found = [hit for cell in cells if (hit := _YEAR_LAST.fullmatch(cell.strip()))]
    day_first = any(int(hit["a"]) > _LATE for hit in found)
    month_first = any(int(hit["b"]) > _LATE for hit in found)
    if day_first and month_first:
        return None
    unclear = any(hit["mark"] != "." and hit["a"] != hit["b"] for hit in found)
    if unclear and not day_first and not month_first:
        return "either"
    return "month" if month_first else "day"


def made(year: str, month: str, day: str) -> date | None:
    """Return a day from its parts as they were written, or nothing when there is no such day."""
    name = month[:3].lower()
    number = int(month) if month.isdecimal() else _MONTHS.index(name) + 1 if name in _MONTHS else 0
    century = 0 if len(year) == _YEAR_DIGITS else _CENTURY
    try:
        return date(century + int(year), number, int(day))
    except ValueError:
        return None
