"""Counting tries: how many of a kind somebody made in the last seconds, and when the next is due.

Kept in memory: a restart forgets, and several hubs count apart. It refuses to grow without end.
"""

from __future__ import annotations

from collections import OrderedDict

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError

_KEYS_MAX = 10_000


class Throttle:
    """At most ``most`` per key in a window of ``seconds``, which begins with the first one."""

    def __init__(self, clock: Clock, *, most: int, seconds: float) -> None:
        """Begin with nobody known."""
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, key: str) -> None:
        """Note one more."""
        began, count = self._windows.pop(key, (0.0, 0))
        now = self._clock.monotonic()
        fresh = not count or now - began >= self._seconds
        self._windows[key] = (now, 1) if fresh else (began, count + 1)
        if len(self._windows) > _KEYS_MAX:
            self._windows.popitem(last=False)

    def check(self, key: str) -> None:
        """Refuse while the window is full.

        Raises:
            DeskhandError: ``rate_limited`` with when to come back.
        """
        began, count = self._windows.get(key, (0.0, 0))
        left = began + self._seconds - self._clock.monotonic()
        if count >= self._most and left > 0:
            raise DeskhandError(Code.RATE_LIMITED, retry_after_seconds=left)
