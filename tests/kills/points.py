"""Every place at which a process can be killed, by name: the one list that a run is held to.

A point that is passed and is not here, and a point that is here and at which nobody died, both fail the run. Commits
are named by what they hold; what has an effect outside has a point before it, after it and, where it takes time, in
its midst.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from deskhand.store import own

_FACTS: Final = (
    "runner.advertised",
    "message.posted",
    "step.started",
    "step.finished",
    "approval.requested",
    "question.asked",
    "task.moved",
    "plan.updated",
    "criteria.restated",
    "check.finished",
    "checks.reset",
    "artifact.created",
    "task.finished",
)
"""What a runner of these worlds states, and what the hub writes down in one commit because of it."""

_WISHES: Final = (
    "message.post",
    "approval.decide",
    "question.answer",
    "task.cancel",
    "task.pause",
    "task.resume",
    "task.accept",
    "lease.renew",
    "settings.put",
    "folder.put",
)

_CHANGES: Final = (
    own.begin_account,
    own.set_presence,
    own.lose_links,
    own.hasten_deliveries,
    own.put_subscription,
    own.claim_deliveries,
    own.settle_delivery,
)

_OWN: Final = ("opening", "write", "presence.note", *(change.__name__ for change in _CHANGES))
"""Writes beside the ops: what a start looks after, pairing and dispatch, links, deliveries, by their names in the store."""

_HUB: Final = (*_OWN, *_WISHES, *(f"event.append {kind}" for kind in _FACTS))

_ORDERS: Final = (
    "task.assigned",
    "task.finished",
    "task.paused",
    "task.resumed",
    "approval.decided",
    "question.answered",
    "message.posted",
    "folder.put",
    "setting.changed",
)

_JOURNAL: Final = (
    "open",
    "move",
    "intent",
    "result",
    "looked",
    "wait",
    "decision",
    "check",
    "finished",
    "tell",
    "tidy",
    "refuse",
    *(f"order {kind}" for kind in _ORDERS),
)

_AROUND: Final = ("model call", "check", "link send", "link upload", "stream receive")

_THROUGH: Final = (
    "pure tool",
    "idempotent tool",
    "probe tool",
    "unknown tool",
    "sandboxed command",
    "applying changes",
    "blob put",
    "push send",
)
"""What has an effect that takes time: before it, in its midst, after it."""


def _at(moments: Iterable[str], things: Iterable[str]) -> list[str]:
    return [f"{thing}, {moment}" for thing in things for moment in moments]


HUB_POINTS: Final = (
    *_at(("before", "after"), (f"hub commit {what}" for what in _HUB)),
    *_at(("before", "midway", "after"), ("blob put", "push send")),
)
RUNNER_POINTS: Final = (
    *_at(("before", "after"), (f"journal commit {what}" for what in _JOURNAL)),
    *_at(("before", "after"), _AROUND),
    *_at(("before", "midway", "after"), _THROUGH[:-2]),
)
POINTS: Final = (*HUB_POINTS, *RUNNER_POINTS)
INDEX: Final = {point: number for number, point in enumerate(POINTS)}

OF_PROGRAM: Final = {"hub": HUB_POINTS, "runner": RUNNER_POINTS, "up": POINTS}
"""Where each program can be killed."""

APART: Final = frozenset(
    f"journal commit {what}, {moment}" for what in ("check", "order task.resumed") for moment in ("before", "after")
)
"""What hardly happens where hub and runner die together: one of them has to miss the other."""
