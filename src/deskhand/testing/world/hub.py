"""The hub of a world: the real ``Hub`` on the real ``SqlStore``, whose committed rows survive its crashes.

It refuses to answer while it is down, and counts what its notifiers were asked to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub, HubParts
from deskhand.hub.participant import Participant
from deskhand.ports import Notice, PushSubscription, SendOutcome
from deskhand.protocol.authority import Principal
from deskhand.store.opening import open_memory_disk, open_memory_store
from deskhand.store.sql import SqlStore
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.world.loop import Process
from deskhand.testing.world.machines import COMPILED, Chaos, Machine

R = TypeVar("R")
ACCOUNT = "acc_world"


class Push:
    """A push service with moods: takes, refuses for now, or is down; remembers what it took."""

    road = "webpush"

    def __init__(self, chaos: Chaos) -> None:
        """Begin in a good mood."""
        self._chaos = chaos
        self.failing = 0.0
        self.tried: dict[str, int] = {}
        self.taken: list[Notice] = []
        self.on_taken: Callable[[PushSubscription, Notice], None] | None = None

    async def send(self, subscription: PushSubscription, notice: Notice) -> SendOutcome:
        """Take it or not."""
        self.tried[notice.id] = self.tried.get(notice.id, 0) + 1
        if self._chaos.rng.random() < self.failing:
            return SendOutcome(status="retry", reason="503")
        self.taken.append(notice)
        if self.on_taken is not None:
            self.on_taken(subscription, notice)
        return SendOutcome(status="accepted")


class House(Machine):
    """One hub process after the other on one disk."""

    def __init__(self, chaos: Chaos) -> None:
        """Have an empty disk."""
        super().__init__("hub", chaos)
        self.disk = open_memory_disk().execution_options(compiled_cache=COMPILED)
        self.blobs = MemoryBlobs()
        self.push = Push(chaos)
        self.principals: dict[str, Principal] = {}
        self.store: SqlStore | None = None
        self._hub: Hub | None = None

    @property
    def serving(self) -> bool:
        """Whether it would answer."""
        return self.up and self._hub is not None

    @override
    async def live(self, process: Process) -> None:
        """Start the hub."""
        self._hub = None
        if self.store is not None:
            await self.store.close()
        self.store = open_memory_store(
            self.disk,
            self.clock,
            before_commit=self.at(process, "before a commit"),
            after_commit=self.at(process, "after a commit"),
        )
        parts = HubParts(
            store=self.store,
            blobs=self.blobs,
            clock=self.clock,
            ids=self.ids(),
            notifiers={Push.road: self.push},
            spread=self.chaos.rng.random,
        )
        hub = Hub(parts)
        await self.store.create_account(ACCOUNT)
        await hub.start()
        self._hub = hub

    def ask(self, who: str, work: Callable[[Participant], Awaitable[R]]) -> asyncio.Future[R]:
        """Let the hub do something for a participant; its answer, or ``hub_unreachable`` when it dies over it.

        Cancelling the answer is hanging up: the hub stops where it is.
        """
        answer: asyncio.Future[R] = self.loop.create_future()

        async def handle(participant: Participant) -> None:
            try:
                result = await work(participant)
            except DeskhandError as error:
                _settle(answer, error=error)
            else:
                _settle(answer, result)

        task, gone = self.serve(who, handle), DeskhandError(Code.HUB_UNREACHABLE)
        if task is None:
            answer.set_exception(gone)
        else:
            task.add_done_callback(lambda _: _settle(answer, error=gone))
            answer.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        return answer

    def serve(
        self, who: str, work: Callable[[Participant], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None] | None:
        """Run something in the hub's process, if there is one."""
        if self._hub is None or self.process is None or not self.serving:
            return None
        return self.process.spawn(work(Participant(self._hub, self.principals[who])))


def _settle(
    answer: asyncio.Future[R], result: R | None = None, *, error: DeskhandError | None = None
) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)  # pyright: ignore[reportArgumentType] - no error means there is a result
