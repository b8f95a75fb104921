"""Counting tries: how many of a kind somebody made in the last seconds, and when the next is due.

Kept in memory: a restart forgets, and several hubs count apart. It refuses to grow without end.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError

_KEYS_MAX = 10_000


@dataclass(slots=True)
class _Window:
    began: float
    count: int = 0


class Throttle:
    """At most ``most`` per key in a window of ``seconds``.

    Args:
        clock: its monotonic time.
        most: how many are fine.
        seconds: the length of the window, which begins with the first one.
    """

    def __init__(self, clock: Clock, *, most: int, seconds: float) -> None:
        """Begin with nobody known."""
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def count(self, key: str) -> None:
        """Note one more."""
        window = self._window(key)
        window.count += 1

    def check(self, key: str) -> None:
        """Refuse while the window is full.

        Raises:
            DeskhandError: ``rate_limited`` with when to come back.
        """
        window = self._windows.get(key)
        if window is None or window.count < self._most:
            return
        left = window.began + self._seconds - self._clock.monotonic()
        if left > 0:
            raise DeskhandError(Code.RATE_LIMITED, retry_after_seconds=left)
        del self._windows[key]

    def _window(self, key: str) -> _Window:
        now = self._clock.monotonic()
        window = self._windows.get(key)
        if window is None or now - window.began >= self._seconds:
            window = self._windows[key] = _Window(began=now)
        self._windows.move_to_end(key)
        while len(self._windows) > _KEYS_MAX:
            self._windows.popitem(last=False)
        return window
