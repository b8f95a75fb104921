"""The hub without HTTP: one door for ops, one order for everybody (S-05, R5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.credentials import admit, bearer_sha256
from deskhand.hub.submitting import Surface
from deskhand.limits import STREAM_BUFFER_EVENTS
from deskhand.ports import Frame, Notice, PushSubscription, SendOutcome
from deskhand.protocol.events import ORDER_KINDS, Event
from deskhand.protocol.objects import Device, Role
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.tasks import Task, TaskState
from deskhand.protocol.wire import Json, JsonObject, Wire
from deskhand.testing.account import MemoryAccount
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store

CLOCK = SystemClock()
IDS = Ids(CLOCK)
ACCOUNT = "acc_1"
OWNER = Principal(account=ACCOUNT, id="dev_owner", role=Role.OWNER)
PHONE = Principal(account=ACCOUNT, id="dev_phone", role=Role.OWNER)
LAPTOP = Principal(account=ACCOUNT, id="dev_laptop", role=Role.RUNNER)
ADVERT: dict[str, object] = {
    "runner": {
        "id": "x", "name": "laptop", "incarnation": "i", "protocol": 1, "agents": ["commands"],
        "kinds": sorted(ORDER_KINDS), "sandbox": {"name": "none", "level": "none"},
        "commands": [{"name": "brief", "summary": "", "usage": ""}],
        "advertised_at": "2026-01-01T00:00:00.000Z",
    }
}  # fmt: skip


class _Postman:
    """A road that remembers what it carried, and answers as told."""

    road = "webpush"

    def __init__(self, *answers: SendOutcome) -> None:
        self.sent: list[Notice] = []
        self._answers = list(answers)

    async def send(self, subscription: PushSubscription | None, notice: Notice) -> SendOutcome:
        assert subscription is not None
        assert subscription.device == PHONE.id
        self.sent.append(notice)
        return self._answers.pop(0) if self._answers else SendOutcome(status="accepted")


@dataclass(kw_only=True)
class _House:
    hub: Hub
    postman: _Postman

    async def op(self, who: Principal, kind: str, body: Mapping[str, object], **about: str) -> OpResult:
        op = Op.from_json({"op_id": IDS.new("op"), "kind": kind, "body": body, **about})
        return (await self.hub.submit(who, [op]))[0]

    async def task(self, name: str | None) -> Task:
        task = await self.hub.store.get(ACCOUNT, Task, name or "")
        assert task is not None
        return task


@asynccontextmanager
async def _house(*answers: SendOutcome) -> AsyncGenerator[_House]:
    store = open_memory_store(open_memory_disk(), CLOCK)
    postman = _Postman(*answers)
    hub = Hub(
        store=store, blobs=MemoryBlobs(), clock=CLOCK, ids=IDS, notifiers={"webpush": postman}, spread=lambda: 0.0
    )
    await store.create_account(ACCOUNT)
    for who, kind in ((OWNER, "cli"), (PHONE, "page"), (LAPTOP, "runner")):
        device = Device.from_json({"id": who.id, "name": who.id, "kind": kind, "role": who.role, "created_at": "2026"})
        await store.write(ACCOUNT, lambda tx, device=device: admit(tx, device, token_sha256=device.id, actor=OWNER.id))
    await hub.start()
    try:
        yield _House(hub=hub, postman=postman)
    finally:
        await hub.stop()
        await store.close()


async def _until(hub: Hub, who: Principal, ready: Callable[[Event], bool], *, after: int = 0) -> Event:
    async with asyncio.timeout(5), aclosing(hub.stream(who, after=after)) as stream:
        async for frame in stream:
            if frame.event is not None and ready(frame.event):
                return frame.event
    raise AssertionError("the stream ended")


def _is(kind: str) -> Callable[[Event], bool]:
    return lambda event: event.kind == kind


@asynccontextmanager
async def _laptop_there(house: _House) -> AsyncGenerator[None]:
    """The laptop advertises itself and keeps its stream open."""
    await house.op(LAPTOP, "event.append", {"kind": "runner.advertised", "body": ADVERT})

    async def listen() -> None:
        async with aclosing(house.hub.stream(LAPTOP, after=0)) as stream:
            async for _ in stream:
                pass

    async with asyncio.TaskGroup() as group:
        listening = group.create_task(listen())
        yield
        listening.cancel()


async def test_what_waited_for_a_computer_starts_when_it_comes() -> None:
    """A task for a computer that is away is stored with its reason and assigned when the link comes up."""
    async with _house() as house:
        await house.op(LAPTOP, "event.append", {"kind": "runner.advertised", "body": ADVERT})
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"})
        waiting = await house.task(posted.task)

        event = await _until(house.hub, LAPTOP, _is("task.assigned"))

        assert (waiting.state, waiting.reason) == (TaskState.QUEUED, "runner_offline")
        assert event.task == posted.task
        assert (await house.task(posted.task)).state is TaskState.WORKING


async def test_an_op_sent_twice_is_once_and_another_body_is_refused() -> None:
    """R1: the op id is bound to what it says; the first answer is given again."""
    async with _house() as house:
        op = Op.from_json({"op_id": "op_12345678", "kind": "thread.create", "body": {"title": "a"}})

        first, again = await house.hub.submit(OWNER, [op, op])
        [other] = await house.hub.submit(OWNER, [op.but(body={"title": "b"})])
        [stranger] = await house.hub.submit(PHONE, [op])

        assert (first.status, again.status, again.id) == ("ok", "duplicate", first.id)
        assert other.error is not None
        assert other.error.code == Code.OP_CONFLICT
        assert stranger.status == "ok"
        assert stranger.id != first.id


async def test_everybody_sees_the_same_gap_free_order() -> None:
    """R5: two devices that listened all along and one that comes later agree on every seq."""
    async with _house() as house:
        head = await house.hub.store.head(ACCOUNT)

        async def hear(who: Principal) -> list[int]:
            seqs: list[int] = []
            async with aclosing(house.hub.stream(who, after=head)) as stream:
                async for frame in stream:
                    if frame.event is not None:
                        seqs.append(frame.event.seq)
                    if len(seqs) == 40:
                        break
            return seqs

        async with asyncio.TaskGroup() as group:
            listening = [group.create_task(hear(who)) for who in (OWNER, PHONE)]
            for number in range(20):
                who = (OWNER, PHONE)[number % 2]
                group.create_task(house.op(who, "thread.create", {"title": str(number)}))
                group.create_task(house.op(who, "settings.put", {"name": "language", "value": "ko"}))
        late = await hear(OWNER)

        expected = list(range(head + 1, head + 41))
        assert [task.result() for task in listening] == [expected, expected]
        assert late == expected


async def test_a_runner_sees_only_what_is_addressed_to_it() -> None:
    """Security 2.1: a runner gets its orders, never the rest of the account's log; its cursor still moves."""
    async with _house() as house, _laptop_there(house):
        await house.op(OWNER, "thread.create", {"title": "private plans"})
        await house.op(OWNER, "message.post", {"text": "/brief notes"})
        await house.op(OWNER, "settings.put", {"name": "lease_seconds", "value": 60})

        page = await house.hub.sync(LAPTOP, after=0, limit=100, wait=0)

        assert [event.kind for event in page.events] == ["task.assigned", "setting.changed"]
        assert page.looked_at == await house.hub.store.head(ACCOUNT)


