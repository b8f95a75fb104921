"""What makes this computer a runner: the one place where its agents, tools and walls are chosen.

Imported in a thread after the hub answers. It refuses to run as root unless told so.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from deskhand.agents.commands.agent import CommandAgent
from deskhand.cli.home import RUNNER_FILE, private
from deskhand.cli.programs.ending import offload
from deskhand.cli.programs.serving import Running
from deskhand.cli.screen import Obj
from deskhand.cli.values import setting
from deskhand.clock import Clock, stamp
from deskhand.hub.credentials import admit, bearer_sha256, new_token, write_private
from deskhand.ids import Ids
from deskhand.ports import Link, Store
from deskhand.protocol.authority import Principal
from deskhand.protocol.events import HUB
from deskhand.protocol.objects import Device, Role
from deskhand.runner.app import Parts, Runner, RunnerConfig
from deskhand.sandbox.choose import choose_sandbox
from deskhand.store.engine import open_sqlite, open_sqlite_reader
from deskhand.store.home import make_folder
from deskhand.store.writer import ThreadWriter
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from deskhand.workflow.journal import Journal

JOURNAL = "journal.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a runner gets from the process it runs in."""

    home: Path
    link: Link
    clock: Clock
    ids: Ids
    as_root: bool
    language: str


@asynccontextmanager
async def open_runner(wiring: Wiring, *, device: str, name: str) -> AsyncGenerator[Runner]:
    """Hold the runner of this computer, ready to run.

    Raises:
        DeskhandError: ``config_invalid``, ``disk_full``, ``schema_newer``.
    """
    clock, ids = wiring.clock, wiring.ids
    state = wiring.home / "runner"
    make_folder(state)
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

    try:
        yield Runner(config, parts)
    finally:
        await writer.close()
        reading.dispose()
        writing.dispose()


async def ensure_local_runner(running: Running, *, name: str) -> Principal:
    """Return this computer as a runner of its own hub, a paired device like any other.

    It is written down before the hub learns of it. One that was revoked stays dead; a new one is made.

    Raises:
        DeskhandError: ``home_unsafe``; what the store raises.
    """
    path, store, account = running.home.path, running.hub.store, running.owner.account
    known = private(path / RUNNER_FILE)
    let_in = known is not None and await _let_in(store, known)
    revoked = known and not let_in and await store.get(account, Device, str(known["device"]))
    if known is None or known.get("account") != account or revoked:
        ids, let_in = running.ids, False
        known = {"account": account, "device": ids.new("run"), "token": new_token(ids)}
    known = {**known, "url": running.url, "name": name}
    write_private(path / RUNNER_FILE, json.dumps(known, indent=2) + "\n")
    runner, now = str(known["device"]), stamp(running.clock.now())
    device = Device(id=runner, name=name, kind="runner", role=Role.RUNNER, created_at=now)
    if not let_in:
        digest = bearer_sha256(str(known["token"]))
        await store.write(account, lambda tx: admit(tx, device, token_sha256=digest, actor=HUB))
    return Principal(account=account, id=runner, role=Role.RUNNER, name=name)


async def _let_in(store: Store, known: Obj) -> bool:
    return await store.credential(bearer_sha256(str(known["token"]))) is not None


def computer_name(said: str | None) -> str:
    """Return what people call this computer."""
    return str(setting("runner.name", flag=said).value) or socket.gethostname()


def _documents() -> Path:
    said = str(setting("runner.documents").value)
    if said:
        return Path(said).expanduser()
    from platformdirs import user_documents_path

    return user_documents_path()
