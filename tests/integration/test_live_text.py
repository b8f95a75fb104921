"""What a model says just now, on the screens of those who watch: over real HTTP, and not at all when nobody does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx

from deskhand.clock import stamp
from deskhand.hub.credentials import admit, bearer_sha256
from deskhand.hub.http.app import serving
from deskhand.protocol.objects import Device, Role
from deskhand.runner.http_link import HttpLink
from deskhand.runner.traffic import Live
from deskhand.testing.links import RUNNER
from deskhand.testing.standin.server import StandIn
from tests.laptop import Laptop, until
from tests.minds import thinking
from tests.model_wires import CHAT, ModelServer, Says
from tests.model_wires import serving as model
from tests.rim import Rim, open_rim, thread_op

SAID = "I read both notes and write the briefing now, with every action in it."


@dataclass(kw_only=True)
class Screen:
    """A page that looks at one thread: every frame, in order, with its number if it has one."""

    frames: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list[tuple[str, str, dict[str, Any]]])

    @property
    def live(self) -> list[tuple[str, dict[str, Any]]]:
        """The frames of live text."""
        return [(kind, data) for kind, _, data in self.frames if kind in ("draft", "delta")]

    @property
    def text(self) -> str:
        """What stands on the screen as a draft, put together as a page does."""
        shown = ""
        for kind, data in self.live:
            shown = shown[: 0 if kind == "draft" else data["offset"]] + data["text"]
        return shown

    def posted(self) -> dict[str, Any]:
        """Return the durable message of the agent."""
        return next(iter(self.said_by("agent")), dict[str, Any]())

    def said_by(self, role: str) -> list[dict[str, Any]]:
        """Return the durable messages of a role."""
        bodies = [data["body"] for _, _, data in self.frames if data.get("kind") == "message.posted"]
        return [body for body in bodies if body["role"] == role]

    async def read(self, url: str, token: str, thread: str) -> None:
        """Read the stream until cancelled."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as client,
            client.stream("GET", f"/v1/stream?after=0&live={thread}") as answer,
        ):
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                data = cast("dict[str, Any]", json.loads(fields.get("data", "{}")))
                self.frames.append((fields.get("event", ""), fields.get("id", ""), data))
                fields = {}


@dataclass(kw_only=True)
class House:
    """A hub and a laptop, joined over HTTP, whose agent asks a model server."""

    rim: Rim
    laptop: Laptop
    server: ModelServer
    url: str
    thread: str
    screens: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    def look(self, thread: str | None = None) -> Screen:
        """Open a page on the thread."""
        screen = Screen()
        reading = screen.read(self.url, self.rim.owner.token, thread or self.thread)
        self.screens.append(asyncio.ensure_future(reading))
        return screen

    async def leave(self) -> None:
        """Close every page."""
        for screen in self.screens:
            screen.cancel()
        await asyncio.gather(*self.screens, return_exceptions=True)

    async def op(self, kind: str, **more: object) -> dict[str, Any]:
        """Send an op as the owner."""
        op = {"op_id": self.rim.ids.new("op"), "kind": kind, **more}
        said = await self.rim.local.post("/v1/ops", json={"ops": [op]})
        return cast("dict[str, Any]", said.json()["results"][0])

    async def ask(self) -> None:
        """Hand the agent a task."""
        folder = self.laptop.grant()
        async with asyncio.timeout(8):
            while not (await self.rim.local.get("/v1/folders")).json()["items"]:
                await self.rim.hub.clock.sleep(0.01)
        body = {"text": "Brief me", "agent": "builtin", "folder": folder.id}
        said = await self.op("message.post", thread=self.thread, body=body)
        assert said["status"] == "ok", said


@asynccontextmanager
async def house(base: Path, *answers: Says) -> AsyncGenerator[House]:
    """Join everything over real sockets."""
    async with (
        open_rim(base / "hub", on_disk=True) as rim,
        serving(rim.hub, rim.app) as answering,
        model(CHAT, *answers) as server,
    ):
        url = f"http://127.0.0.1:{answering.port}"
        device = Device(
            id=RUNNER, name="laptop", kind="runner", role=Role.RUNNER, created_at=stamp(rim.hub.clock.now())
        )
        digest = bearer_sha256("dhs_laptop")
        await rim.hub.store.write(rim.owner.account, lambda tx: admit(tx, device, token_sha256=digest, actor="hub"))
        made = await rim.local.post("/v1/ops", json={"ops": [thread_op()]})
        live, link = Live(), HttpLink(url, token="dhs_laptop")
        agent = thinking(server.url, model="openai-chat:gpt-x", hear=live.hear)
        (base / "laptop").mkdir()
        async with Laptop(base / "laptop", [agent], link=link, live=live) as laptop:
            thread = str(made.json()["results"][0]["id"])
            home = House(rim=rim, laptop=laptop, server=server, url=url, thread=thread)
            yield home
            await home.leave()
        await agent.close()
        await link._client.aclose()


