"""Computers of a world: the real ``Runner`` with its journal, a scripted agent, and tools whose effects are counted.

At the moment of every effect its journal must hold exactly one open intent for it (R4). It refuses to touch real
files: granted roots are directories that every system has, and what is in them is in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import BinaryIO, Final, TypeVar

from sqlalchemy import text
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.permissions.rules import Kind
from deskhand.ports import Ask, CheckWish, Done, Effect, FolderAccess, GiveUp, Move, Place, Tool, ToolResult, Turn
from deskhand.protocol.signing import Risk
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner import ceiling
from deskhand.runner.app import Runner
from deskhand.runner.ceiling import Trust
from deskhand.runner.traffic import Parts
from deskhand.sandbox.walls import NoSandbox
from deskhand.store.engine import open_memory
from deskhand.testing.agents import call, wish
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.testing.memory_store import InlineWriter
from deskhand.testing.world.hub import ACCOUNT
from deskhand.testing.world.links import FaultyLink
from deskhand.testing.world.loop import Process, SimClock
from deskhand.testing.world.machines import Chaos, Machine, disk_of
from deskhand.workflow.journal import Journal

R = TypeVar("R")
AGENT: Final = "scripted"
GRANTS: Final = {"usr": "workspace", "etc": "ask", "var": "workspace", "dev": "ask"}
"""What each computer lends: names of its roots, and how widely."""
EFFECTS: Final[dict[str, Effect]] = {"idem": "idempotent", "probe": "probe", "once": "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One execution of an effect, and how far the hub's log was by then."""

    label: str
    tool: str
    folder: str
    laptop: str


@dataclass(slots=True)
class Effects:
    """Everything that happened in the world outside, in order."""

    happened: list[Happened] = field(default_factory=list[Happened])
    times: Counter[str] = field(default_factory=Counter[str])


class Laptop(Machine):
    """A computer. Its journal and files are on its disk."""

    def __init__(self, name: str, chaos: Chaos, *, home: Path, effects: Effects) -> None:
        """Be new, with folders granted."""
        super().__init__(name, chaos)
        self.disk = disk_of(open_memory())
        self.home = home / name
        self.effects = effects
        self.files: dict[str, bytes] = {}
        self.gone = False
        self.hub_trust: Risk = "high"
        self.link: FaultyLink | None = None
        self.journal: Journal | None = None
        self._writer: InlineWriter | None = None
        self._grant()

    def folder(self, root: str) -> str:
        """Return the id of a folder of this computer."""
        return f"fld_{self.name}_{root}"

    @property
    def trust(self) -> Trust:
        """Return whom it believes."""
        return Trust(home=self.home, runner=self.name, clock=self.clock, account=ACCOUNT)

    @override
    async def live(self, process: Process) -> None:
        """Run the runner until it dies."""
        if self.journal is not None:
            self.journal.close()
        if self._writer is not None:
            await self._writer.close()
        if self.link is None:
            raise ValueError(self.name)
        ids, chance = self.ids(), Random(f"{self.chaos.seed} {self.name} {self.lives} agent")  # noqa: S311 - a seed must come back
        self._writer = InlineWriter(
            self.disk,
            before_commit=self.at(process, "before a commit"),
            after_commit=self.at(process, "after a commit"),
        )
        self.journal = Journal(engine=self.disk, writer=self._writer, ids=ids)
        tools: list[Tool] = [*(EffectTool(name, self, process) for name in EFFECTS), LookTool(self)]
        parts = Parts(
            runner=self.name,
            name=self.name,
            home=self.home,
            documents=self.home / "documents",
            link=self.link,
            journal=self.journal,
            agents={AGENT: Script(self.clock, chance, self.chaos.pace)},
            tools={tool.name: tool for tool in tools},
            sandbox=NoSandbox("there are no commands in this world"),
            open_folder=self._open,
            clock=self.clock,
            ids=ids,
            offload=_inline,
            account=ACCOUNT,
            hub_trust=lambda: self.hub_trust,
            as_root=True,
        )
        try:
            await Runner(parts).run()
        except DeskhandError as error:
            if error.code not in (Code.UNAUTHORIZED, Code.RUNNER_REPLACED):
                raise
            self.gone = True

    def rows(self, label: str) -> tuple[int, int]:
        """Return how many step rows wish for this effect, and how many of them have no result."""
        query = "SELECT count(*), count(result) FROM steps WHERE kind = 'tool' AND instr(wish, :label)"
        with self.disk.connect() as connection:
            rows, closed = connection.execute(text(query), {"label": f'"{label}"'}).one()
        return rows, rows - closed

    def effect(self, tool: str, label: str, place: Place) -> None:
        """Have an effect, if its intent is on the disk and nothing is there yet."""
        rows, unfinished = self.rows(label)
        self.effects.times[label] += 1
        root = _of(place).root.name
        self.effects.happened.append(Happened(label=label, tool=tool, folder=root, laptop=self.name))
        self.chaos.tell(f"{self.name} effect {tool} {label} in {root}")
        if unfinished != 1:
            self.chaos.accuse(f"R4 {label}: an effect with {unfinished} open intents on the disk")
        if tool == "once" and self.effects.times[label] > rows:
            self.chaos.accuse(f"R4 {label}: an effect that cannot be repeated was repeated")

    def _open(self, root: Path) -> OpenFolder:
        """Open a folder under the name that it has in every playing, wherever this home lies."""
        mine = root.is_relative_to(self.home)
        return OpenFolder(self.files, root=Path("/", root.relative_to(self.home)) if mine else root)

    def _grant(self) -> None:
        """Write the policy file as a keyboard would."""
        self.home.mkdir(parents=True)
        granted = [
            {
                "id": self.folder(name),
                "root": f"/{name}",
                "mode": mode,
                "label": name,
                "granted_at": "2026-01-05T08:00:00.000Z",
                "inode": Path(f"/{name}").stat(follow_symlinks=False).st_ino,
                "for_op": None,
                "task": None,
            }
            for name, mode in GRANTS.items()
        ]
        file = self.home / ceiling.FOLDERS
        file.write_text(json.dumps({"folders": granted}), encoding="utf-8")
        file.chmod(0o600)


