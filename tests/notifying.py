"""A hub in virtual time whose notifications go to roads that answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Engine

from deskhand.clock import Ids
from deskhand.hub.app import Hub
from deskhand.hub.credentials import admit
from deskhand.ports import Notice, PushSubscription, SendOutcome
from deskhand.protocol.events import HUB, ORDER_KINDS
from deskhand.protocol.objects import Delivery, Device, Role
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.wire import JsonObject
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from deskhand.testing.world.loop import SimClock, VirtualLoop

A = "acc_home"
PHONE = Principal(account=A, id="dev_phone", role=Role.OWNER)
DESK = Principal(account=A, id="dev_desk", role=Role.OWNER)
GUEST = Principal(account=A, id="dev_guest", role=Role.MEMBER)
LAPTOP = Principal(account=A, id="run_laptop", role=Role.RUNNER)
ADVERT: JsonObject = {
    "runner": {
        "id": "x", "name": "laptop", "incarnation": "i", "protocol": 1, "agents": ["commands"],
        "kinds": sorted(ORDER_KINDS), "sandbox": {"name": "none", "level": "none"},
        "commands": [{"name": "brief", "summary": "", "usage": ""}],
        "advertised_at": "2026-01-01T00:00:00.000Z",
    }
}  # fmt: skip


@dataclass
class Road:
    """A road that answers as told, then takes everything."""

    answers: list[SendOutcome] = field(default_factory=list[SendOutcome])
    tried: list[Notice] = field(default_factory=list[Notice])
    taken: list[Notice] = field(default_factory=list[Notice])

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Take it or not."""
        del subscription
        self.tried.append(notice)
        outcome = self.answers.pop(0) if self.answers else SendOutcome(status="accepted")
        if outcome.status == "accepted":
            self.taken.append(notice)
        return outcome


@dataclass(kw_only=True)
class House:
    """A hub with a phone, a desk, a laptop, and two roads."""

    hub: Hub
    clock: SimClock
    ids: Ids
    disk: Engine
    push: Road
    ntfy: Road

    async def op(self, who: Principal, kind: str, body: JsonObject, **about: str | None) -> OpResult:
        """Wish something."""
        op = Op.from_json({"op_id": self.ids.new("op"), "kind": kind, "body": body, **about})
        [result] = await self.hub.submit(who, [op])
        assert result.error is None, result.error
        return result

    async def set(self, **values: Any) -> None:  # noqa: ANN401 - any setting
        """Change settings of notifications."""
        for name, value in values.items():
            await self.op(PHONE, "settings.put", {"name": f"notify.{name}", "value": value})

    async def task(self, *, thread: str | None = None) -> tuple[str, str]:
        """Post a task that the laptop begins; return its id and its thread."""
        posted = await self.op(PHONE, "message.post", {"text": "/brief notes"}, thread=thread)
        await self.op(LAPTOP, "task.accept", {"epoch": 1}, task=posted.task)
        return posted.task or "", await self.thread_of(posted.task or "")

    async def thread_of(self, task: str) -> str:
        """Return the thread of a task."""
        from deskhand.protocol.tasks import Task  # noqa: PLC0415 - for this line

        found = await self.hub.store.get(A, Task, task)
        assert found is not None
        return found.thread

    async def end(self, task: str, *, state: str = "failed") -> None:
        """Let the laptop end a task."""
        verdict = "not_done" if state == "failed" else "unverified"
        body: JsonObject = {"epoch": 1, "state": state, "verdict": verdict, "summary": "salaries"}
        await self.op(LAPTOP, "event.append", {"kind": "task.finished", "body": body}, task=task)

    async def ask(self, task: str) -> str:
        """Let the laptop ask something; return the question."""
        body: JsonObject = {"epoch": 1, "question": {"id": f"qst_{task}", "task": task, "thread": "x", "text": "Which?",
                            "asked_at": "2026-01-05T08:00:00.000Z"}}  # fmt: skip
        await self.op(LAPTOP, "event.append", {"kind": "question.asked", "body": body}, task=task)
        from deskhand.protocol.tasks import Question  # noqa: PLC0415 - for this line

        [asked] = await self.hub.store.find(A, Question, states=("open",))
        return asked.id

    async def ledger(self) -> list[Delivery]:
        """Return the deliveries, oldest first."""
        return (await self.hub.store.deliveries(A, before=None, limit=200))[::-1]

    async def fates(self) -> list[tuple[str, str | None, str]]:
        """Return fate, reason and occasion of each."""
        return [(one.fate, one.reason, one.occasion) for one in await self.ledger()]

    @asynccontextmanager
    async def looks(
        self, who: Principal, thread: str | None = None, *, takes: Callable[[], bool] | None = None
    ) -> AsyncGenerator[None]:
        """Somebody has a visible page before them, whose system says whether it took all that was sent."""

        async def look() -> None:
            async with aclosing(self.hub.stream(who, after=0, live=thread, screen=True, acknowledged=takes)) as frames:
                async for _ in frames:
                    pass

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            await self.clock.sleep(0.1)
            yield
            looking.cancel()

    @asynccontextmanager
    async def laptop(self) -> AsyncGenerator[None]:
        """The laptop is there."""
        await self.op(LAPTOP, "event.append", {"kind": "runner.advertised", "body": ADVERT})
        async with self.looks(LAPTOP), asyncio.TaskGroup() as group:
            speaking = group.create_task(self._speaks())
            yield
            speaking.cancel()

    async def _speaks(self) -> None:
        """Say again and again that the laptop is there."""
        while True:
            await self.op(LAPTOP, "presence.note", {"state": "up"})
            await self.clock.sleep(10)


async def begin(loop: VirtualLoop, disk: Engine, push: Road, ntfy: Road) -> House:
    clock = SimClock(loop)
    ids = Ids(clock, Random(loop.time()).randbytes)
    hub = Hub(
        store=open_memory_store(disk, clock),
        blobs=MemoryBlobs(),
        clock=clock,
        ids=ids,
        notifiers={"webpush": push, "ntfy": ntfy},
        roads=lambda: ["ntfy"],
        spread=lambda: 0.5,
    )
    await hub.store.create_account(A)
    await hub.start()
    return House(hub=hub, clock=clock, ids=ids, disk=disk, push=push, ntfy=ntfy)


async def furnish(house: House, *, subscribed: bool) -> None:
    store = house.hub.store
    for who, kind in ((PHONE, "page"), (DESK, "page"), (GUEST, "page"), (LAPTOP, "runner")):
        device = Device.from_json({"id": who.id, "name": who.id, "kind": kind, "role": who.role, "created_at": "2026"})
        await store.write(A, lambda tx, device=device: admit(tx, device, token_sha256=device.id, actor=HUB))
    keys = {"endpoint": "https://push.invalid/phone", "p256dh": "k", "auth": "a"}
    if subscribed:
        await store.put_subscription(PushSubscription(id="sub_1", account=A, device=PHONE.id, **keys))


def in_virtual_time(
    story: Callable[[House], Awaitable[None]], *, answers: list[SendOutcome] | None = None, subscribed: bool = True
) -> None:
    """Run a story at a hub."""
    loop, disk = VirtualLoop(), open_memory_disk()

    async def run() -> None:
        house = await begin(loop, disk, Road(answers or []), Road())
        await furnish(house, subscribed=subscribed)
        await story(house)
        await house.hub.stop()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
