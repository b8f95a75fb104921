"""Notifications on their way: planned with what they tell of, judged when they are due, sent, tried again; said again.

Planned as rows in the transaction of what they tell of, so that a hub that dies loses none. At least once, shown once
(the tag replaces). What nobody answers and which computer stays away is read from the account round after round, so
that nothing has to be remembered. The words come from the catalogue and name the kind of thing unless the owner wants
more. It never decides *whether* to notify (``core.delivery``), and never logs an address.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from typing_extensions import override

from deskhand import limits, ports
from deskhand.clock import Ids, stamp
from deskhand.core import delivery as core
from deskhand.core.drafting import setting_of
from deskhand.core.settings import effective
from deskhand.hub.streaming import Listener
from deskhand.hub.timing import IDLE_SECONDS, Rounds
from deskhand.protocol.events import KIND_OF, ApprovalRequested, QuestionAsked, TaskFinished
from deskhand.protocol.objects import EVERYBODY, Delivery, Device, Presence, Role, Runner, Setting, Thread
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Approval, Question, Task
from deskhand.store.log.transaction import SqlTx

WEB_PUSH = "webpush"
Roads = Callable[[], Sequence[str]]
"""The roads beside Web Push that lead somewhere now."""
_BATCH = 100
_LONGEST_SECONDS = limits.DELIVERY_BACKOFF_SECONDS[-1] * 1.25
_SET_BACK_SECONDS = 5.0
_FATES = {"accepted": "accepted", "retry": "sent"}
_SETTINGS_MAX = 1000
_MINUTE = 60.0
_DIGEST = "digest"
"""The reason of what goes out, or went, as one message with others."""


def plan(
    tx: SqlTx, told: core.Announcement, *, ids: Ids, roads: Sequence[str] = (), device: str = "", seq: int | None = None
) -> list[str]:
    """Plan the announcement for every subscription of the account or one device, and other roads where they are due.

    Other roads are the second ones, unless there is no first one or the owner wants all of them at once.
    """
    task = tx.get(Task, told.task) if told.task else None
    thread = tx.get(Thread, told.thread) if told.thread else None
    # Everybody hears of what they asked for and of their own conversations; the owner of what only they may allow.
    people = {(thread.person if thread else "") or "", (task.requester if task else "") or ""}
    people = {one for one in people if thread is None or thread.seen_by in {EVERYBODY, one}}
    people |= {""} if tx.get(Approval, told.tag) else set()
    whose = {one.id for one in tx.find(Device, states=("active",)) if {one.holder, one.id} & people} | {device}
    subscriptions = [one for one in tx.subscriptions() if one.device in whose and device in {"", one.device}]
    roads = roads if "" in people or device else ()  # they lead to the owner
    at_once = not subscriptions or setting_of(tx, "notify.roads") == "always" or told.kind == "test"
    second, planned = told.occasion == "second", list[str]()
    to: list[tuple[str, ports.PushSubscription | None]] = [(WEB_PUSH, one) for one in subscriptions if not second]
    to += [(road, None) for road in roads if not device and second is not at_once]
    about = {name: getattr(told, name) for name in ("tag", "thread", "task", "occasion")} | {"class": told.kind}
    for road, one in to:
        place = {"road": road, "device": one and one.device, "fate": "planned", "at": tx.now, "seq": seq}
        delivery = Delivery.from_json({**about, **place, "id": ids.new("dlv")})
        tx.plan_delivery(ports.PlannedDelivery(delivery=delivery, subscription=one and one.id))
        planned.append(delivery.id)
    return planned


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What an account is like now, as far as notifications go by it."""

    settings: Mapping[str, Setting]
    holders: Mapping[str, str]
    waiting: Mapping[str, Approval | Question]
    links: Mapping[str, Presence]
    screens: Sequence[Listener]

    def said(self, name: str) -> bool | int | str | tuple[str, ...]:
        """Return a setting."""
        stored = self.settings.get(name)
        return effective({name: stored.value} if stored else {}, name)

    def person(self, device: str | None) -> str:
        """Return who holds a device; the other roads are the owner's."""
        return "" if device is None else self.holders.get(device, device)

    def same_person(self, device: str | None) -> frozenset[str]:
        """Return the devices of whoever holds this one."""
        person = self.person(device)
        return frozenset(one for one, holder in self.holders.items() if holder == person) | {device or ""}


