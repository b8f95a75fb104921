"""What every store must do, whatever it lies on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import NoReturn

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed
from deskhand.protocol.events import TaskMoved, ThreadErased, ThreadRenamed
from deskhand.protocol.objects import Device, Presence, Role, Thread
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.tasks import Artifact, Task, TaskState
from deskhand.store.log.transaction import SqlTx
from tests.contract.storing import (
    OWNER,
    PHONE,
    A,
    B,
    Box,
    Draft,
    artifact,
    begun,
    device,
    emit,
    emit_each,
    file_ref,
    invite,
    planned,
    said,
    story,
    subscription,
    task,
    thread,
    title,
    until,
    upload,
)

STRANGER = Principal(account=B, id="dev_any", role=Role.OWNER)
pytestmark = pytest.mark.timeout(60)


class WrongError(Exception):
    """Something a write may raise by itself."""


def wrong(tx: SqlTx) -> NoReturn:
    """Emit something, then fail."""
    tx.emit(said("never"))
    raise WrongError


# --- order and commit --------------------------------------------------------------------------------------------


async def test_eight_writers_leave_one_log_without_gaps_and_hooks_see_it_in_order(box: Box) -> None:
    """Every event gets the next seq, and commit order is log order (R5)."""
    seen: list[Committed] = []
    box.store.on_commit(seen.extend)
    await begun(box.store)

    async def writer(number: int) -> list[int]:
        return [(await emit(box.store, said(f"{number}.{turn}")))[0] for turn in range(12)]

    answered = await asyncio.gather(*(writer(number) for number in range(8)))

    page = await box.store.events(OWNER, after=0, limit=500)
    await until(seen, 98)
    assert sorted(seq for seqs in answered for seq in seqs) == list(range(3, 99))
    assert [event.seq for event in page.events] == list(range(1, 99))
    assert tuple(item.event for item in seen) == page.events
    assert all(seqs == sorted(seqs) for seqs in answered)
    assert await box.store.verify(A) == []


async def test_a_write_that_raises_leaves_no_trace_and_the_others_stand(box: Box) -> None:
    """Writes that share a commit have a savepoint each."""
    await begun(box.store)

    outcomes = await asyncio.gather(
        emit(box.store, said("first")),
        box.store.write(A, wrong),
        emit(box.store, said("second")),
        return_exceptions=True,
    )

    page = await box.store.events(OWNER, after=2, limit=10)
    assert [type(outcome) for outcome in outcomes] == [list, WrongError, list]
    assert [event.body["text"] for event in page.events] == ["first", "second"]
    assert await box.store.verify(A) == []


async def test_a_cancelled_caller_still_commits_and_hooks_fire(box: Box) -> None:
    """Fan-out does not hang on the request that caused it."""
    seen: list[Committed] = []
    box.store.on_commit(seen.extend)
    await begun(box.store)

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(emit(box.store, said("gone")))
        await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop: the write is on its way
        caller.cancel()

    await until(seen, 3)
    assert seen[-1].event.body["text"] == "gone"
    assert await box.store.head(A) == 3


async def test_one_hook_that_fails_does_not_silence_the_write(box: Box) -> None:
    """What is durable is answered, whatever a listener does."""
    await begun(box.store)
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def broken(_: object) -> NoReturn:
        raise WrongError

    box.store.on_commit(broken)
    seqs = await emit(box.store, said())

    assert seqs == [3]
    assert len(told) == 1


async def test_a_write_to_an_unknown_account_is_refused(box: Box) -> None:
    """No log begins by accident."""
    with pytest.raises(DeskhandError) as refused:
        await emit(box.store, thread(), account="acc_nobody")

    assert refused.value.code is Code.NOT_FOUND


async def test_beginning_an_account_again_changes_nothing(box: Box) -> None:
    """``create_account`` may be repeated."""
    await begun(box.store)

    await box.store.create_account(A)

    assert await box.store.head(A) == 2


# --- inside a write ----------------------------------------------------------------------------------------------


async def test_a_write_reads_what_it_emitted(box: Box) -> None:
    """Folds happen in memory at once."""
    await begun(box.store)

    def work(tx: SqlTx) -> tuple[str | None, list[str], list[str]]:
        tx.emit(Draft(body=ThreadRenamed(title="New"), actor=PHONE, thread="thr_1"))
        tx.emit(Draft(body=TaskMoved(epoch=1, state=TaskState.WORKING), actor="r", task="tsk_1"))
        tx.emit(task("tsk_2"))
        queued = [found.id for found in tx.find(Task, states=("queued",))]
        return title(tx), queued, [found.id for found in tx.find(Task)]

    inside = await box.store.write(A, work)

    stored = await box.store.find(A, Task)
    assert inside == ("New", ["tsk_2"], ["tsk_1", "tsk_2"])
    assert [(found.id, found.state) for found in stored] == [("tsk_2", TaskState.QUEUED), ("tsk_1", TaskState.WORKING)]


async def test_listings_stay_current_from_write_to_write(box: Box) -> None:
    """What is remembered between writes is what the log makes of it."""
    await begun(box.store)

    def queued(tx: SqlTx) -> list[str]:
        return [found.id for found in tx.find(Task, states=("queued",))]

    moved = Draft(body=TaskMoved(epoch=1, state=TaskState.WORKING), actor="r", task="tsk_1")
    first = await box.store.write(A, queued)
    await emit(box.store, task("tsk_0"), task("tsk_3"), moved)
    second = await box.store.write(A, queued)

    assert (first, second) == (["tsk_1"], ["tsk_0", "tsk_3"])


async def test_two_stores_on_one_log_never_answer_from_an_old_memory(box: Box) -> None:
    """What one process remembers is dropped when another one wrote."""
    await begun(box.store)
    await box.store.write(A, title)
    other = box.again()

    renamed = Draft(body=ThreadRenamed(title="By the other"), actor=PHONE, thread="thr_1")
    await emit(other, renamed)
    seen = await box.store.write(A, title)

    await other.close()
    assert seen == "By the other"


async def test_an_op_is_remembered_for_its_principal_only(box: Box) -> None:
    """The same op id of another principal or account is another op."""
    await begun(box.store)
    op = Op(op_id="op_12345678", kind="thread.create", body={"title": "x"})
    result = OpResult(op_id=op.op_id, status="ok", seq=3, id="thr_2")

    await box.store.write(A, lambda tx: tx.remember_op(PHONE, op, result))

    known = await box.store.write(A, lambda tx: tx.op_result(PHONE, op.op_id))
    other = await box.store.write(A, lambda tx: tx.op_result("dev_other", op.op_id))
    foreign = await box.store.write(B, lambda tx: tx.op_result(PHONE, op.op_id))
    assert (known, other, foreign) == ((op.fingerprint(), result), None, None)


async def test_old_ops_are_forgotten_after_ninety_days(box: Box) -> None:
    """Thirty days offline are promised, ninety are kept; a store that opens forgets the rest."""
    await begun(box.store)
    op = Op(op_id="op_12345678", kind="thread.create")
    result = OpResult(op_id=op.op_id, status="ok")
    await box.store.write(A, lambda tx: tx.remember_op(PHONE, op, result))

    await box.clock.sleep(89 * 86400)
    await box.again().close()
    kept = await box.store.write(A, lambda tx: tx.op_result(PHONE, op.op_id))
    await box.clock.sleep(2 * 86400)
    await box.again().close()
    gone = await box.store.write(A, lambda tx: tx.op_result(PHONE, op.op_id))

    assert kept is not None
    assert gone is None


async def test_context_is_the_newest_of_what_was_said_oldest_first(box: Box) -> None:
    """An attempt gets messages and results of its thread, also those of this very write."""
    await begun(box.store)
    await emit(box.store, thread("thr_2"), said("elsewhere", thread="thr_2"))
    await emit_each(box.store, *(said(str(number)) for number in range(4)))

    def work(tx: SqlTx) -> list[object]:
        tx.emit(said("now"))
        return [event.body["text"] for event in tx.context("thr_1", limit=3)]

    assert await box.store.write(A, work) == ["2", "3", "now"]


async def test_a_lone_surrogate_is_refused_and_a_nul_is_kept(box: Box) -> None:
    """What cannot be stored is said so; what is only odd comes back as it was."""
    await begun(box.store)

    with pytest.raises(DeskhandError) as refused:
        await emit(box.store, said("\ud800"))
    await emit(box.store, said("a\x00b 한글 \u2028"))

    page = await box.store.events(OWNER, after=2, limit=10)
    assert refused.value.code is Code.INVALID
    assert [event.body["text"] for event in page.events] == ["a\x00b 한글 \u2028"]


# --- who sees what -----------------------------------------------------------------------------------------------


async def test_a_view_skips_what_is_not_for_it_and_says_how_far_it_looked(box: Box) -> None:
    """Filtered streams have gaps; the cursor moves over hidden rows."""
    await begun(box.store)
    await emit(
        box.store,
        said("to all", thread=None),
        said("to owner", audience="owner"),
        said("to runner", audience="owner", runner="run_1"),
        said("last hidden", audience="owner"),
    )

    owner = await box.store.events(OWNER, after=2, limit=10)
    member = await box.store.events(replace(OWNER, role=Role.MEMBER), after=2, limit=10)
    runner = await box.store.events(replace(OWNER, id="run_1", role=Role.RUNNER), after=0, limit=10)
    first = await box.store.events(OWNER, after=2, limit=1)

    assert [event.seq for event in owner.events] == [3, 4, 5, 6]
    assert ([event.seq for event in member.events], member.looked_at) == ([3], 6)
    assert ([event.seq for event in runner.events], runner.looked_at) == ([5], 6)
    assert ([event.seq for event in first.events], first.looked_at, first.more) == ([3], 3, True)


async def test_the_newest_events_of_a_thread_come_oldest_first(box: Box) -> None:
    """A page opens a conversation at its end and goes back."""
    await begun(box.store)
    await emit_each(box.store, *(said(str(number)) for number in range(5)))

    newest = await box.store.thread_events(OWNER, "thr_1", before=None, limit=2)
    older = await box.store.thread_events(OWNER, "thr_1", before=newest[0].seq, limit=2)

    assert [event.body["text"] for event in (*older, *newest)] == ["1", "2", "3", "4"]


async def test_a_foreign_account_sees_nothing_at_all(box: Box) -> None:
    """Foreign and unknown look the same (IS-01, IS-04)."""
    store, sha256 = box.store, "ab" * 32
    await begun(store)
    await emit(store, device(), artifact(sha256=sha256))
    await store.create_upload(A, PHONE, upload())
    await store.put_subscription(subscription())
    await store.set_presence(A, Presence(runner="run_1", connected=True, seen_at="now"))
    await store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))
    await store.write(A, lambda tx: tx.mark_read(PHONE, "thr_1", 2))
    await store.write(A, lambda tx: tx.put_invite(invite()))

    seen = [
        (await store.events(STRANGER, after=0, limit=10)).events,
        await store.thread_events(STRANGER, "thr_1", before=None, limit=10),
        await store.get(B, Thread, "thr_1"),
        await store.get(B, Task, "tsk_1"),
        await store.find(B, Artifact),
        await store.find(B, Device),
        await store.upload(B, PHONE, "upl_1"),
        await store.deliveries(B, before=None, limit=10),
        await store.presence(B),
        await store.read_marks(B, PHONE),
        await store.write(B, lambda tx: tx.subscriptions()),
        await store.write(B, lambda tx: tx.get(Task, "tsk_1")),
        await store.write(B, lambda tx: tx.find(Task)),
        await store.write(B, lambda tx: tx.invite("inv_1")),
        await store.write(B, lambda tx: tx.acknowledge_delivery("dlv_1", fate="shown", device=PHONE)),
        await store.head(B),
    ]

    assert [bool(thing) for thing in seen] == [False] * len(seen)
    assert await store.named_blobs() == {sha256}


async def test_joining_objects_of_two_accounts_is_an_error_of_the_database(box: Box) -> None:
    """Keys carry the account, so that a wrong join cannot be stored (IS-01)."""
    await begun(box.store)

    with pytest.raises(DeskhandError) as refused:
        await emit(box.store, task("tsk_9", thread="thr_1"), account=B)

    assert refused.value.code is Code.CONFLICT
    assert await box.store.head(B) == 0
    assert await emit(box.store, thread("thr_b"), account=B) == [1]
    assert await box.store.verify(B) == []


async def test_objects_are_found_newest_first_in_pages(box: Box) -> None:
    """A list goes back in time from where it was."""
    await begun(box.store)
    await emit(box.store, task("tsk_2"), task("tsk_3"), thread("thr_2"), task("tsk_4", thread="thr_2"))

    first = await box.store.find(A, Task, states=("queued",), limit=2)
    second = await box.store.find(A, Task, before=first[-1].id, limit=2)
    in_thread = await box.store.find(A, Task, thread="thr_2")

    assert [[found.id for found in page] for page in (first, second, in_thread)] == [
        ["tsk_4", "tsk_3"],
        ["tsk_2", "tsk_1"],
        ["tsk_4"],
    ]


async def test_the_stored_text_of_objects_says_what_the_objects_say(box: Box) -> None:
    """What is sent on as text, unread, is what reading it would give, of this account alone (IS-01)."""
    await begun(box.store)
    await emit(box.store, task("tsk_2"), task("tsk_3"))

    found = await box.store.texts(A, Task, states=("queued",), limit=2)
    foreign = await box.store.texts(B, Task, limit=2)

    read = await box.store.find(A, Task, states=("queued",), limit=2)
    assert [json.loads(text) for text in found] == [one.to_json() for one in read]
    assert [one.id for one in read] == ["tsk_3", "tsk_2"]
    assert foreign == []


# --- whole and undamaged -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["computers_and_devices", "a_checked_task", "stopped_and_erased"])
async def test_golden_logs_are_stored_as_the_fold_says(box: Box, name: str) -> None:
    """One write for each event or one for all: the projections are a fold of the log."""
    await begun(box.store)
    drafts = [draft for draft in story(name) if draft.task != "tsk_never"]

    await emit_each(box.store, *drafts)
    await emit(box.store, *drafts, account=B)

    assert await box.store.verify(A) == []
    assert await box.store.verify(B) == []


async def test_a_flipped_bit_in_any_event_is_found(box: Box) -> None:
    """The chain and the bodies' hashes see every change of a stored event (R15)."""
    await begun(box.store)
    await emit(box.store, said("pay 100"), said("second"))

    box.spoil("UPDATE events SET body = replace(body, 'pay 100', 'pay 900') WHERE seq = 3")
    body = await box.store.verify(A)
    box.spoil("UPDATE events SET body = replace(body, 'pay 900', 'pay 100') WHERE seq = 3")
    box.spoil("UPDATE events SET actor = 'somebody' WHERE seq = 4")
    envelope = await box.store.verify(A)
    box.spoil("UPDATE events SET actor = :actor WHERE seq = 4", actor=PHONE)

    assert body == ["The body of event 3 is not the one that was stored."]
    assert envelope == ["Event 4 does not carry the hash of what it says."]
    assert await box.store.verify(A) == []


