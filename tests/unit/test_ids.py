"""Ids sort in the order of making, whatever the clock does."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from deskhand.clock import Ids, SystemClock, stamp, unstamp


class _JumpingClock(SystemClock):
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    @override
    def now(self) -> datetime:
        return self.at


def test_ids_sort_in_the_order_of_making_even_when_the_clock_is_set_back() -> None:
    """R8: a wall clock that jumps changes no order."""
    clock = _JumpingClock()
    ids = Ids(clock, random.Random(7).randbytes)

    made: list[str] = []
    for step in (0, 0, 5, 0, -3600_000, 0, 7200_000):
        clock.at += timedelta(milliseconds=step)
        made.append(ids.new("tsk"))

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(len(one) == len("tsk_") + 26 for one in made)


def test_stamps_sort_as_time_does_and_come_back() -> None:
    """One spelling of time everywhere: RFC 3339, UTC, milliseconds."""
    moment = datetime(2026, 12, 31, 23, 59, 59, 7_900, tzinfo=UTC)

    written = stamp(moment)

    assert written == "2026-12-31T23:59:59.007Z"
    assert unstamp(written) == moment.replace(microsecond=7_000)
    assert stamp(moment) < stamp(moment + timedelta(seconds=1))


def test_secrets_have_the_entropy_that_was_asked_for() -> None:
    """A secret of n bytes is n bytes of the source, nothing less."""
    ids = Ids(_JumpingClock(), lambda size: b"\xff" * size)

    assert ids.secret(3) == "____"
    assert len(ids.secret()) == 43
    assert len(ids.digits(6)) == 6
