"""One world: homes, folders, programs that die and come back, and a person at a phone, until enough have died.

When enough have died nobody dies any more; what does not settle then is a broken promise. It refuses to help: nothing
in a home is touched from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from deskhand.clock import SystemClock
from deskhand.protocol.objects import FolderMode
from deskhand.runner.ceiling import grant_folder
from tests.kills.judge import Evidence, judge
from tests.kills.lives import ENDED, Life, Zygote, gone
from tests.kills.memory import at_rest
from tests.kills.passing import KILLS, UNLISTED, Plan, Slots, told
from tests.kills.phone import Phone, read_token
from tests.kills.plans import Plans

_START_SECONDS_MAX: Final = 60.0
_END_SECONDS_MAX: Final = 20.0
_START_SECONDS: Final = 1.5
"""How long a quiet machine takes for the first start; on a busy one lives get more time before a kill from outside."""
_SLOW_MAX: Final = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a world is to be.

    ``kills``: how many die; with ``minutes`` instead, how long they go on dying, one every few seconds. ``up``: hub
    and runner in one process. ``only``: such tasks only as have this word.
    """

    seed: int
    number: int
    kills: int
    up: bool = False
    minutes: float = 0.0
    tasks: int = 6
    bug: str | None = None
    only: str = ""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a world."""

    name: str
    kills: Counter[str] = field(default_factory=Counter[str])
    hits: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    open: int = 0
    violations: list[str] = field(default_factory=list[str])


class World:
    """A world that runs once."""

    def __init__(self, wish: Wish, place: Path, *, zygote: Zygote, plans: Plans) -> None:
        """Make homes and folders; nothing runs yet."""
        self._wish = wish
        self._place = place
        self._zygote = zygote
        self._plans = plans
        self._clock = SystemClock()
        self._port = _free_port()
        self._chance = Random(f"{wish.seed} {wish.number}")
        self._programs = ("up",) if wish.up else ("hub", "runner")
        self._lives = Counter[str]()
        self._pids: dict[str, int] = {}
        self._stopping = False
        self._outside = 0
        self._slow = 1.0
        self._halves: set[str] = set()
        self._began = self._now
        self._folders = self._made()
        self._slots = Slots(place)
        self.outcome = Outcome(name=f"{wish.seed}.{wish.number}")

    async def run(self) -> Outcome:
        """Let it live, die and settle, then judge."""
        await self._set_up()
        url, token = f"http://127.0.0.1:{self._port}", read_token(self._home(self._programs[0]))
        name = f"w{self._wish.number}"
        phone = Phone(url, token, chance=self._chance, folders=self._folders, name=name, only=self._wish.only)
        async with asyncio.TaskGroup() as group:
            phone.begin(group)
            keeping = [group.create_task(self._keep(program)) for program in self._programs]
            await self._work(phone)
            settled = await self._settled(phone)
            self._stopping = True
            for program in self._programs:
                self._signal(program, signal.SIGTERM)
            await asyncio.wait(keeping)
            phone.stop()
        self._report(phone, settled=settled)
        return self.outcome

    async def _set_up(self) -> None:
        """Start everything once without a kill, pair the runner, and end it."""
        began, first = self._now, self._programs[0]
        await self._start(first, Plan())
        ready = await self._ready(first)
        if not self._wish.up:
            await self._start("runner", Plan(), invite=str(ready["invite"]))
            await self._ready("runner")
        await self._known()
        self._slow = min(_SLOW_MAX, max(1.0, (self._now - began) / _START_SECONDS))
        for program in self._programs:
            self._signal(program, signal.SIGTERM)
            await self._gone(program)

    async def _known(self) -> None:
        """Wait until the hub knows the runner's folders."""
        token = read_token(self._home(self._programs[0]))
        url = f"http://127.0.0.1:{self._port}"
        phone = Phone(url, token, chance=self._chance, folders=self._folders, name="setup")
        async with asyncio.timeout(_START_SECONDS_MAX):
            while not await phone.folder_of(self._folders["asks"][-1]):
                await self._clock.sleep(0.05)

    async def _work(self, phone: Phone) -> None:
        """Keep tasks under way until enough have died."""
        while not self._enough():
            while phone.under_way < self._wish.tasks:
                phone.hand_over()
            phone.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await phone.changed.wait()

    def _enough(self) -> bool:
        if self._wish.minutes:
            return self._now - self._began > self._wish.minutes * 60
        return self._plans.enough or self._killed >= self._wish.kills

    @property
    def _killed(self) -> int:
        return len(told(self._place / KILLS)) + self._outside

    async def _settled(self, phone: Phone) -> bool:
        """Wait until every task has its end and every op its answer; return whether that came."""
        with suppress(TimeoutError):
            # With a bug in it, some worlds never come to rest, and nobody needs to see that for long.
            patience = 3 * self._slow if self._wish.bug else 60 + 10 * self._slow
            async with asyncio.timeout(patience):
                while phone.under_way or phone.saying or not self._at_rest():
                    phone.changed.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            await phone.changed.wait()
                return True
        return False

    def _at_rest(self) -> bool:
        return at_rest(self._home(self._programs[-1]))

    async def _keep(self, program: str) -> None:
        """Let one life follow the other; the first one after enough have died lives on."""
        while not self._stopping:
            plan = Plan() if self._enough() else self._plans.next(program)
            pid = await self._start(program, plan)
            # "Every few seconds" means that, however busy the machine is.
            until = self._now + plan.outside * (1 if self._wish.minutes else self._slow)
            watching = asyncio.ensure_future(gone(pid))
            while not watching.done():
                await asyncio.wait({watching}, timeout=max(0.01, min(0.3, until - self._now)))
                if self._now >= until and not (watching.done() or self._enough()):
                    self._kill(program, pid)
                    await watching
            if died_at := self._died_at(program):
                self._plans.died(died_at)
            if program != "hub":
                self._look_at_commands()
            await self._clock.sleep(self._chance.uniform(0, 0.05))

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    def _died_at(self, program: str) -> str:
        """Return the point at which the last life of a program died; empty if it was killed elsewhere."""
        life = self._lives[program] - 1
        mine = (one for one in told(self._place / KILLS) if one["program"] == program)
        return next((str(one["point"]) for one in mine if one["life"] == life), "")

    def _look_at_commands(self) -> None:
        """A command that was killed before its changes were applied left nothing in the folder."""
        halves = {
            path.stem
            for kind in ("asks", "works", "Documents")
            for path in self._place.glob(f"{kind}*/**/*.a")
            if not path.with_suffix(".b").exists()
        }
        program = self._programs[-1]
        mine = (one for one in told(self._place / KILLS) if one["program"] == program)
        last = next((one for one in mine if one["life"] == self._lives[program] - 1), None)
        if last is not None and not last["applying"]:
            for label in sorted(halves - self._halves):
                self.outcome.violations.append(f"R4 {label}: half a command is in the folder")
        self._halves |= halves

    async def _start(self, program: str, plan: Plan, *, invite: str | None = None) -> int:
        life = Life(
            place=str(self._place),
            home=str(self._home(program)),
            program=program,
            number=self._lives[program],
            port=self._port,
            plan=plan,
            invite=invite,
            bug=self._wish.bug,
        )
        self._lives[program] += 1
        pid = self._pids[program] = await self._zygote.fork(life)
        return pid

    def _kill(self, program: str, pid: int) -> None:
        """Kill from outside, wherever it is."""
        if program != "hub":
            under_way, self._slots.under_way = self._slots.under_way, 0
        else:
            under_way = self._slots.under_way
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._outside += 1
            self.outcome.open += under_way > 0
            self.outcome.kills[f"{program}, from outside"] += 1
            self._plans.died(f"{program}, from outside")

    def _signal(self, program: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pids[program], number)

    async def _gone(self, program: str) -> None:
        async with asyncio.timeout(_END_SECONDS_MAX):
            await gone(self._pids[program])

    async def _ready(self, program: str) -> dict[str, Any]:
        """Return the one line that a program says when it is ready."""
        said = self._place / f"{program}.{self._lives[program] - 1}.said"
        async with asyncio.timeout(_START_SECONDS_MAX):
            while True:
                for line in said.read_text().splitlines() if said.exists() else ():
                    if line.startswith('{"'):
                        return json.loads(line)
                await self._clock.sleep(0.02)

    def _report(self, phone: Phone, *, settled: bool) -> None:
        """Count, and say what is broken."""
        outcome, kills = self.outcome, told(self._place / KILLS)
        outcome.kills.update(str(one["point"]) for one in kills)
        outcome.open += sum(1 for one in kills if one["open"])
        outcome.hits = self._slots.hits()
        outcome.counts["lives"] = self._lives.total()
        outcome.counts["planned points met"] = sum(1 for one in kills if one["planned"])
        evidence = Evidence(
            place=self._place,
            hub=self._home(self._programs[0]),
            runner=self._home(self._programs[-1]),
            known=phone.known,
            settled=settled,
        )
        found = judge(evidence)
        outcome.counts.update(found.counts)
        outcome.violations += [*self._own_ends(), *found.violations]
        for line in told(self._place / UNLISTED):
            outcome.violations.append(f"a point that is not listed: {line['point']}")
        outcome.violations = list(dict.fromkeys(outcome.violations))

    def _own_ends(self) -> Sequence[str]:
        """Accuse lives that ended without having been killed or told to."""
        found: list[str] = []
        for one in told(self._place / ENDED):
            if one["code"]:
                said = self._place / f"{one['program']}.{one['life']}.said"
                tail = said.read_text(errors="replace").strip()[-600:]
                found.append(f"{one['program']} ended by itself with {one['code']}: {tail}")
        return found

    def _home(self, program: str) -> Path:
        return self._place / program

    def _made(self) -> dict[str, list[Path]]:
        """Make the folders and grant them at this keyboard."""
        modes = {"works": FolderMode.WORKSPACE, "asks": FolderMode.ASK}
        home = self._home(self._programs[-1])
        for program in self._programs:
            self._home(program).mkdir(mode=0o700)
        folders: dict[str, list[Path]] = {}
        for kind, mode in modes.items():
            folders[kind] = [self._place / f"{kind} {number}" for number in range(3)]
            for root in folders[kind]:
                root.mkdir()
                grant_folder(home, root, mode=mode)
        return folders


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