async def test_a_missing_event_and_a_cut_end_are_found(box: Box) -> None:
    """Nothing can be taken out of the log unseen (R15)."""
    await begun(box.store)
    await emit_each(box.store, said("3"), said("4"), said("5"))

    box.spoil("DELETE FROM events WHERE seq = 4")
    missing = await box.store.verify(A)
    box.spoil("DELETE FROM events WHERE seq >= 4")
    cut = await box.store.verify(A)

    assert "Events 4 to 4 are missing." in missing
    assert "The log ends at 3, its account says 5." in cut


async def test_a_tampered_projection_is_found(box: Box) -> None:
    """Tables are compared with the log, byte for byte."""
    await begun(box.store)

    box.spoil("UPDATE tasks SET object = replace(object, 'Sort it', 'Sell it')")
    changed = await box.store.verify(A)
    box.spoil("DELETE FROM tasks")
    gone = await box.store.verify(A)

    assert changed == ["tasks/tsk_1 is not what the log makes of it."]
    assert gone == ["tasks/tsk_1 is not what the log makes of it."]


async def test_a_blanked_body_is_damage_unless_its_thread_was_erased(box: Box) -> None:
    """Only ``thread.erased`` makes an empty body right."""
    await begun(box.store)
    await emit(box.store, said("secret"))

    box.spoil("UPDATE events SET body = :blank WHERE seq = 3", blank='{"redacted":true}')

    assert "Event 3 was blanked although its thread was never erased." in await box.store.verify(A)


