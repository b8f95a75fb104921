"""Days as people write them, and days that are meant relative to today: yesterday, those of last week.

ISO, Korean, with month names, and the two orders that look alike: ``03/04/2026`` is decided by its column (a 25
somewhere) or not at all. Its words are data, in ``dates.toml`` and ``words/wording.toml``. It refuses to choose between
two meanings: then there is no day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, Literal, NamedTuple

from deskhand.texts import table

Order = Literal["day", "month", "either"]
"""Which comes first where the year is last."""

_LATE: Final = 12
_CENTURY: Final = 2000
_YEAR_DIGITS: Final = 4
_FORMS: Final = table("deskhand.core", "dates.toml")
_YEAR_LAST: Final = re.compile(_FORMS["year_last"])
_CELLS, _LINES = ([*map(re.compile, _FORMS[name])] for name in ("cells", "lines"))
_WORDS: Final = table("deskhand.core.words", "wording.toml")["days"]


def a_date(cell: str, order: Order) -> date | None:
    """Return the day a whole cell says, or nothing."""
    text = cell.strip()
    last = _YEAR_LAST.fullmatch(text)
    if last is not None:
        day, month = (last["b"], last["a"]) if order == "month" else (last["a"], last["b"])
        return made(last["y"], month, day)
    return next((made(hit["y"], hit["m"], hit["d"]) for form in _CELLS if (hit := form.fullmatch(text))), None)


def date_in(line: str) -> date | None:
    """Return the first day that stands somewhere in a line, written beyond doubt."""
    days = (made(hit["y"], hit["m"], hit["d"]) for form in _LINES if (hit := form.search(line)))
    return next(filter(None, days), None)


def order_of(cells: Iterable[str]) -> Order | None:
    """Return in which order these cells write days, or nothing when they contradict each other."""
    found = [hit for cell in cells if (hit := _YEAR_LAST.fullmatch(cell.strip()))]
    day_first = any(int(hit["a"]) > _LATE for hit in found)
    month_first = any(int(hit["b"]) > _LATE for hit in found)
    if day_first and month_first:
        return None
    unclear = any(hit["mark"] != "." and hit["a"] != hit["b"] for hit in found)
    return "month" if month_first else "either" if unclear and not day_first else "day"


def made(year: str, month: str, day: str) -> date | None:
    """Return a day from its parts as they were written, or nothing when there is no such day."""
    try:
        number = _FORMS["months"].get(month[:3].lower()) or int(month)
        return date(int(year) + (_CENTURY if len(year) < _YEAR_DIGITS else 0), number, int(day))
    except ValueError:
        return None


class Period(NamedTuple):
    """Days that are over or under way, and the words that said so."""

    first: date
    last: date
    words: str
    span: tuple[int, int]


def period_in(said: str, today: date) -> Period | None:
    """Return the days that a sentence names: ``yesterday``, ``last week``, ``최근 3일``, ``since 2026-11-01``."""
    hit = next((found for form in _WORDS["periods"] if (found := re.search(form, said))), None)
    if hit is None or (span := _span(hit.groupdict(), today)) is None:
        return None
    before = re.search(_WORDS["since"], said[: hit.start()])
    after = re.match(_WORDS["from_on"], said[hit.end() :])
    start, end = (before or hit).start(), hit.end() + (after.end() if after else 0)
    last = today if before or (after and after[1]) else span[1]
    return Period(span[0], last, said[start:end], (start, end))


def _span(found: dict[str, str], today: date) -> tuple[date, date] | None:
    """Return the first and last day of what a form has found."""
    said = {name: word.casefold() for name, word in found.items()}
    unit = _WORDS["units"].get(said.get("unit"), said.get("unit"))
    match said:
        case {"ago": word}:
            first = last = today - timedelta(days=_WORDS["ago"][word])
        case {"count": count}:
            first, last = today - timedelta(days=int(count) * _WORDS["unit_days"][unit]), today
        case {"weekday": name}:
            number = next(number for number, names in enumerate(_WORDS["names"]) if name in names)
            first = last = today - timedelta(days=(today.weekday() - number - 1) % 7 + 1)
        case {"which": which}:
            first, last = _whole(unit, today, back=int(which in _WORDS["last"]))
        case {"month": name} if (begun := made(str(today.year), name, "1")) is not None:
            first, last = _whole("month", begun, back=0 if begun <= today else 12)
        case {"day": name} if (day := date_in(name) or a_date(name, "day")) is not None:
            first = last = day
        case _:
            return None
    return first, last


def _whole(unit: str, day: date, *, back: int) -> tuple[date, date]:
    """Return the first and last day of a week, month or year so many before that of a day."""
    if unit == "week":
        monday = day - timedelta(days=day.weekday() + 7 * back)
        return monday, monday + timedelta(days=6)
    size = 12 if unit == "year" else 1
    begun = (12 * day.year + day.month - 1) // size * size - size * back
    first, after = (date(months // 12, months % 12 + 1, 1) for months in (begun, begun + size))
    return first, after - timedelta(days=1)
