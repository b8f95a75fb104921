"""Sends what is due: claims delivery rows, tries each once, records its fate, tries again later.

At least once, shown once (the tag replaces). It never decides *whether* to notify, and never logs an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

from deskhand.clock import Clock, stamp, unstamp
from deskhand.core.delivery import next_try_seconds
from deskhand.ports import DueDelivery, Notice, Notifier, SendOutcome, Store

_BATCH = 20
_IDLE_SECONDS = 30.0


class Courier:
    """The loop that empties the ledger's due rows."""

    def __init__(
        self,
        store: Store,
        notifiers: Mapping[str, Notifier],
        *,
        clock: Clock,
        spread: Callable[[], float],
    ) -> None:
        """Take the roads by their names; ``spread`` gives a random number from 0 to 1."""
        self._store = store
        self._notifiers = notifiers
        self._clock = clock
        self._spread = spread
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look again now: something was planned."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._woken.clear()
            now = stamp(self._clock.now())
            due = await self._store.due_deliveries(now, limit=_BATCH)
            async with asyncio.TaskGroup() as group:
                for one in due:
                    group.create_task(self._deliver(one))
            if not due:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for the next due row, a wake-up, or half a minute (the wall clock may jump)."""
        at = await self._store.next_delivery_at()
        seconds = _IDLE_SECONDS
        if at is not None:
            left = (unstamp(at) - self._clock.now()).total_seconds()
            seconds = min(max(left, 0.05), _IDLE_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _deliver(self, due: DueDelivery) -> None:
        outcome = await self._try(due)
        delivery, attempts = due.delivery, due.delivery.attempts + 1
        if outcome.status == "gone" and due.subscription is not None:
            await self._store.drop_subscription(due.account, due.subscription.id)
        wait = None
        if outcome.status == "retry":
            wait = next_try_seconds(
                attempts, asked_for=outcome.retry_after_seconds, spread=self._spread()
            )
        again = stamp(self._clock.now() + timedelta(seconds=wait)) if wait is not None else None
        fate = {"accepted": "accepted", "retry": "sent"}.get(outcome.status, "failed")
        if outcome.status == "retry" and again is None:
            fate = "failed"
        await self._store.settle_delivery(
            due.account,
            delivery.id,
            fate=fate,
            reason=outcome.reason or None,
            next_try_at=again,
        )

    async def _try(self, due: DueDelivery) -> SendOutcome:
        notifier = self._notifiers.get(due.delivery.road)
        if due.subscription is None or notifier is None:
            return SendOutcome(status="gone", reason="unsubscribed")
        notice = Notice(
            id=due.delivery.id,
            tag=due.delivery.tag,
            title=due.title,
            body=due.body,
            url_path=due.url_path,
            urgency=due.urgency,
            ttl_seconds=due.ttl_seconds,
        )
        return await notifier.send(due.subscription, notice)
