"""What no event says and every store must keep: ways in, notifications, uploads."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.limits import PUSH_SUBSCRIPTIONS_PER_DEVICE, UPLOAD_BYTES_MAX, UPLOAD_QUOTA_BYTES
from deskhand.ports import Joining
from deskhand.protocol.events import DeviceRevoked
from deskhand.protocol.objects import Presence, Role
from deskhand.protocol.ops import Principal
from deskhand.store.log.transaction import SqlTx
from tests.contract.storing import (
    PHONE,
    A,
    B,
    Box,
    Draft,
    begun,
    credential,
    device,
    emit,
    file_ref,
    invite,
    planned,
    said,
    subscription,
    thread,
    upload,
)

STRANGER = Principal(account=B, id="dev_any", role=Role.OWNER)
pytestmark = pytest.mark.timeout(60)


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
        request="req_1", account=A, invite="inv_1", secret_sha256="s", public_key=None, expires_at="later"
    )

    def put(tx: SqlTx) -> Joining | None:
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

    def work(tx: SqlTx) -> None:
        tx.emit(thread("thr_9"))
        tx.mark_read(PHONE, "thr_9", 3)

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
        await box.store.write(A, lambda tx, epoch=epoch: tx.renew_lease("tsk_1", runner="run_1", epoch=epoch))

    there = {"run_1": Presence(runner="run_1", connected=False, seen_at="2")}
    assert await box.store.presence(A) == there
    assert await box.store.write(A, lambda tx: tx.presence()) == there
    assert box.one("SELECT epoch FROM leases") == 2
    assert await box.store.head(A) == 2


async def test_a_hub_that_begins_has_no_links_and_keeps_what_was_said_before(box: Box) -> None:
    """Who was connected is not reached until it says so again; who said that it sleeps still sleeps."""
    await begun(box.store)
    slept = Presence(runner="run_1", connected=True, seen_at="1", slept_seconds=60, woke_at="1")
    asleep = Presence(runner="run_2", connected=False, seen_at="1", state="asleep")
    for one in (slept, asleep):
        await box.store.set_presence(A, one)

    await box.store.lose_links()

    lost = slept.but(connected=False, state="no_network")
    assert await box.store.presence(A) == {"run_1": lost, "run_2": asleep}


# --- notifications -----------------------------------------------------------------------------------------------


async def test_a_delivery_is_planned_once(box: Box) -> None:
    """The same (tag, class, subscription) is one notification, with or without a subscription."""
    await begun(box.store)

    def plan(tx: SqlTx) -> None:
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
    assert [(row.subscription, row.delivery.tag) for row in (*first, *again)] == [(subscription(), "tsk_1")] * 2
    assert due_at == clock.later(90)
    assert await store.next_delivery_at() is None
    (row,) = await store.deliveries(A, before=None, limit=10)
    assert (row.fate, row.reason, row.attempts, row.kind) == ("accepted", None, 2, "finished")


async def test_two_claimers_never_get_the_same_row(box: Box) -> None:
    """However many hubs look at once, a row is sent by one."""
    await begun(box.store)
    other = box.again()

    def plan(tx: SqlTx) -> None:
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

    def acknowledge(tx: SqlTx) -> list[bool]:
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

    early = await store.write(A, lambda tx: tx.upload("upl_1", principal=PHONE))
    await store.finish_upload(A, "upl_1", sha256="cd" * 32, media_type="text/csv")
    await store.finish_upload(A, "upl_1", sha256="ab" * 32, media_type="text/plain")

    done = await store.write(A, lambda tx: tx.upload("upl_1", principal=PHONE))
    assert early is None
    assert done == upload().but(offset=10, sha256="cd" * 32, media_type="text/csv")
    assert await store.upload(A, "dev_other", "upl_1") is None
    assert await store.write(A, lambda tx: tx.upload("upl_1", principal="dev_other")) is None
    assert await store.named_blobs() == {"cd" * 32}


async def test_uploads_are_reserved_against_a_quota_until_posted_or_expired(box: Box) -> None:
    """Unposted uploads count for a day, posted ones no longer."""
    store = box.store
    await begun(store)
    whole = UPLOAD_QUOTA_BYTES // UPLOAD_BYTES_MAX
    for number in range(whole):
        await store.create_upload(A, PHONE, upload(f"upl_{number}", size=UPLOAD_BYTES_MAX))

    with pytest.raises(DeskhandError) as full:
        await store.create_upload(A, PHONE, upload("upl_x", size=1))
    await emit(store, said(files=(file_ref("upl_0"),)))
    await store.create_upload(A, PHONE, upload("upl_after_posting", size=1))
    await box.clock.sleep(25 * 3600)
    await store.create_upload(A, PHONE, upload("upl_next_day", size=UPLOAD_BYTES_MAX))

    assert full.value.code is Code.TOO_LARGE
    assert await store.upload(A, PHONE, "upl_1") is None
    assert await store.upload(A, PHONE, "upl_0") is not None