@pytest.mark.parametrize(
    ("surface", "lines", "error"),
    [
        ("page", ["deny * path=a", "ask run_command"], None),
        ("page", ["deny run_command"], "forbidden"),
        ("cli", [], None),
        ("cli", ["deny * path=a", "perhaps"], "config_invalid"),
    ],
)
async def test_the_accounts_rules_are_read_before_they_are_kept(
    surface: Surface, lines: list[Json], error: str | None
) -> None:
    """A line that is no rule would stop every computer; and only where deskhand is typed is a line taken away (RO-04)."""
    async with _house() as house:
        await house.op(OWNER, "settings.put", {"name": "policy", "value": ["deny * path=a"]})
        body: JsonObject = {"name": "policy", "value": lines}
        op = Op(op_id=house.hub.ids.new("op"), kind="settings.put", body=body)

        (result,) = await house.hub.submit(OWNER, [op], surface=surface)

    assert (result.error and result.error.code) == error


async def test_a_slow_reader_is_cut_and_resumes_from_its_cursor() -> None:
    """RL-04: nothing is buffered beyond the limit; the reader comes back and misses nothing."""
    async with _house() as house:
        stream = house.hub.stream(OWNER, after=0)
        first = await anext(stream)
        wish = Op.from_json({"op_id": "op_00000000", "kind": "thread.create", "body": {}})
        for start in range(0, STREAM_BUFFER_EVENTS + 100, 100):
            batch = [wish.but(op_id=f"op_{start + n:08d}") for n in range(100)]
            await house.hub.submit(OWNER, batch)

        got = [frame.seq or 0 async for frame in stream if frame.kind == "event"]

        head = await house.hub.store.head(ACCOUNT)
        cursor = got[-1] if got else first.seq or 0
        rest = await house.hub.sync(OWNER, after=cursor, limit=500, wait=0)
        assert cursor < head
        assert rest.events[0].seq == cursor + 1


