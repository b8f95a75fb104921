"""What every store must do, whatever it lies on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NoReturn

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.limits import PUSH_SUBSCRIPTIONS_PER_DEVICE, UPLOAD_BYTES_MAX, UPLOAD_QUOTA_BYTES
from deskhand.ports import Committed, Joining, Tx, View
from deskhand.protocol.events import DeviceRevoked, TaskMoved, ThreadErased, ThreadRenamed
from deskhand.protocol.objects import Device, Presence, Thread
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.tasks import Artifact, Task, TaskState
from tests.contract.storing import (
    OWNER,
    PHONE,
    A,
    B,
    Box,
    Draft,
    artifact,
    begun,
    credential,
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

STRANGER = View(account=B, owner=True)
pytestmark = pytest.mark.timeout(60)


class WrongError(Exception):
    """Something a write may raise by itself."""


def wrong(tx: Tx) -> NoReturn:
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

    def work(tx: Tx) -> tuple[str | None, list[str], list[str]]:
        tx.emit(Draft(body=ThreadRenamed(title="New"), actor=PHONE, thread="thr_1"))
        tx.emit(Draft(body=TaskMoved(epoch=1, state=TaskState.WORKING), actor="r", task="tsk_1"))
        tx.emit(task("tsk_2"))
        queued = [found.id for found in tx.find(Task, states=("queued",))]
        return title(tx), queued, [found.id for found in tx.find(Task)]

    inside = await box.store.write(A, work)

    stored = await box.store.find(A, Task)
    assert inside == ("New", ["tsk_2"], ["tsk_1", "tsk_2"])
    assert [(found.id, found.state) for found in stored] == [
        ("tsk_2", TaskState.QUEUED),
        ("tsk_1", TaskState.WORKING),
    ]


async def test_listings_stay_current_from_write_to_write(box: Box) -> None:
    """What is remembered between writes is what the log makes of it."""
    await begun(box.store)

    def queued(tx: Tx) -> list[str]:
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
    """Thirty days offline are promised, ninety are kept."""
    await begun(box.store)
    op = Op(op_id="op_12345678", kind="thread.create")
    result = OpResult(op_id=op.op_id, status="ok")
    await box.store.write(A, lambda tx: tx.remember_op(PHONE, op, result))

    await box.clock.sleep(89 * 86400)
    await box.store.prune()
    kept = await box.store.write(A, lambda tx: tx.op_result(PHONE, op.op_id))
    await box.clock.sleep(2 * 86400)
    await box.store.prune()
    gone = await box.store.write(A, lambda tx: tx.op_result(PHONE, op.op_id))

    assert kept is not None
    assert gone is None


async def test_context_is_the_newest_of_what_was_said_oldest_first(box: Box) -> None:
    """An attempt gets messages and results of its thread, also those of this very write."""
    await begun(box.store)
    await emit(box.store, thread("thr_2"), said("elsewhere", thread="thr_2"))
    await emit_each(box.store, *(said(str(number)) for number in range(4)))

    def work(tx: Tx) -> list[object]:
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
        said("to all"),
        said("to owner", audience="owner"),
        said("to runner", audience="owner", runner="run_1"),
        said("last hidden", audience="owner"),
    )

    owner = await box.store.events(replace(OWNER, owner=True), after=2, limit=10)
    member = await box.store.events(replace(OWNER, owner=False), after=2, limit=10)
    runner = await box.store.events(replace(OWNER, runner="run_1"), after=0, limit=10)
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
        await store.blob_referenced(B, sha256),
        await store.deliveries(B, before=None, limit=10),
        await store.presence(B),
        await store.read_marks(B, PHONE),
        await store.write(B, lambda tx: tx.subscriptions()),
        await store.write(B, lambda tx: tx.get(Task, "tsk_1")),
        await store.write(B, lambda tx: tx.find(Task)),
        await store.write(B, lambda tx: tx.invite("inv_1")),
        await store.write(
            B, lambda tx: tx.acknowledge_delivery("dlv_1", fate="shown", device=PHONE)
        ),
        await store.head(B),
    ]

    assert [bool(thing) for thing in seen] == [False] * len(seen)
    assert await store.blob_referenced(A, sha256)


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
    await emit(
        box.store, task("tsk_2"), task("tsk_3"), thread("thr_2"), task("tsk_4", thread="thr_2")
    )

    first = await box.store.find(A, Task, states=("queued",), limit=2)
    second = await box.store.find(A, Task, before=first[-1].id, limit=2)
    in_thread = await box.store.find(A, Task, thread="thr_2")

    assert [[found.id for found in page] for page in (first, second, in_thread)] == [
        ["tsk_4", "tsk_3"],
        ["tsk_2", "tsk_1"],
        ["tsk_4"],
    ]


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
    assert gone == ["tasks/tsk_1 is in the log but not stored."]


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
    await store.advance_upload(A, "upl_1", offset=10, sha256="cd" * 32)
    await emit(store, thread("thr_2"), said("other", thread="thr_2"))
    await emit(store, said("secret", files=(file_ref(),)), artifact(), artifact("art_2"))
    await store.write(A, lambda tx: tx.renew_lease("tsk_1", runner="run_1", epoch=1))
    await store.write(A, lambda tx: tx.mark_read(PHONE, "thr_1", 5))
    await store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))

    def erase(tx: Tx) -> None:
        tx.erase_thread("thr_1")
        tx.emit(said("last words"))
        tx.emit(Draft(body=ThreadErased(), actor=PHONE, thread="thr_1"))

    await store.write(A, erase)

    page = await store.events(OWNER, after=0, limit=50)
    stub = await store.get(A, Thread, "thr_1")
    assert [event.seq for event in page.events] == list(range(1, 10))
    assert {event.seq for event in page.events if event.body == {"redacted": True}} == {
        1,
        2,
        5,
        6,
        7,
        8,
    }
    assert (stub and stub.state, stub and stub.title) == ("erased", "")
    assert await store.find(A, Task) == await store.find(A, Artifact) == []
    assert not await store.blob_referenced(A, "cd" * 32)
    assert not await store.blob_referenced(A, "ab" * 32)
    assert await store.deliveries(A, before=None, limit=10) == []
    assert await store.write(A, lambda tx: tx.find(Task)) == []
    assert await store.verify(A) == []
    assert "secret" not in str(
        box.one("SELECT group_concat(body) FROM events")
        if box.engine.dialect.name == "sqlite"
        else box.one("SELECT string_agg(body, ',') FROM events")
    )


async def test_erasing_without_saying_so_is_refused(box: Box) -> None:
    """No body is blanked without the event that everybody gets."""
    await begun(box.store)

    def silently(tx: Tx) -> None:
        tx.erase_thread("thr_1")

    with pytest.raises(DeskhandError):
        await box.store.write(A, silently)

    assert await box.store.verify(A) == []


# --- ways in -----------------------------------------------------------------------------------------------------


async def test_a_revoked_principal_is_out_with_all_it_had(box: Box) -> None:
    """Token, subscriptions, lease, joining and presence go in one write."""
    store = box.store
    await begun(store)
    await emit(store, device())
    await store.put_subscription(subscription())
    await store.set_presence(A, Presence(runner=PHONE, connected=True, seen_at="now"))
    await store.write(A, lambda tx: tx.add_credential(credential()))
    before = await store.credential("11" * 32)

    await store.write(A, lambda tx: tx.revoke_credentials(PHONE))

    assert before == credential()
    assert await store.credential("11" * 32) is None
    assert await store.presence(A) == {}
    assert await store.write(A, lambda tx: tx.subscriptions()) == []


async def test_a_token_of_another_account_cannot_be_taken_over(box: Box) -> None:
    """A token is whose it was first."""
    await begun(box.store)
    await box.store.write(A, lambda tx: tx.add_credential(credential()))

    with pytest.raises(DeskhandError) as refused:
        await box.store.write(B, lambda tx: tx.add_credential(credential(account=B)))

    held = await box.store.credential("11" * 32)
    assert refused.value.code is Code.CONFLICT
    assert held is not None
    assert held.principal.account == A


async def test_an_invitation_is_found_until_it_is_used(box: Box) -> None:
    """By its link or its digits, never without either."""
    store = box.store
    await begun(store)
    await store.write(A, lambda tx: tx.put_invite(invite()))

    by_link = await store.invite(secret_sha256="secret of inv_1")
    by_code = await store.invite(code="123456")
    by_nothing = await store.invite()
    await store.write(A, lambda tx: tx.put_invite(replace(invite(), used_by="req_1")))

    assert (by_link, by_code, by_nothing) == (invite(), invite(), None)
    assert await store.invite(code="123456") is None
    assert await store.write(A, lambda tx: tx.invite("inv_1")) == replace(invite(), used_by="req_1")


async def test_a_joining_belongs_to_an_invitation(box: Box) -> None:
    """The private side of a pair request is put, replaced and found by its request."""
    await begun(box.store)
    joining = Joining(
        request="req_1",
        account=A,
        invite="inv_1",
        secret_sha256="s",
        public_key=None,
        expires_at="later",
    )

    def put(tx: Tx) -> Joining | None:
        tx.put_invite(invite())
        tx.put_joining(joining)
        return tx.joining("req_1")

    inside = await box.store.write(A, put)
    await box.store.write(A, lambda tx: tx.put_joining(replace(joining, device="dev_1")))

    assert inside == joining
    assert await box.store.joining("req_1") == replace(joining, device="dev_1")
    assert await box.store.write(B, lambda tx: tx.joining("req_1")) is None


async def test_read_marks_never_go_back(box: Box) -> None:
    """The highest seq seen wins, also in the write that begins the thread."""
    await begun(box.store)

    def work(tx: Tx) -> None:
        tx.mark_read(PHONE, "thr_9", 3)
        tx.emit(thread("thr_9"))

    await box.store.write(A, work)
    await box.store.write(A, lambda tx: tx.mark_read(PHONE, "thr_1", 5))
    await box.store.write(A, lambda tx: tx.mark_read(PHONE, "thr_1", 2))

    assert await box.store.read_marks(A, PHONE) == {"thr_1": 5, "thr_9": 3}


async def test_presence_and_leases_are_rows_and_never_events(box: Box) -> None:
    """What changes all the time does not fill the log."""
    await begun(box.store)

    await box.store.set_presence(A, Presence(runner="run_1", connected=True, seen_at="1"))
    await box.store.set_presence(A, Presence(runner="run_1", connected=False, seen_at="2"))
    for epoch in (1, 2):
        await box.store.write(
            A, lambda tx, epoch=epoch: tx.renew_lease("tsk_1", runner="run_1", epoch=epoch)
        )

    there = {"run_1": Presence(runner="run_1", connected=False, seen_at="2")}
    assert await box.store.presence(A) == there
    assert await box.store.write(A, lambda tx: tx.presence()) == there
    assert box.one("SELECT epoch FROM leases") == 2
    assert await box.store.head(A) == 2


# --- notifications -----------------------------------------------------------------------------------------------


async def test_a_delivery_is_planned_once(box: Box) -> None:
    """The same (tag, class, subscription) is one notification, with or without a subscription."""
    await begun(box.store)

    def plan(tx: Tx) -> None:
        tx.plan_delivery(planned("dlv_1", at=tx.now))
        tx.plan_delivery(planned("dlv_2", at=tx.now))
        tx.plan_delivery(planned("dlv_3", at=tx.now, subscription=None))
        tx.plan_delivery(planned("dlv_4", at=tx.now, subscription=None))

    await box.store.write(A, plan)
    await box.store.write(A, plan)

    ledger = await box.store.deliveries(A, before=None, limit=10)
    assert [row.id for row in ledger] == ["dlv_3", "dlv_1"]


async def test_a_due_delivery_is_claimed_tried_and_settled(box: Box) -> None:
    """A claim hides the row for a while; a hub that dies in between loses nothing (R6)."""
    store, clock = box.store, box.clock
    await begun(store)
    await store.put_subscription(subscription())
    now = clock.later(0)
    await store.write(A, lambda tx: tx.plan_delivery(planned(at=now)))

    early = await store.due_deliveries(clock.later(-1), limit=10)
    first = await store.due_deliveries(now, limit=10)
    hidden = await store.due_deliveries(clock.later(59), limit=10)
    again = await store.due_deliveries(clock.later(60), limit=10)
    await store.settle_delivery(A, "dlv_1", fate="sent", reason="busy", next_try_at=clock.later(90))
    due_at = await store.next_delivery_at()
    await store.settle_delivery(A, "dlv_1", fate="accepted", reason=None, next_try_at=None)

    assert (early, hidden) == ([], [])
    assert [(row.subscription, row.title) for row in (*first, *again)] == [
        (subscription(), "Done")
    ] * 2
    assert due_at == clock.later(90)
    assert await store.next_delivery_at() is None
    (row,) = await store.deliveries(A, before=None, limit=10)
    assert (row.fate, row.reason, row.attempts, row.kind) == ("accepted", None, 2, "finished")


async def test_two_claimers_never_get_the_same_row(box: Box) -> None:
    """However many hubs look at once, a row is sent by one."""
    await begun(box.store)
    other = box.again()

    def plan(tx: Tx) -> None:
        for number in range(40):
            tx.plan_delivery(planned(f"dlv_{number:02}", tag=str(number), at=tx.now))

    await box.store.write(A, plan)
    claims = await asyncio.gather(
        *(store.due_deliveries(box.clock.later(0), limit=7) for store in (box.store, other) * 4)
    )

    await other.close()
    claimed = [row.delivery.id for claim in claims for row in claim]
    assert len(claimed) == len(set(claimed))
    assert len(claimed) == 40


async def test_what_the_device_acknowledged_stands(box: Box) -> None:
    """Shown and tapped come from the device alone and only move forward."""
    await begun(box.store)
    await box.store.write(A, lambda tx: tx.plan_delivery(planned(at=tx.now)))

    def acknowledge(tx: Tx) -> list[bool]:
        return [
            tx.acknowledge_delivery("dlv_1", fate="shown", device="dev_other"),
            tx.acknowledge_delivery("dlv_1", fate="shown", device=PHONE),
            tx.acknowledge_delivery("dlv_1", fate="tapped", device=PHONE),
            tx.acknowledge_delivery("dlv_1", fate="shown", device=PHONE),
        ]

    moved = await box.store.write(A, acknowledge)
    await box.store.settle_delivery(A, "dlv_1", fate="accepted", reason=None, next_try_at="later")

    (row,) = await box.store.deliveries(A, before=None, limit=10)
    assert moved == [False, True, True, False]
    assert row.fate == "tapped"
    assert await box.store.next_delivery_at() is None


async def test_a_device_keeps_its_newest_subscriptions(box: Box) -> None:
    """The same endpoint replaces itself, the oldest beyond the limit go, revoked devices have none."""
    store = box.store
    await begun(store)
    await emit(store, device(), device("dev_gone"))
    await emit(store, Draft(body=DeviceRevoked(device="dev_gone"), actor="hub"))
    names = [f"sub_{number}" for number in range(PUSH_SUBSCRIPTIONS_PER_DEVICE + 2)]

    for name in names:
        await store.put_subscription(subscription(name))
    await store.put_subscription(subscription("sub_x", device="dev_gone"))
    await store.put_subscription(replace(subscription(names[-1]), id="sub_z"))
    await store.drop_subscription(A, names[-2])

    kept = await store.write(A, lambda tx: tx.subscriptions())
    assert [found.id for found in kept] == [*names[2:-2], "sub_z"]


# --- uploads -----------------------------------------------------------------------------------------------------


async def test_an_upload_belongs_to_one_principal_and_finishes_once(box: Box) -> None:
    """Nobody else sees it; a write takes it only when it is complete."""
    store = box.store
    await begun(store)
    await store.create_upload(A, PHONE, upload())

    await store.advance_upload(A, "upl_1", offset=4, sha256=None)
    half = await store.upload(A, PHONE, "upl_1")
    early = await store.write(A, lambda tx: tx.upload("upl_1", principal=PHONE))
    await store.advance_upload(A, "upl_1", offset=10, sha256="cd" * 32, media_type="text/csv")
    await store.advance_upload(A, "upl_1", offset=0, sha256=None)

    done = await store.write(A, lambda tx: tx.upload("upl_1", principal=PHONE))
    assert half is not None
    assert (half.offset, early) == (4, None)
    assert done == upload().but(offset=10, sha256="cd" * 32, media_type="text/csv")
    assert await store.upload(A, "dev_other", "upl_1") is None
    assert await store.write(A, lambda tx: tx.upload("upl_1", principal="dev_other")) is None
    assert await store.blob_referenced(A, "cd" * 32)


async def test_uploads_are_reserved_against_a_quota_until_posted_or_expired(box: Box) -> None:
    """Unposted uploads count for a day, posted ones no longer."""
    store = box.store
    await begun(store)
    whole = UPLOAD_QUOTA_BYTES // UPLOAD_BYTES_MAX
    for number in range(whole):
        await store.create_upload(A, PHONE, upload(f"upl_{number}", size=UPLOAD_BYTES_MAX))

    with pytest.raises(DeskhandError) as full:
        await store.create_upload(A, PHONE, upload("upl_x", size=1))
    with pytest.raises(DeskhandError) as huge:
        await store.create_upload(A, "dev_2", upload("upl_y", size=UPLOAD_BYTES_MAX + 1))
    await emit(store, said(files=(file_ref("upl_0"),)))
    await store.create_upload(A, PHONE, upload("upl_after_posting", size=1))
    await box.clock.sleep(25 * 3600)
    await store.create_upload(A, PHONE, upload("upl_next_day", size=UPLOAD_BYTES_MAX))

    assert {full.value.code, huge.value.code} == {Code.TOO_LARGE}
    assert await store.upload(A, PHONE, "upl_1") is None
    assert await store.upload(A, PHONE, "upl_0") is not None
