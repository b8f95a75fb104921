"""What ``up`` and ``hub`` have in common: the home opened, the hub composed over it, answering until it is told to end.

This is the one place where the hub's parts are chosen. The road from the phone to this computer is none, this network,
or an address of one's own. It refuses a clock that cannot be right, to promise a road that was not seen to answer, and
to keep anybody waiting: after SIGTERM or SIGINT everything ends within seconds, a second signal ends it at once.
"""

from __future__ import annotations

import ipaddress
import random
import socket
from asyncio import to_thread
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, cast
from urllib.parse import urlsplit

from deskhand.cli.client import Client
from deskhand.cli.values import as_json, config_values, setting
from deskhand.clock import SystemClock
from deskhand.core.settings import REGISTRY, effective
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.credentials import LocalDevice, ensure_owner
from deskhand.hub.http import access, app, serve
from deskhand.ids import Ids
from deskhand.notify import webpush
from deskhand.ports import Committed
from deskhand.protocol import authority, objects, ops
from deskhand.protocol.wire import Json, JsonObject
from deskhand.secret import Secret, taken
from deskhand.store import blobs, opening
from deskhand.store.home import open_home
from deskhand.store.safe import Safe

VAPID: Final = "vapid"
_BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows an earlier time than this program was written."""
_SETTINGS_MAX: Final = 500
_ANYWHERE = "0.0.0.0"  # noqa: S104 - only after the owner said "lan" in so many words
_SOMEWHERE = ("198.51.100.1", 9)
"""A documentation address: asking for the way there sends nothing and tells which of our addresses would be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One road. ``url`` is what a phone opens; nothing where there is none. ``names``: what the hub is called on it."""

    url: str | None = None
    names: tuple[str, ...] = ()
    bind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A hub that answers, with what its process needs of it; ``opened`` is the address that people open."""

    hub: Hub
    owner: LocalDevice
    url: str
    opened: str
    home: Path

    async def op(self, kind: str, body: JsonObject) -> ops.OpResult:
        """Do what the owner at this keyboard wishes."""
        account, device = self.owner.account, self.owner.device
        who = authority.Principal(account=account, id=device, role=objects.Role.OWNER)
        op = ops.Op(op_id=self.hub.ids.new("op"), kind=kind, body=body)
        (result,) = await self.hub.submit(who, [op], surface="cli")
        return result


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
        if url := taken("DESKHAND_DATABASE_URL"):
            Secret("DESKHAND_DATABASE_URL password", urlsplit(url.reveal()).password or "")
            store = opening.open_postgres_store(url.reveal(), clock, offload=to_thread)
        else:
            store = opening.open_sqlite_store(home.path / opening.FILE, clock, offload=to_thread)
        ending.push_async_callback(store.close)
        owner = await ensure_owner(store, ids, home=home.path, name=socket.gethostname())
        stored = await store.find(owner.account, objects.Setting, limit=_SETTINGS_MAX)
        decided: dict[str, Json] = {one.id: one.value for one in stored}
        safe, app_url = Safe(home.path), reach.url or "http://127.0.0.1"
        vapid = safe.read(VAPID) or safe.put(VAPID, webpush.new_vapid_key().decode("ascii"))
        wanted, key = _push_settings(decided, app_url), vapid.reveal().encode()
        push = webpush.WebPush(vapid_key=key, settings=wanted, clock=clock)
        store.on_commit(_following(push, dict(decided), app_url))
        named = cast("tuple[str, ...]", setting("hub.hosts").value)
        hub = Hub(
            store=store,
            blobs=blobs.FileBlobs(home.folder("blobs"), ids, to_thread),
            clock=clock,
            ids=ids,
            notifiers={push.road: push},
            spread=random.SystemRandom().random,
            names=(*named, *reach.names),
            home=home.path,
        )
        door = access.PushDoor(public_key=push.public_key, allows=push.allows)
        await hub.start()
        ending.push_async_callback(hub.stop)
        where = serve.Bind(
            host=reach.bind or str(setting("hub.bind").value),
            port=cast("int", setting("hub.port", flag=port).value),
            exposed=reach.bind is not None,
        )
        answers = serve.serving(hub, app.create_app(hub, push=door), where=where)
        answering = await ending.enter_async_context(answers)
        url = f"http://127.0.0.1:{answering.port}" if reach.bind else answering.url
        opened = f"{reach.url}:{answering.port}" if reach.bind else reach.url or url
        owner = await ensure_owner(store, ids, home=home.path, name=socket.gethostname(), url=url)
        running = Running(hub=hub, owner=owner, url=url, opened=opened, home=home.path)
        # The account gets what stands in config.toml and was never decided otherwise.
        for name, value in config_values().items():
            if REGISTRY[name].account and name not in decided:
                body: JsonObject = {"name": name, "value": as_json(value)}
                await running.op("settings.put", body)
        yield running


def _following(
    push: webpush.WebPush, values: dict[str, Json], url: str
) -> Callable[[Sequence[Committed]], None]:
    """Return what lets a change of the account's settings take effect with the next notice."""

    def take(committed: Sequence[Committed]) -> None:
        for one in committed:
            name = str(one.event.body.get("name"))
            if one.event.kind == "setting.changed" and name.startswith("notify."):
                values[name] = one.event.body.get("value")
                push.follow(_push_settings(values, url))

    return take


def _push_settings(values: Mapping[str, Json], url: str) -> webpush.WebPushSettings:
    return webpush.WebPushSettings(
        subject=str(effective(values, "notify.subject")),
        app_url=url,
        allow_private=bool(effective(values, "notify.allow_private_endpoints")),
    )


def reach_of(said: str) -> Reach:
    """Return the road that a word or an address means.

    Raises:
        DeskhandError: ``invalid`` for neither; ``unavailable`` without a network.
    """
    if said in {"", "none"}:
        return Reach()
    if said == "lan":
        address = _lan_address()
        return Reach(url=f"http://{address}", names=(address,), bind=_ANYWHERE)
    parts = urlsplit(said)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise DeskhandError(Code.INVALID, f"{said}: none | lan | https://…", field="--reach")
    return Reach(url=said.rstrip("/"), names=(said.rstrip("/"),))


def _lan_address() -> str:
    """Return this computer's address in its own network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, suppress(OSError):
        asked.connect(_SOMEWHERE)
        address = ipaddress.ip_address(asked.getsockname()[0])
        if not (address.is_loopback or address.is_unspecified):
            return str(address)
    raise DeskhandError(Code.UNAVAILABLE, "no network")


def seen_to_answer(url: str) -> float:
    """Return how many milliseconds our hub took to answer under an address.

    Raises:
        DeskhandError: ``hub_unreachable``.
    """
    started = monotonic()
    if Client(url=url).send("GET", "/healthz").getheader("Deskhand-Protocol") is None:
        raise DeskhandError(Code.HUB_UNREACHABLE, f"{url} is not a hub")
    return (monotonic() - started) * 1000