async def test_a_reader_that_was_cut_gets_nothing_more() -> None:
    """R5: what comes after the cut would hide the event at the cut: the stream ends without a gap."""
    async with _house() as house:
        stream = house.hub.stream(OWNER, after=await house.hub.store.head(ACCOUNT))
        wish = Op.from_json({"op_id": "op_before00", "kind": "thread.create", "body": {}})
        async for frame in stream:
            if frame.kind == "heartbeat" and not frame.data:
                break  # the end of the past
        await house.hub.submit(OWNER, [wish])
        got = [(await anext(stream)).seq or 0]
        for start in range(0, STREAM_BUFFER_EVENTS + 100, 100):
            batch = [wish.but(op_id=f"op_{start + n:08d}") for n in range(100)]
            await house.hub.submit(OWNER, batch)

        got.append((await anext(stream)).seq or 0)
        await house.hub.submit(OWNER, [wish.but(op_id="op_late0000")])
        got += [frame.seq or 0 async for frame in stream]

        assert got == list(range(got[0], got[0] + STREAM_BUFFER_EVENTS + 1))


async def test_revoking_a_device_ends_its_streams_at_once() -> None:
    """AU-05, PA-07: the stream of a removed device ends with ``unauthorized``, and its token is nothing."""
    async with _house() as house:

        async def listen() -> Code:
            try:
                async with aclosing(house.hub.stream(PHONE, after=0)) as stream:
                    async for _ in stream:
                        pass
            except DeskhandError as error:
                return error.code
            return Code.INTERNAL

        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            await house.op(OWNER, "device.revoke", {"device": PHONE.id})

        assert listening.result() is Code.UNAUTHORIZED
        assert await house.hub.store.credential(PHONE.id) is None


@pytest.mark.parametrize("role", [Role.OWNER, Role.MEMBER, Role.VIEWER, Role.CLIENT])
async def test_a_device_of_a_person_signs_itself_out_and_no_other(role: Role) -> None:
    """OR-09, PA-07: whoever leaves takes its own way in along; a foreign device looks like one that does not exist."""
    async with _house() as house:
        await house.op(OWNER, "message.post", {"text": "/brief notes"})
        guest = Principal(account=ACCOUNT, id="dev_guest", role=role)
        device = Device(id=guest.id, name="guest", kind="page", role=role, created_at="2026")
        await house.hub.store.write(ACCOUNT, lambda tx: admit(tx, device, token_sha256=bearer_sha256("t"), actor="hub"))

        foreign = await house.op(guest, "device.revoke", {"device": PHONE.id}) if role is not Role.OWNER else None
        own = await house.op(guest, "device.revoke", {"device": guest.id})

        leaves = role is not Role.CLIENT
        refused = {Role.MEMBER: Code.NOT_FOUND, Role.VIEWER: Code.NOT_FOUND, Role.CLIENT: Code.FORBIDDEN}
        assert own.status == ("ok" if leaves else "rejected")
        assert (await house.hub.store.credential(bearer_sha256("t")) is None) == leaves
        assert (foreign.error.code if foreign and foreign.error else None) == refused.get(role)


async def test_an_artifact_is_refused_until_its_bytes_are_stored() -> None:
    """Blob first, then the event that names it."""
    async with _house() as house, _laptop_there(house):
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"})
        task = await house.task(posted.task)
        artifact: JsonObject = {
            "id": "art_1", "task": task.id, "name": "a.md", "media_type": "text/markdown", "size": 3,
            "sha256": "0" * 64, "runner": LAPTOP.id, "path": "a.md", "origin": {"surface": "agent"},
            "trust": "untrusted", "created_at": "2026",
        }  # fmt: skip

        said = await house.op(
            LAPTOP,
            "event.append",
            {"kind": "artifact.created", "body": {"epoch": 1, "artifact": artifact}},
            task=task.id,
        )

        assert said.error is not None
        assert said.error.code == Code.CONFLICT


async def test_a_finished_task_notifies_once_and_a_failing_road_is_tried_again() -> None:
    """R6: planned with the event, retried until the service takes it, one row in the ledger with its fate."""
    retry = SendOutcome(status="retry", http_status=503, retry_after_seconds=0.0)
    async with _house(retry) as house, _laptop_there(house):
        await house.hub.store.put_subscription(
            PushSubscription(
                id="sub_1", account=ACCOUNT, device=PHONE.id, endpoint="https://push", p256dh="p", auth="a"
            )
        )
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"})
        end: JsonObject = {"epoch": 1, "state": "failed", "verdict": "not_done"}
        finished = {"kind": "task.finished", "body": end}
        await house.op(LAPTOP, "event.append", finished, task=posted.task or "")
        await house.op(LAPTOP, "event.append", finished, task=posted.task or "")

        async with asyncio.timeout(15):
            while (await _ledger(house))[0][0] != "accepted":
                await CLOCK.sleep(0.05)

        assert await _ledger(house) == [("accepted", "failed", 2)]
        assert {notice.body for notice in house.postman.sent} == {"A task could not be done."}


