"""Notifications: planned as rows in the transaction of what they tell of, then sent, tried again, their fate kept.

At least once, shown once (the tag replaces). The words come from the catalogue and name the kind of thing only. It
never decides *whether* to notify, and never logs an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from deskhand.clock import Clock, stamp, unstamp
from deskhand.core.delivery import Announcement, next_try_seconds
from deskhand.ids import Ids
from deskhand.limits import DELIVERY_BACKOFF_SECONDS
from deskhand.ports import (
    Committed,
    DueDelivery,
    Notice,
    Notifier,
    PlannedDelivery,
    SendOutcome,
    Store,
    Tx,
)
from deskhand.protocol.events import KIND_OF, ApprovalRequested, QuestionAsked, TaskFinished
from deskhand.protocol.objects import Delivery
from deskhand.texts import text

WEB_PUSH = "webpush"
_ANNOUNCED = {KIND_OF[kind] for kind in (TaskFinished, ApprovalRequested, QuestionAsked)}
_BATCH = 20
_IDLE_SECONDS = 30.0
_LONGEST_SECONDS = DELIVERY_BACKOFF_SECONDS[-1] * 1.25
_SET_BACK_SECONDS = 5.0


def plan(
    tx: Tx,
    announced: Announcement,
    *,
    ids: Ids,
    language: str,
    task: str | None = None,
    device: str | None = None,
) -> list[str]:
    """Plan the announcement for every subscription of the account, or of one device; return the deliveries' ids."""
    planned: list[str] = []
    for subscription in tx.subscriptions():
        if device not in {None, subscription.device}:
            continue
        delivery = Delivery.from_json(
            {
                "id": ids.new("dlv"),
                "class": announced.kind,
                "road": WEB_PUSH,
                "device": subscription.device,
                "task": task,
                "tag": announced.tag,
                "fate": "planned",
                "at": tx.now,
            }
        )
        tx.plan_delivery(
            PlannedDelivery(
                delivery=delivery,
                subscription=subscription.id,
                title=text(announced.title_id, language=language),
                body=text(announced.body_id, language=language),
                url_path=announced.url_path,
                urgency=announced.urgency,
                ttl_seconds=announced.ttl_seconds,
                next_try_at=tx.now,
            )
        )
        planned.append(delivery.id)
    return planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """The loop that empties the ledger's due rows; ``notifiers`` are the roads by their names."""

    store: Store
    notifiers: Mapping[str, Notifier]
    clock: Clock
    spread: Callable[[], float]
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Look again now: something was planned."""
        self.woken.set()

    def look_at(self, committed: Sequence[Committed]) -> None:
        """Wake up if something was committed that may have planned a delivery: most commits do not."""
        if any(one.event.kind in _ANNOUNCED for one in committed):
            self.wake()

    async def run(self) -> None:
        """Deliver until cancelled.

        What waits stands in wall time, to outlive this process. A clock that was set back would keep it waiting: what
        is due later than any wait is long, or at all when the clock goes back now, is tried earlier instead.
        """
        longest = stamp(self.clock.now() + timedelta(seconds=_LONGEST_SECONDS))
        await self.store.hasten_deliveries(after=longest, to=longest)
        offset = self._offset()
        while True:
            self.woken.clear()
            before, offset = offset, self._offset()
            if before - offset > _SET_BACK_SECONDS:
                now = stamp(self.clock.now())
                await self.store.hasten_deliveries(after=now, to=now)
            due = await self.store.due_deliveries(stamp(self.clock.now()), limit=_BATCH)
            async with asyncio.TaskGroup() as group:
                for one in due:
                    group.create_task(self._deliver(one))
            if not due:
                await self._rest()

    def _offset(self) -> float:
        """Return what only changes when somebody sets the clock."""
        return self.clock.now().timestamp() - self.clock.elapsed()

    async def _rest(self) -> None:
        """Wait for the next due row, a wake-up, or half a minute (the wall clock may jump)."""
        at = await self.store.next_delivery_at()
        seconds = _IDLE_SECONDS
        if at is not None:
            left = (unstamp(at) - self.clock.now()).total_seconds()
            seconds = min(max(left, 0.05), _IDLE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()

    async def _deliver(self, due: DueDelivery) -> None:
        outcome = await self._try(due)
        if outcome.status == "gone" and due.subscription is not None:
            await self.store.drop_subscription(due.account, due.subscription.id)
        fate, again = "accepted" if outcome.status == "accepted" else "failed", None
        if outcome.status == "retry":
            attempts, asked_for = due.delivery.attempts + 1, outcome.retry_after_seconds
            wait = next_try_seconds(attempts, asked_for=asked_for, spread=self.spread())
            if wait is not None:
                fate, again = "sent", stamp(self.clock.now() + timedelta(seconds=wait))
        await self.store.settle_delivery(
            due.account,
            due.delivery.id,
            fate=fate,
            reason=outcome.reason or None,
            next_try_at=again,
        )

    async def _try(self, due: DueDelivery) -> SendOutcome:
        notifier = self.notifiers.get(due.delivery.road)
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
