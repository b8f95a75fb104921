"""Two people at one hub: over no road does anything of a private conversation reach the other (P-09)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.clock import Ids, SystemClock
from deskhand.hub.app import Hub
from deskhand.hub.credentials import admit
from deskhand.hub.http.app import RULES
from deskhand.protocol.events import HUB
from deskhand.protocol.objects import Device, Role
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.requests import InviteAsk
from deskhand.protocol.tasks import Task
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from tests.rim import Rim, open_rim

A = "acc_home"
OWNER = Principal(account=A, id="dev_owner", role=Role.OWNER)
MINA = Principal(account=A, id="dev_mina", role=Role.MEMBER, person="Mina")
TABLET = Principal(account=A, id="dev_tablet", role=Role.MEMBER, person="Mina")
SAM = Principal(account=A, id="dev_sam", role=Role.MEMBER)
AUNT = Principal(account=A, id="dev_aunt", role=Role.VIEWER, person="Aunt")
PEOPLE = (OWNER, MINA, TABLET, SAM, AUNT)


async def joined(rim: Rim, person: str | None, *, role: Role = Role.MEMBER) -> httpx.AsyncClient:
    """Pair a device of a person, as it is done."""
    wish = InviteAsk(kind="cli", role=role, person=person, admits_alone=True)
    made = await rim.pairing.create_invite(rim.owner.account, wish)
    async with rim.client() as stranger:
        asked = (await stranger.post("/v1/pair", json={"invite": made.invite, "name": "phone"})).json()
        claim = {"request": asked["request"], "secret": asked["secret"]}
        token = (await stranger.post("/v1/pair/claim", json=claim)).json()["token"]
    return rim.client(token)


async def send(client: httpx.AsyncClient, kind: str, body: dict[str, Any], **about: str) -> dict[str, Any]:
    """Send one op; return its result."""
    op = {"op_id": f"op-{Random().random()}", "kind": kind, "body": body, **about}
    return (await client.post("/v1/ops", json={"ops": [op]})).json()["results"][0]


@pytest.mark.timeout(60)
async def test_no_route_says_anything_of_a_strangers_conversation(tmp_path: Path) -> None:
    """IS-01, IS-05, P-09: each route, asked by its owner's name of things, answers a stranger as if there were none."""
    async with open_rim(tmp_path) as rim:
        mina, tablet = await joined(rim, "Mina"), await joined(rim, "Mina", role=Role.VIEWER)
        strangers = {"owner": rim.local, "sam": await joined(rim, None), "aunt": await joined(rim, "Aunt")}
        made = await mina.post("/v1/tasks", json={"text": "apricot surprise", "title": "apricot"})
        task, thread = made.json()["id"], made.json()["thread"]
        paths = {
            name.partition(" ")[2].replace("{thread}", thread).replace("{name}", task if "tasks" in name else thread)
            for name in RULES
            if name.startswith("GET /v1/") and "stream" not in name
        }

        async def told(client: httpx.AsyncClient) -> dict[str, tuple[int, bool]]:
            asked = {one: await client.get(one, params={"q": "apricot"} if "search" in one else {}) for one in paths}
            return {
                one: (answer.status_code, any(word in answer.text for word in ("apricot", thread, task)))
                for one, answer in asked.items()
            }

        own, other = await told(mina), await told(tablet)
        seen = {who: await told(client) for who, client in strangers.items()}
        unknown = {who: (await client.get("/v1/threads/thr_none")).json() for who, client in strangers.items()}
        foreign = {who: (await client.get(f"/v1/threads/{thread}")).json() for who, client in strangers.items()}

        speaking = {one for one, (_, says) in own.items() if says}
        assert speaking == {one for one, (_, says) in other.items() if says}
        assert speaking >= {"/v1/sync", "/v1/snapshot", "/v1/threads", "/v1/tasks", "/v1/search", f"/v1/tasks/{task}"}
        for who, answers in seen.items():
            assert [one for one, (_, says) in answers.items() if says] == []
            assert {answers[one][0] for one in speaking if thread in one or task in one} == {404}
            assert {**foreign[who]["error"], "request_id": ""} == {**unknown[who]["error"], "request_id": ""}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("thread.rename", {"title": "mine now"}),
        ("thread.erase", {}),
        ("thread.share", {}),
        ("read.mark", {"seq": 1}),
        ("message.post", {"text": "hello"}),
        ("message.post", {"text": "rather this", "as": "steer", "to": "TASK"}),
        ("task.cancel", {}),
    ],
)
async def test_what_a_stranger_wishes_about_it_meets_nothing(tmp_path: Path, kind: str, body: dict[str, Any]) -> None:
    """IS-01, IS-02: not the owner's word either, by envelope or by body; a viewer may not even try."""
    async with open_rim(tmp_path) as rim:
        mina, sam = await joined(rim, "Mina"), await joined(rim, None)
        aunt = await joined(rim, "Aunt", role=Role.VIEWER)
        made = (await mina.post("/v1/tasks", json={"text": "/apricot"})).json()
        said = {key: made["id"] if value == "TASK" else value for key, value in body.items()}
        about = {} if "to" in said else {"task": made["id"]} if kind == "task.cancel" else {"thread": made["thread"]}

        codes = [(await send(one, kind, said, **about))["error"]["code"] for one in (rim.local, sam)]
        viewer = (await send(aunt, kind, said, **about))["error"]["code"]

        assert codes == ["not_found", "not_found"]
        assert viewer == ("not_found" if kind == "read.mark" else "forbidden")
        assert (await mina.get(f"/v1/tasks/{made['id']}")).json()["state"] == "queued"


