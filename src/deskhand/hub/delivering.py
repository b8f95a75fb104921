"""Notifications: planned as rows in the transaction of what they tell of, then sent, tried again, their fate kept.

At least once, shown once (the tag replaces). The words come from the catalogue and name the kind of thing only. It
never decides *whether* to notify, and never logs an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from typing_extensions import override

from deskhand.core.delivery import HOW, Announcement, next_try_seconds
from deskhand.core.drafting import setting_of
from deskhand.hub.timing import Rounds
from deskhand.ids import Ids
from deskhand.limits import DELIVERY_BACKOFF_SECONDS
from deskhand.ports import DueDelivery, Notice, Notifier, PlannedDelivery, SendOutcome
from deskhand.protocol.events import KIND_OF, ApprovalRequested, QuestionAsked, TaskFinished
from deskhand.protocol.objects import Delivery
from deskhand.store.log.transaction import SqlTx
from deskhand.texts import text

WEB_PUSH = "webpush"
_BATCH = 20
_LONGEST_SECONDS = DELIVERY_BACKOFF_SECONDS[-1] * 1.25
_SET_BACK_SECONDS = 5.0
_FATES = {"accepted": "accepted", "retry": "sent"}


def plan(
    tx: SqlTx, announced: Announcement, *, ids: Ids, task: str | None = None, device: str = ""
) -> list[str]:
    """Plan the announcement for every subscription of the account, or of one device; return the deliveries' ids."""
    planned: list[str] = []
    said, (urgency, ttl_seconds) = f"notice.{announced.kind}", HOW[announced.kind]
    language = setting_of(tx, "language")
    for subscription in (one for one in tx.subscriptions() if device in {"", one.device}):
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
        notice = Notice(
            id=delivery.id,
            tag=announced.tag,
            title=text(f"{said}.title", language=language),
            body=text(f"{said}.body", language=language),
            url_path=announced.url_path,
            urgency=urgency,
            ttl_seconds=ttl_seconds,
        )
        addressed = PlannedDelivery(delivery=delivery, subscription=subscription.id, notice=notice)
        tx.plan_delivery(addressed)
        planned.append(delivery.id)
    return planned


@dataclass(eq=False, kw_only=True)
class Courier(Rounds):
    """The loop that empties the ledger's due rows; ``notifiers`` are the roads by their names."""

    wakes_at = frozenset(KIND_OF[kind] for kind in (TaskFinished, ApprovalRequested, QuestionAsked))
    notifiers: Mapping[str, Notifier]
    spread: Callable[[], float]
    offset: float = float("-inf")
    """What only changes when somebody sets the clock."""

    @override
    async def run(self) -> None:
        """Deliver until cancelled.

        What waits stands in wall time, to outlive this process. A clock that was set back would keep it waiting: what
        is due later than any wait is long, or at all when the clock goes back now, is tried earlier instead.
        """
        longest = self.at(_LONGEST_SECONDS)
        await self.store.hasten_deliveries(after=longest, to=longest)
        await super().run()

    @override
    async def round(self) -> float:
        now, before = self.at(), self.offset
        self.offset = self.clock.now().timestamp() - self.clock.elapsed()
        if before - self.offset > _SET_BACK_SECONDS:
            await self.store.hasten_deliveries(after=now, to=now)
        due = await self.store.due_deliveries(now, limit=_BATCH)
        async with asyncio.TaskGroup() as group:
            for one in due:
                group.create_task(self._deliver(one))
        return 0.0 if due else self.left(await self.store.next_delivery_at())

    async def _deliver(self, due: DueDelivery) -> None:
        outcome = await self._try(due)
        if outcome.status == "gone" and due.subscription is not None:
            await self.store.drop_subscription(due.account, due.subscription.id)
        fate, again, reason = _FATES.get(outcome.status, "failed"), None, outcome.reason or None
        if fate == "sent":
            attempts, asked_for = due.delivery.attempts + 1, outcome.retry_after_seconds
            wait = next_try_seconds(attempts, asked_for=asked_for, spread=self.spread())
            fate, again = ("failed", None) if wait is None else (fate, self.at(wait))
        account, name = due.account, due.delivery.id
        await self.store.settle_delivery(account, name, fate=fate, reason=reason, next_try_at=again)

    async def _try(self, due: DueDelivery) -> SendOutcome:
        notifier = self.notifiers.get(due.delivery.road)
        if due.subscription is None or notifier is None:
            return SendOutcome(status="gone", reason="unsubscribed")
        return await notifier.send(due.subscription, due.notice)
