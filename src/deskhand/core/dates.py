"""Days as people write them: ISO, Korean, with month names, and the two orders that look alike.

``03/04/2026`` is decided by its column (a 25 somewhere) or not at all; it refuses to guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Final, Literal

from deskhand.texts import table

Order = Literal["day", "month", "either"]
"""Which comes first where the year is last."""

_LATE: Final = 12
_CENTURY: Final = 2000
_YEAR_DIGITS: Final = 4
_FORMS: Final = table("deskhand.core", "dates.toml")
_YEAR_LAST: Final = re.compile(_FORMS["year_last"])
_CELLS, _LINES = ([*map(re.compile, _FORMS[name])] for name in ("cells", "lines"))


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
    century = _CENTURY if len(year) < _YEAR_DIGITS else 0
    try:
        number = _FORMS["months"].get(month[:3].lower()) or int(month)
        return date(century + int(year), number, int(day))
    except ValueError:
        return None
