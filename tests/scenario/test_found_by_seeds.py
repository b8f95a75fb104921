"""Bugs that seeds found, each told again as small as it can be."""

from __future__ import annotations

import pytest

from deskhand.hub import streaming
from deskhand.hub.streaming import Listener
from deskhand.limits import HEARTBEAT_SECONDS, STREAM_BUFFER_EVENTS
from deskhand.ports import Committed
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Principal
from deskhand.testing.world.loop import VirtualLoop

pytestmark = pytest.mark.timeout(120)  # a world takes seconds, on a busy machine many


def _committed(seq: int) -> Committed:
    event = Event(seq=seq, kind="thread.created", at="", actor="hub", body={"title": ""})
    return Committed(account="acc", event=event, audience="account", runner=None)


def test_a_slow_reader_that_was_cut_gets_nothing_after_the_event_it_missed() -> None:
    """R5: seed 61; one that drained its buffer after the cut got later events and never asked for the lost one."""
    listener = Listener(reader=Principal(account="acc", id="phone", role=Role.OWNER))
    for seq in range(1, STREAM_BUFFER_EVENTS + 2):
        listener.offer(_committed(seq))

    listener.waiting.popleft()
    listener.offer(_committed(STREAM_BUFFER_EVENTS + 2))

    got = [frame.seq for frame in listener.waiting]
    assert got == list(range(2, STREAM_BUFFER_EVENTS + 1))
    assert listener.ended == "slow"


def test_an_event_that_comes_in_the_moment_of_a_heartbeat_is_not_passed_over() -> None:
    """R5: seed 136; a heartbeat that was due named the event that was just committed, and the event was skipped."""
    loop = VirtualLoop()
    listener = Listener(reader=Principal(account="acc", id="phone", role=Role.OWNER))

    async def first_event() -> int | None:
        loop.call_later(HEARTBEAT_SECONDS, listener.offer, _committed(1))
        loop.call_later(HEARTBEAT_SECONDS * 3, listener.end, "over")
        frames = vars(streaming)["_present"](listener, cursor=0)
        return next((f.seq for f in [frame async for frame in frames] if f.kind == "event"), None)

    seen = loop.run_until_complete(first_event())
    loop.close()

    assert seen == 1
