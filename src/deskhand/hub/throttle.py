"""Counting tries: how many of a kind somebody made in the last seconds, and when the next is due.

Kept in memory: a restart forgets, and several hubs count apart. It refuses to grow without end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError

_KEYS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most ``most`` per key in a window of ``seconds``, which begins with the first one."""

    clock: Clock
    most: int = field(kw_only=True)
    seconds: float = field(kw_only=True)
    windows: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def count(self, key: str) -> None:
        """Note one more."""
        began, count = self.windows.pop(key, (0.0, 0))
        now = self.clock.monotonic()
        fresh = not count or now - began >= self.seconds
        self.windows[key] = (now, 1) if fresh else (began, count + 1)
        if len(self.windows) > _KEYS_MAX:
            del self.windows[next(iter(self.windows))]

    def check(self, key: str) -> None:
        """Refuse while the window is full: ``rate_limited`` with when to come back."""
        began, count = self.windows.get(key, (0.0, 0))
        left = began + self.seconds - self.clock.monotonic()
        if count >= self.most and left > 0:
            raise DeskhandError(Code.RATE_LIMITED, retry_after_seconds=left)
