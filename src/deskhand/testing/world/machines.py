"""What can die in a world: a machine keeps its disk, loses everything else, and comes back after a while.

A crash may come at any commit or effect, before it or after it, or at any other moment. It refuses to let anything of
a dead process reach a disk or a wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from sqlalchemy import Dialect, Engine

from deskhand.clock import Ids
from deskhand.store.engine import open_memory
from deskhand.testing.memory_store import Crash
from deskhand.testing.world.loop import Process, SimClock, VirtualLoop

_STORY_LINES = 30
_RARE_POINTS = 12
_COMPILED: dict[Any, Any] = {}


@cache
def _dialect() -> Dialect:
    engine = open_memory()
    engine.connect().close()
    return engine.dialect


def disk_of(engine: Engine) -> Engine:
    """Return the engine as a disk that shares compiled statements with those of all worlds.

    They are kept for each dialect, so that has to be the same one too: compiling anew takes longer than a world does.
    """
    disk = engine.execution_options(compiled_cache=_COMPILED)
    disk.dialect = _dialect()
    return disk


@dataclass(slots=True, kw_only=True)
class Chaos:
    """Who dies when: by chance per point passed, or exactly at a planned one; and what happened so far."""

    seed: int
    loop: VirtualLoop
    rng: Random
    rate: float = 0.0
    pace: float = 1.0
    away_seconds: float = 60.0
    planned: dict[str, int] = field(default_factory=dict[str, int])
    passed: Counter[str] = field(default_factory=Counter[str])
    crashes: Counter[str] = field(default_factory=Counter[str])
    story: list[str] = field(default_factory=list[str])
    violations: list[str] = field(default_factory=list[str])

    def tell(self, line: str) -> None:
        """Remember what happened, the newest of it."""
        self.story = [*self.story[1 - _STORY_LINES :], f"{self.loop.time():9.3f}  {line}"]

    def accuse(self, what: str) -> None:
        """Note a broken promise."""
        self.tell(f"BROKEN {what}")
        self.violations.append(what)

    def strikes(self, point: str) -> bool:
        """Return whether a machine dies at this point; commits are many, so each is less likely."""
        self.passed[point] += 1
        left = self.planned.get(point, 0)
        if left:
            self.planned[point] = left - 1
        rate = self.rate if point.endswith("a commit") else self.rate * _RARE_POINTS
        return left == 1 or (rate > 0 and self.rng.random() < rate)


class Machine:
    """A computer with a name, a clock, and at most one living process."""

    def __init__(self, name: str, chaos: Chaos) -> None:
        """Stand there, switched off."""
        self.name = name
        self.chaos = chaos
        self.loop = chaos.loop
        self.clock = SimClock(self.loop)
        self.process: Process | None = None
        self.lives = 0
        self._coming = False

    @property
    def up(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.alive

    def boot(self) -> None:
        """Begin a new life on the same disk."""
        if self.up:
            return
        self._coming = False
        self.lives += 1
        self.chaos.tell(f"{self.name} starts (life {self.lives})")
        self.process = Process(self.name, self.loop)
        self.process.spawn(self.live(self.process))

    async def live(self, process: Process) -> None:
        """Do what this machine is for."""
        raise NotImplementedError

    def crash(self, why: str, *, away: float | None = None) -> None:
        """Die now; come back after a while."""
        if not self.up or self.process is None:
            return
        self.chaos.tell(f"{self.name} dies {why}")
        self.chaos.crashes[f"{self.name.rstrip('0123456789')} {why}"] += 1
        self.process.kill()
        self.come_back(self.chaos.rng.uniform(0.1, self.chaos.away_seconds) if away is None else away)

    def freeze(self, seconds: float, *, suspended: bool) -> None:
        """Do nothing for so long; of a suspended machine the monotonic clock stands still too."""
        process = self.process
        if process is None or not process.alive or process.frozen:
            return
        self.chaos.tell(f"{self.name} sleeps for {seconds:.0f} s")
        process.frozen = True
        self.loop.call_later(seconds, self.wake, process, seconds if suspended else 0.0)

    def wake(self, process: Process | None = None, slept: float = 0.0) -> None:
        """Go on, if it is frozen and still the same process."""
        process = process or self.process
        if process is not None and process.frozen:
            self.clock.slept += slept
            process.thaw()

    def come_back(self, after: float) -> None:
        """Start again after so many seconds."""
        if not self._coming:
            self._coming = True
            self.loop.call_later(after, self.boot)

    def close(self) -> None:
        """Switch off for good."""
        self._coming = True
        if self.process is not None:
            self.process.kill()

    def point(self, process: Process, what: str) -> None:
        """Pass a point at which a process may die; a dead one goes no further.

        Raises:
            Crash: it died.
        """
        if process.alive and self.chaos.strikes(f"{self.name} {what}"):
            self.crash(what)
        if not process.alive:
            raise Crash

    def at(self, process: Process, what: str) -> Callable[[], None]:
        """Return a hook for such a point."""
        return lambda: self.point(process, what)

    def ids(self, of: str = "") -> Ids:
        """Return what makes ids in this life, the same for the same seed."""
        chance = Random(f"{self.chaos.seed} {self.name} {self.lives}{of}")  # noqa: S311 - a seed must come back
        return Ids(self.clock, chance.randbytes)
