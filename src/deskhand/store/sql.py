"""The ``Store`` port over SQL: one log per account, its projections, and the hub's own truth.

Async outside, synchronous inside: writes go through the writer, reads through the reader. It refuses to decide
anything; what a write means is in the function that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from deskhand.clock import Clock, stamp
from deskhand.ports import Committed, DueDelivery, PushSubscription, Tx
from deskhand.protocol.objects import Upload
from deskhand.store.engine import Reader
from deskhand.store.faults import translated
from deskhand.store.log import reading as log
from deskhand.store.log.transaction import Memory, SqlTx
from deskhand.store.log.verify import verify
from deskhand.store.own import access, deliveries, uploads
from deskhand.store.writer import Writer

P = ParamSpec("P")
R = TypeVar("R")
Hook = Callable[[Sequence[Committed]], None]


class FanOut:
    """Hands events after their commit to hooks, exactly once each and in log order, whoever wrote them.

    Events of this process arrive from its writer, events of others from the listener, which reads the log itself. It
    refuses to guess over a gap: what is not next waits for the listener.

    Args:
        heads: to begin after; without them every commit is new (one process, one log).
    """

    def __init__(self, heads: Mapping[str, int] | None = None) -> None:
        self._hooks: list[Hook] = []
        self._told = None if heads is None else dict(heads)

    def add(self, hook: Hook) -> None:
        """Call ``hook`` from now on."""
        self._hooks.append(hook)

    def told(self, account: str) -> int:
        """Return the seq up to which the account's events were passed on."""
        return 0 if self._told is None else self._told.get(account, 0)

    def offer(self, committed: Sequence[Committed]) -> None:
        """Pass on what is next in its log; on the loop only."""
        fresh = committed if self._told is None else self._next(committed, self._told)
        if fresh:
            for hook in self._hooks:
                hook(fresh)

    @staticmethod
    def _next(committed: Sequence[Committed], told: dict[str, int]) -> list[Committed]:
        fresh: list[Committed] = []
        for item in committed:
            if item.event.seq == told.get(item.account, 0) + 1:
                told[item.account] = item.event.seq
                fresh.append(item)
        return fresh


class SqlStore:
    """The hub's only memory, on SQLite or PostgreSQL; ``opening`` puts it together.

    What a method raises is said at the ``Store`` port.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        writer: Writer,
        reader: Reader,
        fanout: FanOut,
        scrubbing: Callable[[], None] = lambda: None,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._fanout = fanout
        self._scrubbing = scrubbing
        self._closing = closing
        self._memory = Memory()

    @staticmethod
    def _reading(
        query: Callable[Concatenate[Connection, P], R],
    ) -> Callable[Concatenate[SqlStore, P], CoroutineType[Any, Any, R]]:
        """Make a method of a query: what it reads, through the store's reader."""

        @wraps(query)
        async def method(self: SqlStore, *args: P.args, **kwargs: P.kwargs) -> R:
            return await self._reader.read(lambda connection: query(connection, *args, **kwargs))

        return method

    @staticmethod
    def _changing(
        change: Callable[Concatenate[Connection, P], R],
    ) -> Callable[Concatenate[SqlStore, P], CoroutineType[Any, Any, R]]:
        """Make a method of a change; whose it is comes first, unless it is everybody's."""

        @wraps(change)
        async def method(self: SqlStore, *args: P.args, **kwargs: P.kwargs) -> R:
            return await self._change(str(args[0]) if args else "", change, *args, **kwargs)

        return method

    async def write(self, account: str, work: Callable[[Tx], R]) -> R:
        """Run ``work`` in a transaction and return after a durable commit."""

        def run(connection: Connection) -> tuple[R, tuple[Committed, ...]]:
            tx = SqlTx(connection, account, now=self._now(), memory=self._memory)
            result = work(tx)
            return result, tx.flush()

        def tell(done: tuple[R, tuple[Committed, ...]]) -> None:
            self._fanout.offer(done[1])

        result, _ = await self._writer.do(run, key=account, after=tell)
        return result

    def on_commit(self, hook: Hook) -> None:
        """Call ``hook`` on the loop after each commit, in log order, also when the writer's caller is gone."""
        self._fanout.add(hook)

    async def verify(self, account: str) -> list[str]:
        """Fold the log anew, compare every projection and the hash chain; return what differs, in sentences."""
        return await self._reader.look(lambda connection: verify(connection, account))

    create_account = _changing(access.begin_account)
    head = _reading(log.head)
    incarnation = _reading(log.incarnation)
    events = _reading(log.events)
    thread_events = _reading(log.thread_events)
    get = _reading(log.get)
    find = _reading(log.find)
    texts = _reading(log.texts)

    credential = _reading(access.credential)
    invite = _reading(access.unused_invite)
    joining = _reading(access.joining)
    set_presence = _changing(access.set_presence)
    presence = _reading(access.presence)
    read_marks = _reading(access.read_marks)
    lose_links = _changing(access.lose_links)

    async def put_subscription(self, subscription: PushSubscription) -> None:
        """Keep a push subscription; the same endpoint replaces itself; the oldest of a device beyond the limit go."""
        await self._change(subscription.account, deliveries.put_subscription, subscription)

    async def due_deliveries(self, now: str, *, limit: int) -> list[DueDelivery]:
        """Claim delivery rows whose ``next_try_at`` has come (SKIP LOCKED where there are several hubs)."""
        # A look first: most of the time nothing is due, and a look costs no commit.
        earliest = await self.next_delivery_at()
        if earliest is None or earliest > now:
            return []
        return await self._change("", deliveries.claim, now, limit=limit)

    hasten_deliveries = _changing(deliveries.hasten)
    drop_subscription = _changing(deliveries.drop_subscription)
    settle_delivery = _changing(deliveries.settle)
    next_delivery_at = _reading(deliveries.next_at)
    deliveries = _reading(deliveries.ledger)

    async def create_upload(self, account: str, principal: str, upload: Upload) -> None:
        """Reserve an upload against the principal's quota."""
        await self._change(account, uploads.create, account, principal, upload, now=self._now())

    advance_upload = _changing(uploads.advance)
    upload = _reading(uploads.find)
    blob_referenced = _reading(uploads.referenced)

    async def named_blobs(self) -> set[str]:
        """Return every blob that an artifact or upload of any account names."""
        return await self._reader.look(uploads.named)

    async def scrub(self) -> None:
        """Let what was erased leave the write-ahead log, where there is one."""
        await self._reader.offload(translated()(self._scrubbing))

    async def close(self) -> None:
        """Finish waiting writes and close."""
        await self._writer.close()
        self._closing()
        self._reader.close()

    async def _change(
        self,
        key: str,
        change: Callable[Concatenate[Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        return await self._writer.do(
            lambda connection: change(connection, *args, **kwargs), key=key
        )

    def _now(self) -> str:
        return stamp(self._clock.now())