async def test_a_lying_epoch_changes_nothing() -> None:
    """R9: facts of an epoch that is not current are kept as superseded and the task is as it was."""
    async with _house() as house, _laptop_there(house):
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"})
        before = await house.task(posted.task)

        result = await house.op(
            LAPTOP,
            "event.append",
            {"kind": "task.finished", "body": {"epoch": 7, "state": "failed", "verdict": "not_done"}},
            task=before.id,
        )

        assert result.status == "ok"
        assert await house.task(posted.task) == before


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER, Role.CLIENT])
async def test_somebody_elses_task_does_not_exist(role: Role) -> None:
    """IS-01: for a member or client a foreign task is ``not_found``; a viewer may not even try."""
    async with _house() as house:
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"})
        other = Principal(account=ACCOUNT, id="dev_other", role=role)

        result = await house.op(other, "task.cancel", {}, task=posted.task or "")

        assert result.error is not None
        expected = Code.FORBIDDEN if role is Role.VIEWER else Code.NOT_FOUND
        assert result.error.code == expected


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("task.retry", {}),
        ("task.resume", {}),
        ("task.edit", {"title": "mine"}),
        ("message.post", {"text": "rather do this", "as": "steer"}),
    ],
)
async def test_a_member_moves_nobody_elses_work_in_a_thread_of_theirs(kind: str, body: dict[str, Any]) -> None:
    """PA-03, IS-02: a thread that a member began may hold the owner's tasks; those stay the owner's."""
    member = Principal(account=ACCOUNT, id="dev_member", role=Role.MEMBER)
    async with _house() as house:
        thread = await house.op(member, "thread.create", {"title": "Ours"})
        await house.op(member, "thread.share", {}, thread=thread.id or "")
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"}, thread=thread.id or "")
        assert posted.task
        named = {"to": posted.task} if kind == "message.post" else {}
        about = {} if named else {"task": posted.task or ""}

        result = await house.op(member, kind, {**body, **named}, thread=thread.id or "", **about)

        assert result.error is not None
        assert result.error.code == Code.NOT_FOUND


async def test_a_cursor_from_the_future_is_reset() -> None:
    """A device of a restored hub starts over from a snapshot instead of waiting for ever."""
    async with _house() as house:
        stream = house.hub.stream(OWNER, after=10_000)
        frame: Frame = await anext(stream)
        head = await house.hub.store.head(ACCOUNT)
        created = await house.op(OWNER, "thread.create", {"title": "After the reset"})

        assert (frame.kind, frame.seq) == ("reset", head)
        assert (await anext(stream)).seq == created.seq


async def _ledger(house: _House) -> list[tuple[str, str, int]]:
    rows = await house.hub.store.deliveries(ACCOUNT, before=None, limit=10)
    return [(row.fate, row.kind, row.attempts) for row in rows]


async def test_a_snapshot_holds_exactly_what_its_cursor_says() -> None:
    """R5: a device that starts from a snapshot while the log moves folds nothing twice."""
    async with _house() as house, _laptop_there(house):
        posted = await house.op(OWNER, "message.post", {"text": "/brief notes"})
        moved = {"kind": "task.moved", "body": {"epoch": 1, "state": "verifying"}}
        back = {"kind": "task.moved", "body": {"epoch": 1, "state": "working"}}
        texts, writes = house.hub.store.texts, [moved, back, moved]

        async def meanwhile(account: str, kind: type[Wire], **asked: Any) -> list[str]:  # noqa: ANN401 - passed on as asked
            """Let the log move between the reading of the cursor and of the objects."""
            if writes:
                await house.op(LAPTOP, "event.append", writes.pop(0), task=posted.task or "")
            return await texts(account, kind, **asked)

        object.__setattr__(house.hub.store, "texts", meanwhile)

        said = json.loads(await house.hub.snapshot(OWNER))

        phone = MemoryAccount()
        phone.put(Task.from_json(said["tasks"][0]))
        page = await house.hub.sync(OWNER, after=said["cursor"], limit=100, wait=0)
        for event in page.events:
            phone.apply(event)
        assert phone.get(Task, posted.task or "") == await house.task(posted.task)


async def test_a_snapshot_has_the_threads_that_changed_last() -> None:
    """R5: an old thread that goes on is there, however many were begun after it."""
    async with _house() as house:
        first = await house.op(OWNER, "thread.create", {"title": "The oldest"})
        for number in range(205):
            await house.op(OWNER, "thread.create", {"title": str(number)})
        await house.op(OWNER, "thread.rename", {"title": "It goes on"}, thread=first.id or "")

        found = json.loads(await house.hub.snapshot(OWNER))

        assert len(found["threads"]) == 200
        assert found["threads"][0]["title"] == "It goes on"
