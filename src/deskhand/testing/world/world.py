"""A world from one seed: a hub, some phones and computers, bad weather for most of an hour, then calm, then judgement.

Everything that happens follows from the seed. It refuses to end before all has healed, or to call that healed which
still waits for something.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

from sqlalchemy import select, text

from deskhand import limits
from deskhand.hub import timing as attendance
from deskhand.hub.credentials import admit
from deskhand.ports import Notice, PushSubscription
from deskhand.protocol import signing
from deskhand.protocol.events import HUB
from deskhand.protocol.objects import Device, Folder, Role
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Task
from deskhand.runner import app
from deskhand.testing.world.hub import ACCOUNT, House
from deskhand.testing.world.invariants import broken
from deskhand.testing.world.laptops import GRANTS, Effects, Laptop
from deskhand.testing.world.liar import Liar
from deskhand.testing.world.links import FAULTS, FaultyLink, Weather
from deskhand.testing.world.loop import Deadlock, SimClock, VirtualLoop
from deskhand.testing.world.machines import Chaos, Machine
from deskhand.testing.world.patching import patched
from deskhand.testing.world.people import Person
from deskhand.testing.world.phones import Phone

STORM_SECONDS: Final = 2700.0
SETTLE_SECONDS: Final = 3 * 3600.0
_LOOK_SECONDS: Final = 20.0
_DENSE_SECONDS: Final = 9.0
_DENSE_PACE: Final = 0.4
"""Of a world with many small tasks: how often one comes, and how long thinking and tapping take."""
_REMOVALS: Final = 0.3
"""In how many worlds a device is lost for good."""
_ERASURES: Final = 0.4
"""In how many worlds somebody erases a conversation that came to something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one world: what was broken, a hash of all that was said, and how much happened."""

    seed: int
    violations: tuple[str, ...]
    story: tuple[str, ...]
    sha256: str
    counts: Counter[str]


class World:
    """Everything in it lives on one virtual loop; see ``simulate``."""

    def __init__(self, seed: int, home: Path, loop: VirtualLoop, *, size: float = 1.0, tasks: int = 0) -> None:
        """Put machines there, switched off, in good weather."""
        shape = Random(f"shape {seed}")  # noqa: S311 - a seed must come back
        laptops, phones = shape.randint(1, 3), shape.randint(2, 3)
        self._home = home
        self.storm_seconds = tasks * _DENSE_SECONDS or STORM_SECONDS * size
        self.tasks = tasks or int(shape.randint(10, 20) * size)
        self.rng = Random(f"world {seed}")  # noqa: S311 - a seed must come back
        self.chaos = Chaos(seed=seed, loop=loop, rng=Random(f"chaos {seed}"))  # noqa: S311 - a seed must come back
        self.chaos.pace = _DENSE_PACE if tasks else 1.0
        self.weather = Weather(rng=Random(f"weather {seed}"))  # noqa: S311 - a seed must come back
        self.effects = Effects()
        self.house = House(self.chaos)
        self.laptops = [Laptop(f"laptop{n + 1}", self.chaos, home=home, effects=self.effects) for n in range(laptops)]
        self.phones = [Phone(f"phone{n + 1}", self.chaos) for n in range(phones)]
        self.people = [Person(phone, self.rng) for phone in self.phones]
        self.clock = SimClock(loop)
        self.posted = 0
        self.liar: Liar | None = None
        for one in (*self.phones, *self.laptops):
            one.link = FaultyLink(self.house, one.name, self.weather, one.clock)

    @property
    def machines(self) -> list[Machine]:
        """Return everything that can die."""
        return [self.house, *self.laptops, *self.phones]

    def betray(self) -> None:
        """Let the hub lie from the start: computers believe it in what is of low risk, else the phones' signatures."""
        self.liar = Liar(self.house, rng=Random(f"liar {self.chaos.seed}"))  # noqa: S311 - a seed must come back
        for phone in self.phones:
            phone.pem = signing.new_key()
        for laptop in self.laptops:
            laptop.hub_trust = "low"
            for phone in self.phones:
                signed = signing.sign(signing.CERTIFY, {}, phone.pem or "")
                laptop.trust.add(signing.fingerprint_of(signed.key or ""), device=phone.name)

    async def begin(self) -> None:
        """Start the hub, make everybody known to it, switch everything on."""
        self.house.boot()
        await self.until(lambda: self.house.serving)
        for number, one in enumerate((*self.phones, *self.laptops)):
            role = Role.OWNER if isinstance(one, Phone) else Role.RUNNER
            await self._admit(one, role, number)
            one.boot()
        self.house.push.on_taken = self._shown

    async def until(self, ready: Callable[[], bool], *, seconds: float = SETTLE_SECONDS) -> bool:
        """Let time pass until something holds; return whether it does."""
        left = seconds
        while not ready() and left > 0:
            await self.clock.sleep(0.05)
            left -= 0.05
        return ready()

    async def acquainted(self) -> None:
        """Wait until every phone knows the folders of every computer: nobody can choose what is not shown yet."""
        folders = len(GRANTS) * len(self.laptops)
        await self.until(lambda: all(len(p.account.find(Folder)) == folders for p in self.phones))

    async def storm(self) -> None:
        """Most of an hour of work in weather that differs from seed to seed."""
        rng, weather = self.rng, self.weather
        bad = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
        self.chaos.rate = rng.choice((0.0, 0.004, 0.015)) * min(bad, 1)
        weather.latency = rng.choice((0.02, 0.3, 3.0))
        for fault in FAULTS:
            setattr(weather, fault, 0.05 * bad * rng.random())
        self.house.push.failing = rng.choice((0.0, 0.5))
        for _ in range(self.tasks):
            who, where = rng.choice(self.people), rng.choice(self.laptops)
            self._later(rng.uniform(0, self.storm_seconds * 0.9), lambda p=who, w=where: self._post(p, w))
        for _ in range(rng.randint(0, int(6 * bad))):
            self._later(rng.uniform(0, self.storm_seconds), self._trouble)
        if rng.random() < _REMOVALS:
            self._later(rng.uniform(0, self.storm_seconds), self._remove)
        if Random(f"erasing {self.chaos.seed}").random() < _ERASURES:  # noqa: S311 - a seed must come back
            self._later(self.storm_seconds * 0.9, self._erase)
        await self.clock.sleep(self.storm_seconds)

    async def settle(self) -> None:
        """End all faults, put every clock right and wait until nothing is left to do."""
        self.chaos.rate = 0.0
        self.chaos.tell("calm")
        self.weather.calm()
        self.house.push.failing = 0.0
        if self.liar is not None:
            self.liar.calm = True
        for machine in self.machines:
            machine.clock.ahead = timedelta()
            machine.wake()
            machine.boot()
        for person in self.people:
            person.settling = True
        left = SETTLE_SECONDS
        while (waiting := await self._waiting()) and left > 0:
            await self.clock.sleep(_LOOK_SECONDS)
            left -= _LOOK_SECONDS
        for one in waiting if self.liar is None else ():
            self.chaos.accuse(f"R3 not settled: {one}")

    async def judge(self) -> None:
        """Hold every promise against what is there."""
        if self.liar is None:
            found = await broken(self.house, self.phones, self.laptops, self.effects)
        else:
            found = self.liar.reached([*self.house.said.values()], self.effects)
        for said in found:
            self.chaos.accuse(said)

    async def digest(self) -> str:
        """Return a hash of the log, the journals and what the phones show."""
        said = [json.dumps(event.to_json(), sort_keys=True) for event in await self.house.events()]
        for laptop in self.laptops:
            with laptop.disk.connect() as connection:
                for table in map(text, ("inbox", "attempts", "steps", "outbox")):
                    query = select(text("*")).select_from(table).order_by(text("1, 2, 3"))
                    rows = connection.execute(query).all()
                    said.append(repr([tuple(row) for row in rows]))
        said += [f"{phone.cursor} {sorted(phone.answers)}" for phone in self.phones]
        return hashlib.sha256("\n".join(said).replace(str(self._home), "").encode()).hexdigest()

    async def _waiting(self) -> list[str]:
        """Return what is not over yet."""
        store = self.house.store
        if store is None or not self.house.serving:
            return ["the hub"]
        tasks = await store.find(ACCOUNT, Task, limit=10_000)
        found = [f"{task.id} is {task.state} {task.reason or ''}" for task in tasks if not task.final]
        head = await store.head(ACCOUNT)
        phones = [phone for phone in self.phones if not phone.gone]
        laptops = [laptop for laptop in self.laptops if not laptop.gone]
        found += [p.name for p in phones if p.outbox or p.cursor != head]
        found += [j.name for j in laptops if j.journal is None or j.journal.outbox()]
        return found + (["a delivery"] if await store.next_delivery_at() else [])

    async def _admit(self, one: Machine, role: Role, number: int) -> None:
        store = self.house.store
        if store is None:
            raise ValueError(one.name)
        self.house.principals[one.name] = Principal(account=ACCOUNT, id=one.name, role=role)
        device = Device.from_json(
            {
                "id": one.name,
                "name": one.name,
                "kind": "runner" if role is Role.RUNNER else "page",
                "role": role,
                "created_at": "2026-01-05T08:00:00.000Z",
            }
        )
        await store.write(ACCOUNT, lambda tx: admit(tx, device, token_sha256=f"{number:064}", actor=HUB))
        if role is Role.OWNER:
            place = f"https://push.invalid/{one.name}"
            keys = {"endpoint": place, "p256dh": "k", "auth": "a"}
            subscription = PushSubscription(id=f"sub_{one.name}", account=ACCOUNT, device=one.name, **keys)
            await store.put_subscription(subscription)

    def _post(self, person: Person, laptop: Laptop) -> None:
        self.posted += 1
        person.post(laptop)

    def _later(self, after: float, work: Callable[[], object]) -> None:
        self.chaos.loop.call_later(after, work)

    def _trouble(self) -> None:
        """Let something happen to somebody."""
        rng, seen = self.rng, self.weather.seen
        machine = rng.choice(self.machines)
        kind = rng.choice(("crash", "apart", "apart", "jump", "clear", "freeze", "freeze"))
        seen[kind] += 1
        if kind == "crash":
            machine.crash("at some moment", away=rng.uniform(0.1, 600))
        elif kind == "apart" and machine is not self.house:
            self.chaos.tell(f"{machine.name} is cut off")
            self.weather.apart[machine.name] = True
            self._later(rng.uniform(1, 900), lambda: self.weather.apart.pop(machine.name, None))
        elif kind == "freeze":
            machine.freeze(rng.choice((20, 300, 8 * 3600)), suspended=rng.random() < 0.5)  # noqa: PLR2004 - half
        elif kind == "jump":
            by = rng.choice((-86400, -3600, -5, 5, 3600, 86400))
            machine.clock.ahead += timedelta(seconds=by)
        elif isinstance(machine, Phone) and kind == "clear":
            machine.crash("with its cache", away=5)
            machine.clear()

    def _remove(self) -> None:
        """Let a person take every right from another phone or a computer, as when it was stolen."""
        others = [*self.phones[1:], *self.laptops[1:]]
        one = self.rng.choice(others)
        self.weather.seen["removed"] += 1
        self.phones[0].want("device.revoke", {"device": one.name})

    def _erase(self) -> None:
        """Let somebody erase a conversation with everything that came of it."""
        over = [task for task in self.phones[0].account.find(Task) if task.final]
        if over:
            self.weather.seen["erased"] += 1
            self.phones[0].want("thread.erase", {}, thread=over[0].thread)

    def _shown(self, subscription: PushSubscription, notice: Notice) -> None:
        """A phone that is on says that it showed the notification."""
        for phone in self.phones:
            if phone.name == subscription.device and phone.up:
                phone.want("notification.ack", {"delivery": notice.id, "fate": "shown"})


