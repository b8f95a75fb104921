"""``deskhand hub``, the hub alone, and ``deskhand up``, hub and runner in one process.

The hub answers before the runner is imported; a link in memory joins them. The road to the phone is tried, and only
then shown.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module

from deskhand import __version__
from deskhand.cli.client import home
from deskhand.cli.closing import close_up, keep_keys
from deskhand.cli.programs.ending import told_before_going, until_told_to_end, work_until
from deskhand.cli.programs.serving import Reach, Running, reach_of, running_hub, seen_to_answer
from deskhand.cli.screen import Exit, speak
from deskhand.cli.values import setting
from deskhand.errors import DeskhandError
from deskhand.hub.app import Participant
from deskhand.hub.pairing import write_claim_page
from deskhand.limits import CLAIM_SECONDS
from deskhand.ports import Committed
from deskhand.protocol.objects import PairRequest, Role
from deskhand.protocol.requests import HereAsk, InviteAsk
from deskhand.store.private import RUNNER_FILE

_ADVERTISED_SECONDS_MAX = 5.0


async def run_hub(*, port: int | None, said: str | None) -> int:
    """Run until told to end. The one ready line carries an invitation for a runner and one for a page."""
    close_up()
    reach = reach_of(str(setting("hub.reach", flag=said).value))
    async with running_hub(home(), port=port, reach=reach) as running:
        url, account = running.opened, running.owner.account
        wish = InviteAsk(kind="runner", role=Role.RUNNER, admits_alone=True)
        runner = (await running.hub.pairing.create_invite(account, wish)).invite
        page = await running.hub.pairing.create_invite(account, InviteAsk(admits_alone=True))
        ready = {"url": url, "invite": runner, "pid": os.getpid(), "page_invite": page.invite}
        line = speak.say("hub.runner", url=url, invite=runner)
        speak.answer({**ready, "code": page.code}, speak.say("hub.ready", url=url), line)
        speak.invitation(url, page.invite, page.code, drawn=True)
        async with told_before_going(running.hub.going):
            await until_told_to_end()
    return Exit.DONE


async def run_up(
    *, port: int | None, said: str | None, browser: bool, name: str | None, as_root: bool
) -> int:
    """Run until told to end.

    Raises:
        DeskhandError: ``home_locked``, ``port_taken``, ``hub_unreachable`` for a road that does not answer, and what
            else stands in the way.
    """
    close_up()
    path, wanted = home(), str(setting("hub.reach", flag=said).value)
    reach = reach_of(wanted)
    if speak.asks and not (path / RUNNER_FILE).exists():
        beginning = import_module("deskhand.cli.programs.beginning")
        beginning.first_run(path, name)
        if not wanted:
            beginning.ask_road()
            reach = reach_of(str(setting("hub.reach").value))
    async with running_hub(path, port=port, reach=reach) as running:
        keep_keys(path)
        desk = _Desk(running, name=name, as_root=as_root)
        running.hub.pairing.here = desk.use_here
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.work())
            shown = group.create_task(desk.show(reach, browser=browser))
            await until_told_to_end()
            shown.cancel()
            desk.stopped.set()
    return Exit.DONE


class _Desk:
    """The runner of this process, imported in a thread once the hub answers; and the terminal with its questions."""

    def __init__(self, running: Running, *, name: str | None, as_root: bool) -> None:
        self._running, self._said, self._as_root = running, name, as_root
        self.stopped, self._advertised = asyncio.Event(), asyncio.Event()
        self._asking: asyncio.Queue[PairRequest] = asyncio.Queue()
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
            principal = await make.ensure_local_runner(running, name=self._name)
            # Hub and runner are one process of one user: a signature would add nothing (security 1.1).
            how = {"who": principal, "hub_trust": "high", "as_root": self._as_root}
            link, language = Participant(running.hub, principal), str(setting("language").value)
            async with (
                make.open_runner(running.home, link, language=language, **how) as runner,
                told_before_going(runner.going, running.hub.going),
            ):
                await work_until(runner.run(), self.stopped.wait(), stop=runner.stop)
        except DeskhandError as error:
            if not self._advertised.is_set():
                raise
            speak.fail(error)

    async def use_here(self, wish: HereAsk) -> None:
        """Let a folder of this computer be used."""
        asked, path = "deskhand.cli.programs.beginning", self._running.home
        await asyncio.to_thread(lambda: import_module(asked).use_here(path, wish))

    def _look(self, committed: Sequence[Committed]) -> None:
        for one in committed:
            if one.event.kind == "runner.advertised":
                self._advertised.set()
            elif one.event.kind == "pair.requested":
                self._asking.put_nowait(PairRequest.from_json(one.event.body["request"]))

    async def show(self, reach: Reach, *, browser: bool) -> None:
        """Once the hub knows this computer: try the road, say how to come in, open the browser, ask whoever knocks."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ADVERTISED_SECONDS_MAX):
                await self._advertised.wait()
        running, opened = self._running, self._running.opened
        if reach.url:
            took = await asyncio.to_thread(lambda: seen_to_answer(opened))
            speak.note(speak.say("up.answered", url=opened, ms=round(took)), "good")
        wish = InviteAsk(admits_alone=not speak.asks)
        made = await running.hub.pairing.create_invite(running.owner.account, wish)
        ready = {"url": opened, "invite": made.invite, "code": made.code, "pid": os.getpid()}
        said = {"version": __version__, "name": self._name, "url": opened}
        minds = import_module("deskhand.cli.minds")
        lines: list[str] = [] if speak.json else await asyncio.to_thread(minds.model_lines)
        speak.answer(ready, speak.say("up.ready", **said), *lines)
        if not reach.url:
            speak.out(speak.say("up.no_road"))
        speak.invitation(opened, made.invite, made.code, drawn=bool(reach.url))
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

    async def _decide(self, request: PairRequest) -> None:
        running = self._running
        now = await running.hub.store.get(running.owner.account, PairRequest, request.id)
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
