"""Who dies where: every point in turn, in an order that the seed decides; what was missed comes again.

The same seed plans the same kills in the same order. A life may end before it comes by its point, because somebody
else's turn was first or nobody asked for such work; then the point waits for a later life, which gets more patience.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final

from tests.kills.passing import Plan
from tests.kills.points import APART, OF_PROGRAM

LIFE_SECONDS_MAX: Final = 4.0
"""A life that does not come by its point is killed from outside."""
_OUTSIDE: Final = 0.08
"""The share of lives that are killed from outside at a random moment anyway."""


class Plans:
    """The plans of one run, for all its worlds. ``at`` narrows where anybody dies."""

    def __init__(self, seed: int, *, at: Sequence[str] = (), minutes: bool = False) -> None:
        """Shuffle."""
        self._chance = Random(seed)
        self._at = frozenset(at)
        self._slowly = minutes
        self._waiting: dict[str, deque[str]] = {"hub": deque(), "runner": deque()}
        self._missed: set[str] = set()

    def next(self, program: str) -> Plan:
        """Return how the next life of a program ends."""
        chance = self._chance
        if not self._at and chance.random() < _OUTSIDE:
            return Plan(outside=chance.uniform(0.05, 1.5))
        point = self._point(chance.choice(("hub", "runner")) if program == "up" else program)
        if program == "up" and point in APART and not self._at:
            self._waiting["runner"].append(point)
            point = self._point("hub")
        if self._slowly:
            # Every few seconds: it may pass its point often before it dies there.
            return Plan(point=point, nth=chance.randint(1, 30), outside=chance.uniform(2, 8))
        if point in self._missed:
            return Plan(point=point, nth=1, outside=LIFE_SECONDS_MAX)
        latest = 0 if self._at else chance.randint(80, 600)
        nth = chance.choice((1, 1, 1, 2, 3))
        return Plan(point=point, nth=nth, latest=latest, outside=LIFE_SECONDS_MAX)

    def ended(self, plan: Plan, died_at: str) -> None:
        """Hear where a life ended."""
        if not plan.point or self._slowly:
            return
        if died_at == plan.point:
            self._missed.discard(plan.point)
            return
        self._missed.add(plan.point)
        program = "hub" if plan.point in OF_PROGRAM["hub"] else "runner"
        self._waiting[program].append(plan.point)

    def _point(self, program: str) -> str:
        waiting = self._waiting[program]
        if not waiting:
            points = [point for point in OF_PROGRAM[program] if not self._at or point in self._at]
            points = points or list(OF_PROGRAM[program])
            self._chance.shuffle(points)
            waiting.extend(points)
        return waiting.popleft()
