"""One home, several lives: copied, moved and restored homes of a computer, with a real hub that remembers (R9)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub, Participant
from deskhand.hub.credentials import admit
from deskhand.permissions.rules import Kind
from deskhand.ports import Done, Effect, Move, Place, ToolResult, Turn
from deskhand.protocol.objects import Device, Role, Runner
from deskhand.protocol.ops import Op, OpResult, Principal
from deskhand.protocol.tasks import Brief, Task, TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.testing.agents import call, wish
from deskhand.testing.blobs import MemoryBlobs
from deskhand.testing.memory_store import open_memory_disk, open_memory_store
from deskhand.testing.promises import note
from tests.laptop import Laptop, until

CLOCK = SystemClock()
IDS = Ids(CLOCK)
ACCOUNT = "acc_1"
OWNER = Principal(account=ACCOUNT, id="dev_owner", role=Role.OWNER)
OWNER_VIEW = Principal(account=ACCOUNT, id="dev_any", role=Role.OWNER)
ME = Principal(account=ACCOUNT, id="run_laptop", role=Role.RUNNER)


@dataclass(slots=True)
class Deed:
    """A tool whose effect can be counted, and that may hang after it."""

    name: str = "deed"
    writes: bool = True
    kind: Kind = "safe"
    effect: Effect = "unknown"
    done: list[str] = field(default_factory=list[str])

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return a file in the results place."""
        return str(place.results.root / str(arguments["path"]))

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Have the effect."""
        del place
        self.done.append(str(arguments["path"]))
        return ToolResult(outcome="ok", value={})


@dataclass(kw_only=True)
class House:
    """A real hub in memory, and computers that may come from copies of one home."""

    hub: Hub
    deed: Deed = field(default_factory=Deed)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def op(self, kind: str, body: JsonObject, **about: str) -> OpResult:
        """Send one op as the owner and insist that it is taken."""
        op = Op.from_json({"op_id": IDS.new("op"), "kind": kind, "body": body, **about})
        (result,) = await self.hub.submit(OWNER, [op])
        assert result.status == "ok", result
        return result

    async def assign(self, path: str) -> str:
        """Delegate a task that does one deed, and then may hang in thought."""
        return (await self.op("message.post", {"text": path, "agent": "scripted"})).task or ""

    async def task(self, name: str) -> Task:
        """Return a task as it is now."""
        found = await self.hub.store.get(ACCOUNT, Task, name)
        assert found is not None
        return found

    async def reaches(self, name: str, state: TaskState) -> Task:
        """Wait until a task is in a state, and return it."""
        async with asyncio.timeout(8):
            while (task := await self.task(name)).state is not state:
                await CLOCK.sleep(0.005)
        return task

    def computer(self, base: Path) -> Laptop:
        """Return a computer with its home at ``base``."""
        base.mkdir(exist_ok=True)
        laptop = Laptop(base, [Thinker(self)], tools={"deed": self.deed})
        laptop.link = Participant(self.hub, ME)
        return laptop


@dataclass(slots=True)
class Thinker:
    """Does what the task is called, and then thinks as long as the test wants."""

    house: House
    name: str = "scripted"

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move."""
        if not history:
            return wish(call("deed", path=brief.text))
        if brief.text.startswith("long"):
            await self.house.hold.wait()
        return Done(summary="x")


@asynccontextmanager
async def open_house() -> AsyncGenerator[House]:
    """Open a hub with an owner and one computer known to it."""
    store = open_memory_store(open_memory_disk(), CLOCK)
    hub = Hub(store=store, blobs=MemoryBlobs(), clock=CLOCK, ids=IDS, notifiers={}, spread=lambda: 0.0)
    await store.create_account(ACCOUNT)
    for who, kind in ((OWNER, "cli"), (ME, "runner")):
        said = {"id": who.id, "name": who.id, "kind": kind, "role": who.role, "created_at": "2026"}
        device = Device.from_json(said)
        await store.write(ACCOUNT, lambda tx, one=device: admit(tx, one, token_sha256=one.id, actor=OWNER.id))
    await hub.start()
    try:
        yield House(hub=hub)
    finally:
        await hub.stop()
        await store.close()


def _copied(laptop: Laptop, base: Path) -> None:
    """Copy the home of a stopped computer, as a person would."""
    base.mkdir()
    shutil.copytree(laptop.home, base / "home")


def _put_back(source: Path, home: Path) -> None:
    """Write the bytes of a copied home over the present one: every file keeps its place and its inode."""
    for side in home.glob("runner.db-*"):
        side.unlink()
    for path in source.iterdir():
        with (home / path.name).open("r+b") as file:
            file.truncate()
            file.write(path.read_bytes())


async def _error(laptop: Laptop) -> Code:
    error = await laptop.died()
    assert isinstance(error, DeskhandError)
    await laptop.kill()
    return error.code


@pytest.mark.survives(
    "A computer's state directory is copied and both copies are started",
    "The newer copy works; the other one is told, says why and stops, and nothing is done twice.",
)
async def test_of_two_live_copies_of_a_home_the_older_is_told_and_stops(tmp_path: Path) -> None:
    """R9: what was under way waits for its owner and goes on in the newer copy; the older one does nothing more."""
    async with open_house() as house:
        old = house.computer(tmp_path / "old")
        async with old:
            task = await house.assign("long")
            await until(lambda: house.deed.done)
        _copied(old, tmp_path / "new")
        await old.start()
        await until(lambda: old.runner and old.runner.inbox.connected)

        async with house.computer(tmp_path / "new"):
            await house.reaches(task, TaskState.PAUSED)
            other = await house.assign("other")  # the older copy hears of it too
            code = await _error(old)
            await house.reaches(other, TaskState.COMPLETED)
            house.hold.set()
            await house.op("task.resume", {}, task=task)
            ended = await house.reaches(task, TaskState.COMPLETED)

        said = await house.hub.store.thread_events(OWNER_VIEW, ended.thread, before=None, limit=50)
        assert code is Code.RUNNER_REPLACED
        assert sorted(house.deed.done) == ["long", "other"]
        assert ended.epoch == 2
        assert any("copied, moved or restored" in str(one.body.get("text")) for one in said)


