"""The ``Store`` port over SQL: one log per account, its projections, and the hub's own truth.

Async outside, synchronous inside: writes go through the writer, reads through the reader. It refuses to decide
anything; what a write means is in the function that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine, delete

from deskhand.clock import Clock, stamp
from deskhand.limits import OP_KEPT_DAYS
from deskhand.ports import (
    Committed,
    Credential,
    DueDelivery,
    Invite,
    Joining,
    Offload,
    Page,
    PushSubscription,
    Tx,
    View,
)
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Delivery, Presence, Upload
from deskhand.protocol.wire import Wire
from deskhand.store import tables
from deskhand.store.engine import Reader, on_connection
from deskhand.store.faults import translated
from deskhand.store.log import reading as log
from deskhand.store.log.fanout import FanOut, Hook
from deskhand.store.log.known import Memory
from deskhand.store.log.transaction import begin
from deskhand.store.log.verify import verify
from deskhand.store.own import access, deliveries, uploads
from deskhand.store.rows import GENESIS, RowValues, read_object
from deskhand.store.writer import Writer

R = TypeVar("R")
W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a store is made of; ``closing`` is done last.

    Args:
        engine: for long looks (``verify``), on connections of their own.
        offload: where these may block.
    """

    engine: Engine
    writer: Writer
    reader: Reader
    fanout: FanOut
    offload: Offload
    closing: Callable[[], None]