@dataclass(eq=False, kw_only=True)
class Courier(Rounds):
    """The loop that empties the ledger's due rows, and says again what nobody answered.

    ``notifiers`` are the roads by their names, ``screens`` the pages of an account that are visible now.
    """

    wakes_at = frozenset(KIND_OF[kind] for kind in (TaskFinished, ApprovalRequested, QuestionAsked))
    ids: Ids
    notifiers: Mapping[str, ports.Notifier]
    spread: Callable[[], float]
    roads: Roads = tuple
    screens: Callable[[str], Sequence[Listener]] = lambda _: ()
    offset: float | None = None
    """What only changes when somebody sets the clock."""
    sent: dict[str, deque[float]] = field(default_factory=dict[str, "deque[float]"])
    again: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """What was said again, by tag and occasion: a start says it again to the store, which has it."""

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
            for account in dict.fromkeys(one.account for one in due):
                known = await self._known(account)
                mine = [one for one in due if one.account == account]
                verdicts = [(one, await self._judged(one, known)) for one in mine]
                for together in _messages([one for one, said in verdicts if said.fate == "sent"]):
                    group.create_task(self._deliver(together, known))
                for one, said in verdicts:
                    if said.fate != "sent":
                        until = stamp(said.until) if said.until else None
                        await self._settle(one, said.fate, said.reason, until)
        return 0.0 if due else min(await self._say_again(), self.left(await self.store.next_delivery_at()))

    async def _say_again(self) -> float:
        """Plan what has to be said again, or of a computer that stays away; return how long that may rest."""
        rest, states = IDLE_SECONDS, ("working", "verifying")
        for account in await self.store.accounts():
            known = await self._known(account)
            tasks = await self.store.find(account, Task, states=states, limit=limits.TASKS_OPEN_MAX)
            away = core.absences(known.links, tasks, known.said)
            for at, one in (*core.reminders([*known.waiting.values()], known.said), *away):
                if at > self.clock.now():
                    rest = min(rest, self.left(stamp(at)))
                elif (one.tag, one.occasion) not in self.again:
                    await self.store.write(account, lambda tx, one=one: plan(tx, one, ids=self.ids, roads=self.roads()))
                    self.again.add((one.tag, one.occasion))
                    rest = 0.0
        return rest

    async def _known(self, account: str) -> _Known:
        """Look at an account."""
        find = self.store.find
        asked = (*await find(account, Approval, states=("open",)), *await find(account, Question, states=("open",)))
        devices = await find(account, Device, states=("active",), limit=_SETTINGS_MAX)
        return _Known(
            settings={one.id: one for one in await find(account, Setting, limit=_SETTINGS_MAX)},
            holders={one.id: one.holder for one in devices if one.role is not Role.RUNNER},
            waiting={one.id: one for one in asked},
            links=await self.store.presence(account),
            screens=self.screens(account),
        )

    async def _judged(self, due: ports.DueDelivery, known: _Known) -> core.Verdict:
        told, account, get = due.delivery, due.account, self.store.get
        task = await get(account, Task, told.task) if told.task else None
        thread = await get(account, Thread, told.thread) if told.thread else None
        readers = await self.store.readers(account, told.thread) if told.thread and told.seq else {}
        person, link = known.same_person(told.device), known.links.get(told.tag)
        mine = [one for one in known.screens if one.reader.id in person]
        answered = told.kind == "needs_you" and told.tag not in known.waiting
        seen = core.Circumstances(
            over=answered or (link is not None and link.connected),
            muted=thread is not None and thread.muted,
            read=any(seq >= (told.seq or 0) for who, seq in readers.items() if who in person),
            screen=any(one.live == told.thread for one in mine if told.thread),
            app=bool(mine),
            taken=any(one.acknowledged() for one in mine),
            ran_seconds=core.ran_seconds(task),
        )
        said = core.verdict(told, seen, known.said, now=self.clock.now())
        return said if said.fate != "sent" or told.fate != "planned" else self._rationed(told)

    def _rationed(self, told: Delivery) -> core.Verdict:
        """Hold what would be too much for one device; what is held goes out as one message."""
        sent = self.sent.setdefault(told.device or told.road, deque(maxlen=limits.NOTICES_PER_MINUTE_MAX))
        much = len(sent) == sent.maxlen and self.clock.elapsed() - sent[0] < _MINUTE
        if much and told.kind not in {"needs_you", "test"}:
            return core.Verdict(fate="held", reason="too_many", until=self.clock.now() + timedelta(seconds=_MINUTE))
        sent.append(self.clock.elapsed())
        return core.Verdict()

    async def _deliver(self, together: Sequence[ports.DueDelivery], known: _Known) -> None:
        """Send one message, which may stand for several, and keep what became of each."""
        due, *others = together
        told, person = due.delivery, known.person(due.delivery.device)
        role = Role.MEMBER if person else Role.OWNER
        reader = Principal(account=due.account, id=told.device or "", role=role, person=person)
        detail = await self._detail(due, known, reader) if known.said("notify.text") == "full" else ""
        title, body = core.worded(
            [one.delivery for one in together], language=str(known.said("language")), detail=detail
        )
        how: dict[str, Any] = {"urgency": core.HOW[told.kind][0], "ttl_seconds": core.HOW[told.kind][1]}
        where = {"id": told.id, "tag": "digest" if others else told.tag, "url_path": core.place_of(told)}
        notice = ports.Notice(**where, **how, title=title, body=body, waiting=await self._waiting(reader))
        outcome = ports.SendOutcome(status="gone", reason="unsubscribed")
        if (notifier := self.notifiers.get(told.road)) is not None:
            outcome = await notifier.send(due.subscription, notice)
        if outcome.status == "gone" and due.subscription is not None:
            await self.store.drop_subscription(due.account, due.subscription.id)
        fate, again, reason = _FATES.get(outcome.status, "failed"), None, outcome.reason or None
        if fate == "sent":
            attempts, asked_for = due.delivery.attempts + 1, outcome.retry_after_seconds
            wait = core.next_try_seconds(attempts, asked_for=asked_for, spread=self.spread())
            fate, again = ("failed", None) if wait is None else (fate, self.at(wait))
        reason = _DIGEST if others and fate != "failed" else reason
        await self._settle(due, fate, reason, again)
        for one in others:
            await self._settle(one, "suppressed" if fate == "accepted" else fate, reason, again)

    async def _waiting(self, reader: Principal) -> tuple[str, ...]:
        """Return what waits for a person, of what they see."""
        kinds: tuple[type[Approval | Question], ...] = (Approval, Question)
        found = [await self.store.find(reader.account, one, reader=reader, states=("open",)) for one in kinds]
        return tuple(one.id for some in found for one in some)

    async def _detail(self, due: ports.DueDelivery, known: _Known, reader: Principal) -> str:
        """Return what happened, in the words of whoever did it, as far as the reader sees it."""
        told, account = due.delivery, due.account
        if told.kind == "runner_offline":
            runner = await self.store.get(account, Runner, told.tag)
            return runner.name if runner else ""
        task = await self.store.get(account, Task, told.task or "", reader=reader)
        asked = known.waiting.get(told.tag)
        said = asked.sentence if isinstance(asked, Approval) else asked.text if asked else task and task.summary
        return ": ".join(filter(None, (task and task.title, said)))

    async def _settle(self, one: ports.DueDelivery, fate: str, reason: str | None, again: str | None) -> None:
        account, name = one.account, one.delivery.id
        await self.store.settle_delivery(account, name, fate=fate, reason=reason, next_try_at=again)


def _messages(due: Sequence[ports.DueDelivery]) -> Iterator[list[ports.DueDelivery]]:
    """Yield what goes out as one message: what was held for the same place comes together, all else alone."""
    held: dict[tuple[str, str], list[ports.DueDelivery]] = {}
    for one in due:
        if one.delivery.fate == "held" or one.delivery.reason == _DIGEST:
            held.setdefault((one.delivery.road, one.subscription.id if one.subscription else ""), []).append(one)
        else:
            yield [one]
    # What needs somebody says how urgent the message is.
    yield from (sorted(group, key=lambda one: one.delivery.kind != "needs_you") for group in held.values())
