"""Numbers as people write them: thousands, decimal commas, currencies, percent, negatives in parentheses.

Exact decimals only; a float never appears. Where the same digits mean two numbers, the column decides, and when even
the column cannot, the caller is told so.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from typing import Final

WORDS = tomllib.loads(files("deskhand.tools.tables").joinpath("words.toml").read_text("utf-8"))
"""Words by which tables say what they mean."""
MISSING: Final = frozenset[str](WORDS["missing"])
"""Cells that say that there is no value, in lower case."""

_DIGITS_MAX: Final = 40
_POWER_MAX: Final = 30
_GAPS = "'’ \u00a0\u2009\u202f"
_CURRENCIES: Final[dict[str, str]] = WORDS["signs"]
_MONEY = "|".join(map(re.escape, (*_CURRENCIES, *WORDS["currencies"])))
_CELL = re.compile(
    rf"(?P<open>\()?(?P<before>[-+−])?\s*(?P<left>{_MONEY})?\s*(?P<inner>[-+−])?"
    rf"(?P<digits>[0-9.,][0-9.,{_GAPS}]*?(?:[eE](?P<power>[-+]?[0-9]{{1,2}}))?)"
    rf"\s*(?P<percent>%)?\s*(?P<right>{_MONEY})?(?P<after>-)?(?P<close>\))?"
)
_PLAIN = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")


class Style(StrEnum):
    """Which mark starts the decimals."""

    POINT = "point"
    COMMA = "comma"


def _form(mark: str, other: str) -> re.Pattern[str]:
    """Digits in groups of three behind one kind of gap, or without any."""
    return re.compile(
        rf"[0-9]{{1,3}}(?P<gap>[{other}{_GAPS}])[0-9]{{3}}(?:(?P=gap)[0-9]{{3}})*(?:{mark}[0-9]*)?"
        rf"|[0-9]+(?:{mark}[0-9]*)?(?:[eE][-+]?[0-9]{{1,2}})?|{mark}[0-9]+"
    )


_FORMS: Final = {
    Style.POINT: (_form(r"\.", ","), str.maketrans("", "", f",{_GAPS}")),
    Style.COMMA: (_form(",", "."), str.maketrans(",", ".", f".{_GAPS}")),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and what stood around it."""

    value: Decimal
    percent: bool = False
    currency: str = ""


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
    digits = found["digits"].strip()
    form, translation = _FORMS[style]
    if len(digits) > _DIGITS_MAX or not form.fullmatch(digits):
        return None
    signs = [sign for sign in (found["before"], found["inner"], found["after"]) if sign]
    twice = bool(found["left"] and found["right"]) or len(signs) + bool(found["open"]) > 1
    if twice or abs(int(found["power"] or 0)) > _POWER_MAX:
        return None
    value = Decimal(digits.translate(translation))
    if found["open"] or (signs and signs[0] != "+"):
        value = value.copy_negate()
    money = found["left"] or found["right"] or ""
    return Amount(value, bool(found["percent"]), _CURRENCIES.get(money, money))


def votes(cells: Iterable[str]) -> tuple[int, str]:
    """Return how many more cells fit only a point than only a comma, and one that means two different numbers."""
    vote, either = 0, ""
    for cell in cells:
        as_point, as_comma = amount(cell, Style.POINT), amount(cell, Style.COMMA)
        vote += (as_point is not None) - (as_comma is not None)
        if as_point and as_comma and as_point.value != as_comma.value:
            either = either or cell.strip()
    return vote, either


def places(value: Decimal) -> int:
    """Return how many decimals were written."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
