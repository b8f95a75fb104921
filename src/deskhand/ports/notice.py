"""One road to a person. Types only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from deskhand.ports.store import Notice, PushSubscription


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """What the push service said."""

    status: Literal["accepted", "gone", "retry", "refused"]
    http_status: int | None = None
    retry_after_seconds: float | None = None
    reason: str = ""


class Notifier(Protocol):
    """One road to a person."""

    @property
    def road(self) -> str:
        """Its name in the ledger."""
        ...

    async def send(self, subscription: PushSubscription, notice: Notice) -> SendOutcome:
        """Try once; never raises for what the other side does."""
        ...
