"""What makes this computer a runner: the one place where its agents, tools and walls are chosen.

Imported in a thread after the hub answers. It refuses to run as root unless told so.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli.values import setting
from deskhand.clock import Clock
from deskhand.ids import Ids
from deskhand.ports import Link, Offload, Sandbox
from deskhand.runner.app import Parts, Runner, RunnerConfig
from deskhand.sandbox.choose import choose_sandbox
from deskhand.store.engine import open_sqlite, open_sqlite_reader
from deskhand.store.writer import ThreadWriter
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from deskhand.workflow.journal import Journal

JOURNAL = "journal.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Computer:
    """A runner ready to run, and how to give back what it holds."""

    runner: Runner
    sandbox: Sandbox
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a runner gets from the process it runs in."""

    home: Path
    link: Link
    clock: Clock
    ids: Ids
    offload: Offload
    as_root: bool
    language: str


async def make_computer(wiring: Wiring, *, device: str, name: str) -> Computer:
    """Return the runner of this computer.

    Raises:
        DeskhandError: ``config_invalid``, ``disk_full``, ``schema_newer``.
    """
    clock, ids, offload = wiring.clock, wiring.ids, wiring.offload
    state = wiring.home / "runner"
    state.mkdir(mode=0o700, exist_ok=True)
    sandbox = await choose_sandbox(state, clock=clock, offload=offload)
    writing = open_sqlite(state / JOURNAL)
    reading = open_sqlite_reader(state / JOURNAL)
    writer = ThreadWriter(writing)
    journal = Journal(engine=reading, writer=writer, ids=ids)
    agent = CommandAgent(offload=offload)
    parts = Parts(
        link=wiring.link,
        journal=journal,
        agents={agent.name: agent},
        tools=standard_tools(offload=offload),
        sandbox=sandbox,
        open_folder=Folder.open,
        clock=clock,
        ids=ids,
        offload=offload,
        commands=agent.commands,
    )
    config = RunnerConfig(
        runner=device,
        name=name,
        home=wiring.home,
        documents=_documents(),
        as_root=wiring.as_root,
        slots=int(cast("int", setting("runner.slots").value)),
        language=wiring.language,
    )

    async def close() -> None:
        await writer.close()
        reading.dispose()
        writing.dispose()

    return Computer(runner=Runner(config, parts), sandbox=sandbox, close=close)


def computer_name(said: str | None) -> str:
    """Return what people call this computer."""
    return str(setting("runner.name", flag=said).value) or socket.gethostname()


def _documents() -> Path:
    said = str(setting("runner.documents").value)
    if said:
        return Path(said).expanduser()
    from platformdirs import user_documents_path

    return user_documents_path()
