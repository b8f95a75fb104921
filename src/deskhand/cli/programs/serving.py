"""What ``up`` and ``hub`` have in common: the home opened, the hub composed over it, answering until it is told to end.

This is the one place where the hub's parts are chosen. It refuses a clock that cannot be right, and to keep anybody
waiting: after SIGTERM or SIGINT everything ends within seconds, a second signal ends it at once.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from deskhand.cli.programs.ending import offload
from deskhand.cli.programs.reach import Reach
from deskhand.cli.values import as_json, config_values, setting
from deskhand.clock import Clock, SystemClock
from deskhand.core.settings import REGISTRY, effective
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub, HubParts, HubSettings
from deskhand.hub.credentials import LocalOwner, ensure_owner, write_private
from deskhand.hub.http.access import PushDoor
from deskhand.hub.http.app import create_app, new_pairing
from deskhand.hub.http.serve import Bind, serving
from deskhand.hub.pairing import Pairing
from deskhand.ids import Ids
from deskhand.ports import Committed, Notice, Notifier, PushSubscription, SendOutcome, Store
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Role, Setting
from deskhand.protocol.ops import Op
from deskhand.protocol.wire import Json
from deskhand.store.blobs import FileBlobs
from deskhand.store.home import Home, open_home
from deskhand.store.opening import FILE, open_postgres_store, open_sqlite_store
from deskhand.store.sql import SqlStore

VAPID_FILE: Final = "vapid.pem"
_BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows an earlier time than this program was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A hub that answers, with what its process needs of it; ``opened`` is the address that people open."""

    hub: Hub
    pairing: Pairing
    owner: LocalOwner
    url: str
    opened: str
    home: Home
    ids: Ids
    clock: SystemClock

    @property
    def principal(self) -> Principal:
        """The owner at this keyboard."""
        return Principal(account=self.owner.account, id=self.owner.device, role=Role.OWNER)


@asynccontextmanager
async def running_hub(path: Path, *, port: int | None, reach: Reach) -> AsyncGenerator[Running]:
    """Answer until the block ends, then end everything in order.

    Raises:
        DeskhandError: ``clock_wrong``, ``home_locked``, ``home_unsafe``, ``schema_newer``, ``port_taken``,
            ``config_invalid``, ``disk_full``.
    """
    clock = SystemClock()
    if clock.now() < _BUILT:
        raise DeskhandError(Code.CLOCK_WRONG, f"{clock.now():%Y-%m-%d}")
    ids = Ids(clock)
    async with AsyncExitStack() as ending:
        home = open_home(path)
        ending.callback(home.close)
        store = _open_store(home.path / FILE, clock)
        ending.push_async_callback(store.close)
        owner = await ensure_owner(store, ids, home=home.path, name=socket.gethostname())
        push = await _live_push(store, owner.account, home=home.path, clock=clock, reach=reach)
        named = cast("tuple[str, ...]", setting("hub.hosts").value)
        parts = HubParts(
            store=store,
            blobs=FileBlobs(home.folder("blobs"), ids, offload),
            clock=clock,
            ids=ids,
            notifiers={push.road: push},
            spread=random.SystemRandom().random,
            settings=HubSettings(hosts=(*named, *reach.hosts), origins=reach.origins),
        )
        hub = Hub(parts)
        pairing = new_pairing(hub)
        app = create_app(hub, pairing=pairing, push=push.door())
        await hub.start()
        ending.push_async_callback(hub.stop)
        answering = await ending.enter_async_context(serving(hub, app, where=_where(port, reach)))
        url = f"http://127.0.0.1:{answering.port}" if reach.bind else answering.url
        owner = await ensure_owner(store, ids, home=home.path, name=socket.gethostname(), url=url)
        running = Running(
            hub=hub,
            pairing=pairing,
            owner=owner,
            url=url,
            opened=reach.with_port(answering.port) or url,
            home=home,
            ids=ids,
            clock=clock,
        )
        await _put_starting_values(running)
        yield running


def _where(port: int | None, reach: Reach) -> Bind:
    host, wanted = reach.bind or str(setting("hub.bind").value), setting("hub.port", flag=port)
    return Bind(host=host, port=int(cast("int", wanted.value)), exposed=reach.bind is not None)


def _open_store(path: Path, clock: SystemClock) -> SqlStore:
    """Open the log where the environment says, else in the home."""
    url = os.environ.get("DESKHAND_DATABASE_URL")
    if url:
        return open_postgres_store(url, clock, offload=offload)
    return open_sqlite_store(path, clock, offload=offload)


class LivePush:
    """Web Push as the account's settings want it at this moment; a change takes effect with the next notice."""

    def __init__(self, key: bytes, values: dict[str, Json], *, clock: Clock, url: str) -> None:
        self._key, self._values, self._clock, self._url = key, values, clock, url
        self._push = self._built()

    @property
    def road(self) -> str:
        """Its name in the ledger."""
        return self._push.road

    def door(self) -> PushDoor:
        """Return what subscribing needs to know."""
        from deskhand.notify.webpush import endpoint_allowed, public_key_b64url

        def allows(endpoint: str) -> bool:
            return endpoint_allowed(endpoint, allow_private=self._allows_private())

        return PushDoor(public_key=public_key_b64url(self._key), allows=allows)

    async def send(self, subscription: PushSubscription, notice: Notice) -> SendOutcome:
        """Send one notice."""
        return await self._push.send(subscription, notice)

    def take(self, committed: Sequence[Committed]) -> None:
        """Follow the account's settings."""
        for one in committed:
            name = str(one.event.body.get("name"))
            if one.event.kind == "setting.changed" and name.startswith("notify."):
                self._values[name] = one.event.body.get("value")
                self._push = self._built()

    def _allows_private(self) -> bool:
        return bool(effective(self._values, "notify.allow_private_endpoints"))

    def _built(self) -> Notifier:
        from deskhand.notify.webpush import WebPush, WebPushSettings

        subject, private = str(effective(self._values, "notify.subject")), self._allows_private()
        wanted = WebPushSettings(subject=subject, app_url=self._url, allow_private=private)
        return WebPush(vapid_key=self._key, settings=wanted, clock=self._clock)


async def _live_push(
    store: Store, account: str, *, home: Path, clock: Clock, reach: Reach
) -> LivePush:
    stored = await store.find(account, Setting, limit=len(REGISTRY) * 2)
    values: dict[str, Json] = {one.id: one.value for one in stored if one.id in REGISTRY}
    url = reach.url or "http://127.0.0.1"
    live = LivePush(_vapid_key(home), values, clock=clock, url=url)
    store.on_commit(live.take)
    return live


def _vapid_key(home: Path) -> bytes:
    from deskhand.notify.webpush import new_vapid_key

    path = home / VAPID_FILE
    if not path.exists():
        write_private(path, new_vapid_key().decode("ascii"))
    return path.read_bytes()


async def _put_starting_values(running: Running) -> None:
    """Give the account what stands in ``config.toml`` and was never decided otherwise."""
    values = {name: value for name, value in config_values().items() if REGISTRY[name].account}
    if not values:
        return
    stored = await running.hub.store.find(running.owner.account, Setting, limit=500)
    decided, ids = {one.id for one in stored}, running.ids
    ops = [
        Op(op_id=ids.new("op"), kind="settings.put", body={"name": name, "value": as_json(value)})
        for name, value in values.items()
        if name not in decided
    ]
    await running.hub.submit(running.principal, ops)
