"""Days as people write them: ISO, Korean, with month names, and the two orders that look alike.

``03/04/2026`` is decided by its column (a 25 somewhere) or not at all; it refuses to guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final, Literal, NamedTuple

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

_SOON_DAYS: Final = 270
"""A day without a year is the coming one, unless that is so far that it may be the last one."""
_MONTH_WORD = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY_NAMES: Final = "mon tue wed thu fri sat sun"
_WEEKDAYS: Final = tuple(zip(_DAY_NAMES.split(), "월화수목금토일", strict=True))
_AHEAD = "today 0,tonight 0,eod 0,end of 0,tomorrow 1,day after 2,오늘 0,금일 0,내일 1,명일 1,모레 2,글피 3"
_NEAR: Final = [(each[:-2], int(each[-1])) for each in _AHEAD.split(",")]
_LONG: Final = ("week", "month", "quarter", "year")
_MONTH_DAY = re.compile(
    rf"(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<m>{_MONTH_WORD})\.?"
    rf"|(?P<m2>{_MONTH_WORD})\.? (?P<d2>[0-9]{{1,2}})(?:st|nd|rd|th)?"
    r"|(?P<m3>[0-9]{1,2})월 ?(?P<d3>[0-9]{1,2})일"
)
_FULL: Final = (
    r"(?:(?<![0-9])[0-9]{4}(?:[-./]|년 ?)[0-9]{1,2}(?:[-./]|월 ?)[0-9]{1,2}일?(?![0-9])"
    rf"|(?i:\b[0-9]{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH_WORD}\b\.?,? [0-9]{{4}}\b)"
    rf"|(?i:\b{_MONTH_WORD}\b\.? [0-9]{{1,2}}(?:st|nd|rd|th)?\b,? [0-9]{{4}}\b))"
)
DAY: Final = (
    rf"(?:{_FULL}"
    r"|(?<![0-9./])[0-9]{1,2}[./][0-9]{1,2}[./](?:[0-9]{4}|[0-9]{2})(?![0-9])"
    rf"|(?i:\b[0-9]{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH_WORD}\b\.?)"
    rf"|(?i:\b{_MONTH_WORD}\b\.? [0-9]{{1,2}}(?:st|nd|rd|th)?\b)"
    r"|(?i:\b(?:(?:this|next|coming) )?(?:mon|tues|wednes|thurs|fri|satur|sun)day\b)"
    r"|(?i:\b(?:day after tomorrow|tomorrow|today|tonight|EOD|EOW|next (?:week|month)"
    r"|end of (?:the )?(?:day|week|month|quarter|year))\b)"
    r"|(?<![0-9])[0-9]{1,2}월 ?[0-9]{1,2}일"
    r"|(?:(?:이번|다음|금|차) ?주 ?)?[월화수목금토일]요일|(?:이번|다음) ?주(?: ?(?:말|중|초))?|내일|모레|글피|오늘|금일|명일"
    r"|(?:이번 ?|다음 ?)?(?:달 ?말|월말|주말|연말))"
)
"""What says a day in a line of notes, for a pattern of one's own."""


def a_date(cell: str, order: Order) -> date | None:
    """Return the day a whole cell says, or nothing."""
    text = cell.strip()
    last = _YEAR_LAST.fullmatch(text)
    if last is not None:
        day, month = (last["b"], last["a"]) if order == "month" else (last["a"], last["b"])
        return _made(last["y"], month, day)
    found = (form.fullmatch(text) for form in _CELLS)
    return next((_made(hit["y"], hit["m"], hit["d"]) for hit in found if hit), None)


def date_in(line: str) -> date | None:
    """Return the first day that stands somewhere in a line, written beyond doubt."""
    found = (form.search(line) for form in _LINES)
    days = (_made(hit["y"], hit["m"], hit["d"]) for hit in found if hit)
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


def day_meant(said: str, noted: date | None) -> date | None:
    """Return the day that ``said``, a hit of ``DAY`` in a note of the day ``noted``, means beyond doubt."""
    order = order_of([said])
    full = date_in(said) or a_date(said, "day" if order == "day" else "month")
    if full is not None or noted is None:
        return None if order == "either" else full
    words = said.casefold()
    ahead = next((days for word, days in _NEAR if words.startswith(word)), None)
    if ahead is not None:
        return None if words.endswith(_LONG) else noted + timedelta(days=ahead)
    weekdays = enumerate(_WEEKDAYS)
    weekday = next(
        (n for n, (en, ko) in weekdays if re.search(rf"\b{en}\w*day$|{ko}요일", words)), None
    )
    if weekday is not None:
        return _weekday(words, weekday, noted)
    hit = _MONTH_DAY.fullmatch(words)
    if hit is None:
        return None
    month, day = hit["m"] or hit["m2"] or hit["m3"], hit["d"] or hit["d2"] or hit["d3"]
    years = (_made(str(noted.year + more), month, day) for more in (0, 1))
    soon = (each for each in years if each and 0 <= (each - noted).days <= _SOON_DAYS)
    return next(soon, None)


