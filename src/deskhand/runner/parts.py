"""What a runner is made of: who it is, the rim of its world, and what its models say just now to whoever watches.

What a model says is never stored, and goes nowhere while nobody watches. It refuses to keep up at any price: what the
hub does not take is left out, because the durable message replaces it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from deskhand.clock import Clock, Ids
from deskhand.errors import DeskhandError
from deskhand.limits import TASKS_PER_RUNNER, TEXT_CHARS_MAX, TRIES_MAX
from deskhand.ports import Agent, FolderAccess, Link, Offload, Sandbox, Tool
from deskhand.protocol.objects import CommandInfo, ModelInfo
from deskhand.protocol.ops import Op
from deskhand.protocol.signing import Risk
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import Ceiling, Trust
from deskhand.tools.undo.keeping import Checkpoints
from deskhand.workflow.journal import Journal

GATHER_SECONDS: Final = 0.075
"""Pieces that come within this time go together."""


@dataclass(slots=True)
class _Draft:
    """What one task's model says: ``text`` so far, of which ``sent`` letters went out."""

    brief: Brief
    text: str = ""
    sent: int = 0
    message: str | None = None


class Live:
    """The drafts of one runner."""

    def __init__(self) -> None:
        """Say nothing until a thread is watched."""
        self.watched: set[str] = set()
        self._drafts: dict[str, _Draft] = {}
        self._woken = asyncio.Event()

    def hear(self, brief: Brief, piece: str | None) -> None:
        """Take a piece of what a model says; nothing means that it begins anew."""
        draft = self._drafts.setdefault(brief.task, _Draft(brief))
        if piece is None:
            draft.text, draft.sent = "", 0
        else:
            draft.text += piece
            if brief.thread in self.watched:
                self._woken.set()

    def watch(self, thread: str, *, on: bool) -> None:
        """Note that somebody looks at a thread, who has seen nothing yet, or that nobody does any more."""
        (self.watched.add if on else self.watched.discard)(thread)
        for draft in self._drafts.values():
            draft.sent = 0
        self._woken.set()

    def settle(self, task: str) -> str | None:
        """Return under which message the last draft of a task was shown, if it was; it is over."""
        draft = self._drafts.pop(task, None)
        return draft.message if draft else None

    def forget(self) -> None:
        """Take nobody for watching: a hub that is reached anew says who does."""
        self.watched.clear()

    async def run(self, link: Link, *, clock: Clock, ids: Ids) -> None:
        """Send what is new, until cancelled."""
        while True:
            await self._woken.wait()
            await clock.sleep(GATHER_SECONDS)
            self._woken.clear()
            watched = [one for one in self._drafts.values() if one.brief.thread in self.watched]
            ops = [_said(draft, ids) for draft in watched if draft.sent < len(draft.text)]
            if ops:
                with suppress(DeskhandError):
                    await link.send(ops)


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


def _said(draft: _Draft, ids: Ids) -> Op:
    draft.message = draft.message or ids.new("msg")
    brief, kind, op_id = draft.brief, "draft.say", ids.new("op")
    body: JsonObject = {"epoch": brief.epoch, "message": draft.message, "offset": draft.sent}
    body["text"] = draft.text[draft.sent : TEXT_CHARS_MAX]
    draft.sent = len(draft.text)
    return Op(op_id=op_id, kind=kind, thread=brief.thread, task=brief.task, body=body)
