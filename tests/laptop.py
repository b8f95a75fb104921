"""A runner with a home, a folder and a hub in memory, that can be started, stopped and killed between two commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Engine, Row, text

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Agent, Command, CommandResult, FolderAccess, Link, Tool
from deskhand.protocol.objects import FolderMode, SandboxInfo
from deskhand.protocol.signing import Risk
from deskhand.protocol.tasks import Task
from deskhand.runner.app import Runner
from deskhand.runner.ceiling import Granted, grant_folder
from deskhand.runner.traffic import Live, Parts
from deskhand.store.engine import open_memory, open_sqlite, open_sqlite_reader
from deskhand.testing.links import RUNNER, MemoryHub
from deskhand.testing.memory_store import Crash, InlineWriter
from deskhand.testing.world.laptops import OpenFolder
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from deskhand.tools.undo.keeping import CHECKPOINTS, Checkpoints
from deskhand.workflow.journal import Journal

R = TypeVar("R")
ACCOUNT = "acc_test"
_PATIENCE_SECONDS = 8.0
KEPT_BYTES_MAX = 2 * 1024**3


async def inline(work: Callable[[], R]) -> R:
    """Run blocking work here and now."""
    return work()


async def until(met: Callable[[], object]) -> None:
    """Return as soon as a state is reached; a test that waits in vain fails by its deadline."""
    clock = SystemClock()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not met():
            await clock.sleep(0.002)


@dataclass(slots=True)
class Box:
    """A sandbox that runs a function instead of a program, behind a wall of the level it is told."""

    level: str = "full"
    does: Callable[[Command, FolderAccess], CommandResult] | None = None
    ran: list[Command] = field(default_factory=list[Command])
    hold: asyncio.Event | None = None
    killed: int = 0

    @property
    def info(self) -> SandboxInfo:
        """Say how strong the wall is."""
        return SandboxInfo.from_json({"name": "fake", "level": self.level})

    async def ended(self, key: str) -> CommandResult | None:
        """Keep no record."""

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Do what the test said; wait first if it holds."""
        if self.level == "none":
            raise DeskhandError(Code.SANDBOX_UNAVAILABLE)
        self.ran.append(command)
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.killed += 1
                raise
        if self.does is not None:
            return self.does(command, access)
        return CommandResult(exit_code=0, output=b"ok\n", truncated=False, timed_out=False)


@dataclass(slots=True)
class Fuse:
    """Ends the process at the n-th commit, before or after it, and keeps it dead."""

    at: int
    after: bool
    commits: int = 0
    blown: bool = False

    def before_commit(self) -> None:
        """Blow before the commit is durable."""
        self.commits += 1
        self.blown = self.blown or (not self.after and self.commits == self.at)
        if self.blown:
            raise Crash

    def after_commit(self) -> None:
        """Blow between the commit and its answer."""
        self.blown = self.blown or (self.after and self.commits == self.at)
        if self.blown:
            raise Crash


