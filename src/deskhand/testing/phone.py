"""A phone: a program that uses the hub's real HTTP API as the page does, with cookie half, key half and pushes.

For the demo and for acceptance tests. It refuses every shortcut: what it knows, the hub told it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Self, cast

import httpx

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import PROTOCOL
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Delivery
from deskhand.protocol.tasks import Approval, Task
from deskhand.protocol.wire import JsonObject


class Phone:
    """One paired device on a real hub. Use as ``async with await Phone.pair(...)``."""

    def __init__(self, client: httpx.AsyncClient, *, device: str) -> None:
        """Speak through a client that carries both halves of the credential."""
        self._client = client
        self._ids = Ids(SystemClock())
        self.device = device

    @classmethod
    async def pair(cls, url: str, invite: str, *, name: str = "demo phone") -> Self:
        """Redeem an invitation that admits alone, as the page does with its link."""
        headers = {"Deskhand-Protocol": str(PROTOCOL), "Origin": url.rstrip("/")}
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=30)
        asked = _good(await client.post("/v1/pair", json={"invite": invite, "name": name}))
        claim = {"request": asked["request"], "secret": asked["secret"]}
        claimed = _good(await client.post("/v1/pair/claim", json=claim))
        client.headers["X-Deskhand-Key"] = str(claimed["token"])
        return cls(client, device=str(claimed["device"]))

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Put it away."""
        await self._client.aclose()

    async def get(self, path: str) -> JsonObject:
        """Return the JSON of a path.

        Raises:
            DeskhandError: what the hub said.
        """
        return _good(await self._client.get(path))

    async def content(self, artifact: str) -> bytes:
        """Return the bytes of a result file."""
        answer = await self._client.get(f"/v1/artifacts/{artifact}/content")
        answer.raise_for_status()
        return answer.content

    async def ops(self, *wishes: JsonObject) -> list[JsonObject]:
        """Send ops in one batch; each gets an id of its own. Return their results, all accepted.

        Raises:
            DeskhandError: the first refusal.
        """
        batch = [{"op_id": self._ids.new("op"), **wish} for wish in wishes]
        answer = _good(await self._client.post("/v1/ops", json={"ops": batch}))
        results = cast("list[JsonObject]", answer["results"])
        for result in results:
            if result["status"] == "rejected":
                raise _refusal(cast("JsonObject", result["error"]))
        return results

    async def op(self, kind: str, body: JsonObject, **about: str) -> JsonObject:
        """Send one op and return its result."""
        return (await self.ops({"kind": kind, "body": body, **about}))[0]

    async def task(self, name: str) -> Task:
        """Return a task as the hub has it."""
        return Task.from_json(await self.get(f"/v1/tasks/{name}"))

    async def events(self, *, after: int = 0) -> AsyncGenerator[Event]:
        """Yield events of the real stream after a cursor."""
        path, wanted = f"/v1/stream?after={after}", {"Accept": "text/event-stream"}
        timeout = httpx.Timeout(30, read=60)
        async with self._client.stream("GET", path, headers=wanted, timeout=timeout) as answer:
            answer.raise_for_status()
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("data:") and kind == "event":
                    yield Event.from_json(json.loads(line[5:]))
                elif not line:
                    kind = ""

    async def until(self, ready: Callable[[Event], bool], *, after: int = 0) -> Event:
        """Return the first event of the stream that is ``ready``.

        Raises:
            DeskhandError: ``hub_unreachable`` when the stream ends first.
        """
        async with aclosing(self.events(after=after)) as stream:
            async for event in stream:
                if ready(event):
                    return event
        raise DeskhandError(Code.HUB_UNREACHABLE)

    async def finished(self, *tasks: str) -> list[Task]:
        """Wait until every task has its end and return them."""
        left = set(tasks)

        def over(event: Event) -> bool:
            if event.kind == "task.finished":
                left.discard(event.task or "")
            return not left

        await self.until(over)
        return [await self.task(task) for task in tasks]

    async def approve(self, approval: Approval, *, scope: str = "once") -> JsonObject:
        """Say yes to exactly what was shown."""
        body: JsonObject = {
            "approval": approval.id,
            "decision": "allow",
            "scope": scope,
            "action_sha256": approval.action_sha256,
        }
        return await self.op("approval.decide", body)

    async def subscribe(self, subscription: JsonObject) -> None:
        """Ask for pushes, as a browser does after its permission."""
        _good(await self._client.post("/v1/push/subscriptions", json=subscription))

    async def show(self, payload: dict[str, Any]) -> None:
        """Do what the service worker does with a push: show it, and say so."""
        delivery = payload["notification"]["data"]["delivery"]
        await self.op("notification.ack", {"delivery": str(delivery), "fate": "shown"})

    async def deliveries(self) -> list[Delivery]:
        """Return the ledger."""
        answer = await self.get("/v1/deliveries")
        return [Delivery.from_json(item) for item in cast("list[JsonObject]", answer["items"])]


def _good(answer: httpx.Response) -> JsonObject:
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        raise _refusal(cast("JsonObject", answer.json()["error"]))
    return cast("JsonObject", answer.json() if answer.content else {})


def _refusal(error: JsonObject) -> DeskhandError:
    return DeskhandError(Code(str(error["code"])), str(error["message"]))