@pytest.mark.parametrize("way", ["to", "question"])
async def test_a_message_moves_nobody_elses_task_in_a_shared_conversation(tmp_path: Path, way: str) -> None:
    """PA-03, IS-02: what a body names belongs to somebody, whatever the envelope says or leaves out."""
    async with open_rim(tmp_path) as rim:
        sam = await joined(rim, None)
        made = (await rim.local.post("/v1/tasks", json={"text": "/apricot"})).json()
        await send(rim.local, "thread.share", {}, thread=made["thread"])

        steer = {"text": "rather this", "as": "steer", "to": made["id"]}
        about = {"thread": made["thread"]} if way == "question" else {}
        refused = await send(sam, "message.post", steer, **about)
        allowed = await send(sam, "message.post", {"text": "and mine"}, thread=made["thread"])

        assert (refused["error"]["code"], allowed["status"]) == ("not_found", "ok")


async def test_work_is_lent_to_a_person_and_not_to_one_device(tmp_path: Path) -> None:
    """P-09: whoever asks by another device of theirs is the same; what was read on one is read on the other."""
    async with open_rim(tmp_path) as rim:
        mina, tablet = await joined(rim, "Mina"), await joined(rim, "Mina")
        made = (await mina.post("/v1/tasks", json={"text": "/apricot"})).json()

        await send(mina, "read.mark", {"seq": 3}, thread=made["thread"])
        steered = await send(tablet, "task.cancel", {}, task=made["id"])

        assert made["origin"]["person"] == "Mina"
        assert steered["status"] == "ok"
        assert (await tablet.get("/v1/snapshot")).json()["read"] == {made["thread"]: 3}
        assert (await rim.local.get("/v1/snapshot")).json()["read"] == {}


# --- any household --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def house() -> AsyncGenerator[Hub]:
    """Open a hub with everybody in it."""
    clock = SystemClock()
    store = open_memory_store(open_memory_disk(), clock)
    hub = Hub(store=store, blobs=MemoryBlobs(), clock=clock, ids=Ids(clock), notifiers={}, spread=lambda: 0.5)
    await store.create_account(A)
    await hub.start()
    for who in PEOPLE:
        said = {"id": who.id, "name": who.id, "kind": "page", "role": who.role, "person": who.person or None}
        device = Device.from_json({**said, "created_at": "2026"})
        await store.write(A, lambda tx, device=device: admit(tx, device, token_sha256=device.id, actor=HUB))
    try:
        yield hub
    finally:
        await hub.stop()
        await store.close()


