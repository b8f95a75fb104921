"""What a runner is made of: who it is, and the rim of its world. Values only; refuses to do anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deskhand.clock import Clock
from deskhand.ids import Ids
from deskhand.limits import TASKS_PER_RUNNER, TRIES_MAX
from deskhand.ports import Agent, FolderAccess, Link, Offload, Sandbox, Tool
from deskhand.protocol.objects import CommandInfo, ModelInfo
from deskhand.protocol.signing import Risk
from deskhand.runner.ceiling import Ceiling, Trust
from deskhand.runner.live import Live
from deskhand.tools.undo.keeping import Checkpoints
from deskhand.workflow.journal import Journal


class OpenFolder(FolderAccess, Protocol):
    """A folder handle that somebody has to close."""

    def close(self) -> None:
        """Give the handle back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a runner is given: who it is, how it works, and the rim of its world.

    ``open_folder`` opens a handle beneath which everything stays. ``models`` tells what the built-in agent thinks with
    now, and what else a task may name; it is advertised only while there is a model. ``most`` tells this computer's own limit of that name now; 0 is none.
    ``checkpoints`` keep what tasks change; without them nothing is kept.
    """

    runner: str
    name: str
    home: Path
    documents: Path
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
    models: Callable[[], Awaitable[tuple[ModelInfo | None, tuple[str, ...]]]] | None = None
    live: Live = field(default_factory=Live)
    as_root: bool = False
    slots: int = TASKS_PER_RUNNER
    tries_max: int = TRIES_MAX
    language: str = "en"
    most: Callable[[str], int] = lambda _: 0
    checkpoints: Checkpoints | None = None
    account: str = ""
    hub_trust: Callable[[], Risk] = lambda: "high"

    @property
    def ceiling(self) -> Ceiling:
        """Return what this machine itself allows."""
        return Ceiling(self.home)

    @property
    def trust(self) -> Trust:
        """Return whom this machine itself believes."""
        who = {"runner": self.runner, "account": self.account}
        return Trust(home=self.home, clock=self.clock, level=self.hub_trust, **who)
