"""What makes this computer a runner: the one place where its agents, tools and walls are chosen.

Imported in a thread after the hub answers. It refuses to run as root unless told so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

from platformdirs import user_documents_path

from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli.minds import builtin_agent
from deskhand.cli.programs.ending import awake_while
from deskhand.cli.programs.serving import Running
from deskhand.cli.values import setting
from deskhand.clock import Clock, SystemClock
from deskhand.egress.broker import EGRESS, Broker
from deskhand.hub.credentials import LocalDevice, ensure_device, new_token
from deskhand.ids import Ids
from deskhand.ports import Link
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Role
from deskhand.protocol.signing import Risk
from deskhand.runner.app import Parts, Runner
from deskhand.runner.live import Live
from deskhand.sandbox.choose import choose_sandbox
from deskhand.store import engine
from deskhand.store.home import make_folder
from deskhand.store.private import RUNNER_FILE
from deskhand.store.safe import Safe
from deskhand.store.writer import ThreadWriter
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools, tool_infos
from deskhand.tools.undo.keeping import CHECKPOINTS, Checkpoints
from deskhand.workflow.journal import Journal

JOURNAL = "journal.sqlite3"


@asynccontextmanager
async def open_runner(
    home: Path,
    link: Link,
    *,
    who: Principal,
    hub_trust: Risk,
    as_root: bool,
    language: str,
) -> AsyncGenerator[Runner]:
    """Hold the runner of this computer, ready to run; ``hub_trust`` holds where ``runner.hub_trust`` is ``auto``.

    Raises:
        DeskhandError: ``config_invalid``, ``disk_full``, ``schema_newer``.
    """
    clock = SystemClock()
    ids, state = Ids(clock), home / "runner"
    make_folder(state)
    sandbox = await choose_sandbox(state, clock=clock, offload=asyncio.to_thread)
    writing = engine.open_sqlite(state / JOURNAL)
    reading = engine.open_sqlite_reader(state / JOURNAL)
    writer = ThreadWriter(writing)
    journal = Journal(engine=reading, writer=writer, ids=ids)
    agent = CommandAgent(offload=asyncio.to_thread)

    broker = way_out(home, journal, clock)

    def under_way(task: str) -> bool:
        attempt = journal.latest(task)
        return attempt is not None and attempt.status == "open"

    kept = Checkpoints(
        place=home / CHECKPOINTS,
        most=lambda: cast("int", setting("undo.disk_mb").value) * 1024**2,
        busy=under_way,
    )
    tools = standard_tools(offload=asyncio.to_thread, clock=clock, broker=broker, checkpoints=kept)
    live, told = Live(), tool_infos(tools)
    holding = builtin_agent(
        home, computer=who.name, tools=told, clock=clock, hear=live.hear, language=language
    )
    async with holding as (thinking, supply):
        parts = Parts(
            runner=who.id,
            account=who.account,
            name=who.name,
            home=home,
            documents=_documents(),
            as_root=as_root,
            slots=cast("int", setting("runner.slots").value),
            language=language,
            most=lambda name: cast("int", setting(name).value),
            hub_trust=partial(_hub_trust, auto=hub_trust),
            link=link,
            journal=journal,
            agents={agent.name: agent, thinking.name: thinking},
            tools=tools,
            sandbox=sandbox,
            open_folder=Folder,
            checkpoints=kept,
            clock=clock,
            ids=ids,
            offload=asyncio.to_thread,
            commands=agent.commands,
            models=supply.models,
            live=live,
        )

        async def warm() -> None:  # without a model the libraries would only cost memory
            if (await supply.models())[0]:
                await thinking.warm()

        runner, warming = Runner(parts), asyncio.ensure_future(warm())

        def works() -> bool:
            return bool(runner.workflow.under_way) and setting("runner.keep_awake").value is True

        try:
            async with awake_while(works):
                yield runner
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            await writer.close()
            reading.dispose()
            writing.dispose()


def way_out(home: Path, journal: Journal, clock: Clock) -> Broker:
    """Return the way out: to what the owner listed here, while the account lets anything out."""

    def listed(name: str) -> tuple[str, ...]:
        return cast("tuple[str, ...]", setting(name).value)

    def secret(name: str) -> str | None:
        found = Safe(home).read(name)
        return found.reveal() if found else None

    def free() -> bool:
        return journal.setting("ceiling.internet") in (None, True)

    return Broker(
        hosts=lambda: listed("internet.hosts") if free() else (),
        credentials=lambda: listed("internet.credentials"),
        secret=secret,
        path=home / "runner" / EGRESS,
        clock=clock,
    )


def _hub_trust(*, auto: Risk) -> Risk:
    said = setting("runner.hub_trust").value
    return auto if said == "auto" else cast("Risk", said)


async def ensure_local_runner(running: Running, *, name: str) -> Principal:
    """Return this computer as a runner of its own hub, a paired device like any other.

    It is written down before the hub learns of it. One that was revoked stays dead; a new one is made.

    Raises:
        DeskhandError: ``home_unsafe``; what the store raises.
    """
    account, ids = running.owner.account, running.hub.ids
    device, token = ids.new("run"), new_token(ids)
    new = LocalDevice(account=account, device=device, token=token, url=running.url, name=name)
    path = running.home / RUNNER_FILE
    kept = await ensure_device(running.hub.store, path, new, role=Role.RUNNER)
    return Principal(account=account, id=kept.device, role=Role.RUNNER, name=name)


def computer_name(said: str | None) -> str:
    """Return what people call this computer."""
    return str(setting("runner.name", flag=said).value) or socket.gethostname()


def _documents() -> Path:
    said = str(setting("runner.documents").value)
    return Path(said).expanduser() if said else user_documents_path()