async def test_every_word_of_a_replaced_copy_is_refused(tmp_path: Path) -> None:
    """R9: whatever the older copy tries to say about its task, the hub takes none of it, 100 of 100."""
    async with open_house() as house:
        old = house.computer(tmp_path / "old")
        async with old:
            task = await house.assign("long")
            await until(lambda: house.deed.done)
            former = old.rows.life
        _copied(old, tmp_path / "new")
        async with house.computer(tmp_path / "new"):
            await house.reaches(task, TaskState.PAUSED)
        head = await house.hub.store.head(ACCOUNT)
        finished: JsonObject = {"state": "failed", "verdict": "not_done", "epoch": 1}
        step: JsonObject = {"epoch": 1, "step": 1, "tool": "deed", "title": "again"}
        bodies: list[tuple[str, JsonObject]] = [
            ("task.accept", {"epoch": 1}),
            ("lease.renew", {"epoch": 1}),
            ("event.append", {"kind": "step.started", "body": step}),
            ("event.append", {"kind": "task.finished", "body": finished}),
        ]
        ops = [Op(op_id=IDS.new("op"), kind=kind, task=task, life=former, body=body) for kind, body in bodies * 25]

        results = await house.hub.submit(ME, ops)
        taken = [one.op_id for one in results if one.status != "rejected"]
        figure = f"{len(ops) - len(taken)} of {len(ops)} late words of a replaced copy were refused"
        note("R9", figure, runs=len(ops), of="late words of a copy", failing=taken)

        assert taken == []
        assert {one.error.code for one in results if one.error} == {Code.RUNNER_REPLACED}
        assert await house.hub.store.head(ACCOUNT) == head


async def test_a_home_put_back_in_its_own_place_is_noticed_by_what_the_hub_heard(tmp_path: Path) -> None:
    """R9: the files are where they were, byte for byte older; the hub knows more, so nothing is played again (R4)."""
    async with open_house() as house:
        laptop = house.computer(tmp_path / "laptop")
        async with laptop:
            await house.reaches(await house.assign("first"), TaskState.COMPLETED)
        _copied(laptop, tmp_path / "backup")
        async with laptop:
            done = await house.assign("second")
            await house.reaches(done, TaskState.COMPLETED)
            task = await house.assign("long")
            await until(lambda: house.deed.done[-1] == "long")
            await until(lambda: not laptop.rows.outbox())
            before = laptop.rows.incarnation
        _put_back(tmp_path / "backup" / "home", laptop.home)

        async with laptop:
            await house.reaches(task, TaskState.PAUSED)
            after = laptop.rows.incarnation
            await house.reaches(await house.assign("third"), TaskState.COMPLETED)

        assert after > before
        assert house.deed.done == ["first", "second", "long", "third"]
        assert (await house.task(done)).state is TaskState.COMPLETED


async def test_a_home_that_was_put_back_as_other_files_is_noticed_without_a_hub(tmp_path: Path) -> None:
    """R9: another file in the same place is another life, also where nobody can be asked."""
    async with open_house() as house:
        laptop = house.computer(tmp_path / "laptop")
        async with laptop:
            await house.reaches(await house.assign("first"), TaskState.COMPLETED)
            before = laptop.rows.incarnation
        kept = (laptop.home / "runner.db").read_bytes()
        (laptop.home / "runner.db").rename(tmp_path / "away")
        (laptop.home / "runner.db").write_bytes(kept)

        async with laptop:
            after = laptop.rows.incarnation

        assert after > before


async def test_what_was_never_accepted_goes_on_in_the_next_life_by_itself(tmp_path: Path) -> None:
    """Without an acknowledged accept nothing had an effect, so nobody has to be asked (R4)."""
    async with open_house() as house:
        laptop = house.computer(tmp_path / "laptop")
        async with laptop:
            await until(lambda: laptop.runner and laptop.runner.inbox.connected)
        _copied(laptop, tmp_path / "moved")
        await anext(aiter(Participant(house.hub, ME).stream(after=0)))  # somebody is there
        task = await house.assign("first")
        await house.reaches(task, TaskState.WORKING)

        async with house.computer(tmp_path / "moved"):
            ended = await house.reaches(task, TaskState.COMPLETED)

        assert house.deed.done == ["first"]
        assert ended.epoch == 2


async def test_an_ordinary_restart_is_the_same_life(tmp_path: Path) -> None:
    """Starting again, however often, changes no incarnation and stops no task."""
    async with open_house() as house:
        laptop = house.computer(tmp_path / "laptop")
        async with laptop:
            task = await house.assign("long")
            await until(lambda: house.deed.done)
            first = laptop.rows.incarnation
        for _ in range(2):
            async with laptop:
                await until(lambda: laptop.runner and laptop.runner.inbox.connected)
                assert laptop.rows.incarnation == first

        house.hold.set()
        async with laptop:
            await house.reaches(task, TaskState.COMPLETED)

        known = await house.hub.store.get(ACCOUNT, Runner, ME.id)
        assert known is not None
        assert (known.incarnation, house.deed.done) == (first, ["long"])
