"""What makes this computer a runner: the one place where its agents, tools and walls are chosen.

Imported in a thread after the hub answers. It refuses to run as root unless told so.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from platformdirs import user_documents_path

from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli.minds import builtin_agent
from deskhand.cli.programs.ending import awake_while, beside
from deskhand.cli.values import setting
from deskhand.clock import Clock, SystemClock
from deskhand.egress.broker import EGRESS, Broker
from deskhand.ids import Ids
from deskhand.ports import Link
from deskhand.protocol.ops import Principal
from deskhand.protocol.signing import Risk
from deskhand.runner.app import Parts, Runner
from deskhand.runner.parts import Live
from deskhand.sandbox.choose import choose_sandbox
from deskhand.store import engine
from deskhand.store.private import Safe, make_folder
from deskhand.store.writer import ThreadWriter
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools, tool_infos
from deskhand.tools.undo.keeping import CHECKPOINTS, Checkpoints
from deskhand.workflow.journal import Journal

JOURNAL = "journal.sqlite3"


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

        await held.enter_async_context(beside(warm()))
        await held.enter_async_context(awake_while(works))
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
