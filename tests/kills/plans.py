"""Who dies where: whoever comes first by one of the points at which fewest have died.

The seed decides what is looked for; who comes by first decides the rest, because that hangs on the machine. So a rare
point waits in every life until somebody passes it, and common ones are not died at again and again meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

from tests.kills.passing import Plan
from tests.kills.points import APART, OF_PROGRAM, POINTS

LIFE_SECONDS_MAX: Final = 4.0
"""A life that does not come by its points is killed from outside."""
_OUTSIDE: Final = 0.08
"""The share of lives that are killed from outside at a random moment anyway."""
_FEW: Final = 8
_DEEP: Final = 0.25
"""The share of lives that die wherever they are after many passings."""


class Plans:
    """The plans of one run, for all its worlds.

    ``kills``: how many are to die in all, and so many more, up to twice as many, that somebody died at every point.
    ``at`` narrows where anybody dies.
    """

    def __init__(self, seed: int, *, kills: int, at: Sequence[str] = (), minutes: bool = False) -> None:
        """Nobody has died."""
        self._chance = Random(seed)
        self._wanted = kills
        self._at = tuple(at)
        self._slowly = minutes
        self._kills = Counter[str]()

    @property
    def never(self) -> list[str]:
        """Return the points at which nobody died."""
        return [point for point in POINTS if not self._kills[point]]

    @property
    def enough(self) -> bool:
        """Return whether enough have died."""
        died = self._kills.total()
        everywhere = self._at or not self.never
        return not self._slowly and died >= self._wanted * (1 if everywhere else 2)

    def next(self, program: str) -> Plan:
        """Return how the next life of a program ends."""
        chance = self._chance
        if self._at:
            return Plan(points=self._at, after=chance.choice((0, 30)), outside=LIFE_SECONDS_MAX)
        if chance.random() < _OUTSIDE:
            return Plan(outside=chance.uniform(0.05, 1.5))
        points = self._seldom(program)
        if self._slowly:
            # Every few seconds: it may pass its points often before it dies there.
            after = chance.randint(1, 1000)
            return Plan(points=points, after=after, outside=chance.uniform(2, 8))
        if chance.random() < _DEEP:
            latest = chance.randint(80, 600)
            return Plan(points=points[:1], latest=latest, outside=LIFE_SECONDS_MAX)
        after = chance.choice((0, chance.randint(20, 120)))
        return Plan(points=points, after=after, outside=LIFE_SECONDS_MAX)

    def died(self, at: str) -> None:
        """Hear where somebody died."""
        self._kills[at] += 1

    def _seldom(self, program: str) -> tuple[str, ...]:
        """Return the points of a program at which fewest have died; those at which nobody did, first and all."""
        points = [point for point in OF_PROGRAM[program] if program != "up" or point not in APART]
        self._chance.shuffle(points)
        points.sort(key=lambda point: self._kills[point])
        never = sum(1 for point in points if not self._kills[point])
        return tuple(points[: max(never // 3, min(never, _FEW)) or len(points) // 6])
