"""Which events become notifications; whether one goes out now, later or not at all, and why; what it says; when again.

Pure. Whatever is decided has a word for the ledger. The default text names the kind of thing and nothing of its content
(PU-01). It refuses to send, and to keep anything from a person for good but by what they said themselves or have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from deskhand.clock import unstamp
from deskhand.limits import DELIVERY_BACKOFF_SECONDS, DELIVERY_TRIES_MAX, PUSH_TEXT_CHARS_MAX
from deskhand.protocol import events as ev
from deskhand.protocol.objects import Delivery, Presence
from deskhand.protocol.tasks import Approval, Question, Task, TaskState
from deskhand.texts import text

NoticeClass = Literal["finished", "needs_you", "failed", "runner_offline", "test"]
Urgency = Literal["high", "normal", "low"]
Said = Callable[[str], Any]
"""The account's settings by name."""
_DAY_SECONDS = 24 * 3600
HOW: dict[NoticeClass, tuple[Urgency, int]] = {
    "finished": ("normal", _DAY_SECONDS),
    "failed": ("normal", _DAY_SECONDS),
    "runner_offline": ("normal", _DAY_SECONDS),
    "needs_you": ("high", 7 * _DAY_SECONDS),
    "test": ("high", 60),
}
"""How urgent each is, and how many seconds it is worth being delivered."""
SHORT_SECONDS = 60
"""Who has the app open needs no word of a task that took no longer."""
SEEN_SECONDS = 4
"""How long a visible screen has to say that it showed what a notification would say."""
_STEPS = {"reminder": "notify.remind_minutes", "second": "notify.second_minutes"}
_UNDER_WAY = {TaskState.WORKING, TaskState.VERIFYING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A notification as decided, before it is put in words and addressed to a device.

    ``tag`` is what the next one replaces it by; ``occasion`` tells several of one tag apart.
    """

    kind: NoticeClass
    tag: str
    thread: str | None = None
    task: str | None = None
    occasion: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """How things stand when a notification is about to go out.

    ``over``: nobody is needed any more. ``read``: the same person saw it. ``screen`` shows its very conversation,
    ``app`` is any visible page of the person, and ``taken`` says that one of these took all that was sent to it.
    """

    over: bool = False
    muted: bool = False
    read: bool = False
    screen: bool = False
    app: bool = False
    taken: bool = False
    ran_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a due notification: it is ``sent``, or it waits ``until``, or it is done with."""

    fate: Literal["sent", "planned", "held", "suppressed"] = "sent"
    reason: str | None = None
    until: datetime | None = None


def announcement(body: ev.Body, *, thread: str | None, task: str | None) -> Announcement | None:
    """Return the notification that an event deserves, if any."""
    match body:
        case ev.TaskFinished(state=TaskState.COMPLETED | TaskState.FAILED as state):
            kind = "failed" if state is TaskState.FAILED else "finished"
            return Announcement(kind=kind, tag=task or "", thread=thread, task=task)
        case ev.ApprovalRequested(approval=asked) | ev.QuestionAsked(question=asked):
            return Announcement(kind="needs_you", tag=asked.id, thread=thread, task=task)
        case _:
            return None


def reminders(waiting: Sequence[Approval | Question], said: Said) -> Iterator[tuple[datetime, Announcement]]:
    """Yield what is said again of what nobody answered, and when: to the same devices, then by a second road."""
    for asked in waiting:
        since = unstamp(asked.requested_at if isinstance(asked, Approval) else asked.asked_at)
        about = {"tag": asked.id, "thread": asked.thread, "task": asked.task}
        for occasion, name in _STEPS.items():
            if minutes := int(said(name)):
                yield since + timedelta(minutes=minutes), Announcement(kind="needs_you", occasion=occasion, **about)


def absences(
    links: Mapping[str, Presence], tasks: Sequence[Task], said: Said
) -> Iterator[tuple[datetime, Announcement]]:
    """Yield what is said of computers that are away while a task of theirs is under way, and when."""
    busy = {task.runner for task in tasks if task.state in _UNDER_WAY}
    for link in links.values() if (minutes := int(said("notify.offline_minutes"))) else ():
        if link.runner in busy and not link.connected:
            away = Announcement(kind="runner_offline", tag=link.runner, occasion=link.seen_at)
            yield unstamp(link.seen_at) + timedelta(minutes=minutes), away


def verdict(told: Delivery, seen: Circumstances, said: Said, *, now: datetime) -> Verdict:
    """Judge a notification at the moment it would go out."""
    if told.kind == "test":
        return Verdict()
    ended, first = told.kind in {"finished", "failed"}, not told.occasion
    short = told.kind == "finished" and seen.ran_seconds <= SHORT_SECONDS and seen.app
    fresh = now - unstamp(told.at) < timedelta(seconds=SEEN_SECONDS)
    against = {
        "over": seen.over,
        "off": f"{told.kind} {told.device or told.road}" in said("notify.off"),
        "muted": seen.muted,
        "on_screen": first and seen.read and seen.screen,
        "read": ended and seen.read,
        "short": short and seen.taken and not fresh,
    }
    for reason in (word for word, holds in against.items() if holds):
        return Verdict(fate="suppressed", reason=reason)
    if fresh and first and (short or seen.screen):
        # The news itself is on its way there. A phone that lost its network seems to look at us for a while.
        return Verdict(fate="planned", reason="looked_at", until=unstamp(told.at) + timedelta(seconds=SEEN_SECONDS))
    through = told.kind == "needs_you" and said("notify.quiet_needs_you")
    until = None if through else quiet_until(now, said("notify.quiet"), zone=said("notify.zone"))
    return Verdict(fate="held", reason="quiet", until=until) if until else Verdict()


def ran_seconds(task: Task | None) -> float:
    """Return how long a task took that is over."""
    if task is None or not (task.finished_at and task.started_at):
        return 0.0
    return (unstamp(task.finished_at) - unstamp(task.started_at)).total_seconds()


def place_of(told: Delivery) -> str:
    """Return where a tap leads."""
    if told.thread is None:
        return "/#/computers" if told.kind == "runner_offline" else "/"
    return f"/#/threads/{told.thread}" + (f"/tasks/{told.task}" if told.task else "")


def quiet_until(now: datetime, hours: str, *, zone: str) -> datetime | None:
    """Return when the quiet hours end that it is now, as ``22:00-07:00`` in a zone (without one: this machine's)."""
    if not hours:
        return None
    begins, ends = map(time.fromisoformat, hours.split("-"))
    here = now.astimezone(ZoneInfo(zone) if zone else None)
    clock = here.time()
    after, before = begins <= clock, clock < ends
    if not ((after and before) if begins < ends else (after or before)):
        return None
    return datetime.combine(here.date() + timedelta(days=not before), ends, here.tzinfo).astimezone(now.tzinfo)


def worded(told: Sequence[Delivery], *, language: str, detail: str = "") -> tuple[str, str]:
    """Return title and body of one notification, or of several in one; ``detail`` is what the owner wants said."""
    of_kind = Counter(kind for kind, _ in dict.fromkeys((one.kind, one.tag) for one in told))
    if of_kind.total() > 1:
        parts = [text(f"notice.digest.{kind}", language=language, n=n) for kind, n in of_kind.items()]
        return text("notice.digest.title", language=language), " · ".join(parts)
    said = f"notice.{told[0].kind}"
    body = " ".join(detail.split())[:PUSH_TEXT_CHARS_MAX] or text(f"{said}.body", language=language)
    return text(f"{said}.title", language=language), body


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
