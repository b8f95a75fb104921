"""The hub: a participant's side of its protocol, what its memory is asked and answers, blobs, the road to a person.

Types only. The memory itself is no seam: the simulation and the tests run the one that there is (``store/opening``), in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar

from deskhand import limits
from deskhand.core.drafting import EVERY_RUNNER, Audience
from deskhand.protocol.events import KIND_OF, Event, ThreadShared
from deskhand.protocol.objects import EVERYBODY, Delivery
from deskhand.protocol.ops import Op, OpResult, Principal, Role
from deskhand.protocol.wire import JsonObject

R = TypeVar("R")
SHARED: Final = KIND_OF[ThreadShared]
"""Of whatever conversation: whoever saw it, or sees it now, has to hear."""
DECIDED: Final = "approval."


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One thing on a stream; ``seq`` moves the cursor.

    - ``event``: an event of the log.
    - ``heartbeat``: the log was looked at so far; the first one says which log it is (``incarnation``, ``head``).
    - ``reset``: the log has no such number; begin anew from a snapshot.
    - ``draft`` ``{message, thread, task, text}``: all that a model said so far, to who asked for ``live=THREAD``. The
      next ``message.posted``, ``question.asked``, ``step.started``, ``task.moved`` or ``task.finished`` of its task
      takes its place; the message has the same id.
    - ``delta`` ``{message, thread, task, offset, text}``: what it says from that place on.
    - ``watch`` ``{thread, on}``: to a computer: somebody looks at the drafts of a thread, or nobody does any more.
    - ``presence``: how a computer's link stands now.
    - ``read`` ``{thread, seq}``: to the devices of the same person: how far one of them has read a thread.
    - ``bye`` ``{reason}``: the hub's last word.
    """

    kind: Literal["event", "delta", "draft", "watch", "reset", "heartbeat", "presence", "read", "bye"]
    seq: int | None = None
    event: Event | None = None
    data: JsonObject = field(default_factory=dict)


class Link(Protocol):
    """A participant's side of the protocol: ops go in, events come out. HTTP only at the rim."""

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results, in order.

        Raises:
            DeskhandError: ``hub_unreachable`` (nothing is known), ``unauthorized``.
        """
        ...

    def stream(self, *, after: int) -> AsyncIterator[Frame]:
        """Yield frames after a cursor until the link breaks.

        Raises:
            DeskhandError: ``hub_unreachable``, ``unauthorized``, ``upgrade_required``.
        """
        ...

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes on the hub before an event names them; again is nothing."""
        ...

    def download_file(self, file: str) -> AsyncIterator[bytes]:
        """Yield the bytes of an upload that came with a message of an assigned task."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An event after its commit, with whom it is for; what fan-out gets."""

    account: str
    event: Event
    audience: Audience
    runner: str | None
    whose: str = EVERYBODY
    """Who sees the conversation that it is of."""

    def seen_by(self, reader: Principal) -> bool:
        """Return whether it is for a reader: a person by role and conversation, a runner only what is addressed to it.

        What would happen on a computer is its owner's to decide about, for whomever it is done.
        """
        if reader.role is Role.RUNNER:
            return self.runner in (reader.id, EVERY_RUNNER)
        owner, decision = reader.role is Role.OWNER, self.event.kind.startswith(DECIDED)
        in_view = self.whose in {EVERYBODY, reader.person} or self.event.kind == SHARED or (owner and decision)
        return in_view and (owner or self.audience == "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events that a reader may see. ``looked_at`` is the seq up to which the log was read, hidden rows included.

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
    person: str | None = None
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
    """What a notification says, before encryption. ``id`` is the delivery, for the acknowledgement.

    ``waiting`` is what waits for the person now: its number is the badge, and what is shown of others is over.
    """

    id: str
    tag: str
    title: str
    body: str
    url_path: str
    urgency: Literal["high", "normal", "low"]
    ttl_seconds: int
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery row whose time has come, with what the sender needs."""

    account: str
    delivery: Delivery
    subscription: PushSubscription | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelivery:
    """A delivery decided together with the event that causes it, stored in the same transaction, due at once."""

    delivery: Delivery
    subscription: str | None


class Blobs(Protocol):
    """Content-addressed files: written, fsynced and renamed before anything names them."""

    async def put(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Store a stream; return (sha256, size).

        Raises:
            DeskhandError: ``too_large``, ``disk_full``.
        """
        ...

    async def append(self, name: str, chunk: AsyncIterator[bytes], *, offset: int, limit: int) -> int:
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


_MEANING: Final[dict[int, tuple[Literal["accepted", "gone", "retry", "refused"], str]]] = {
    **dict.fromkeys((200, 201, 202, 204), ("accepted", "accepted")),
    **dict.fromkeys((404, 410), ("gone", "gone")),
    429: ("retry", "rate_limited"),
    500: ("retry", "service_error"),  # and whatever is above
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """What became of an attempt to send."""

    status: Literal["accepted", "gone", "retry", "refused"]
    http_status: int | None = None
    retry_after_seconds: float | None = None
    reason: str = ""

    @classmethod
    def answered(cls, status: int, headers: Mapping[str, str]) -> SendOutcome:
        """Read an answer of HTTP: ``Retry-After`` is bounded and counts in seconds alone, a body is ignored."""
        meaning, reason = _MEANING.get(min(status, 500), ("refused", "service_refused"))
        said = headers.get("retry-after", "").strip() if meaning == "retry" else ""
        wait = min(int(said[:10]), limits.RETRY_AFTER_SECONDS_MAX) if said.isdecimal() else None
        return cls(status=meaning, http_status=status, retry_after_seconds=wait, reason=reason)


class Notifier(Protocol):
    """One road to a person."""

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        """Try once; never raises for what the other side does. Only browsers have a ``subscription``."""
        ...