async def test_erasing_blanks_bodies_keeps_seqs_and_still_verifies(box: Box) -> None:
    """Words, objects and references are gone; the order of the log and its chain stay."""
    store = box.store
    await begun(store)
    await store.create_upload(A, PHONE, upload())
    await store.finish_upload(A, "upl_1", sha256="cd" * 32, media_type="text/csv")
    await emit(store, thread("thr_2"), said("other", thread="thr_2"))
    await emit(store, said("secret", files=(file_ref(),)), artifact(), artifact("art_2"))
    await store.write(A, lambda tx: tx.renew_lease("tsk_1", runner="run_1", epoch=1))
    await store.write(A, lambda tx: tx.mark_read(PHONE, "thr_1", 5))
    await store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))

    def erase(tx: SqlTx) -> None:
        tx.emit(said("last words"))
        tx.emit(Draft(body=ThreadErased(), actor=PHONE, thread="thr_1"))

    await store.write(A, erase)

    page = await store.events(OWNER, after=0, limit=50)
    stub = await store.get(A, Thread, "thr_1")
    assert [event.seq for event in page.events] == list(range(1, 10))
    assert {event.seq for event in page.events if event.body == {"redacted": True}} == {1, 2, 5, 6, 7, 8}
    assert (stub and stub.state, stub and stub.title) == ("erased", "")
    assert await store.find(A, Task) == await store.find(A, Artifact) == []
    assert await store.named_blobs() == set()
    assert await store.deliveries(A, before=None, limit=10) == []
    assert await store.write(A, lambda tx: tx.find(Task)) == []
    assert await store.verify(A) == []
    assert "secret" not in str(
        box.one("SELECT group_concat(body) FROM events")
        if box.engine.dialect.name == "sqlite"
        else box.one("SELECT string_agg(body, ',') FROM events")
    )


async def test_what_is_said_after_an_erasure_in_the_same_write_begins_anew(box: Box) -> None:
    """The event is the border, not the write that carries it: the tables are the fold of the log."""
    await begun(box.store)

    def erase(tx: SqlTx) -> tuple[str | None, object, list[str]]:
        tx.emit(task("tsk_2"))
        tx.emit(Draft(body=ThreadErased(), actor=PHONE, thread="thr_1"))
        tx.emit(task("tsk_3"))
        return title(tx), tx.get(Task, "tsk_1"), [found.id for found in tx.find(Task)]

    inside = await box.store.write(A, erase)

    assert inside == ("", None, ["tsk_3"])
    assert [found.id for found in await box.store.find(A, Task)] == ["tsk_3"]
    assert await box.store.verify(A) == []
