"""The composition of a runner: what it is made of, how it starts and how it stops.

Nothing else knows all the parts. It refuses to start as root unless told so, and to lose anything by being stopped:
what is under way is in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deskhand.clock import Clock
from deskhand.errors import DeskhandError
from deskhand.ids import Ids
from deskhand.limits import ADVANCE_SECONDS, LEASE_SECONDS, TASKS_PER_RUNNER
from deskhand.ports import Agent, Link, Offload, Sandbox, Tool
from deskhand.protocol.objects import CommandInfo
from deskhand.runner.artifacts import Artifacts
from deskhand.runner.attempt import Kit, drive
from deskhand.runner.ceiling import FILE, Ceiling
from deskhand.runner.gate import Gate
from deskhand.runner.inbox import Inbox
from deskhand.runner.outbox import Backoff, Outbox
from deskhand.runner.presence import Abilities, Presence
from deskhand.runner.process import Process
from deskhand.runner.together import together
from deskhand.runner.verify import Verifier
from deskhand.runner.workspace import OpenFolder, Workspaces
from deskhand.workflow.journal import Journal
from deskhand.workflow.local import LocalWorkflow

_LOOK_SECONDS = 1.0
"""How often the policy file is looked at for the advertisement; the gate reads it before each effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """Who this runner is and how it should work."""

    runner: str
    name: str
    home: Path
    documents: Path
    as_root: bool = False
    slots: int = TASKS_PER_RUNNER
    tries_max: int = 1
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a runner is given: the rim of its world."""

    link: Link
    journal: Journal
    agents: Mapping[str, Agent]
    tools: Mapping[str, Tool]
    sandbox: Sandbox
    open_folder: Callable[[Path], OpenFolder]
    clock: Clock
    ids: Ids
    offload: Offload
    commands: tuple[CommandInfo, ...] = ()
    models: tuple[str, ...] = ()
    process: Process = field(default_factory=Process)


class _Stopped(Exception):  # noqa: N818 - not an error, the way out of a task group
    """Somebody asked the runner to stop."""


class Runner:
    """One runner, from start to stop."""

    def __init__(self, config: RunnerConfig, parts: Parts) -> None:
        """Put the parts together; nothing runs yet."""
        self._config = config
        self._parts = parts
        self._stop = asyncio.Event()
        self._ceiling = Ceiling(config.home)
        self._outbox = Outbox(
            journal=parts.journal, link=parts.link, clock=parts.clock, ids=parts.ids
        )
        kit = self._kit()
        self.workflow = LocalWorkflow(
            journal=parts.journal, drive=partial(drive, kit), slots=config.slots
        )
        self.inbox = Inbox(
            runner=config.runner,
            journal=parts.journal,
            link=parts.link,
            workflow=self.workflow,
            backoff=Backoff(clock=parts.clock, ids=parts.ids),
        )
        self._presence = self._make_presence()

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            DeskhandError: ``root_refused``, ``schema_newer``, ``unauthorized``, ``upgrade_required``.
        """
        self._parts.process.prepare(as_root=self._config.as_root)
        await self._parts.journal.open(home_identity=home_identity(self._config.home))
        try:
            async with self.workflow:
                await self._work()
        finally:
            self._parts.journal.close()

    def stop(self) -> None:
        """Ask it to stop; ``run`` returns when everything has ended."""
        self._stop.set()

    async def _work(self) -> None:
        """Run the loops side by side; the first that fails ends all, as itself."""
        await self.workflow.recover()
        renewing = self._presence.renew_forever(
            seconds=self._renew_seconds, working=lambda: sorted(self.workflow.under_way)
        )
        with contextlib.suppress(_Stopped):
            await together(
                self._until_stopped(),
                self._outbox.run(self.workflow.halt),
                self.inbox.run(self._greet),
                self._look_again(),
                renewing,
            )

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        raise _Stopped

    async def _greet(self) -> None:
        await self._presence.advertise(self._parts.journal.incarnation)

    async def _look_again(self) -> None:
        """Look at the policy file each second and at what is ready each half minute."""
        seen = _mark(self._config.home)
        waited = 0.0
        while True:
            await self._parts.clock.sleep(_LOOK_SECONDS)
            await self._parts.journal.tidy()
            waited += _LOOK_SECONDS
            now = _mark(self._config.home)
            if now != seen and self.inbox.connected:
                await self._greet_quietly()
                seen = now
            if waited >= ADVANCE_SECONDS:
                waited = 0.0
                await self.workflow.advance_ready()

    async def _greet_quietly(self) -> None:
        """Advertise outside a connection attempt: a hub that is away hears it at the next one."""
        try:
            await self._greet()
        except DeskhandError as error:
            if not error.fault.retryable:
                raise

    def _renew_seconds(self) -> float:
        lease = self._parts.journal.setting("lease_seconds")
        return (lease if isinstance(lease, int | float) and lease > 0 else LEASE_SECONDS) / 3

    def _kit(self) -> Kit:
        parts, config = self._parts, self._config
        gate = Gate(tools=parts.tools, language=config.language)
        return Kit(
            runner=config.runner,
            journal=parts.journal,
            gate=gate,
            agents=parts.agents,
            workspaces=Workspaces(
                ceiling=self._ceiling,
                journal=parts.journal,
                documents=config.documents,
                sandbox=parts.sandbox,
                open_folder=parts.open_folder,
                link=parts.link,
            ),
            verifier=Verifier(gate=gate, language=config.language),
            artifacts=Artifacts(link=parts.link, offload=parts.offload, clock=parts.clock),
            clock=parts.clock,
            ids=parts.ids,
            accepted=self._outbox.accepted,
            tries_max=config.tries_max,
            language=config.language,
        )

    def _make_presence(self) -> Presence:
        parts, config = self._parts, self._config
        return Presence(
            runner=config.runner,
            name=config.name,
            abilities=Abilities(
                agents=tuple(sorted(parts.agents)),
                tools=tuple(sorted(parts.tools)),
                commands=parts.commands,
                models=parts.models,
                sandbox=parts.sandbox.info,
                slots=config.slots,
            ),
            ceiling=self._ceiling,
            link=parts.link,
            clock=parts.clock,
            ids=parts.ids,
        )


def home_identity(home: Path) -> str:
    """Return what changes when a home is copied to another place or machine: the machine and the directory itself."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except OSError:
        machine = os.uname().nodename
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"{machine}:{home.resolve()}:{home.stat().st_ino}"


def _mark(home: Path) -> tuple[int, int]:
    """Return what changes when the policy file is replaced."""
    try:
        status = (home / FILE).stat()
    except OSError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)
