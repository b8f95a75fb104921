"""This computer as a runner: what its owner lets it use, of what it is made, and ``deskhand runner``, which it is alone.

This is the one place where its agents, tools and walls are chosen; ``up`` imports it in a thread after the hub answers.
The first run of a person is asked once, at the terminal; every answer has a narrow default, and what cannot be is said
and asked again. It refuses to run as root unless told so, and to ask where nobody can answer.

A runner for a hub elsewhere pairs once by an invitation and keeps its credential. The invitation may come from the
environment or stdin (``-``), where other users of this machine cannot see it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from platformdirs import user_documents_path

from deskhand import __version__
from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli import staying
from deskhand.cli.abilities import builtin_agent
from deskhand.cli.client import Client, home
from deskhand.cli.screen import Exit, speak
from deskhand.cli.values import parsed, setting, write_value
from deskhand.clock import Clock, Ids, SystemClock
from deskhand.egress.broker import EGRESS, Broker
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import LocalDevice, local_device, write_device
from deskhand.ports import Link
from deskhand.protocol.objects import FolderMode, Role
from deskhand.protocol.ops import Principal
from deskhand.protocol.requests import HereAsk
from deskhand.protocol.signing import Risk
from deskhand.runner.app import Runner
from deskhand.runner.ceiling import Ceiling, Trust, grant_folder
from deskhand.runner.traffic import Live, Parts
from deskhand.sandbox.walls import choose_sandbox
from deskhand.secret import taken
from deskhand.store import engine
from deskhand.store.engine import ThreadWriter
from deskhand.store.private import RUNNER_FILE, Safe, make_folder, open_home
from deskhand.tools.beneath import Folder, refuse_root
from deskhand.tools.registry import standard_tools, tool_infos
from deskhand.tools.undo.keeping import CHECKPOINTS, Checkpoints
from deskhand.workflow.journal import Journal

JOURNAL = "journal.sqlite3"
_SKEW_SECONDS_MAX: Final = 600
_ASK_SECONDS: Final = 1.0
_USUAL = "~/Documents/Work"


def first_run(home: Path, name: str | None) -> None:
    """Ask what may be used, and keep it; nothing of it widens what was granted before."""
    speak.out(speak.say("up.hello", version=__version__, name=computer_name(name)))
    if not Ceiling(home).entries():
        _answered(_folder, lambda said: _grant(home, Path(said).expanduser()))
    modes = [speak.say(f"mode.{one.mode}") for one in Ceiling(home).entries()]
    hosts = _answered(
        lambda: speak.ask(speak.say("up.internet")),
        lambda said: write_value("internet.hosts", parsed("internet.hosts", said)),
    )
    if shutil.which("systemd-inhibit"):
        write_value("runner.keep_awake", speak.confirm(speak.say("up.awake"), default=True))
    else:
        speak.out(speak.say("up.no_awake"))
    off = speak.say("up.off")
    speak.out(speak.say("up.safe", files=modes[0] if modes else off, internet=hosts or off))


def ask_road(check: Callable[[str], object]) -> None:
    """Ask how the phone reaches this computer, and keep a road that there is by the check."""
    roads = [*(["tailscale"] if shutil.which("tailscale") else []), "lan", "none"]
    words = {str(at): road for at, road in enumerate(roads, 1)}

    def keep(said: str) -> None:
        check(words.get(said, said))
        write_value("hub.reach", words.get(said, said))

    choices = (f"  {at}  {speak.say(f'up.road.{road}')}" for at, road in words.items())
    speak.out(speak.say("up.roads"), *choices, speak.say("up.road.own"))
    _answered(lambda: speak.ask("›", default=str(len(roads))), keep)


def use_here(home: Path, wish: HereAsk) -> None:
    """Do as the person at this computer says on the page of its own browser."""
    grant_folder(home, Path(wish.folder).expanduser(), mode=wish.mode)
    write_value("runner.keep_awake", wish.keep_awake)


def _answered(ask: Callable[[], str], do: Callable[[str], object]) -> str:
    """Ask until an answer can be carried out, and return it; each other is told why not. None is an answer too."""
    while said := ask():
        try:
            do(said)
        except DeskhandError as error:
            speak.fail(error)
        else:
            return said
    return ""


def _grant(home: Path, path: Path) -> None:
    refuse_root(path, home=Path.home(), state=home)
    modes = {"1": FolderMode.READ_ONLY, "3": FolderMode.WORKSPACE}
    mode = modes.get(speak.ask(speak.say("up.mode"), default="2"), FolderMode.ASK)
    root = grant_folder(home, path, mode=mode).root
    speak.note(speak.say("folders.added", root=root, mode=speak.say(f"mode.{mode}")), "good")


def _folder() -> str:
    usual = _USUAL if Path(_USUAL).expanduser().is_dir() else ""
    said = speak.ask(speak.say("up.folder", usual=usual or "–"), default=usual)
    return "" if said in {"-", "–"} else said


@asynccontextmanager
async def open_runner(
    home: Path, link: Link, *, who: Principal, hub_trust: Risk, as_root: bool, language: str
) -> AsyncGenerator[Runner]:
    """Hold the runner of this computer, ready to run; ``hub_trust`` holds where ``runner.hub_trust`` is ``auto``.

    Raises:
        DeskhandError: ``config_invalid``, ``disk_full``, ``schema_newer``.
    """
    clock = SystemClock()
    ids, state = Ids(clock), home / "runner"
    make_folder(state)
    offload = asyncio.to_thread
    sandbox = await choose_sandbox(state, clock=clock, offload=offload)
    agent, live = CommandAgent(offload=offload), Live()
    async with AsyncExitStack() as held:
        writer = ThreadWriter(engine.open_sqlite(state / JOURNAL))
        held.push_async_callback(writer.close)
        journal = Journal(engine=engine.open_sqlite_reader(state / JOURNAL), writer=writer, ids=ids)
        kept, broker = _checkpoints(home, journal), way_out(home, journal, clock)
        tools = standard_tools(offload=offload, clock=clock, broker=broker, checkpoints=kept)
        how = {"computer": who.name, "language": language}
        holding = builtin_agent(home, tools=tool_infos(tools), clock=clock, hear=live.hear, **how)
        thinking, supply = await held.enter_async_context(holding)

        def trusted() -> Risk:
            said = setting("runner.hub_trust").value
            return hub_trust if said == "auto" else said

        parts = Parts(
            runner=who.id,
            account=who.account,
            name=who.name,
            home=home,
            documents=_documents(),
            as_root=as_root,
            slots=setting("runner.slots").value,
            language=language,
            most=lambda name: setting(name).value,
            hub_trust=trusted,
            link=link,
            journal=journal,
            agents={agent.name: agent, thinking.name: thinking},
            tools=tools,
            sandbox=sandbox,
            open_folder=Folder,
            checkpoints=kept,
            clock=clock,
            ids=ids,
            offload=offload,
            commands=agent.commands,
            models=supply.models,
            live=live,
        )
        runner = Runner(parts)

        async def warm() -> None:  # without a model the libraries would only cost memory
            if (await supply.models())[0]:
                await thinking.warm()

        def works() -> bool:
            return bool(runner.workflow.under_way) and setting("runner.keep_awake").value is True

        await held.enter_async_context(staying.beside(warm()))
        await held.enter_async_context(staying.beside(staying.keep_awake(works)))
        yield runner


def _checkpoints(home: Path, journal: Journal) -> Checkpoints:
    def under_way(task: str) -> bool:
        attempt = journal.latest(task)
        return attempt is not None and attempt.status == "open"

    return Checkpoints(place=home / CHECKPOINTS, most=lambda: setting("undo.disk_mb").value * 1024**2, busy=under_way)


def way_out(home: Path, journal: Journal, clock: Clock) -> Broker:
    """Return the way out: to what the owner listed here, while the account lets anything out."""

    def secret(name: str) -> str | None:
        found = Safe(home).read(name)
        return found.reveal() if found else None

    def free() -> bool:
        return journal.setting("ceiling.internet") in (None, True)

    return Broker(
        hosts=lambda: setting("internet.hosts").value if free() else (),
        credentials=lambda: setting("internet.credentials").value,
        secret=secret,
        path=home / "runner" / EGRESS,
        clock=clock,
    )


def computer_name(said: str | None) -> str:
    """Return what people call this computer."""
    return setting("runner.name", flag=said).value or socket.gethostname()


def _documents() -> Path:
    return Path(setting("runner.documents").value or user_documents_path()).expanduser()


async def run_runner(*, url: str | None, invite: str | None, name: str | None, as_root: bool) -> int:
    """Run until told to end.

    Raises:
        DeskhandError: ``invite_invalid``, ``clock_wrong``, ``hub_unreachable``, ``home_locked``.
    """
    from deskhand.runner.http_link import HttpLink, Pinned

    staying.close_up()
    with open_home(home()) as path:
        staying.keep_keys(path)
        known = local_device(path / RUNNER_FILE)
        kept = taken("DESKHAND_INVITE")
        said = sys.stdin.readline().strip() if invite == "-" else invite
        said = said or (kept.reveal() if kept else None)
        if known is None or said is not None:
            known = await _pair(path, url=url, invite=said, name=computer_name(name))
        address = (url or str(known.url)).rstrip("/")
        ids, called = Ids(SystemClock()), computer_name(name or known.name)
        pinned = Pinned(hub=known.hub or "", nonce=lambda: ids.secret(16), tell=speak.fail)
        link = HttpLink(address, token=known.token, pinned=pinned)
        who = Principal(account=known.account, id=known.device, role=Role.RUNNER, name=called)
        running = open_runner(path, link, who=who, hub_trust="low", as_root=as_root, language=speak.language)
        async with running as runner:
            ready = {"runner": known.device, "url": address, "pid": os.getpid()}
            speak.answer(ready, speak.say("runner.ready", name=called, url=address))
            async with staying.beside(staying.watch_power(runner.going)):
                await staying.work_until(runner.run(), staying.until_told_to_end(), stop=runner.stop)
    return Exit.DONE


async def _pair(path: Path, *, url: str | None, invite: str | None, name: str) -> LocalDevice:
    """Become a device of the hub's account.

    Raises:
        DeskhandError: ``invalid`` without address or invitation; ``clock_wrong``; ``hub_changed`` when another one
            answers than the one that invited.
    """
    link, _, said = (invite or "").rpartition("#join=")
    url = url or link
    if not url or not invite:
        lacks = "--invite" if url else "--url"
        raise DeskhandError(Code.INVALID, lacks, field=lacks)
    clock, hub = SystemClock(), Client(url=url.rstrip("/"))
    # An invitation and a lease live by the clock: it is compared with the hub's.
    if abs(apart := hub.ahead()) > _SKEW_SECONDS_MAX:
        raise DeskhandError(Code.CLOCK_WRONG, f"{apart:+.0f} s")
    secret, *marks = said.split("&")
    told = {key: value for key, _, value in (one.partition("=") for one in marks)}
    if (mark := hub.mark()) != (told.get("hub") or mark):
        raise DeskhandError(Code.HUB_CHANGED, hub.url)
    by = {"code": secret} if secret.replace(" ", "").isdigit() else {"invite": secret}
    asked = hub.call("POST", "/v1/pair", {**by, "name": name, "kind": "runner"})
    speak.note(speak.say("runner.match", match=" ".join(str(asked["match"]))), "ask")
    wish = {"request": asked["request"], "secret": asked["secret"]}
    while "token" not in (claimed := hub.call("POST", "/v1/pair/claim", wish)):
        await clock.sleep(_ASK_SECONDS)
    if inviter := told.get("by"):  # in the link, past the hub
        device, _, fingerprint = inviter.rpartition(".")
        trust = Trust(home=path, runner=str(claimed["device"]), clock=clock)
        trust.add(fingerprint, device=device)
    who = {key: str(claimed[key]) for key in ("account", "device", "token")}
    known = LocalDevice(**who, url=hub.url, name=name, hub=mark or None)
    write_device(path / RUNNER_FILE, known)
    return known
