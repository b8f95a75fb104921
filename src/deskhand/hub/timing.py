"""What the hub does by itself, round after round: give out what may begin now, notify, delete what nobody names.

Goes by the wall clock and looks at it again at least every half minute, because it may jump and a machine may sleep.
It remembers nothing: what waits stands in the log, and giving out is the same transaction as always, so that nothing
begins twice. It refuses to delete what is so new that its name may still be on the way.

Notifications are planned as rows in the transaction of what they tell of, then sent, tried again, their fate kept. At
least once, shown once (the tag replaces). The words come from the catalogue and name the kind of thing only. It never
decides *whether* to notify, and never logs an address.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from typing_extensions import override

from deskhand import limits, ports
from deskhand.clock import Clock, stamp, unstamp
from deskhand.core.delivery import HOW, Announcement, next_try_seconds
from deskhand.core.drafting import setting_of
from deskhand.errors import DeskhandError
from deskhand.ids import Ids
from deskhand.protocol.events import KIND_OF, ApprovalRequested, QuestionAsked, TaskFinished
from deskhand.protocol.objects import Delivery
from deskhand.protocol.tasks import QueueReason, Task
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import SqlStore
from deskhand.texts import text

IDLE_SECONDS = 30.0
LEAST_SECONDS = 0.05
_TASKS_MAX = 10_000
_log = logging.getLogger(__name__)
_BATCH = 20
_LONGEST_SECONDS = limits.DELIVERY_BACKOFF_SECONDS[-1] * 1.25
_SET_BACK_SECONDS = 5.0
_FATES = {"accepted": "accepted", "retry": "sent"}


def plan(tx: SqlTx, announced: Announcement, *, ids: Ids, task: str | None = None, device: str = "") -> list[str]:
    """Plan the announcement for every subscription of the account, or of one device; return the deliveries' ids."""
    planned: list[str] = []
    said, (urgency, ttl_seconds) = f"notice.{announced.kind}", HOW[announced.kind]
    language = setting_of(tx, "language")
    for subscription in (one for one in tx.subscriptions() if device in {"", one.device}):
        delivery = Delivery.from_json(
            {
                "id": ids.new("dlv"),
                "class": announced.kind,
                "road": "webpush",
                "device": subscription.device,
                "task": task,
                "tag": announced.tag,
                "fate": "planned",
                "at": tx.now,
            }
        )
        notice = ports.Notice(
            id=delivery.id,
            tag=announced.tag,
            title=text(f"{said}.title", language=language),
            body=text(f"{said}.body", language=language),
            url_path=announced.url_path,
            urgency=urgency,
            ttl_seconds=ttl_seconds,
        )
        addressed = ports.PlannedDelivery(delivery=delivery, subscription=subscription.id, notice=notice)
        tx.plan_delivery(addressed)
        planned.append(delivery.id)
    return planned