async def wish(hub: Hub, who: Principal, kind: str, body: dict[str, Any], thread: str | None) -> OpResult:
    """Send one op."""
    [result] = await hub.submit(who, [Op(op_id=hub.ids.new("op"), kind=kind, thread=thread, body=body)])
    return result


async def heard(hub: Hub, who: Principal, into: list[str], live: str | None = None) -> None:
    """Listen until cancelled."""
    async with aclosing(hub.stream(who, after=0, live=live)) as frames:
        async for frame in frames:
            into += [json.dumps(frame.event.to_json() if frame.event else frame.data)]


async def roads(hub: Hub, who: Principal, threads: list[str]) -> str:
    """Return everything that a person can get to read."""
    store = hub.store
    pages = [await store.thread_events(who, one, before=None, limit=100) for one in threads]
    events = [*(await store.events(who, after=0, limit=500)).events, *(one for page in pages for one in page)]
    hits = await store.search(who, "secret", limit=100)
    parts = [*(one.model_dump_json() for one in events), *(one.model_dump_json() for one in hits)]
    return " ".join([*parts, (await hub.snapshot(who)).decode()])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "begin", "share", "hide", "erase", "rename"]),
        st.sampled_from(PEOPLE),
        st.integers(0, 5),
    ),
    max_size=14,
)


@pytest.mark.timeout(120)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_any_household_a_secret_is_read_by_whom_it_is_for(steps: list[tuple[str, Principal, int]]) -> None:
    """P-09, IS-05: whatever is said, shared, taken back and erased: log, timeline, lists, snapshot, search and stream."""
    story = asyncio.run(lived(steps))

    for who in PEOPLE:
        assert story.read[who.id] == story.may_read(who)
    for secret, whom in story.told.items():
        assert {who for who, lines in story.streams.items() if secret in "".join(lines)} == whom


@dataclass
class Story:
    """What happened in a household, who may read what of it now, and who was told what when it happened."""

    person: dict[str, str] = field(default_factory=dict[str, str])
    shown: set[str] = field(default_factory=set[str])
    said: dict[str, str] = field(default_factory=dict[str, str])
    told: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    streams: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    read: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def sees(self, who: Principal, thread: str) -> bool:
        """Whether a conversation is somebody's to see."""
        return who.person == self.person[thread] or thread in self.shown

    def may_read(self, who: Principal) -> set[str]:
        """Return the secrets that are somebody's to read."""
        return {secret for secret, thread in self.said.items() if self.sees(who, thread)}

    def note(self, what: str, who: Principal, thread: str, secret: str) -> None:
        """Note what was done, by somebody who was let."""
        self.person.setdefault(thread, who.person)
        assert self.sees(who, thread)
        if what == "erase":
            self.said = {one: where for one, where in self.said.items() if where != thread}
        if what in {"hide", "erase"}:
            self.shown.discard(thread)
        elif what == "share":
            self.shown.add(thread)
        else:
            self.said[secret] = thread
            self.told[secret] = {one.id for one in PEOPLE if self.sees(one, thread)}


async def lived(steps: list[tuple[str, Principal, int]]) -> Story:
    """Live through the steps with everybody listening."""
    story = Story(streams={who.id: [] for who in PEOPLE})
    async with house() as hub:
        listening = [asyncio.ensure_future(heard(hub, who, story.streams[who.id])) for who in PEOPLE]
        await hub.clock.sleep(0.001)
        for number, (what, who, at) in enumerate(steps):
            thread = [*story.person][at % len(story.person)] if story.person else None
            secret = f"secret{number}x"
            kind = {"say": "message.post", "begin": "message.post", "hide": "thread.share"}.get(what, f"thread.{what}")
            body = (
                {"text": secret, "title": secret} if what in {"say", "begin", "rename"} else {"shared": what == "share"}
            )
            result = await wish(hub, who, kind, body, None if what == "begin" else thread)
            if result.status == "ok":
                made = await hub.store.get(A, Task, result.task or "")
                story.note(what, who, made.thread if made else thread or "", secret)
        story.read = {
            who.id: {one for one in story.told if one in await roads(hub, who, [*story.person])} for who in PEOPLE
        }
        await hub.clock.sleep(0.001)
        for one in listening:
            one.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    return story