@contextmanager
def unhurried() -> Generator[None]:
    """Let the product look less often, or an hour would be thousands of looks; and a reader be slow after few events."""
    with (
        patched(app, _LOOK_SECONDS=20.0, _NAP_SECONDS=60.0, _WORD_SECONDS=60.0, LEASE_SECONDS=180),
        patched(attendance, _SILENT_SECONDS=150.0, _GONE_SECONDS=5.0, _LOOK_SECONDS=30.0),
        patched(limits, STREAM_BUFFER_EVENTS=12),
    ):
        yield


def simulate(
    seed: int,
    story: Callable[[World], Awaitable[None]] | None = None,
    *,
    size: float = 1.0,
    tasks: int = 0,
    lying: bool = False,
) -> Outcome:
    """Run one world to its end: by default storm and calm, else a story; then judge it.

    A world of a smaller ``size`` is shorter and has less work in it, and as many faults. With a number of ``tasks``
    it has so many small ones, one soon after the other. Of one whose hub is ``lying`` only that is judged.
    """
    home, loop = Path(tempfile.mkdtemp(prefix="deskhand-world-")), VirtualLoop()
    try:
        with unhurried():
            world = World(seed, home, loop, size=size, tasks=tasks)
            if lying:
                world.betray()
            return loop.run_until_complete(_run(world, loop, story))
    finally:
        loop.close()
        shutil.rmtree(home)


