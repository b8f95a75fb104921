"""The hub of a world: the real ``Hub`` on the real ``SqlStore``, whose committed rows survive its crashes.

It refuses to answer while it is down, and counts what its notifiers were asked to send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub, Participant, Uploads
from deskhand.ports import Committed, Notice, PushSubscription, SendOutcome
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Principal
from deskhand.protocol.wire import JsonObject
from deskhand.store.opening import SqlStore
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from deskhand.testing.world.loop import Process
from deskhand.testing.world.machines import Chaos, Machine, disk_of

R = TypeVar("R")
ACCOUNT = "acc_world"
OWNER_VIEW = Principal(account=ACCOUNT, id="dev_any", role=Role.OWNER)


class Push:
    """A push service with moods: takes, refuses for now, or is down; remembers what it took."""

    road = "webpush"

    def __init__(self, chaos: Chaos, dies: Callable[[str], None]) -> None:
        """Begin in a good mood; the hub may die around each sending."""
        self._chaos = chaos
        self._dies = dies
        self.failing = 0.0
        self.tried: dict[str, int] = {}
        self.taken: dict[str, Notice] = {}
        self.on_taken: Callable[[PushSubscription, Notice], None] | None = None

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Take it or not."""
        if subscription is None:
            return SendOutcome(status="gone")
        self._dies("before a push")
        self.tried[notice.id] = self.tried.get(notice.id, 0) + 1
        if self._chaos.rng.random() < self.failing:
            return SendOutcome(status="retry", reason="503")
        self.taken[notice.id] = notice
        if self.on_taken is not None:
            self.on_taken(subscription, notice)
        self._dies("after a push")
        return SendOutcome(status="accepted")


class House(Machine):
    """One hub process after the other on one disk."""

    def __init__(self, chaos: Chaos) -> None:
        """Have an empty disk."""
        super().__init__("hub", chaos)
        self.disk = disk_of(open_memory_disk())
        self.blobs = MemoryBlobs(now=lambda: self.clock.now().timestamp())
        self.push = Push(chaos, self._die)
        self.principals: dict[str, Principal] = {}
        self.removed: dict[str, int] = {}
        self.said: dict[int, Event] = {}
        self.store: SqlStore | None = None
        self._hub: Hub | None = None
        self._uploads: Uploads | None = None

    @property
    def serving(self) -> bool:
        """Whether it would answer."""
        return self.up and self._hub is not None

    @override
    async def live(self, process: Process) -> None:
        """Start the hub."""
        self._hub = self._uploads = None
        if self.store is not None:
            await self.store.close()
        self.store = open_memory_store(
            self.disk,
            self.clock,
            before_commit=self.at(process, "before a commit"),
            after_commit=self.at(process, "after a commit"),
        )
        hub = Hub(
            store=self.store,
            blobs=self.blobs,
            clock=self.clock,
            ids=self.ids(),
            notifiers={Push.road: self.push},
            spread=self.chaos.rng.random,
        )
        await self.store.create_account(ACCOUNT)
        self.store.on_commit(self._witness)
        await self._catch_up()
        await hub.start()
        self._hub, self._uploads = (
            hub,
            Uploads(store=self.store, blobs=self.blobs, clock=self.clock, ids=self.ids("uploads")),
        )

    async def events(self, *, after: int = 0) -> list[Event]:
        """Return the account's log as it is on the disk."""
        found: list[Event] = []
        more = self.store is not None
        while more and self.store is not None:
            page = await self.store.events(OWNER_VIEW, after=after, limit=500)
            found += page.events
            after, more = page.looked_at, page.more
        return found

    async def snapshot(self, who: str) -> JsonObject:
        """Return where a device starts from."""
        if self._hub is None:
            raise DeskhandError(Code.HUB_UNREACHABLE)
        return cast("JsonObject", json.loads(await self._hub.snapshot(self._let_in(who))))

    async def upload(self, who: str, data: bytes) -> str:
        """Take a file in and return its id."""
        if self._uploads is None:
            raise DeskhandError(Code.HUB_UNREACHABLE)
        me = self._let_in(who)
        upload = await self._uploads.create(me, name="notes.txt", size=len(data))
        await self._uploads.append(me, upload.id, chunked([data]), offset=0)
        return upload.id

    async def _catch_up(self) -> None:
        """See what was committed when the last life had no time to say so."""
        self._saw(await self.events(after=max(self.said, default=0)))

    def _witness(self, committed: Sequence[Committed]) -> None:
        self._saw([one.event for one in committed])

    def _saw(self, events: Sequence[Event]) -> None:
        """Keep what was said, also when its thread is erased later, and shut out who was removed."""
        for event in events:
            self.said[event.seq] = event
            if event.kind == "device.revoked":
                self.removed.setdefault(str(event.body["device"]), event.seq)

    def _let_in(self, who: str) -> Principal:
        if who in self.removed:
            raise DeskhandError(Code.UNAUTHORIZED)
        return self.principals[who]

    def _die(self, what: str) -> None:
        """Pass a point outside any commit, in whichever process runs now."""
        if self.process is not None:
            self.point(self.process, what)

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

        if who in self.removed:
            answer.set_exception(DeskhandError(Code.UNAUTHORIZED))
            return answer
        task, gone = self.serve(who, handle), DeskhandError(Code.HUB_UNREACHABLE)
        if task is None:
            answer.set_exception(gone)
        else:
            task.add_done_callback(lambda _: _settle(answer, error=gone))
            answer.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        return answer

    def serve(self, who: str, work: Callable[[Participant], Coroutine[Any, Any, None]]) -> asyncio.Task[None] | None:
        """Run something in the hub's process, if there is one."""
        if self._hub is None or self.process is None or not self.serving:
            return None
        return self.process.spawn(work(Participant(self._hub, self._let_in(who))))


async def chunked(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yield bytes, as a request does."""
    for chunk in chunks:
        yield chunk


def _settle(answer: asyncio.Future[R], result: R | None = None, *, error: DeskhandError | None = None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)  # pyright: ignore[reportArgumentType] - no error means there is a result