@dataclass(eq=False, kw_only=True)
class Rounds(ABC):
    """A loop that is woken by a commit of one of the kinds it ``wakes_at``, or when its time has come."""

    wakes_at: ClassVar[frozenset[str]] = frozenset()
    store: SqlStore
    clock: Clock
    rest: float = 0.0
    """How many seconds it waits at most before the next round."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def look_at(self, committed: Sequence[ports.Committed]) -> None:
        """Wake up if something was committed that may concern it: most commits do not."""
        if any(one.event.kind in self.wakes_at for one in committed):
            self.woken.set()

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.rest):
                    await self.woken.wait()
            self.woken.clear()
            self.rest = await self.round()

    @abstractmethod
    async def round(self) -> float:
        """Do what is due; return for how many seconds at most there is nothing more to do."""

    def at(self, seconds: float = 0) -> str:
        """Return the stamp of a moment so many seconds from now."""
        return stamp(self.clock.now() + timedelta(seconds=seconds))

    def left(self, at: str | None) -> float:
        """Return how long to rest until then; the wall clock may jump."""
        seconds = (unstamp(at) - self.clock.now()).total_seconds() if at else IDLE_SECONDS
        return min(max(seconds, LEAST_SECONDS), IDLE_SECONDS)


@dataclass(eq=False, kw_only=True)
class Alarm(Rounds):
    """Gives out queued tasks whose ``not_before`` has come; ``accounts`` are those in which something may wait."""

    give_out: Callable[[str], Awaitable[None]]
    accounts: set[str] = field(default_factory=set[str])

    def watch(self, account: str) -> None:
        """Look at an account: something of it may wait for its time."""
        self.accounts.add(account)
        self.woken.set()

    @override
    def look_at(self, committed: Sequence[ports.Committed]) -> None:
        """Watch an account in which something was queued until its time."""
        for one in committed:
            if one.event.body.get("reason") == QueueReason.NOT_BEFORE:
                self.watch(one.account)

    @override
    async def round(self) -> float:
        rest = IDLE_SECONDS
        for account in sorted(self.accounts):
            queued = await self.store.find(account, Task, states=("queued",), limit=_TASKS_MAX)
            waiting = (one for one in queued if one.reason is QueueReason.NOT_BEFORE)
            due = min((one.not_before for one in waiting if one.not_before), default=None)
            if due is None:
                self.accounts.discard(account)
            elif due <= self.at():
                await self.give_out(account)
                rest = LEAST_SECONDS
            else:
                rest = min(rest, self.left(due))
        return rest


@dataclass(eq=False, kw_only=True)
class Sweeper(Rounds):
    """Deletes files of erased conversations and what a crash left: after an erasure, after a start and every hour."""

    wakes_at = frozenset({"thread.erased"})
    blobs: ports.Blobs
    rest: float = limits.SWEEP_AFTER_START_SECONDS

    @override
    async def round(self) -> float:
        try:
            await self.sweep()
        except DeskhandError as error:
            _log.warning("sweep.failed %s", error.code)
            return limits.SWEEP_AFTER_START_SECONDS
        return limits.SWEEP_SECONDS

    async def sweep(self) -> int:
        """Delete what nobody names; return how many files went."""
        before = self.clock.now().timestamp() - limits.UNNAMED_KEPT_SECONDS
        dropped = await self.blobs.drop(but=await self.store.named_blobs(), before=before)
        await self.store.scrub()
        return dropped


@dataclass(eq=False, kw_only=True)
class Courier(Rounds):
    """The loop that empties the ledger's due rows; ``notifiers`` are the roads by their names."""

    wakes_at = frozenset(KIND_OF[kind] for kind in (TaskFinished, ApprovalRequested, QuestionAsked))
    notifiers: Mapping[str, ports.Notifier]
    spread: Callable[[], float]
    offset: float | None = None
    """What only changes when somebody sets the clock."""

    @override
    async def round(self) -> float:
        """Deliver what is due.

        What waits stands in wall time, to outlive this process. A clock that was set back would keep it waiting: what
        is due later than any wait is long, or at all when the clock goes back now, is tried earlier instead.
        """
        now, before = self.at(), self.offset
        self.offset = self.clock.now().timestamp() - self.clock.elapsed()
        if before is None or before - self.offset > _SET_BACK_SECONDS:
            late = self.at(_LONGEST_SECONDS) if before is None else now
            await self.store.hasten_deliveries(after=late, to=late)
        due = await self.store.due_deliveries(now, limit=_BATCH)
        async with asyncio.TaskGroup() as group:
            for one in due:
                group.create_task(self._deliver(one))
        return 0.0 if due else self.left(await self.store.next_delivery_at())

    async def _deliver(self, due: ports.DueDelivery) -> None:
        notifier = self.notifiers.get(due.delivery.road)
        outcome = ports.SendOutcome(status="gone", reason="unsubscribed")
        if due.subscription is not None and notifier is not None:
            outcome = await notifier.send(due.subscription, due.notice)
        if outcome.status == "gone" and due.subscription is not None:
            await self.store.drop_subscription(due.account, due.subscription.id)
        fate, again, reason = _FATES.get(outcome.status, "failed"), None, outcome.reason or None
        if fate == "sent":
            attempts, asked_for = due.delivery.attempts + 1, outcome.retry_after_seconds
            wait = next_try_seconds(attempts, asked_for=asked_for, spread=self.spread())
            fate, again = ("failed", None) if wait is None else (fate, self.at(wait))
        account, name = due.account, due.delivery.id
        await self.store.settle_delivery(account, name, fate=fate, reason=reason, next_try_at=again)
