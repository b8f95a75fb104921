"""The golden logs that hold the Python and the TypeScript fold equal."""

from __future__ import annotations

from deskhand.protocol.events import EVENTS
from deskhand.testing import golden


def test_golden_logs_are_what_the_fold_says_now() -> None:
    """A change of the fold shows as a change of ``fixtures/``, where the page's tests meet it."""
    stale = golden.out_of_date(golden.ROOT)

    assert stale == [], "run: python -m deskhand.testing.golden"


def test_golden_logs_hold_every_kind_and_one_that_nobody_knows() -> None:
    """A new kind of event needs a golden log."""
    told = {event.kind for make in golden.LOGS.values() for event in make()}

    assert told == {*EVENTS, "weather.changed"}
