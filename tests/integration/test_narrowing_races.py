"""Less may be allowed at any moment of a task: from then on nothing happens that is not allowed any more (RO-05)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.permissions.rules import Decision, Kind
from deskhand.ports import Effect, Place, ToolResult
from deskhand.protocol import events as ev
from deskhand.protocol.events import Event
from deskhand.protocol.objects import Folder, FolderMode
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner.app import Runner
from deskhand.runner.ceiling import grant_folder, revoke_folder
from deskhand.runner.gate import Gate, Scope
from deskhand.runner.traffic import Parts
from deskhand.runner.workspace import Workspaces
from deskhand.testing.agents import call
from deskhand.testing.links import RUNNER
from deskhand.workflow.rows import AttemptKey, AttemptRow
from tests.laptop import Laptop

RACES = 1_000
CONTROL_RACES = 100
FILES = 12
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Scribble:
    """A tool that writes many files in one call, in a thread, as the real ones do."""

    name: str = "scribble"
    effect: Effect = "idempotent"
    writes: bool = True
    kind: Kind = "safe"

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the folder."""
        del arguments
        return str(place.results.root)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Write them."""

        def scribble() -> None:
            with place.results.together():
                for number in range(FILES):
                    place.results.write(f"{arguments['name']}-{number}", b"x")

        await asyncio.to_thread(scribble)
        return ToolResult(outcome="ok", value={})


@dataclass(slots=True, kw_only=True)
class Track:
    """A computer with a folder, and everybody who may narrow what happens there."""

    laptop: Laptop
    runner: Runner
    parts: Parts
    folder: str
    seqs: count[int] = field(default_factory=lambda: count(1))

    @property
    def root(self) -> Path:
        """Return the folder."""
        return self.laptop.folder

    @property
    def names(self) -> frozenset[str]:
        """Return what is in it."""
        return frozenset(path.name for path in self.root.iterdir())

    async def here(self, mode: FolderMode) -> None:
        """Say it in this computer's own file, as another process would."""
        await asyncio.to_thread(lambda: grant_folder(self.laptop.home, self.root, mode=mode))

    async def hub(self, body: ev.Body) -> None:
        """Let an order of the hub come in; it is stored when this returns."""
        event = Event(seq=next(self.seqs), kind=ev.KIND_OF[type(body)], at="2026", actor="dev_1", body=body.to_json())
        await self.runner.inbox._order(event)

    def put(self, mode: FolderMode) -> ev.FolderPut:
        """Return what the hub says of the folder."""
        folder = Folder(id=self.folder, runner=RUNNER, root=str(self.root), label="W", mode=mode)
        return ev.FolderPut(folder=folder)

    async def narrow(self, how: int) -> None:
        """Allow less, in one of six ways; it is acknowledged when this returns."""
        ways: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: self.here(FolderMode.READ_ONLY),
            lambda: self.here(FolderMode.ASK),
            lambda: asyncio.to_thread(lambda: revoke_folder(self.laptop.home, str(self.root))),
            lambda: self.hub(self.put(FolderMode.READ_ONLY)),
            lambda: self.hub(ev.FolderRemoved(folder=self.folder)),
            lambda: self.hub(ev.SettingChanged(name="ceiling.mode", value="read-only")),
        )
        await ways[how % len(ways)]()

    async def widen(self, how: int) -> None:
        """Allow everything again, in an empty folder."""
        for path in self.root.iterdir():
            path.unlink()
        await self.here(FolderMode.WORKSPACE)
        self.folder = self.parts.ceiling.entries()[0].id
        if how % 6 >= 3:
            await self.hub(self.put(FolderMode.TRUSTED))
            await self.hub(ev.SettingChanged(name="ceiling.mode", value="trusted"))

    @property
    def brief(self) -> Brief:
        """Return the task."""
        return Brief.from_json(
            {
                "task": "tsk_1", "epoch": 1, "thread": "thr_1", "title": "t", "text": "t", "agent": "scripted",
                "folder": self.folder, "origin": {"surface": "page"}, "trust": "owner",
                "created_at": "2026-01-02T03:04:05.000Z",
            }
        )  # fmt: skip


@asynccontextmanager
async def _track(path: Path) -> AsyncGenerator[Track]:
    laptop = Laptop(path, [])
    runner = laptop.build()
    parts = replace(runner._parts, offload=asyncio.to_thread)
    await laptop.rows.open(home_identity="here")
    track = Track(laptop=laptop, runner=runner, parts=parts, folder="")
    runner.inbox.parts = parts
    await track.widen(0)
    yield track
    laptop.rows.close()


async def _work(gate: Gate, scope: Scope) -> None:
    """Change things until it is not allowed any more, as an agent that never stops would."""
    for number in count():
        wish = call("scribble", name=str(number))
        ruling = await gate.admit(wish, scope)
        if ruling.decision is not Decision.ALLOW:
            return
        await gate.perform(wish, scope, ruling)


def _as_it_is(place: Place, mode: FolderMode | None) -> Place:
    del mode
    return place


async def _race(track: Track, how: int, after: float, *, held: bool) -> tuple[int, int]:
    """Return how many files were written before less was allowed, and how many after that was acknowledged."""
    gate = Gate(tools={"scribble": Scribble()})
    attempt = AttemptRow(
        key=AttemptKey(task="tsk_1", epoch=1), brief=track.brief, status="open", accepted=True, paused=False, place=None
    )
    with Workspaces(track.parts).open(attempt) as scope:
        chosen = scope if held else replace(scope, hold=_as_it_is)
        working = asyncio.ensure_future(_work(gate, chosen))
        await CLOCK.sleep(after)
        await track.narrow(how)
        acknowledged = track.names
        await working
    late = {name for name in track.names - acknowledged if not name.startswith(".")}
    await track.widen(how)
    return len(acknowledged), len(late)


@pytest.mark.timeout(300)
async def test_nothing_happens_after_less_was_allowed(tmp_path: Path) -> None:
    """RO-05: 1,000 races; at the keyboard, by the hub or by the account, in the middle of calls of many changes."""
    chance = random.Random(5)
    late, cut = Counter[int](), 0
    async with _track(tmp_path) as track:
        for how in range(RACES):
            before, after = await _race(track, how, chance.uniform(0, 0.004), held=True)
            late[how % 6] += after
            cut += before % FILES != 0

    assert late.total() == 0
    assert cut > RACES // 20  # many were cut off in the middle of a call


@pytest.mark.timeout(60)
async def test_a_look_only_before_each_call_would_not_hold(tmp_path: Path) -> None:
    """The control: without the look at each change the same races are lost, so they prove something."""
    chance = random.Random(5)
    async with _track(tmp_path) as track:
        lost = [(await _race(track, how, chance.uniform(0, 0.004), held=False))[1] for how in range(CONTROL_RACES)]

    assert sum(lost) > 0