@dataclass(slots=True)
class Laptop:
    """One computer. ``tools`` are added to the real ones; with a ``link`` it has another hub than the one in memory.

    With ``files`` its journal and whatever folder it opens are in memory: for hundreds of tasks in seconds.
    """

    base: Path
    agents: Sequence[Agent]
    hub: MemoryHub = field(default_factory=lambda: MemoryHub(Ids(SystemClock())))
    box: Box = field(default_factory=Box)
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    tries_max: int = 1
    as_root: bool = True
    most: Callable[[str], int] = lambda _: 0
    link: Link | None = None
    live: Live = field(default_factory=Live)
    files: dict[str, bytes] | None = None
    hub_trust: Risk = "high"
    runner: Runner | None = None
    journal: Journal | None = None
    writer: InlineWriter | None = None
    before_commit: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None
    _running: asyncio.Task[None] | None = None
    _engines: list[Engine] = field(default_factory=list[Engine])

    @property
    def home(self) -> Path:
        """Return ``DESKHAND_HOME``."""
        return self.base / "home"

    @property
    def folder(self) -> Path:
        """Return the person's folder."""
        path = self.base / "Work"
        path.mkdir(exist_ok=True)
        return path

    @property
    def documents(self) -> Path:
        """Return where results places are made."""
        return self.base / "Documents"

    @property
    def rows(self) -> Journal:
        """Return the journal of the running runner."""
        assert self.journal is not None
        return self.journal

    def open_attempts(self) -> Sequence[Row[Any]]:
        """Return every attempt that is not over."""
        with self._engines[-1].connect() as connection:
            query = text("SELECT * FROM attempts WHERE status = 'open'")
            return connection.execute(query).all()

    def grant(self, mode: FolderMode = FolderMode.WORKSPACE) -> Granted:
        """Grant the folder at the keyboard."""
        return grant_folder(self.home, self.folder, mode=mode)

    async def finish(self, task: str) -> Task:
        """Wait for the task's end and return it."""
        await until(lambda: self.hub.task(task).final)
        return self.hub.task(task)

    def build(self) -> Runner:
        """Put a runner together over the same home."""
        clock = SystemClock()
        ids = Ids(clock)
        self.home.mkdir(exist_ok=True)
        path = self.home / "runner.db"
        engine = open_sqlite(path) if self.files is None else open_memory()
        reading = open_sqlite_reader(path) if self.files is None else engine
        self._engines += [engine, reading]
        self.writer = InlineWriter(engine, before_commit=self._before, after_commit=self._after)
        self.journal = Journal(engine=reading, writer=self.writer, ids=ids)
        kept = Checkpoints(place=self.home / CHECKPOINTS, most=lambda: KEPT_BYTES_MAX)
        tools = standard_tools(offload=inline, checkpoints=kept)
        parts = Parts(
            runner=RUNNER,
            name="laptop",
            home=self.home,
            documents=self.documents,
            as_root=self.as_root,
            tries_max=self.tries_max,
            most=self.most,
            link=self.link or self.hub,
            journal=self.journal,
            agents={agent.name: agent for agent in self.agents},
            tools={**tools, **self.tools},
            checkpoints=kept if self.files is None else None,
            sandbox=self.box,
            open_folder=Folder if self.files is None else self._in_memory,
            clock=clock,
            ids=ids,
            offload=inline,
            live=self.live,
            account=ACCOUNT,
            hub_trust=lambda: self.hub_trust,
        )
        self.runner = Runner(parts)
        return self.runner

    def _in_memory(self, path: Path) -> OpenFolder:
        assert self.files is not None
        return OpenFolder(self.files, root=path)

    def _before(self) -> None:
        self.before_commit()

    def _after(self) -> None:
        self.after_commit()

    async def start(self) -> None:
        """Start the runner, up to where its journal can be read."""
        runner = self.build()
        running = self._running = asyncio.get_running_loop().create_task(runner.run())
        await until(lambda: running.done() or self.rows.incarnation)

    async def stop(self) -> None:
        """Stop the runner as a person would."""
        assert self.runner is not None
        self.runner.stop()
        await self._gone()

    @property
    def ended(self) -> bool:
        """Whether the runner has ended by itself."""
        return self._running is None or self._running.done()

    async def kill(self) -> None:
        """End the runner without a word."""
        assert self._running is not None
        self._running.cancel()
        self.before_commit = self.after_commit = lambda: None
        await self._gone()

    async def died(self) -> BaseException | None:
        """Wait until the runner has ended by itself and return why."""
        assert self._running is not None
        await asyncio.wait([self._running], timeout=_PATIENCE_SECONDS)
        return self._running.exception() if self._running.done() else None

    async def _gone(self) -> None:
        assert self._running is not None
        await asyncio.gather(self._running, return_exceptions=True)
        assert self.writer is not None
        await self.writer.close()
        for engine in self._engines:
            engine.dispose()
        self._engines.clear()
        self._running = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            await self.stop()
