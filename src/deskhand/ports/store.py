"""The hub's memory: log, projections, accounts, deliveries, uploads; and content-addressed blobs.

Types only. A ``Tx`` is plain and synchronous; a ``Store`` is what the hub awaits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from deskhand.core.drafting import EVERY_RUNNER, Audience, Draft, W
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Delivery, Presence, Upload
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.wire import Wire

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which events a reader may see: a person by role, a runner only what is addressed to it."""

    account: str
    owner: bool
    runner: str | None = None

    def sees(self, *, audience: str, runner: str | None) -> bool:
        """Return whether an event of this audience belongs in the view."""
        if self.runner is not None:
            return runner in (self.runner, EVERY_RUNNER)
        return self.owner or audience == "account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An event after its commit, with whom it is for; what fan-out gets."""

    account: str
    event: Event
    audience: Audience
    runner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events of a view. ``looked_at`` is the seq up to which the log was read, hidden rows included.

    ``head`` is the log's last seq, ``incarnation`` its name: under another name the same numbers are other events.
    """

    events: tuple[Event, ...]
    looked_at: int
    more: bool
    head: int
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A way in: hash of a token (for the page: of both halves) and whose it is."""

    token_sha256: str
    principal: Principal
    kind: Literal["page", "cli", "runner", "client"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """A one-use invitation. ``secret_sha256`` is of the 128-bit link; ``code`` is the six digits shown beside it."""

    id: str
    account: str
    secret_sha256: str
    code: str | None
    kind: Literal["page", "cli", "runner", "client"]
    role: str
    admits_alone: bool
    expires_at: str
    used_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """The hub's private side of a pair request: the secret that claims it and the key it brought."""

    request: str
    account: str
    invite: str
    secret_sha256: str
    public_key: str | None
    expires_at: str
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSubscription:
    """Where a browser wants its pushes. Whoever has endpoint and keys can send to it, so they have no ``repr``."""

    id: str
    account: str
    device: str
    endpoint: str = field(repr=False)
    p256dh: str = field(repr=False)
    auth: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a notification says, before encryption. ``id`` is the delivery, for the acknowledgement."""

    id: str
    tag: str
    title: str
    body: str
    url_path: str
    urgency: Literal["high", "normal", "low"]
    ttl_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery row whose time has come, with what the sender needs."""

    account: str
    delivery: Delivery
    subscription: PushSubscription | None
    notice: Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelivery:
    """A delivery decided together with the event that causes it, stored in the same transaction, due at once."""

    delivery: Delivery
    subscription: str | None
    notice: Notice


class Tx(Protocol):
    """One write of one account, inside the transaction: all it reads is current, all it emits commits together.

    ``seq`` of what is emitted is final only after the commit. Work done with a ``Tx`` is plain and synchronous.
    """

    @property
    def account(self) -> str:
        """The account this write belongs to."""
        ...

    @property
    def now(self) -> str:
        """The stamp that every event of this write gets."""
        ...

    def get(self, kind: type[W], name: str) -> W | None:
        """Return one object of this account, with what this write already emitted folded in."""
        ...

    def find(self, kind: type[W], *, states: Sequence[str] = (), limit: int = 500) -> list[W]:
        """Return the objects of one kind in these states (all when empty), oldest first."""
        ...

    def emit(self, draft: Draft) -> Event:
        """Append an event, fold it, and return it with its seq.

        ``thread.erased`` blanks the bodies of the thread's events before it and drops references to its blobs.
        """
        ...

    def op_result(self, principal: str, op_id: str) -> tuple[str, OpResult] | None:
        """Return (fingerprint, result) of an op that was handled before."""
        ...

    def spoke(self, principal: str, *, after: str, before: str) -> bool:
        """Return whether an op with an id between these two was handled."""
        ...

    def remember_op(self, principal: str, op: Op, result: OpResult) -> None:
        """Keep the result of an op for ``OP_KEPT_DAYS``."""
        ...

    def context(self, thread: str, *, limit: int) -> list[Event]:
        """Return the thread's newest ``message.posted`` and ``task.finished`` events, oldest first."""
        ...

    def plan_delivery(self, planned: PlannedDelivery) -> None:
        """Store a notification to send, once per (account, tag, class, subscription)."""
        ...

    def subscriptions(self) -> list[PushSubscription]:
        """Return the account's push subscriptions of active devices."""
        ...

    def acknowledge_delivery(self, name: str, *, fate: str, device: str) -> bool:
        """Record shown or tapped; return whether it was this device's and moved forward."""
        ...

    def mark_read(self, principal: str, thread: str, seq: int) -> None:
        """Keep the highest seq this principal has seen in the thread."""
        ...

    def renew_lease(self, task: str, *, runner: str, epoch: int) -> None:
        """Note that the runner still works on it."""
        ...

    def presence(self) -> dict[str, Presence]:
        """Return the links of the account's runners."""
        ...

    def add_credential(self, credential: Credential) -> None:
        """Let a principal in."""
        ...

    def revoke_credentials(self, principal: str) -> None:
        """Shut a principal out, with its subscriptions, leases and joinings."""
        ...

    def put_invite(self, invite: Invite) -> None:
        """Create an invitation, or replace it by its used form."""
        ...

    def invite(self, name: str) -> Invite | None:
        """Return an invitation by id as it is now, used or not: its one use is decided inside the write."""
        ...

    def put_joining(self, joining: Joining) -> None:
        """Create the private side of a pair request, or replace it."""
        ...

    def joining(self, request: str) -> Joining | None:
        """Return the private side of a pair request as it is now."""
        ...

    def upload(self, name: str, *, principal: str) -> Upload | None:
        """Return a finished upload of exactly this principal."""
        ...


class Store(Protocol):
    """The hub's only memory. Async outside, synchronous inside; reads are bounded and indexed."""

    async def write(self, account: str, work: Callable[[Tx], R]) -> R:
        """Run ``work`` in a transaction and return after a durable commit.

        Waiting writes of one account share a commit; each has its own savepoint, so that one that raises leaves no
        trace and the others stand.

        Raises:
            DeskhandError: what ``work`` raised; ``disk_full``; ``unavailable``.
        """
        ...

    def on_commit(self, hook: Callable[[Sequence[Committed]], None]) -> None:
        """Call ``hook`` on the loop after each commit, in log order, also when the writer's caller is gone."""
        ...

    async def create_account(self, account: str) -> None:
        """Begin an account's log; again is nothing."""
        ...

    async def head(self, account: str) -> int:
        """Return the highest seq of the account."""
        ...

    async def incarnation(self, account: str) -> str:
        """Return the name of the account's log, which a restore changes."""
        ...

    async def events(self, view: View, *, after: int, limit: int) -> Page:
        """Return the next events of a view."""
        ...

    async def thread_events(
        self, view: View, thread: str, *, before: int | None, limit: int
    ) -> tuple[Event, ...]:
        """Return a thread's newest events before a seq, oldest first."""
        ...

    async def get(self, account: str, kind: type[W], name: str) -> W | None:
        """Return one object, or nothing; foreign and unknown look the same."""
        ...

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
        ...

    async def texts(
        self,
        account: str,
        kind: type[Wire],
        *,
        states: Sequence[str] = (),
        latest: bool = False,
        limit: int,
    ) -> list[str]:
        """Return objects as the JSON text they are stored as, the newest (or those changed last) first."""
        ...

    async def credential(self, token_sha256: str) -> Credential | None:
        """Return whose token this is, unless revoked."""
        ...

    async def invite(
        self, *, secret_sha256: str | None = None, code: str | None = None
    ) -> Invite | None:
        """Return an unused invitation by its link or its digits."""
        ...

    async def joining(self, request: str) -> Joining | None:
        """Return the private side of a pair request."""
        ...

    async def set_presence(self, account: str, presence: Presence) -> None:
        """Note how a runner's link stands."""
        ...

    async def lose_links(self) -> None:
        """Note that nobody is connected: this hub begins. Who is connected to another one says so again soon."""
        ...

    async def presence(self, account: str) -> dict[str, Presence]:
        """Return the links of the account's runners."""
        ...

    async def put_subscription(self, subscription: PushSubscription) -> None:
        """Keep a push subscription; the same endpoint replaces itself; the oldest of a device beyond the limit go."""
        ...

    async def drop_subscription(self, account: str, name: str) -> None:
        """Forget a subscription that its service called gone."""
        ...

    async def hasten_deliveries(self, *, after: str, to: str) -> None:
        """Let whatever is due after one moment be due at another: the clock was set back."""
        ...

    async def due_deliveries(self, now: str, *, limit: int) -> list[DueDelivery]:
        """Claim delivery rows whose ``next_try_at`` has come (SKIP LOCKED where there are several hubs)."""
        ...

    async def next_delivery_at(self) -> str | None:
        """Return when the next delivery is due."""
        ...

    async def settle_delivery(
        self, account: str, name: str, *, fate: str, reason: str | None, next_try_at: str | None
    ) -> None:
        """Record one attempt: final when ``next_try_at`` is nothing, else to be tried again then."""
        ...

    async def deliveries(self, account: str, *, before: str | None, limit: int) -> list[Delivery]:
        """Return the ledger, newest first."""
        ...

    async def read_marks(self, account: str, principal: str) -> dict[str, int]:
        """Return thread -> highest seq seen."""
        ...

    async def create_upload(self, account: str, principal: str, upload: Upload) -> None:
        """Reserve an upload against the principal's quota.

        Raises:
            DeskhandError: ``too_large``.
        """
        ...

    async def upload(self, account: str, principal: str, name: str) -> Upload | None:
        """Return an upload of exactly this principal."""
        ...

    async def advance_upload(
        self,
        account: str,
        name: str,
        *,
        offset: int,
        sha256: str | None,
        media_type: str | None = None,
    ) -> None:
        """Move an upload forward; with ``sha256`` it is complete, its blob is stored and its type was looked at."""
        ...

    async def blob_referenced(self, account: str, sha256: str) -> bool:
        """Return whether an artifact or upload of the account names this blob."""
        ...

    async def named_blobs(self) -> set[str]:
        """Return every blob that an artifact or upload of any account names."""
        ...

    async def scrub(self) -> None:
        """Let what was erased leave the disk's side files too, where there are any."""
        ...

    async def verify(self, account: str) -> list[str]:
        """Fold the log anew, compare every projection and the hash chain; return what differs, in sentences."""
        ...

    async def close(self) -> None:
        """Finish waiting writes and close."""
        ...


class Blobs(Protocol):
    """Content-addressed files: written, fsynced and renamed before anything names them."""

    async def put(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Store a stream; return (sha256, size).

        Raises:
            DeskhandError: ``too_large``, ``disk_full``.
        """
        ...

    async def append(
        self, name: str, chunk: AsyncIterator[bytes], *, offset: int, limit: int
    ) -> int:
        """Add to a partial file, fsync, return the new offset.

        Raises:
            DeskhandError: ``upload_offset`` when the file is not exactly ``offset`` long; ``too_large``.
        """
        ...

    async def partial(self, name: str) -> int:
        """Return how many bytes of a partial file are on disk; 0 when there is none."""
        ...

    async def finish(self, name: str) -> tuple[str, int]:
        """Turn a partial file into a blob; return (sha256, size)."""
        ...

    def open(self, sha256: str, *, start: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes of a blob, or of a range of it.

        Raises:
            DeskhandError: ``not_found``.
        """
        ...

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, or nothing when it is not here."""
        ...

    async def drop(self, *, but: set[str], before: float) -> int:
        """Delete every blob that is not in ``but`` and was stored before a time of the wall clock; return how many."""
        ...
