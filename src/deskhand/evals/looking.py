"""How checkers look at a text: words, numbers however they are grouped, and things that must stand together.

Pure. It refuses to understand: a fact is there when its words or its figure are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

PAGE_WORDS: Final = 450
"""One page."""
_FIGURE: Final = re.compile(r"\d(?:[\d,.'\u00a0\u202f]*\d)?")


def words(text: str) -> int:
    """Return how many words a text has."""
    return len(text.split())


def lacks(text: str, facts: Iterable[str]) -> Iterator[str]:
    """Say which of these do not stand in the text."""
    told = text.casefold()
    for fact in facts:
        if fact.casefold() not in told:
            yield f"missing: {fact}"


def has(text: str, facts: Iterable[str], why: str) -> Iterator[str]:
    """Say which of these stand in the text and must not."""
    told = text.casefold()
    for fact in facts:
        if fact.casefold() in told:
            yield f"{why}: {fact}"


def figures(text: str) -> set[Decimal]:
    """Return every number of a text; commas, apostrophes and narrow spaces between digits only group them."""
    found: set[Decimal] = set()
    for hit in _FIGURE.findall(text):
        try:
            found.add(Decimal(re.sub(r"[,'\u00a0\u202f]", "", hit)).normalize())
        except InvalidOperation:  # a date such as 3.11.2026
            continue
    return found


def together(text: str, *parts: str) -> bool:
    """Return whether one line, or two that follow each other, has all of these."""
    lines = text.casefold().splitlines()
    pairs = zip(lines, [*lines[1:], ""], strict=False)
    return any(all(part.casefold() in f"{one} {two}" for part in parts) for one, two in pairs)


def says_day(text: str, day: date, *parts: str) -> bool:
    """Return whether a day, however a person may write it, stands together with other things."""
    forms = (
        f"{day}",
        f"{day.day} {day:%b}",
        f"{day:%b} {day.day}",
        f"{day:%B} {day.day}",
        f"{day.month}월 {day.day}일",
        f"{day.month}/{day.day}",
        f"{day.day}.{day.month}.",
    )
    return any(together(text, form, *parts) for form in forms)


def too_long(text: str, most: int = PAGE_WORDS) -> Iterator[str]:
    """Say it when a text has more words than it may."""
    if words(text) > most:
        yield f"{words(text)} words, at most {most}"


def only(names: list[str], what: str) -> tuple[str, list[str]]:
    """Return the one file that was made, and a fault when there is none or more than one."""
    if len(names) == 1:
        return names[0], []
    said = f"{len(names)} files were made where {what} was wanted"
    return (names[0] if names else ""), [said]


def lacks_figures(text: str, wanted: Iterable[Decimal], of: str) -> Iterator[str]:
    """Say which of these amounts do not stand in the text, with as many zeros as it likes."""
    there = figures(text)
    for one in wanted:
        if one.normalize() not in there:
            yield f"missing: {one} of {of}"


def cell_number(cell: str) -> Decimal | None:
    """Return the number that a cell says, if it says one."""
    try:
        return Decimal(cell.replace(",", ""))
    except InvalidOperation:
        return None
