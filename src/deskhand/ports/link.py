"""A participant's side of the protocol: ops go in, events come out. Types only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from deskhand.protocol.events import Event
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.wire import JsonObject


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
    - ``bye`` ``{reason}``: the hub's last word.
    """

    kind: Literal["event", "delta", "draft", "watch", "reset", "heartbeat", "presence", "bye"]
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
