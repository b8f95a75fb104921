"""A hub and a runner in one process on real files, for measurements and acceptance tests.

The parts are the product's own; only the agent and the tools are the caller's. It refuses to speak HTTP: the runner
uses the same ``Participant`` as in ``deskhand up``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deskhand.clock import Ids, SystemClock
from deskhand.hub.app import Hub, Participant
from deskhand.hub.credentials import admit
from deskhand.ports import Agent, Sandbox, Tool
from deskhand.protocol.objects import CommandInfo, Device, Role
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.wire import JsonObject
from deskhand.runner.app import Runner
from deskhand.runner.traffic import Parts
from deskhand.sandbox.walls import NoSandbox
from deskhand.store.engine import ThreadWriter, open_sqlite, open_sqlite_reader
from deskhand.store.opening import FILE, open_sqlite_store
from deskhand.testing.blobs import MemoryBlobs
from deskhand.tools.beneath import Folder
from deskhand.workflow.journal import Journal

R = TypeVar("R")
ACCOUNT = "acc_bench"
OWNER = Principal(account=ACCOUNT, id="dev_owner", role=Role.OWNER)
RUNNER = Principal(account=ACCOUNT, id="dev_runner", role=Role.RUNNER)


async def in_thread(work: Callable[[], R]) -> R:
    """Run blocking work beside the loop."""
    return await asyncio.to_thread(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """What the caller may look at and speak to."""

    hub: Hub
    runner: Runner
    journal: Journal
    ids: Ids

    async def op(self, kind: str, body: JsonObject, **about: str) -> OpResult:
        """Send one op as the owner."""
        op = Op.from_json({"op_id": self.ids.new("op"), "kind": kind, "body": body, **about})
        return (await self.hub.submit(OWNER, [op]))[0]


@asynccontextmanager
async def household(
    root: Path,
    *,
    agents: Mapping[str, Agent],
    tools: Mapping[str, Tool],
    sandbox: Sandbox | None = None,
    commands: tuple[CommandInfo, ...] = (),
) -> AsyncGenerator[Household]:
    """Start both on ``root`` and end them cleanly."""
    clock = SystemClock()
    ids = Ids(clock)
    home, documents = root / "home", root / "Documents"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_sqlite_store(home / FILE, clock, offload=in_thread)
    hub = Hub(
        store=store,
        blobs=MemoryBlobs(),
        clock=clock,
        ids=ids,
        notifiers={},
        spread=random.Random(0).random,  # noqa: S311 - no secret
    )
    await store.create_account(ACCOUNT)
    for who, kind in ((OWNER, "cli"), (RUNNER, "runner")):
        said = {"id": who.id, "name": who.id, "kind": kind, "role": who.role, "created_at": "2026"}
        device = Device.from_json(said)
        await store.write(ACCOUNT, lambda tx, one=device: admit(tx, one, token_sha256=one.id, actor=OWNER.id))
    await hub.start()
    engine = open_sqlite(home / "runner.sqlite3")
    reading = open_sqlite_reader(home / "runner.sqlite3")
    writer = ThreadWriter(engine)
    journal = Journal(engine=reading, writer=writer, ids=ids)
    runner = Runner(
        Parts(
            runner=RUNNER.id,
            name="bench",
            home=home,
            documents=documents,
            as_root=True,
            link=Participant(hub, RUNNER),
            journal=journal,
            agents=agents,
            tools=tools,
            sandbox=sandbox or NoSandbox("not part of this measurement"),
            open_folder=Folder,
            clock=clock,
            ids=ids,
            offload=in_thread,
            commands=commands,
        )
    )
    working = asyncio.ensure_future(runner.run())
    try:
        yield Household(hub=hub, runner=runner, journal=journal, ids=ids)
    finally:
        runner.stop()
        await working
        await hub.stop()
        await writer.close()
        await store.close()
        engine.dispose()
        reading.dispose()