async def _run(world: World, loop: VirtualLoop, story: Callable[[World], Awaitable[None]] | None) -> Outcome:
    await world.begin()
    if story is not None:
        await world.acquainted()
        await story(world)
    living = [asyncio.ensure_future(person.live()) for person in world.people]
    if world.liar is not None:
        names = [[one.name for one in machines] for machines in (world.phones, world.laptops)]
        living.append(asyncio.ensure_future(world.liar.live(*names)))
    if story is None:
        await world.storm()
    await world.settle()
    await world.judge()
    digest = await world.digest()
    for one in living:
        one.cancel()
    for machine in world.machines:
        machine.close()
    await world.clock.sleep(1)
    for error in loop.errors:
        world.chaos.accuse(f"nobody handled {error}")
    return Outcome(
        seed=world.chaos.seed,
        violations=tuple(world.chaos.violations),
        story=tuple(world.chaos.story),
        sha256=digest,
        counts=_counted(world, loop),
    )


def _counted(world: World, loop: VirtualLoop) -> Counter[str]:
    counts = Counter(world.weather.seen)
    counts["crashes"] = sum(world.chaos.crashes.values())
    counts["effects"] = len(world.effects.happened)
    counts["tasks"] = world.posted
    counts += world.liar.told if world.liar else Counter()
    counts["simulated seconds"] = int(loop.time())
    return counts


__all__ = ["Deadlock", "Outcome", "World", "simulate"]
