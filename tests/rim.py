"""A hub with its HTTP rim for tests: the real store, real app, either in process or on a real socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI

from deskhand.clock import Clock, Ids, SystemClock, stamp
from deskhand.hub.app import Hub
from deskhand.hub.credentials import LocalDevice, Pairing, admit, bearer_sha256, ensure_owner, new_token
from deskhand.hub.http.access import PushDoor
from deskhand.hub.http.app import create_app
from deskhand.protocol.objects import Device, Role
from deskhand.protocol.requests import InviteAsk
from deskhand.store.blobs import FileBlobs
from deskhand.store.opening import inline, open_sqlite_store
from deskhand.testing.memory_store import open_memory_disk, open_memory_store

ORIGIN = "http://127.0.0.1:3375"
JSON = {"Content-Type": "application/json"}
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(kw_only=True)
class Rim:
    """A running hub, its app, and ways to speak to it."""

    hub: Hub
    app: FastAPI
    pairing: Pairing
    owner: LocalDevice
    blobs: FileBlobs
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
            self.owner.account, lambda tx: admit(tx, device, token_sha256=bearer_sha256(token), actor="hub")
        )
        return device.id, token

    async def page(self, client: httpx.AsyncClient) -> str:
        """Pair a page through HTTP: the client holds the cookie half and the key half after it. Return the device."""
        made = await self.pairing.create_invite(self.owner.account, InviteAsk(kind="page", admits_alone=True))
        client.headers["Origin"] = ORIGIN
        asked = await client.post("/v1/pair", json={"invite": made.invite, "name": "phone"})
        claim = {"request": asked.json()["request"], "secret": asked.json()["secret"]}
        claimed = await client.post("/v1/pair/claim", json=claim)
        client.headers["X-Deskhand-Key"] = claimed.json()["token"]
        return str(claimed.json()["device"])


@asynccontextmanager
async def open_rim(
    home: Path, *, page: Path | None = None, on_disk: bool = False, clock: Clock | None = None
) -> AsyncGenerator[Rim]:
    """Open a hub with its rim; ``on_disk`` with the threaded writer and the file that it has in real life."""
    clock = clock or SystemClock()
    ids = Ids(clock)
    blobs = FileBlobs(home / "blobs", ids, inline)
    store = open_sqlite_store(home / "hub.sqlite3", clock) if on_disk else open_memory_store(open_memory_disk(), clock)
    hub = Hub(store=store, blobs=blobs, clock=clock, ids=ids, notifiers={}, spread=lambda: 0.5, home=home)
    await hub.start()
    try:
        owner = await ensure_owner(store, ids, home=home, name="laptop")
        push = PushDoor(public_key="BKey", allows=lambda url: url.startswith("https://push.example/"))
        app = create_app(hub, push=push, page_folder=page or home / "no-page")
        yield Rim(hub=hub, app=app, pairing=hub.pairing, owner=owner, blobs=blobs, home=home, ids=ids)
    finally:
        await hub.stop()
        await store.close()


def thread_op(op_id: str = "op-thread-1", title: str = "Meetings") -> dict[str, Any]:
    """Return an op that begins a conversation."""
    return {"op_id": op_id, "kind": "thread.create", "body": {"title": title}}


def code_of(answer: httpx.Response) -> str:
    """Return the code of a refusal."""
    return str(answer.json()["error"]["code"])


async def chunks(*parts: bytes) -> AsyncGenerator[bytes]:
    """Yield bytes as a body comes."""
    for part in parts:
        yield part
