"""What a runner is made of: who it is, and the rim of its world. Values only; refuses to do anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deskhand.clock import Clock
from deskhand.ids import Ids
from deskhand.limits import TASKS_PER_RUNNER
from deskhand.ports import Agent, FolderAccess, Link, Offload, Sandbox, Tool
from deskhand.protocol.objects import CommandInfo
from deskhand.runner.process import Process
from deskhand.workflow.journal import Journal


class OpenFolder(FolderAccess, Protocol):
    """A folder handle that somebody has to close."""

    def close(self) -> None:
        """Give the handle back."""
        ...


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
    """What a runner is given. ``open_folder`` opens a handle beneath which everything stays."""

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
    process: Process = field(default_factory=Process)
