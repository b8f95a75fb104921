"""Numbers as people write them: thousands, decimal commas, currencies, percent, negatives in parentheses.

Exact decimals only; a float never appears. Where the same digits mean two numbers, the column decides, and when even
the column cannot, the caller is told so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

MISSING: Final = frozenset(
    (
        "",
        "-",
        "--",
        "–",
        "—",
        "n/a",
        "na",
        "#n/a",
        "nan",
        "null",
        "none",
        "nil",
        "없음",
        "해당없음",
        "k.a.",
    )
)
"""Cells that say that there is no value, in lower case."""

_DIGITS_MAX: Final = 40
_POWER_MAX: Final = 30
_SPACES = " \u00a0\u2009\u202f"
_CURRENCIES: Final = {
    "$": "USD",
    "US$": "USD",
    "€": "EUR",
    "£": "GBP",
    "¥": "JPY",
    "₩": "KRW",
    "원": "KRW",
    "₹": "INR",
    "kr": "SEK",
    "zł": "PLN",
}
_CODES: Final = (
    "USD|EUR|GBP|JPY|KRW|CHF|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|SGD|HKD|TWD|BRL|MXN|ZAR|NZD"
)
_MONEY = rf"US\$|[$€£¥₩₹]|원|kr|zł|{_CODES}"
_CELL = re.compile(
    rf"(?P<open>\()?(?P<before>[-+−])?\s*(?P<left>{_MONEY})?\s*(?P<inner>[-+−])?"
    rf"(?P<digits>[0-9.,][0-9.,'’{_SPACES}]*?(?:[eE][-+]?[0-9]{{1,2}})?)"
    rf"\s*(?P<percent>%)?\s*(?P<right>{_MONEY})?(?P<after>-)?(?P<close>\))?"
)
_POWER = re.compile(r"[eE]([-+]?[0-9]+)$")
_PLAIN = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")


class Style(StrEnum):
    """Which mark starts the decimals."""

    POINT = "point"
    COMMA = "comma"


_FORMS: Final = {
    Style.POINT: re.compile(
        rf"[0-9]{{1,3}}(?P<sep>[,'’{_SPACES}])[0-9]{{3}}(?:(?P=sep)[0-9]{{3}})*(?:\.[0-9]*)?"
        r"|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,2})?|\.[0-9]+"
    ),
    Style.COMMA: re.compile(
        rf"[0-9]{{1,3}}(?P<sep>[.'’{_SPACES}])[0-9]{{3}}(?:(?P=sep)[0-9]{{3}})*(?:,[0-9]*)?"
        r"|[0-9]+(?:,[0-9]*)?(?:[eE][-+]?[0-9]{1,2})?|,[0-9]+"
    ),
}
_NOT_DIGITS: Final = str.maketrans("", "", f",'’{_SPACES}")
_NOT_DIGITS_COMMA: Final = str.maketrans(",", ".", f".'’{_SPACES}")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and what stood around it."""

    value: Decimal
    percent: bool = False
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleVotes:
    """How many cells fit only one style, and one that means two different numbers."""

    point: int = 0
    comma: int = 0
    either: str = ""


def is_missing(cell: str) -> bool:
    """Return whether the cell says that there is no value."""
    return cell.strip().lower() in MISSING


def amount(cell: str, style: Style) -> Amount | None:
    """Return the number a cell holds in this style, or nothing."""
    if style is Style.POINT and _PLAIN.fullmatch(cell):
        return Amount(Decimal(cell))
    found = _CELL.fullmatch(cell.strip())
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    if found["left"] and found["right"]:
        return None
    value = _digits(found["digits"].strip(), style)
    signs = [sign for sign in (found["before"], found["inner"], found["after"]) if sign]
    if value is None or len(signs) + bool(found["open"]) > 1:
        return None
    negative = bool(found["open"]) or (bool(signs) and signs[0] != "+")
    money = found["left"] or found["right"] or ""
    return Amount(
        -value if negative else value, bool(found["percent"]), _CURRENCIES.get(money, money)
    )


def votes(cells: Iterable[str]) -> StyleVotes:
    """Return what the cells of a column say about its style."""
    point = comma = 0
    either = ""
    for cell in cells:
        as_point, as_comma = amount(cell, Style.POINT), amount(cell, Style.COMMA)
        if as_point is not None and as_comma is not None:
            if as_point.value != as_comma.value:
                either = either or cell.strip()
        elif as_point is not None:
            point += 1
        elif as_comma is not None:
            comma += 1
    return StyleVotes(point=point, comma=comma, either=either)


def places(value: Decimal) -> int:
    """Return how many decimals were written."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _digits(text: str, style: Style) -> Decimal | None:
    if len(text) > _DIGITS_MAX or _FORMS[style].fullmatch(text) is None:
        return None
    table = _NOT_DIGITS if style is Style.POINT else _NOT_DIGITS_COMMA
    value = Decimal(text.translate(table))
    power = _POWER.search(text)
    return None if power is not None and abs(int(power[1])) > _POWER_MAX else value
