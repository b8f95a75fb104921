"""Time as a thing that is given: wall clock for people, monotonic for leases, sleeping for loops.

Nothing else in Deskhand may read the time. Wall time never orders events; the log's ``seq`` does.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; the simulation turns its own."""

    def now(self) -> datetime:
        """Return the wall clock in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def elapsed(self) -> float:
        """Return seconds that never go back and also pass while the machine sleeps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of monotonic time."""
        ...


_ALSO_ASLEEP: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""Linux stops its monotonic clock while it sleeps, the others do not."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall clock in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place that reads it

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def elapsed(self) -> float:
        """Return seconds that never go back and also pass while the machine sleeps, where the system has such."""
        return time.clock_gettime(_ALSO_ASLEEP) if _ALSO_ASLEEP is not None else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)  # noqa: TID251 - this is the one place that sleeps


def stamp(moment: datetime) -> str:
    """Return RFC 3339 UTC with milliseconds; such strings sort as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def unstamp(at: str) -> datetime:
    """Return the moment that ``stamp`` wrote.

    Raises:
        ValueError: ``at`` is not RFC 3339.
    """
    return datetime.fromisoformat(at)
