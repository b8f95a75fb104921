"""``deskhand hub``, the hub alone, and ``deskhand up``, hub and runner in one process.

This is the one place where the hub's parts are chosen. It answers before the runner is imported; a link in memory joins
them. It refuses a clock that cannot be right, to show a road that was not seen to answer, and to keep anybody waiting:
after SIGTERM or SIGINT everything ends within seconds, a second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from deskhand import __version__
from deskhand.cli.client import home
from deskhand.cli.roads import Reach, reach_of, seen_to_answer, served
from deskhand.cli.screen import Exit, speak
from deskhand.cli.staying import beside, close_up, keep_keys, until_told_to_end, watch_power, work_until
from deskhand.cli.values import config_values, setting
from deskhand.clock import Ids, SystemClock
from deskhand.core.settings import REGISTRY, effective
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub, Participant
from deskhand.hub.credentials import LocalDevice, ensure_device, ensure_owner, new_token, write_claim_page
from deskhand.hub.http import access, app
from deskhand.limits import CLAIM_SECONDS
from deskhand.notify import webpush
from deskhand.notify.roads import Apprise, Mail, Ntfy
from deskhand.ports import Committed
from deskhand.protocol import objects, ops, signing
from deskhand.protocol.requests import HereAsk, InviteAsk
from deskhand.protocol.wire import Json, JsonObject
from deskhand.secret import Secret, taken
from deskhand.store import blobs, opening
from deskhand.store.private import RUNNER_FILE, Safe, open_home

VAPID: Final = "vapid"
_BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows an earlier time than this program was written."""
_SETTINGS_MAX: Final = 500
_ADVERTISED_SECONDS_MAX = 5.0


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
        who = ops.Principal(account=account, id=device, role=objects.Role.OWNER)
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
        path = ending.enter_context(open_home(path))
        store = _store(path, clock)
        ending.push_async_callback(store.close)
        owner = await ensure_owner(store, ids, home=path, name=socket.gethostname())
        stored = await store.find(owner.account, objects.Setting, limit=_SETTINGS_MAX)
        decided: dict[str, Json] = {one.id: one.value for one in stored}
        store.on_commit(lambda committed: decided.update(_changed(committed)))
        safe = Safe(path)
        vapid = safe.read(VAPID) or safe.put(VAPID, signing.new_key())
        host, chosen = reach.bind or setting("hub.bind").value, setting("hub.port", flag=port).value
        app_url = (f"{reach.url}:{chosen}" if reach.bind else reach.url) or "http://127.0.0.1"
        lead: dict[str, Any] = {"app_url": app_url, "clock": clock}
        push = webpush.WebPush(vapid_key=vapid.reveal(), said=partial(effective, decided), **lead)
        here: dict[str, Any] = {**lead, "secret": safe.read}
        others = [road(said=lambda name: setting(name).value, **here) for road in (Ntfy, Mail, Apprise)]
        hub = Hub(
            store=store,
            blobs=blobs.FileBlobs(path / "blobs", ids, asyncio.to_thread),
            clock=clock,
            ids=ids,
            notifiers={road.name: road for road in (push, *others)},
            roads=lambda: [road.name for road in others if road.ready()],
            spread=random.SystemRandom().random,
            names=(*setting("hub.hosts").value, reach.url),
            prove=lambda nonce: signing.sign(signing.HUB, {"nonce": nonce}, vapid.reveal()).to_json(),
            home=path,
        )
        door = access.PushDoor(public_key=push.public_key, allows=push.allows)
        await hub.start()
        ending.push_async_callback(hub.stop)
        where = app.Bind(host=host, port=chosen, exposed=reach.bind is not None)
        answers = app.serving(hub, app.create_app(hub, push=door), where=where)
        answering = await ending.enter_async_context(answers)
        url = f"http://127.0.0.1:{answering.port}" if reach.bind else answering.url
        opened = f"{reach.url}:{answering.port}" if reach.bind else reach.url or url
        hub.pairing.road = opened if reach.url else ""
        await ending.enter_async_context(served(reach, url))
        owner = await ensure_owner(store, ids, home=path, name=socket.gethostname(), url=url)
        running = Running(hub=hub, owner=owner, url=url, opened=opened, home=path)
        # The account gets what stands in config.toml and was never decided otherwise.
        for name, value in config_values().items():
            if REGISTRY[name].account and name not in decided:
                said: Json = [*value] if isinstance(value, tuple) else value
                await running.op("settings.put", {"name": name, "value": said})
        yield running


