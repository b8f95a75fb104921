"""Whatever is written, the tables are a fold of the log."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.errors import DeskhandError
from deskhand.ports import Draft
from deskhand.protocol.events import MessagePosted, ThreadCreated, ThreadErased, ThreadRenamed
from deskhand.store.log.transaction import SqlTx
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from tests.contract.storing import A, StillClock, story

POOL = [draft for log in ("computers_and_devices", "a_checked_task", "stopped_and_erased") for draft in story(log)]
THREADS = ("thr_meetings", "thr_other", "thr_never")
MOVABLE = (MessagePosted, ThreadCreated, ThreadErased, ThreadRenamed)
"""Bodies that name no object of their own, so that they may be said in any thread."""


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Take any event of the golden logs, in any order; words also in other threads."""
    chosen = draw(st.sampled_from(POOL))
    if isinstance(chosen.body, MOVABLE) and draw(st.booleans()):
        return Draft(body=chosen.body, actor=chosen.actor, thread=draw(st.sampled_from(THREADS)))
    return chosen


WRITES = st.lists(st.lists(drafts(), min_size=1, max_size=6), max_size=12)


@pytest.mark.timeout(120)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(writes=WRITES)
def test_any_sequence_of_drafts_leaves_tables_that_the_log_explains(writes: list[list[Draft]]) -> None:
    """Refused writes leave no trace; the rest refolds byte for byte (R5, R15)."""
    assert asyncio.run(differences_after(writes)) == []


async def differences_after(writes: list[list[Draft]]) -> list[str]:
    """Write all of it, refused or not, and verify."""
    disk = open_memory_disk()
    store = open_memory_store(disk, StillClock())
    await store.create_account(A)
    for write in writes:

        def work(tx: SqlTx, write: list[Draft] = write) -> None:
            for draft in write:
                tx.emit(draft)

        with suppress(DeskhandError):  # a wrong join is refused
            await store.write(A, work)
    found = await store.verify(A)
    await store.close()
    disk.dispose()
    return found
