"""What the hub's memory is asked and answers, content-addressed blobs, and the road to a person. Types only.

The memory itself is no seam: the simulation and the tests run the one that there is (``store/opening``), in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from deskhand.core.drafting import EVERY_RUNNER, Audience
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Delivery

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """What the push service said."""

    status: Literal["accepted", "gone", "retry", "refused"]
    http_status: int | None = None
    retry_after_seconds: float | None = None
    reason: str = ""


class Notifier(Protocol):
    """One road to a person."""

    @property
    def road(self) -> str:
        """Its name in the ledger."""
        ...

    async def send(self, subscription: PushSubscription, notice: Notice) -> SendOutcome:
        """Try once; never raises for what the other side does."""
        ...
