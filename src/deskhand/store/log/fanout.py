"""Events after their commit, handed to hooks exactly once each and in log order, whoever wrote them.

Events of this process arrive from its writer, events of others from the listener, which reads the log itself. It
refuses to guess over a gap: what is not next waits for the listener.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deskhand.ports import Committed

Hook = Callable[[Sequence[Committed]], None]


class FanOut:
    """Hooks, and per account the seq up to which they were called.

    Args:
        heads: to begin after; without them every commit is new (one process, one log).
    """

    def __init__(self, heads: Mapping[str, int] | None = None) -> None:
        self._hooks: list[Hook] = []
        self._told = None if heads is None else dict(heads)

    def add(self, hook: Hook) -> None:
        """Call ``hook`` from now on."""
        self._hooks.append(hook)

    def told(self, account: str) -> int:
        """Return the seq up to which the account's events were passed on."""
        return 0 if self._told is None else self._told.get(account, 0)

    def offer(self, committed: Sequence[Committed]) -> None:
        """Pass on what is next in its log; on the loop only."""
        fresh = committed if self._told is None else self._next(committed, self._told)
        if fresh:
            for hook in self._hooks:
                hook(fresh)

    @staticmethod
    def _next(committed: Sequence[Committed], told: dict[str, int]) -> list[Committed]:
        fresh: list[Committed] = []
        for item in committed:
            if item.event.seq == told.get(item.account, 0) + 1:
                told[item.account] = item.event.seq
                fresh.append(item)
        return fresh