def _changed(committed: Sequence[Committed]) -> dict[str, Json]:
    """Return the settings of the account that were changed just now."""
    bodies = (one.event.body for one in committed if one.event.kind == "setting.changed")
    return {str(body.get("name")): body.get("value") for body in bodies}


def _store(path: Path, clock: SystemClock) -> opening.SqlStore:
    """Return what is kept in PostgreSQL, where the environment names one, else in the home."""
    if (url := taken("DESKHAND_DATABASE_URL")) is None:
        return opening.open_sqlite_store(path / opening.FILE, clock, offload=asyncio.to_thread)
    Secret("DESKHAND_DATABASE_URL password", urlsplit(url.reveal()).password or "")
    return opening.open_postgres_store(url.reveal(), clock, offload=asyncio.to_thread)


async def run_hub(*, port: int | None, said: str | None) -> int:
    """Run until told to end. The one ready line carries an invitation for a runner and one for a page."""
    close_up()
    reach = reach_of(setting("hub.reach", flag=said).value)
    async with running_hub(home(), port=port, reach=reach) as running:
        url, account = running.opened, running.owner.account
        wish = InviteAsk(kind="runner", role=objects.Role.RUNNER, admits_alone=True)
        runner = (await running.hub.pairing.create_invite(account, wish)).invite
        page = await running.hub.pairing.create_invite(account, InviteAsk(admits_alone=True), at=url)
        ready = {"url": url, "invite": runner, "pid": os.getpid(), "page_invite": page.invite}
        line = speak.say("hub.runner", url=url, invite=runner)
        speak.answer({**ready, "code": page.code}, speak.say("hub.ready", url=url), line)
        try:
            if reach.url:
                await asyncio.to_thread(seen_to_answer, url, running.hub.mark())
            speak.invitation(page.model_dump())
        except DeskhandError as error:  # what leads here may start after us
            speak.note(error.sentence(speak.language), "bad")
        async with beside(watch_power(running.hub.going)):
            await until_told_to_end()
    return Exit.DONE


async def run_up(*, port: int | None, said: str | None, browser: bool, name: str | None, as_root: bool) -> int:
    """Run until told to end.

    Raises:
        DeskhandError: ``home_locked``, ``port_taken``, ``hub_unreachable`` for a road that does not answer, and what
            else stands in the way.
    """
    close_up()
    path, wanted = home(), setting("hub.reach", flag=said).value
    reach, first = reach_of(wanted), not (path / RUNNER_FILE).exists()
    if speak.asks and first:
        computer = import_module("deskhand.cli.programs.computer")
        computer.first_run(path, name)
        if not wanted:
            computer.ask_road(reach_of)
            reach = reach_of(setting("hub.reach").value)
    async with running_hub(path, port=port, reach=reach) as running:
        keep_keys(path)
        desk = _Desk(running, name=name, as_root=as_root)
        running.hub.pairing.here = desk.use_here
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.work())
            shown = group.create_task(desk.show(reach, browser=browser, first=first))
            await until_told_to_end()
            shown.cancel()
            desk.stopped.set()
    return Exit.DONE