class EffectTool:
    """Has one effect per call. ``idem`` leaves a file, ``probe`` can be looked for, ``once`` leaves no trace."""

    writes = True
    kind: Kind = "safe"

    def __init__(self, name: str, laptop: Laptop, process: Process) -> None:
        """Belong to one life of a computer."""
        self.name = name
        self.effect: Effect = EFFECTS[name]
        self._laptop = laptop
        self._process = process

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file it is about."""
        return str(_of(place).root / f"{arguments['label']}.txt")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Have the effect; the machine may die right before and right after."""
        label, laptop = str(arguments["label"]), self._laptop
        laptop.point(self._process, "before an effect")
        await laptop.clock.sleep(laptop.chaos.rng.uniform(0, 2))
        laptop.effect(self.name, label, place)
        value: JsonObject = {}
        if self.name == "idem":
            value["path"] = f"{label}.txt"
            _of(place).write(f"{label}.txt", label.encode())
        laptop.point(self._process, "after an effect")
        await laptop.clock.sleep(laptop.chaos.rng.uniform(0, 2))
        return ToolResult(outcome="ok", value=value, text=label)

    async def probe(self, arguments: JsonObject, place: Place) -> ToolResult | None:
        """Say whether it happened."""
        del place
        happened = self.name == "probe" and self._laptop.effects.times[str(arguments["label"])] > 0
        return ToolResult(outcome="ok", value={}, text="found") if happened else None


class LookTool:
    """Looks whether a file is there: a pure tool, for steps and for checks."""

    name = "look"
    effect: Effect = "pure"
    writes = False
    kind: Kind = "safe"

    def __init__(self, laptop: Laptop) -> None:
        """Look on this computer."""
        self._laptop = laptop

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file it looks at."""
        return str(_of(place).root / f"{arguments['label']}.txt")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Look."""
        await self._laptop.clock.sleep(self._laptop.chaos.rng.uniform(0, 1))
        there = _of(place).stat(f"{arguments['label']}.txt") is not None
        return ToolResult(outcome="ok", value={"passed": True, "there": there}, text="looked")


class Script:
    """An agent whose moves are the words of the task: a tool, ``both``, ``again``, ``ask`` or ``stop``."""

    name = AGENT

    def __init__(self, clock: SimClock, chance: Random, pace: float) -> None:
        """Think for a while each time."""
        self._most = 15 * pace
        self._clock = clock
        self._chance = chance

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return what the next word says."""
        await self._clock.sleep(self._chance.uniform(0, self._most))
        words, n = brief.text.split()[1:], len(history)
        label = f"{brief.task[-8:]}.{n}"
        if n >= len(words):  # after a word of a person it is done again
            made = [str(r.value["path"]) for t in history for r in t.results if "path" in r.value]
            look = CheckWish(name="look", call=call("look", label=label))
            return Done(summary=brief.text, outputs=tuple(made), checks=(look,))
        match words[n]:
            case "ask":
                return Ask(text="Which one?", choices=("this", "that"))
            case "stop":
                return GiveUp(reasons=("I cannot.",))
            case "both":
                return wish(call("look", label=label), call("idem", label=label), say="both")
            case "again":
                return wish(call("once", label=f"{brief.task[-8:]}.again"))
            case tool:
                return wish(call(tool, label=label))


class OpenFolder(MemoryFolder):
    """A handle on files that are kept by the computer, not by the handle."""

    def __init__(self, disk: dict[str, bytes], *, root: Path) -> None:
        """Open what lies there; labels are unique, so one dictionary serves every root."""
        super().__init__(root=str(root))
        self.files = disk

    @override
    def write_from(self, rel: str, source: BinaryIO, *, limit: int, mode: int | None = None) -> None:
        """Write an open file."""
        del mode
        self.write(rel, source.read(limit))

    def close(self) -> None:
        """Give the handle back: there is none."""


def _of(place: Place) -> FolderAccess:
    return place.folder or place.results


async def _inline(work: Callable[[], R]) -> R:
    return work()
