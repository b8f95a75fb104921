"""Which events become notifications, what they say and when a failed one is tried again.

Pure. The default text names the kind of thing and nothing of its content (PU-01). It refuses to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deskhand.limits import DELIVERY_BACKOFF_SECONDS, DELIVERY_TRIES_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.tasks import TaskState

NoticeClass = Literal["finished", "needs_you", "failed", "test"]
Urgency = Literal["high", "normal", "low"]
_DAY_SECONDS = 24 * 3600
HOW: dict[NoticeClass, tuple[Urgency, int]] = {
    "finished": ("normal", _DAY_SECONDS),
    "failed": ("normal", _DAY_SECONDS),
    "needs_you": ("high", 7 * _DAY_SECONDS),
    "test": ("high", 60),
}
"""How urgent each is, and how many seconds it is worth being delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A notification as decided, before it is put in words and addressed to a device."""

    kind: NoticeClass
    tag: str
    url_path: str


def announcement(body: ev.Body, *, thread: str | None, task: str | None) -> Announcement | None:
    """Return the notification that an event deserves, if any."""
    path = f"/#/threads/{thread}" + (f"/tasks/{task}" if task else "")
    match body:
        case ev.TaskFinished(state=TaskState.COMPLETED | TaskState.FAILED as state):
            kind = "failed" if state is TaskState.FAILED else "finished"
            return Announcement(kind=kind, tag=task or "", url_path=path)
        case ev.ApprovalRequested(approval=asked) | ev.QuestionAsked(question=asked):
            return Announcement(kind="needs_you", tag=asked.id, url_path=path)
        case _:
            return None


def trial_announcement(tag: str) -> Announcement:
    """Return the notification of a person who presses *test*."""
    return Announcement(kind="test", tag=tag, url_path="/")


def next_try_seconds(attempts: int, *, asked_for: float | None, spread: float) -> float | None:
    """Return how long to wait after a failed attempt, or nothing when it is time to give up.

    Args:
        attempts: how many were made.
        asked_for: what the service said in Retry-After, in seconds.
        spread: a random number from 0 to 1, so that many do not come back at once.
    """
    if attempts >= DELIVERY_TRIES_MAX:
        return None
    step = min(attempts, len(DELIVERY_BACKOFF_SECONDS)) - 1
    return max(asked_for or 0.0, DELIVERY_BACKOFF_SECONDS[max(step, 0)] * (1 + spread / 4))