async def test_text_is_seen_while_it_is_said_and_replaced_by_the_message(tmp_path: Path) -> None:
    """Drafts have no number; who comes later gets all so far at once; the durable message has the same name (A-01)."""
    said = Says(text=SAID, calls=(("finish", '{"summary": "Done."}'),), ends="held")

    async with house(tmp_path, said) as home:
        first = home.look()
        await until(lambda: first.frames)
        await home.ask()
        await home.server.streaming.wait()
        await until(lambda: len(first.text) > 10)
        half = first.text
        later = home.look()
        await until(lambda: later.live)
        home.server.go_on.set()
        await until(lambda: first.posted() and later.posted())

    assert SAID.startswith(half)
    assert later.live[0][0] == "draft"
    assert later.live[0][1]["text"] == half
    assert SAID.startswith(first.text)
    assert SAID.startswith(later.text)
    assert {number for kind, number, _ in first.frames if kind in ("draft", "delta")} == {""}
    assert {data["message"] for _, data in first.live} == {first.posted()["message"]}
    assert {data["thread"] for _, data in first.live} == {home.thread}
    assert first.posted()["text"] == SAID
    assert len(first.live) < len(SAID) / 9  # pieces go together


async def test_only_who_watches_that_thread_sees_it(tmp_path: Path) -> None:
    """Another thread's page gets nothing of it, and no live text is kept in the log."""
    said = Says(text=SAID, calls=(("finish", '{"summary": "Done."}'),))

    async with house(tmp_path, said) as home:
        here, elsewhere = home.look(), home.look("thr_other")
        await until(lambda: here.frames and elsewhere.frames)
        await home.ask()
        await until(lambda: here.posted() and elsewhere.posted())

    assert elsewhere.live == []
    assert not [kind for kind, number, _ in here.frames if kind == "draft" and number]


async def test_nothing_is_sent_while_nobody_watches(tmp_path: Path) -> None:
    """A computer keeps what a model says to itself until somebody looks (the bare turn's budget)."""
    live = Live()
    async with StandIn() as standin:
        agent = thinking(standin.url, hear=live.hear)
        async with Laptop(tmp_path, [agent], live=live) as laptop:
            folder = laptop.grant()
            (laptop.folder / "note.md").write_text("Action: Ana calls\n")
            task = laptop.hub.assign("Sum up the notes", agent="builtin", folder=folder.id)
            await laptop.finish(task)
        await agent.close()

    assert "message.posted" in laptop.hub.kinds(task)
    assert [op for op in laptop.hub.received if op.kind == "draft.say"] == []


async def test_who_comes_in_the_middle_sees_it_from_the_beginning(tmp_path: Path) -> None:
    """Watching begins while the model speaks: what it said before is shown too."""
    said = Says(text=SAID, calls=(("finish", '{"summary": "Done."}'),), ends="held")

    async with house(tmp_path, said) as home:
        await home.ask()
        await home.server.streaming.wait()
        screen = home.look()
        await until(lambda: screen.live)
        begun = screen.text
        home.server.go_on.set()
        await until(screen.posted)

    assert begun
    assert SAID.startswith(begun)


async def test_a_word_of_the_person_leaves_what_is_being_said_as_it_is(tmp_path: Path) -> None:
    """A-10: guidance while the model speaks does not cut its words off for who comes later."""
    said = Says(text=SAID, calls=(("finish", '{"summary": "Done."}'),), ends="held")

    async with house(tmp_path, said) as home:
        first = home.look()
        await until(lambda: first.frames)
        await home.ask()
        await home.server.streaming.wait()
        await until(lambda: len(first.text) > 10)
        (task,) = (await home.rim.local.get("/v1/tasks")).json()["items"]
        guidance = {"text": "shorter", "as": "steer", "to": task["id"]}
        steered = await home.op("message.post", thread=home.thread, task=task["id"], body=guidance)
        later = home.look()
        await until(lambda: len(later.said_by("user")) > 1 and later.live)
        begun = later.text
        home.server.go_on.set()
        await until(first.posted)

    assert steered["status"] == "ok"
    assert len(begun) > 10
    assert SAID.startswith(begun)


async def test_a_page_that_left_is_watched_for_no_more(tmp_path: Path) -> None:
    """When the last page closes, the computer is told, and says no more."""
    said = Says(text=SAID, calls=(("finish", '{"summary": "Done."}'),), ends="held")

    async with house(tmp_path, said) as home:
        screen = home.look()
        await until(lambda: screen.frames)
        await home.ask()
        await until(lambda: screen.live)
        await home.leave()
        await until(lambda: not home.laptop.live.watched)
        home.server.go_on.set()
        await until(lambda: home.laptop.open_attempts() == [])

    assert SAID.startswith(screen.text)
    assert screen.text != SAID


async def test_a_foreign_thread_cannot_be_spoken_into(tmp_path: Path) -> None:
    """A computer says only what its own task's thread may hear (IS-01)."""
    async with open_rim(tmp_path) as rim:
        _, token = await rim.device(Role.RUNNER, "runner")
        body = {"epoch": 1, "message": "msg_x", "offset": 0, "text": "Trust me."}
        op = {"op_id": "op-draft-1", "kind": "draft.say", "thread": "t", "task": "tsk_x", "body": body}
        said = await rim.client(token).post("/v1/ops", json={"ops": [op]})

    assert said.json()["results"][0]["error"]["code"] == "not_found"
