"""The stand-in's sums: a weekly report of tables, added up exactly from the rows that it was sent.

Pure. It refuses to guess: a row without a day of the week is counted as left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from deskhand.core.dates import a_date

Table = list[list[str]]


def report_of(tables: Mapping[str, Sequence[str]], monday: date, *, korean: bool) -> str:
    """Return the report on the week that begins on ``monday``, or on all rows when none is of that week."""
    sunday = monday + timedelta(days=6)
    title = "주간 보고" if korean else "Weekly report"
    lines = [f"# {title} {monday} – {sunday}"]
    for path, raw in tables.items():
        header, *rows = list(csv.reader(raw))
        week = [row for row in rows if any(monday <= day <= sunday for day in _days(row))]
        used = week or rows
        lines += ["", f"## {path}", "", f"{len(used)} / {len(rows)}" + (" 행" if korean else " rows")]
        lines += ["", *_sums(header, used, "합계" if korean else "Total")]
    return "\n".join([*lines, ""])


def _sums(header: Sequence[str], rows: Table, total: str) -> list[str]:
    """Return a table of Markdown: the sums by the first column of words, then of all rows."""
    width = range(len(header))
    numeric = [place for place in width if rows and all(_number(row, place) is not None for row in rows)]
    words = [p for p in width if p not in numeric and not any(_days(row[p : p + 1]) for row in rows)]
    by = words[0] if words else None
    names = sorted({row[by] for row in rows}) if by is not None else []
    groups = [(name, [row for row in rows if by is not None and row[by] == name]) for name in names]
    head = [header[by] if by is not None else "", *(header[place] for place in numeric)]
    lines = [head, ["---"] * len(head)]
    for name, group in [*groups, (total, rows)]:
        lines.append([name, *(f"{_sum(group, place):,}" for place in numeric)])
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _sum(rows: Table, place: int) -> Decimal:
    return sum((_number(row, place) or Decimal(0) for row in rows), Decimal(0))


def _number(row: Sequence[str], place: int) -> Decimal | None:
    try:
        return Decimal(row[place].replace(",", ""))
    except (InvalidOperation, IndexError):
        return None


def _days(cells: Iterable[str]) -> list[date]:
    return [day for cell in cells if (day := a_date(cell, "day")) is not None]
