"""The person's program in a world: hands over tasks, answers, says yes and no, and repeats itself until acknowledged.

It speaks real HTTP with the owner's own credential and keeps every acknowledged op for the judge. It refuses to take a
broken answer for an answer: the same op id goes out again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import httpx

from deskhand.clock import Ids, SystemClock
from deskhand.errors import DeskhandError
from deskhand.protocol.events import Event
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.wire import Json, JsonObject
from deskhand.runner.http_link import HttpLink
from tests.kills.work import AGENT

KINDS: Final = (
    ("", "pure once idem out probe"),
    ("asks", "again"),
    ("", "twice cmd once cmd many"),
    ("asks", "once idem probe"),
    ("works", "ask idem cmd"),
    ("", "cmd many cmd"),
    ("", "idem once steer"),
    ("asks", "once pure cmd"),
    ("", "idem once pure pure once cancel"),
    ("works", "once idem pure once pause"),
    ("", "once ask stop"),
    ("", "out pure pure probe steer"),
    ("", "out idem pause"),
    ("", "once quick"),
    ("works", "cmd probe out many"),
    ("", "idem out once pause"),
    ("", "idem out late"),
    ("works", "cmd once idem cmd cancel"),
)
"""What people want: in which kind of folder, and the words of the task. The last may be what the person does."""
_DEEDS: Final = {
    "cancel": "step.started",
    "pause": "step.started",
    "steer": "step.started",
    "quick": "task.assigned",
    "late": "step.finished",
}
"""What the person does while a task is under way, and upon which news: ``quick`` cancels, ``late`` pauses at the end."""
_AGAIN_SECONDS: Final = 0.05
_CHORES_SECONDS: Final = 0.7
CHECK: Final = "test -d ."


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """An op that the hub said it has."""

    op: Op
    result: OpResult


@dataclass(slots=True, kw_only=True)
class Wanted:
    """A task that was asked for: its name, in what kind of folder, and what the person does meanwhile."""

    name: str
    folder: str
    words: str
    deed: str
    task: str | None = None


@dataclass(slots=True, kw_only=True)
class Known:
    """What the phone knows of its world."""

    wanted: dict[str, Wanted] = field(default_factory=dict[str, Wanted])
    finished: dict[str, int] = field(default_factory=dict[str, int])
    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    refused: list[Acknowledged] = field(default_factory=list[Acknowledged])
    decided: dict[str, str] = field(default_factory=dict[str, str])
    seen: set[str] = field(default_factory=set[str])


class Phone:
    """One device of the owner. ``folders``: kind -> roots."""

    _group: asyncio.TaskGroup

    def __init__(
        self, url: str, token: str, *, chance: Random, folders: dict[str, list[Path]], name: str, only: str = ""
    ) -> None:
        """Know where the hub is. ``only``: hand over such tasks only as have this word."""
        self._link = HttpLink(url, token=token)
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=5
        )
        self._clock = SystemClock()
        self._ids = Ids(self._clock)
        self._chance = chance
        self._folders = folders
        self._name = name
        self._kinds = [kind for kind in KINDS if not only or only in kind[1].split()]
        self._doing: set[asyncio.Task[None]] = set()
        self._cursor = 0
        self._threads: list[str] = []
        self.known = Known()
        self.saying = 0
        self.runner = ""
        self.changed = asyncio.Event()

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Listen, and do what follows, until stopped."""
        self._group = group
        self._do(self._listen())
        self._do(self._chores())

    def stop(self) -> None:
        """Be put away."""
        for task in self._doing:
            task.cancel()

    @property
    def under_way(self) -> int:
        """Return how many of its tasks have no end yet."""
        known = self.known
        return sum(1 for one in known.wanted.values() if one.task not in known.finished)

    def hand_over(self) -> None:
        """Ask for the next task."""
        number = len(self.known.wanted)
        folder, words = self._kinds[number % len(self._kinds)]
        deed = words.split()[-1] if words.split()[-1] in _DEEDS else ""
        words = words.removesuffix(deed).strip()
        name = f"{self._name}t{number}"
        wanted = Wanted(name=name, folder=folder, words=words, deed=deed)
        self.known.wanted[name] = wanted
        self._do(self._hand_over(wanted))

    async def _hand_over(self, wanted: Wanted) -> None:
        body: JsonObject = {"text": f"{wanted.name} {wanted.words}", "agent": AGENT}
        if wanted.folder:
            roots = self._folders[wanted.folder]
            body["folder"] = str(roots[len(self.known.wanted) % len(roots)])
        if "idem" in wanted.words:
            body["checks"] = [CHECK]
        threads = self._threads
        thread = self._chance.choice(threads) if len(threads) > 5 else None
        result = await self.say("message.post", thread=thread, task=None, **body)
        wanted.task = result.task
        self.changed.set()

    async def say(self, kind: str, *, thread: str | None = None, task: str | None = None, **body: Json) -> OpResult:
        """Send an op until there is an answer to it."""
        op = Op(op_id=self._ids.new("op"), kind=kind, thread=thread, task=task, body=body)
        self.saying += 1
        try:
            while True:
                try:
                    (result,) = await self._link.send([op])
                except DeskhandError:
                    await self._clock.sleep(_AGAIN_SECONDS)
                    continue
                if result.error is not None and result.error.retryable:
                    await self._clock.sleep(_AGAIN_SECONDS)
                    continue
                known = self.known
                (known.refused if result.error else known.acknowledged).append(Acknowledged(op=op, result=result))
                return result
        finally:
            self.saying -= 1
            self.changed.set()

    async def subscribe(self) -> None:
        """Tell where pushes go, as a page does each time it opens."""
        endpoint = f"https://fcm.googleapis.com/fcm/send/{self._name}"
        keys = {"p256dh": "BOtTo", "auth": "c2VjcmV0"}
        while True:
            try:
                wish = {"endpoint": endpoint, "keys": keys}
                answer = await self._http.post("/v1/push/subscriptions", json=wish)
            except httpx.TransportError:
                await self._clock.sleep(_AGAIN_SECONDS)
                continue
            if answer.status_code != 201:
                raise RuntimeError(answer.text)
            return

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _listen(self) -> None:
        while True:
            try:
                async for frame in self._link.stream(after=self._cursor):
                    if frame.kind == "event" and frame.event is not None:
                        self._cursor = frame.event.seq
                        self._take(frame.event)
            except DeskhandError:
                pass
            await self._clock.sleep(_AGAIN_SECONDS)

    async def _chores(self) -> None:
        """Change a setting and a folder's label, and renew the subscription, again and again."""
        turn = 0
        while True:
            await self._clock.sleep(_CHORES_SECONDS)
            turn += 1
            await self.say("settings.put", name="lease_seconds", value=2 + turn % 2)
            await self.subscribe()
            root = self._folders["works"][0]
            folder = {"id": "", "root": str(root), "label": f"work {turn % 3}", "mode": "workspace"}
            known = await self.folder_of(root)
            if known:
                await self.say("folder.put", **{**folder, "id": known, "runner": self.runner})

    async def folder_of(self, root: Path) -> str | None:
        try:
            answer = await self._http.get("/v1/snapshot")
        except httpx.TransportError:
            return None
        found = [one for one in answer.json()["folders"] if one["root"] == str(root)]
        self.runner = str(found[0]["runner"]) if found else ""
        return str(found[0]["id"]) if found else None

    def _take(self, event: Event) -> None:
        """Do what a person would do about an event."""
        body, known = event.body, self.known
        match event.kind:
            case "thread.created":
                self._threads.append(str(event.thread))
            case "task.finished":
                known.finished[str(event.task)] = known.finished.get(str(event.task), 0) + 1
                self.changed.set()
            case "approval.requested":
                self._do(self._decide(cast("JsonObject", body["approval"])))
            case "question.asked":
                self._do(self._answer(cast("JsonObject", body["question"])))
            case "step.started" | "step.finished" | "task.assigned":
                self._meanwhile(event)
            case _:
                pass

    async def _decide(self, approval: JsonObject) -> None:
        """Say yes or no after a while; now and then a second device says the opposite too late."""
        await self._clock.sleep(self._chance.uniform(0, 0.3))
        name = str(approval["id"])
        # Both of two that are the same get their own yes, so that using one of them twice shows.
        same = '.again"' in json.dumps(approval["action"])
        yes = "allow" if same or self._chance.random() < 0.8 else "deny"
        said = {"approval": name, "action_sha256": str(approval["action_sha256"])}
        result = await self.say("approval.decide", decision=yes, **said)
        if result.error is None:
            self.known.decided[name] = yes
        if self._chance.random() < 0.3:
            other = "deny" if yes == "allow" else "allow"
            await self.say("approval.decide", decision=other, **said)

    async def _answer(self, question: JsonObject) -> None:
        await self._clock.sleep(self._chance.uniform(0, 0.3))
        await self.say("question.answer", question=str(question["id"]), answer="this")

    def _meanwhile(self, event: Event) -> None:
        """Begin what the person does while a task is under way, once."""
        task = str(event.task)
        one = next((one for one in self.known.wanted.values() if one.task == task), None)
        if one is None:
            brief = event.body.get("brief")
            name = str(brief.get("text", "")).partition(" ")[0] if isinstance(brief, dict) else ""
            one = self.known.wanted.get(name)
        if one is None or _DEEDS.get(one.deed) != event.kind or task in self.known.seen:
            return
        if one.deed == "late" and event.body.get("step") != len(one.words.split()):
            return
        self.known.seen.add(task)
        self._do(self._act(one.deed, task))

    async def _act(self, deed: str, task: str) -> None:
        match deed:
            case "quick":
                await self.say("task.cancel", task=task)
            case "cancel":
                await self._clock.sleep(self._chance.uniform(0, 0.2))
                await self.say("task.cancel", task=task)
            case "pause" | "late":
                if deed == "pause":
                    await self._clock.sleep(self._chance.uniform(0, 0.3))
                await self.say("task.pause", task=task)
                await self._clock.sleep(self._chance.uniform(0, 0.3))
                await self.say("task.resume", task=task)
            case _:
                await self.say("message.post", text="Hurry.", to=task, **{"as": "steer"})


def read_token(home: Path) -> str:
    """Return the owner's credential of a hub's home, as the command line reads it."""
    return str(json.loads((home / "owner.json").read_text(encoding="utf-8"))["token"])
