"""Ids and secrets from injected randomness: prefixed, time-ordered, opaque.

Layout (ULID): 48 bits of milliseconds, 80 random bits, Crockford base32 in lower case. Never parse one.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

from deskhand.clock import Clock

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
