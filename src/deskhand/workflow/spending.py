"""What an attempt used so far, and how that stands to its limits. Pure.

It refuses to count what nobody knows: tokens whose price is unknown make the whole price unknown, never nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from deskhand.core.settings import effective
from deskhand.ports import Spent
from deskhand.protocol.tasks import Budget, Money, Usage
from deskhand.protocol.wire import Json

LIMITS: Final = ("steps", "tokens", "money", "minutes")
NOTED_SHARE: Final = Decimal("0.8")
ONE: Final = Decimal(1)
_USD_MAX: Final = 1_000_000
_CENT_PARTS: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was used: uses of tools, moves, tokens, dollars as far as they are known, and time at work."""

    steps: int = 0
    moves: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal | None = Decimal(0)
    worked_ms: int = 0
    model: str | None = None

    def plus(self, spent: Spent | None) -> Spending:
        """Return it with what one more thought cost."""
        if spent is None:
            return self
        usd = _usd(spent.usd)
        return replace(
            self,
            input_tokens=self.input_tokens + spent.input_tokens,
            output_tokens=self.output_tokens + spent.output_tokens,
            usd=None if usd is None or self.usd is None else self.usd + usd,
            model=spent.model,
        )

    @property
    def usage(self) -> Usage:
        """Return it as everybody sees it."""
        priced = self.usd is not None and self.model is not None
        return Usage(
            steps=self.steps,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            money=Money(amount=shown(self.usd or Decimal(0), _CENT_PARTS), currency="USD")
            if priced
            else None,
        )

    @property
    def by_name(self) -> Mapping[str, Decimal]:
        """Return what was used of each limit; what is not known is absent."""
        used = {
            "steps": Decimal(max(self.steps, self.moves)),
            "tokens": Decimal(self.input_tokens + self.output_tokens),
            "minutes": Decimal(self.worked_ms) / 60_000,
        }
        return used if self.usd is None else used | {"money": self.usd}


def limits_of(
    budget: Budget | None, setting: Callable[[str], Json], *, times: int
) -> dict[str, Decimal]:
    """Return the limits of a task, ``times`` as high as they began: its own, else the account's; 0 is none."""
    own = {} if budget is None else budget.to_json()
    own |= {} if budget is None or budget.money is None else {"money": budget.money.amount}
    limits: dict[str, Decimal] = {}
    for name in LIMITS:
        key, stored = f"budget.{name}", setting(f"budget.{name}")
        account = effective({} if stored is None else {key: stored}, key)
        limits[name] = Decimal(str(own.get(name, account))) * times
    return {name: limit for name, limit in limits.items() if limit}


def reached(spending: Spending, limits: Mapping[str, Decimal], share: Decimal) -> list[str]:
    """Return the limits of which this share is used up."""
    used = spending.by_name
    return [name for name, limit in limits.items() if used.get(name, Decimal(0)) >= limit * share]


def shown(amount: Decimal, least: Decimal = Decimal("0.01")) -> str:
    """Return an amount for a person: no more digits than it needs."""
    return f"{amount.quantize(least).normalize():f}"


def _usd(said: str | None) -> Decimal | None:
    """Return a price that somebody named, if it can be one."""
    with suppress(InvalidOperation):  # also what no number can be compared with
        if said is not None and 0 <= (usd := Decimal(said)) < _USD_MAX:
            return usd
    return None
