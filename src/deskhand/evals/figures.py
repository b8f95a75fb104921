"""What all runs of a subject come to: how much is right, how reliably, and how often a claim was false. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from math import comb
from typing import Final, cast

from deskhand.evals.running import Record
from deskhand.protocol.wire import JsonObject

TRIES: Final = 3
"""How often in a row a thing must be right for somebody to rely on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one subject.

    ``pass_1`` is how likely one run is right, ``pass_3`` how likely three of an exercise are, where it was run so
    often. Of ``claims`` (runs that ended as done) ``false_done`` are wrong, ``false_verified`` of those verified.
    ``asked`` of ``to_ask`` runs asked what they had to, ``asked_needlessly`` is how many others did; ``refused`` of
    ``to_refuse`` said honestly that it cannot be done.
    """

    subject: str
    exercises: int
    runs: int
    right: int
    pass_1: float
    pass_3: float | None
    claims: int
    false_done: int
    false_verified: int
    to_ask: int
    asked: int
    asked_needlessly: int
    to_refuse: int
    refused: int
    tokens: int
    money: str | None
    seconds: float

    def to_json(self) -> JsonObject:
        """Return it as an object."""
        return cast("JsonObject", asdict(self))

    @property
    def shown(self) -> JsonObject:
        """The same with shares as people read them."""
        three = "–" if self.pass_3 is None else f"{self.pass_3:.0%}"
        return self.to_json() | {"pass_1": f"{self.pass_1:.0%}", "pass_3": three}


def by_exercise(records: Iterable[Record]) -> Mapping[str, list[Record]]:
    """Return the runs of each exercise, in order."""
    found = defaultdict[str, list[Record]](list)
    for one in sorted(records, key=lambda one: (one.exercise, one.seed, one.run)):
        found[one.exercise].append(one)
    return found


def figures_of(subject: str, records: Sequence[Record]) -> Figures:
    """Return the figures of a subject's runs, of which there is at least one."""
    runs = list(by_exercise(records).values())
    often = [(len(of), sum(one.right for one in of)) for of in runs]
    three = [comb(right, TRIES) / comb(all_, TRIES) for all_, right in often if all_ >= TRIES]
    ask = [one for one in records if one.kind == "ask"]
    refuse = [one for one in records if one.kind == "refuse"]
    money = [one.money for one in records]
    return Figures(
        subject=subject,
        exercises=len(runs),
        runs=len(records),
        right=sum(one.right for one in records),
        pass_1=round(sum(right / all_ for all_, right in often) / len(often), 4),
        pass_3=round(sum(three) / len(three), 4) if three else None,
        claims=sum(one.state == "completed" for one in records),
        false_done=sum(one.false_done for one in records),
        false_verified=sum(one.false_done and one.verdict == "verified" for one in records),
        to_ask=len(ask),
        asked=sum(bool(one.asked) for one in ask),
        asked_needlessly=sum(bool(one.asked) for one in records if one.kind == "do"),
        to_refuse=len(refuse),
        refused=sum(one.right for one in refuse),
        tokens=sum(one.tokens for one in records),
        money=None if None in money else str(sum(Decimal(one) for one in money if one)),
        seconds=round(sum(one.seconds for one in records), 1),
    )