class Period(NamedTuple):
    """Days that are over or under way, and the words that said so."""

    first: date
    last: date
    words: str


def period_in(said: str, today: date) -> Period | None:
    """Return the days that a sentence names: ``yesterday``, ``last week``, ``최근 3일``, ``since 2026-11-01``."""
    hit = next((found for form in _PERIODS if (found := form.search(said))), None)
    span = (
        None
        if hit is None
        else _span({name: w.casefold() for name, w in hit.groupdict().items()}, today)
    )
    if hit is None or span is None:
        return None
    before, after = _SINCE.search(said[: hit.start()]), _FROM_ON.match(said[hit.end() :])
    start, end = (
        before.start() if before else hit.start(),
        hit.end() + (after.end() if after else 0),
    )
    last = today if before or (after and after[1]) else span[1]
    return Period(span[0], last, said[start:end])


def _span(found: dict[str, str], today: date) -> tuple[date, date] | None:
    """Return the first and last day of what a form has found."""
    match found:
        case {"ago": word}:
            first = last = today - timedelta(days=_AGO[word])
        case {"count": count, "unit": unit}:
            first, last = today - timedelta(days=int(count) * _DAYS[_UNITS.get(unit, unit)]), today
        case {"weekday": name}:
            index = next(n for n, both in enumerate(_WEEKDAYS) if name in both)
            first = last = today - timedelta(days=(today.weekday() - index - 1) % 7 + 1)
        case {"which": which, "unit": unit}:
            first, last = _whole(_UNITS.get(unit, unit), today, back=int(which in _LAST))
        case {"month": name}:
            begun = _made(str(today.year), name, "1")
            if begun is None:
                return None
            first, last = _whole("month", begun, back=0 if begun <= today else 12)
        case {"day": said}:
            day = date_in(said) or a_date(said, "day")
            return None if day is None else (day, day)
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


_AGO: Final = {
    "today": 0,
    "yesterday": 1,
    "day before yesterday": 2,
    "오늘": 0,
    "어제": 1,
    "그저께": 2,
}
_LAST: Final = ("last", "past", "지난", "저번", "작")
_UNITS: Final = {
    "일": "day",
    "주": "week",
    "달": "month",
    "개월": "month",
    "년": "year",
    "해": "year",
}
_DAYS: Final = {"day": 1, "week": 7, "month": 30, "year": 365}
_SINCE = re.compile(r"(?i:\b(?:since|from) (?:the |last )?)$")
_FROM_ON = re.compile(r"(?:['’]s\b)?( ?(?:부터|이후))?에?")
_PERIODS: Final = (
    re.compile(rf"(?P<day>{_FULL})"),
    re.compile(r"(?i:\b(?:the )?(?P<ago>day before yesterday|yesterday|today)\b)"),
    re.compile(r"(?P<ago>그저께|어제|오늘)"),
    re.compile(
        r"(?i:\b(?:in |over )?(?:the )?(?:last|past) (?P<count>[0-9]{1,3}) (?P<unit>day|week|month|year)s?\b)"
    ),
    re.compile(
        r"(?:최근|지난) ?(?P<count>[0-9]{1,3}) ?(?P<unit>일|주|개월|달|년)(?: ?(?:동안|간))?"
    ),
    re.compile(r"(?i:\b(?P<which>this|last|past) (?P<unit>week|month|year)\b)"),
    re.compile(r"(?P<which>이번|지난|저번|올|작) ?(?P<unit>주|달|해|년)(?!소)"),
    re.compile(r"(?i:\b(?:on |last )(?P<weekday>mon|tue|wed|thu|fri|sat|sun)[a-z]*day\b)"),
    re.compile(r"지난 ?(?P<weekday>[월화수목금토일])요일"),
    re.compile(rf"(?i:(?:\bin |(?<=since )|(?<=from ))(?P<month>{_MONTH_WORD})\b)"),
    re.compile(r"(?<![0-9])(?P<month>[0-9]{1,2})월(?! ?[0-9])(?:에)?"),
)


def _weekday(words: str, weekday: int, noted: date) -> date | None:
    """``next Friday`` means two days to two people, and so does ``Friday`` on a Friday."""
    monday = noted - timedelta(days=noted.weekday())
    if (week := re.match(r"(이번|금|다음|차) ?주", words)) is not None:
        return monday + timedelta(days=weekday + 7 * (week[1] in ("다음", "차")))
    ahead = (weekday - noted.weekday()) % 7
    return noted + timedelta(days=ahead) if ahead and not words.startswith("next") else None


def _made(year: str, month: str, day: str) -> date | None:
    name = month[:3].lower()
    number = int(month) if month.isdecimal() else _MONTHS.index(name) + 1 if name in _MONTHS else 0
    century = 0 if len(year) == _YEAR_DIGITS else _CENTURY
    try:
        return date(century + int(year), number, int(day))
    except ValueError:
        return None
