"""The port behind which attempts run to their end, and how blocking work leaves the loop. Types only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from deskhand.protocol.tasks import Brief

R = TypeVar("R")


class Workflow(Protocol):
    """Runs attempts to their end, whatever happens in between; implemented by the journal (and later an engine)."""

    async def start(self, brief: Brief) -> None:
        """Begin an attempt; the same task and epoch again is nothing."""
        ...

    async def advance_ready(self) -> None:
        """Go on with every attempt that has what it waited for; called at start, after commits and every 30 s."""
        ...

    async def cancel(self, task: str, *, epoch: int) -> None:
        """Stop every attempt of the task below ``epoch`` and kill what it runs."""
        ...

    async def recover(self) -> None:
        """Resolve what a crash left between intent and result, then ``advance_ready``."""
        ...


class Offload(Protocol):
    """Runs a blocking function: in a thread for real, inline in the simulation."""

    def __call__(self, work: Callable[[], R], /) -> Awaitable[R]:
        """Return what ``work`` returns, without blocking the loop."""
        ...
