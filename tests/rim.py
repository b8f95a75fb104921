"""A hub with its HTTP rim for tests: real SQLite store, real app, either in process or on a real socket."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI

from deskhand.clock import SystemClock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub, HubParts, HubSettings
from deskhand.hub.credentials import LocalOwner, admit, bearer_sha256, ensure_owner, new_token
from deskhand.hub.http.access import PushDoor
from deskhand.hub.http.app import create_app, new_pairing
from deskhand.hub.pairing import Pairing
from deskhand.ids import Ids
from deskhand.protocol.objects import Device, Role
from deskhand.protocol.requests import InviteAsk
from deskhand.store.opening import open_sqlite_store

ORIGIN = "http://127.0.0.1:3375"
JSON = {"Content-Type": "application/json"}
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class MemoryBlobs:
    """Content-addressed bytes in memory."""

    stored: dict[str, bytes] = field(default_factory=dict[str, bytes])
    parts: dict[str, bytes] = field(default_factory=dict[str, bytes])

    async def put(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        data = b"".join([chunk async for chunk in chunks])
        return self._store(data, limit)

    async def append(
        self, name: str, chunk: AsyncIterator[bytes], *, offset: int, limit: int
    ) -> int:
        if len(self.parts.get(name, b"")) != offset:
            raise DeskhandError(Code.UPLOAD_OFFSET)
        async for data in chunk:
            if len(self.parts.get(name, b"")) + len(data) > limit:
                raise DeskhandError(Code.TOO_LARGE)
            self.parts[name] = self.parts.get(name, b"") + data
        return len(self.parts.get(name, b""))

    async def partial(self, name: str) -> int:
        return len(self.parts.get(name, b""))

    async def finish(self, name: str) -> tuple[str, int]:
        return self._store(self.parts.pop(name, b""), 2**40)

    async def open(
        self, sha256: str, *, start: int = 0, size: int | None = None
    ) -> AsyncGenerator[bytes]:
        data = self.stored[sha256]
        yield data[start : None if size is None else start + size]

    def size(self, sha256: str) -> int | None:
        return len(self.stored[sha256]) if sha256 in self.stored else None

    def _store(self, data: bytes, limit: int) -> tuple[str, int]:
        if len(data) > limit:
            raise DeskhandError(Code.TOO_LARGE)
        sha256 = hashlib.sha256(data).hexdigest()
        self.stored[sha256] = data
        return sha256, len(data)


@dataclass(kw_only=True)
class Rim:
    """A running hub, its app, and ways to speak to it."""

    hub: Hub
    app: FastAPI
    pairing: Pairing
    owner: LocalOwner
    blobs: MemoryBlobs
    home: Path
    ids: Ids

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """Return a client in process; with a token it is a bearer."""
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 50000))
        told = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={**told, **headers})

    @property
    def local(self) -> httpx.AsyncClient:
        """Return a client of the owner's CLI."""
        return self.client(self.owner.token)

    async def device(self, role: Role, kind: str = "cli") -> tuple[str, str]:
        """Let a device in without pairing; return (id, token)."""
        token = new_token(self.ids)
        device = Device(
            id=self.ids.new("run" if role is Role.RUNNER else "dev"),
            name=role.value,
            kind=cast("Any", kind),
            role=role,
            created_at=stamp(self.hub.clock.now()),
        )
        await self.hub.store.write(
            self.owner.account,
            lambda tx: admit(tx, device, token_sha256=bearer_sha256(token), actor="hub"),
        )
        return device.id, token

    async def page(self, client: httpx.AsyncClient) -> str:
        """Pair a page through HTTP: the client holds the cookie half and the key half after it. Return the device."""
        made = await self.pairing.create_invite(
            self.owner.account, InviteAsk(kind="page", admits_alone=True)
        )
        client.headers["Origin"] = ORIGIN
        asked = await client.post("/v1/pair", json={"invite": made.invite, "name": "phone"})
        claim = {"request": asked.json()["request"], "secret": asked.json()["secret"]}
        claimed = await client.post("/v1/pair/claim", json=claim)
        client.headers["X-Deskhand-Key"] = claimed.json()["token"]
        return str(claimed.json()["device"])


@asynccontextmanager
async def open_rim(home: Path, *, page: Path | None = None) -> AsyncGenerator[Rim]:
    """Open a hub with its rim on a folder."""
    clock = SystemClock()
    ids, blobs = Ids(clock), MemoryBlobs()
    store = open_sqlite_store(home / "hub.sqlite3", clock)
    parts = HubParts(
        store=store,
        blobs=blobs,
        clock=clock,
        ids=ids,
        notifiers={},
        spread=lambda: 0.5,
        settings=HubSettings(),
    )
    hub = Hub(parts)
    await hub.start()
    try:
        owner = await ensure_owner(store, ids, home=home, name="laptop")
        pairing = new_pairing(hub)
        push = PushDoor(
            public_key="BKey", allows=lambda url: url.startswith("https://push.example/")
        )
        app = create_app(hub, pairing=pairing, push=push, page_folder=page or home / "no-page")
        yield Rim(hub=hub, app=app, pairing=pairing, owner=owner, blobs=blobs, home=home, ids=ids)
    finally:
        await hub.stop()
        await store.close()


def thread_op(op_id: str = "op-thread-1", title: str = "Meetings") -> dict[str, Any]:
    """Return an op that begins a conversation."""
    return {"op_id": op_id, "kind": "thread.create", "body": {"title": title}}


def code_of(answer: httpx.Response) -> str:
    """Return the code of a refusal."""
    return str(answer.json()["error"]["code"])