class SqlStore:
    """The hub's only memory, on SQLite or PostgreSQL."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        """Keep the parts; ``opening`` makes them."""
        self._parts = parts
        self._writer = parts.writer
        self._reader = parts.reader
        self._fanout = parts.fanout
        self._clock = clock
        self._memory = Memory()

    # --- the log --------------------------------------------------------------------------------------------

    async def write(self, account: str, work: Callable[[Tx], R]) -> R:
        """Run ``work`` in a transaction and return after a durable commit.

        Raises:
            DeskhandError: what ``work`` raised; ``not_found`` for an unknown account; ``disk_full``; ``unavailable``.
        """

        def run(connection: Connection) -> tuple[R, tuple[Committed, ...]]:
            tx = begin(connection, account, now=self._now(), memory=self._memory)
            result = work(tx)
            return result, tx.flush()

        def tell(done: tuple[R, tuple[Committed, ...]]) -> None:
            self._fanout.offer(done[1])

        result, _ = await self._writer.do(run, key=account, after=tell)
        return result

    def on_commit(self, hook: Hook) -> None:
        """Call ``hook`` on the loop after each commit, in log order, also when the writer's caller is gone."""
        self._fanout.add(hook)

    async def create_account(self, account: str) -> None:
        """Begin an account's log; again is nothing."""
        await self._change(
            account, lambda connection: access.begin_account(connection, account, GENESIS)
        )

    async def head(self, account: str) -> int:
        """Return the highest seq of the account."""
        return await self._reader.read(lambda connection: log.head(connection, account))

    async def events(self, view: View, *, after: int, limit: int) -> Page:
        """Return the next events of a view."""
        return await self._reader.read(
            lambda connection: log.events(connection, view, after=after, limit=limit)
        )

    async def thread_events(
        self, view: View, thread: str, *, before: int | None, limit: int
    ) -> tuple[Event, ...]:
        """Return a thread's newest events before a seq, oldest first."""
        return await self._reader.read(
            lambda connection: log.thread_events(
                connection, view, thread, before=before, limit=limit
            )
        )

    async def get(self, account: str, kind: type[W], name: str) -> W | None:
        """Return one object, or nothing; foreign and unknown look the same."""
        return await self._reader.read(lambda connection: log.get(connection, account, kind, name))

    async def find(
        self,
        account: str,
        kind: type[W],
        *,
        states: Sequence[str] = (),
        thread: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[W]:
        """Return objects, newest first (by id), older than ``before``."""

        def query(connection: Connection) -> list[W]:
            found = log.texts(
                connection,
                account,
                kind,
                states=states,
                thread=thread,
                before=before,
                limit=limit,
            )
            return [read_object(kind, stored) for stored in found]

        return await self._reader.read(query)

    async def texts(
        self, account: str, kind: type[Wire], *, states: Sequence[str] = (), limit: int
    ) -> list[str]:
        """Return objects as the JSON text they are stored as, newest first, without reading it."""
        return await self._reader.read(
            lambda connection: log.texts(connection, account, kind, states=states, limit=limit)
        )

    async def verify(self, account: str) -> list[str]:
        """Fold the log anew, compare every projection and the hash chain; return what differs, in sentences."""

        def look() -> list[str]:
            with translated():
                return on_connection(
                    self._parts.engine, lambda connection: verify(connection, account)
                )

        return await self._parts.offload(look)

    # --- who may come in ------------------------------------------------------------------------------------

    async def credential(self, token_sha256: str) -> Credential | None:
        """Return whose token this is, unless revoked."""
        return await self._reader.read(
            lambda connection: access.credential(connection, token_sha256)
        )

    async def invite(
        self, *, secret_sha256: str | None = None, code: str | None = None
    ) -> Invite | None:
        """Return an unused invitation by its link or its digits."""
        return await self._reader.read(
            lambda connection: access.unused_invite(
                connection, secret_sha256=secret_sha256, code=code
            )
        )

    async def joining(self, request: str) -> Joining | None:
        """Return the private side of a pair request."""
        return await self._reader.read(lambda connection: access.joining(connection, request))

    async def set_presence(self, account: str, presence: Presence) -> None:
        """Note that a runner's link came up or went down."""
        row: RowValues = {
            "account": account,
            "runner": presence.runner,
            "connected": presence.connected,
            "seen_at": presence.seen_at,
        }
        await self._change(account, lambda connection: access.put(connection, tables.presence, row))

    async def presence(self, account: str) -> dict[str, Presence]:
        """Return the links of the account's runners."""
        return await self._reader.read(lambda connection: access.presence(connection, account))

    async def read_marks(self, account: str, principal: str) -> dict[str, int]:
        """Return thread -> highest seq seen."""
        return await self._reader.read(
            lambda connection: access.read_marks(connection, account, principal)
        )

    # --- notifications --------------------------------------------------------------------------------------

    async def put_subscription(self, subscription: PushSubscription) -> None:
        """Keep a push subscription; the same endpoint replaces itself; the oldest of a device beyond the limit go."""
        await self._change(
            subscription.account,
            lambda connection: deliveries.put_subscription(connection, subscription),
        )

    async def drop_subscription(self, account: str, name: str) -> None:
        """Forget a subscription that its service called gone."""
        await self._change(
            account, lambda connection: deliveries.drop_subscription(connection, account, name)
        )

    async def due_deliveries(self, now: str, *, limit: int) -> list[DueDelivery]:
        """Claim delivery rows whose ``next_try_at`` has come (SKIP LOCKED where there are several hubs)."""
        # A look first: most of the time nothing is due, and a look costs no commit.
        earliest = await self.next_delivery_at()
        if earliest is None or earliest > now:
            return []
        return await self._change(
            "", lambda connection: deliveries.claim(connection, now, limit=limit)
        )

    async def next_delivery_at(self) -> str | None:
        """Return when the next delivery is due."""
        return await self._reader.read(deliveries.next_at)

    async def settle_delivery(
        self, account: str, name: str, *, fate: str, reason: str | None, next_try_at: str | None
    ) -> None:
        """Record one attempt: final when ``next_try_at`` is nothing, else to be tried again then."""
        await self._change(
            account,
            lambda connection: deliveries.settle(
                connection, account, name, fate=fate, reason=reason, next_try_at=next_try_at
            ),
        )

    async def deliveries(self, account: str, *, before: str | None, limit: int) -> list[Delivery]:
        """Return the ledger, newest first."""
        return await self._reader.read(
            lambda connection: deliveries.ledger(connection, account, before=before, limit=limit)
        )

    # --- uploads --------------------------------------------------------------------------------------------

    async def create_upload(self, account: str, principal: str, upload: Upload) -> None:
        """Reserve an upload against the principal's quota.

        Raises:
            DeskhandError: ``too_large``.
        """
        now = self._now()
        await self._change(
            account,
            lambda connection: uploads.create(connection, account, principal, upload, now=now),
        )

    async def upload(self, account: str, principal: str, name: str) -> Upload | None:
        """Return an upload of exactly this principal."""
        return await self._reader.read(
            lambda connection: uploads.find(connection, account, principal, name)
        )

    async def advance_upload(
        self,
        account: str,
        name: str,
        *,
        offset: int,
        sha256: str | None,
        media_type: str | None = None,
    ) -> None:
        """Move an upload forward; with ``sha256`` it is complete, its blob is stored and its type was looked at.

        Raises:
            DeskhandError: ``not_found``.
        """
        await self._change(
            account,
            lambda connection: uploads.advance(
                connection, account, name, offset=offset, sha256=sha256, media_type=media_type
            ),
        )

    async def blob_referenced(self, account: str, sha256: str) -> bool:
        """Return whether an artifact or upload of the account names this blob."""
        return await self._reader.read(
            lambda connection: uploads.referenced(connection, account, sha256)
        )

    # --- the house ------------------------------------------------------------------------------------------

    async def prune(self) -> None:
        """Forget results of ops that are older than anybody may be offline."""
        until = stamp(self._clock.now() - timedelta(days=OP_KEPT_DAYS))
        await self._change(
            "",
            lambda connection: connection.execute(
                delete(tables.ops).where(tables.ops.c.at < until)
            ),
        )

    async def close(self) -> None:
        """Finish waiting writes and close."""
        await self._writer.close()
        self._reader.close()
        self._parts.closing()

    async def _change(self, key: str, work: Callable[[Connection], R]) -> R:
        return await self._writer.do(work, key=key)

    def _now(self) -> str:
        return stamp(self._clock.now())
