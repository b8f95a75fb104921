"""Inside a life: counts the points it passes and ends it, by a real SIGKILL to itself, exactly where its plan says.

Counts lie in a mapped file and each end is one appended line, so that both outlive the process. It refuses to clean up
anything: nothing runs after the signal.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.kills.points import INDEX, POINTS

HITS, KILLS, UNLISTED, EFFECTS = "hits", "kills.jsonl", "unlisted", "effects.jsonl"
_BYTES: Final = 8
_OPEN: Final = len(POINTS)
"""The slot after the points: how many steps are under way in the runner now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a life ends: once it passed ``after`` points of any kind, at the first of ``points`` it comes by.

    ``latest`` ends it after so many anyway. ``outside`` is for the one who watches: kill it after so many seconds,
    wherever it is. Without points and numbers it lives.
    """

    points: tuple[str, ...] = ()
    after: int = 0
    latest: int = 0
    outside: float = 0.0


class Slots:
    """The mapped file of one world, shared by all its processes."""

    def __init__(self, place: Path) -> None:
        """Map it; the first one makes it."""
        path = place / HITS
        if not path.exists():
            path.write_bytes(bytes(_BYTES * (_OPEN + 1)))
        with path.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

    def hit(self, index: int) -> None:
        """Count one passing."""
        self._numbers[index] += 1

    def hits(self) -> Counter[str]:
        """Return how often each point was passed."""
        return Counter({point: self._numbers[index] for point, index in INDEX.items()})

    @property
    def under_way(self) -> int:
        """Return how many steps are under way."""
        return self._numbers[_OPEN]

    @under_way.setter
    def under_way(self, number: int) -> None:
        self._numbers[_OPEN] = number


def tell(path: Path, **said: object) -> None:
    """Append one line in one write: it is there whole or not at all."""
    line = json.dumps(said, separators=(",", ":")) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def told(path: Path) -> list[dict[str, Any]]:
    """Return every line that was appended."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Passing:
    """The points of one life."""

    def __init__(self, place: Path, plan: Plan, *, life: int, program: str) -> None:
        """Begin a life."""
        self.place = place
        self.life = life
        self._plan = plan
        self._program = program
        self._slots = Slots(place)
        self._passed = 0
        self._lock = threading.Lock()
        self.applying = 0
        if program != "hub":
            self._slots.under_way = 0

    def at(self, point: str) -> None:
        """Pass a point; a life whose plan says so goes no further. The first one only begins a home."""
        if self.life == 0:
            return
        index = INDEX.get(point)
        if index is None:
            tell(self.place / UNLISTED, point=point, program=self._program)
            return
        with self._lock:
            self._slots.hit(index)
            self._passed += 1
            exactly = self._passed > self._plan.after and point in self._plan.points
            if exactly or self._passed == self._plan.latest:
                self._die(point, planned=exactly)

    @contextmanager
    def step(self) -> Generator[None]:
        """A step is under way inside the block: a model call, a tool call or a check."""
        self._slots.under_way += 1
        try:
            yield
        finally:
            self._slots.under_way -= 1

    def _die(self, point: str, *, planned: bool) -> None:
        tell(
            self.place / KILLS,
            point=point,
            program=self._program,
            life=self.life,
            planned=planned,
            open=self._slots.under_way,
            applying=self.applying,
        )
        if self._program != "hub":
            self._slots.under_way = 0
        os.kill(os.getpid(), signal.SIGKILL)