class _Desk:
    """The runner of this process, imported in a thread once the hub answers; and the terminal with its questions."""

    def __init__(self, running: Running, *, name: str | None, as_root: bool) -> None:
        self._running, self._said, self._as_root = running, name, as_root
        self.stopped, self._advertised = asyncio.Event(), asyncio.Event()
        self._asking: asyncio.Queue[objects.PairRequest] = asyncio.Queue()
        self._name = ""
        running.hub.store.on_commit(self._look)

    async def work(self) -> None:
        """Run the runner until stopped. What ends it once it was known (a revoked device) does not end the hub.

        Raises:
            DeskhandError: what stood in its way at the start.
        """
        running = self._running
        try:
            make = await asyncio.to_thread(lambda: import_module("deskhand.cli.programs.computer"))
            self._name = make.computer_name(self._said)
            principal = await self._principal()
            # Hub and runner are one process of one user: a signature would add nothing (security 1.1).
            how = {"who": principal, "hub_trust": "high", "as_root": self._as_root}
            link, language = Participant(running.hub, principal), setting("language").value
            async with (
                make.open_runner(running.home, link, language=language, **how) as runner,
                beside(watch_power(runner.going, running.hub.going)),
            ):
                await work_until(runner.run(), self.stopped.wait(), stop=runner.stop)
        except DeskhandError as error:
            if not self._advertised.is_set():
                raise
            speak.fail(error)

    async def _principal(self) -> ops.Principal:
        """Return this computer as a runner of its own hub, a paired device like any other.

        It is written down before the hub learns of it. One that was revoked stays dead; a new one is made.
        """
        running, account, ids = self._running, self._running.owner.account, self._running.hub.ids
        who = {"account": account, "device": ids.new("run"), "token": new_token(ids)}
        new, path = LocalDevice(**who, url=running.url, name=self._name), running.home / RUNNER_FILE
        kept = await ensure_device(running.hub.store, path, new, role=objects.Role.RUNNER)
        return ops.Principal(account=account, id=kept.device, role=objects.Role.RUNNER, name=self._name)

    async def use_here(self, wish: HereAsk) -> None:
        """Let a folder of this computer be used."""
        asked, path = "deskhand.cli.programs.computer", self._running.home
        await asyncio.to_thread(lambda: import_module(asked).use_here(path, wish))

    def _look(self, committed: Sequence[Committed]) -> None:
        for one in committed:
            if one.event.kind == "runner.advertised":
                self._advertised.set()
            elif one.event.kind == "pair.requested":
                self._asking.put_nowait(objects.PairRequest.from_json(one.event.body["request"]))

    async def show(self, reach: Reach, *, browser: bool, first: bool) -> None:
        """Once the hub knows this computer: try the road, say how to come in, open the browser, ask whoever knocks."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ADVERTISED_SECONDS_MAX):
                await self._advertised.wait()
        running, opened = self._running, self._running.opened
        if reach.url:
            mark = running.hub.mark()
            speak.note(f"✓ {await asyncio.to_thread(seen_to_answer, opened, mark)}", "good")
        wish = InviteAsk(admits_alone=not speak.asks)
        made = await running.hub.pairing.create_invite(running.owner.account, wish, at=opened)
        ready = {"url": opened, "invite": made.invite, "code": made.code, "pid": os.getpid()}
        said = {"version": __version__, "name": self._name, "url": opened}
        abilities = import_module("deskhand.cli.abilities")
        lines: list[str] = [] if speak.json else await asyncio.to_thread(abilities.model_lines)
        speak.answer(ready, speak.say("up.ready", **said), *lines)
        speak.invitation(made.model_dump())
        if first and not speak.json:
            kept = await running.hub.pairing.create_invite(running.owner.account, InviteAsk(recovery=True))
            speak.out(speak.say("pair.recovery_made", code=kept.invite))
        speak.out(speak.say("up.end"))
        display = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if browser and not speak.json and display:
            await self._open_browser()
        while speak.asks:
            await self._decide(await self._asking.get())

    async def _open_browser(self) -> None:
        """Sign in the browser of this user through a page that only this user can read."""
        running = self._running
        claim = await running.hub.pairing.create_local_claim(running.owner.account)
        page = write_claim_page(running.home, url=running.url, secret=claim.invite)
        opened = await asyncio.to_thread(lambda: webbrowser.open(page.as_uri()))
        lasts, loop = CLAIM_SECONDS if opened else 0, asyncio.get_running_loop()
        loop.call_later(lasts, lambda: page.unlink(missing_ok=True))

    async def _decide(self, request: objects.PairRequest) -> None:
        running = self._running
        now = await running.hub.store.get(running.owner.account, objects.PairRequest, request.id)
        if now is None or now.state != "waiting":
            return
        yes = await _in_daemon(lambda: speak.admits(request.name, request.match))
        result = await running.op("device.admit", {"request": request.id, "admit": yes})
        said = speak.say("devices.admitted" if yes else "devices.refused")
        speak.note(result.error.message if result.error else said)


async def _in_daemon(ask: Callable[[], bool]) -> bool:
    """Ask in a thread that nobody waits for when the process ends."""
    answer: Future[bool] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - it goes to whoever asked
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(answer)
