"""Time and chance as things that are given: wall clock for people, monotonic for leases, sleep for loops; ids, secrets.

Nothing else in Deskhand may read the time. Wall time never orders events; the log's ``seq`` does. Ids are prefixed,
time-ordered, opaque: a ULID of 48 bits of milliseconds and 80 random bits, in Crockford base32 of lower case. Never
parse one.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable
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


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26


class Ids:
    """Makes ids and secrets.

    Args:
        clock: gives the time part.
        randomness: ``n -> n`` bytes; the operating system's unless a simulation gives its own.
    """

    def __init__(self, clock: Clock, randomness: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """Keep the two sources."""
        self._clock = clock
        self._randomness = randomness
        self._last = 0

    def new(self, prefix: str) -> str:
        """Return ``prefix_`` and 26 characters that sort in the order of making.

        Within a millisecond, or after the clock was set back, the next id is the last one and a random step.
        """
        milliseconds = int(self._clock.now().timestamp() * 1000)
        number = (milliseconds << 80) | int.from_bytes(self._randomness(10))
        if number <= self._last or number >> 80 == self._last >> 80:
            number = self._last + 1 + int.from_bytes(self._randomness(6))
        self._last = number
        digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
        return f"{prefix}_{''.join(digits)}"

    def secret(self, size_bytes: int = 32) -> str:
        """Return an unguessable URL-safe string of ``size_bytes`` of entropy."""
        return base64.urlsafe_b64encode(self._randomness(size_bytes)).rstrip(b"=").decode("ascii")

    def digits(self, count: int) -> str:
        """Return ``count`` decimal digits, for numbers that people compare or type."""
        return str(int.from_bytes(self._randomness(8)) % 10**count).zfill(count)
