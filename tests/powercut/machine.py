"""A machine with a hub's store and a runner's journal that loses power again and again, and what must be true after.

Each life opens what the last one left, looks whether anything acknowledged is missing or anything is broken, works until
the cut, and hands on what survived. Everything that is opened is the product's own code on its own path. It refuses to
count what was never acknowledged as lost; what an open request became is free, as long as it is whole and there once.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection, Engine

from deskhand.clock import Ids
from deskhand.errors import DeskhandError
from deskhand.ports import ToolCall, Wishes
from deskhand.protocol.events import Event, TaskAssigned
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.store.blobs import FileBlobs
from deskhand.store.engine import ThreadWriter, open_sqlite, open_sqlite_reader, translated
from deskhand.store.log.transaction import SqlTx
from deskhand.store.opening import FILE, inline, open_sqlite_store
from deskhand.store.private import make_folder, open_home
from deskhand.workflow import journal as journal_module
from deskhand.workflow.journal import Journal
from deskhand.workflow.rows import AttemptKey, Step, fold, move_to_json, step_key
from tests.contract.storing import OWNER, PHONE, A, StillClock, begun, said
from tests.powercut.disk import KEPT, Act, Disk, PowerCut, Rule
from tests.powercut.os_calls import followed
from tests.powercut.vfs import PowerVfs

LANES: Final = 4
KEY: Final = AttemptKey(task="tsk_1", epoch=1)
IDENTITY: Final = "this machine"
MOVE: Final = Wishes(calls=(ToolCall(tool="t", arguments={}, title="t"),))
BRIEF: Final = Brief(
    task="tsk_1",
    thread="thr_1",
    epoch=1,
    title="x",
    text="x",
    agent="scripted",
    origin=Origin(surface="page"),
    trust=Trust.OWNER,
    created_at="2026-01-02T03:04:05.000Z",
)
ASSIGNED: Final = Event(
    seq=1,
    kind="task.assigned",
    at=BRIEF.created_at,
    actor="hub",
    thread=BRIEF.thread,
    task=BRIEF.task,
    body=TaskAssigned(runner="run_1", epoch=1, brief=BRIEF).to_json(),
)


@dataclass(slots=True)
class Said:
    """What the machine acknowledged to somebody outside of it."""

    words: set[str] = field(default_factory=set[str])
    blobs: set[str] = field(default_factory=set[str])
    uploads: dict[str, int] = field(default_factory=dict[str, int])
    steps: dict[int, Step] = field(default_factory=dict[int, Step])
    ops: set[str] = field(default_factory=set[str])
    sent: set[str] = field(default_factory=set[str])
    incarnation: str = ""
    refused: Counter[str] = field(default_factory=Counter[str])

    @property
    def total(self) -> int:
        """How many writes and files were acknowledged."""
        return len(self.words) + len(self.steps) + len(self.blobs)


@dataclass(slots=True)
class Cut:
    """One power cut: where it fell, how much it could take that was acknowledged in this life, and what was wrong after it."""

    act: Act | None
    kept: float
    wrong: list[str]
    at_stake: int = 0


class Open:
    """The store, the blobs and the journal of a machine that is on."""

    def __init__(self, root: Path, clock: StillClock) -> None:
        self._held = ExitStack()
        home = self._held.enter_context(open_home(root / "home"))
        self.store = open_sqlite_store(home / FILE, clock)
        self.blobs = FileBlobs(home / "blobs", Ids(clock), inline)
        path = home / "runner" / "journal.sqlite3"
        make_folder(path.parent)
        self._writing, self._reading = open_sqlite(path), open_sqlite_reader(path)
        self.writer = ThreadWriter(self._writing)
        self.journal = Journal(engine=self._reading, writer=self.writer, ids=Ids(clock))

    @property
    def writers(self) -> list[ThreadWriter]:
        """Return both writers."""
        writer = self.store.writer
        assert isinstance(writer, ThreadWriter)
        return [writer, self.writer]

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """Return engines that may look at both files."""
        return self.store.reader.engine, self._reading

    async def close(self) -> None:
        """Close everything, also when the disk is gone under it."""
        await self.store.close()
        self.journal.close()
        await self.writer.close()
        self._reading.dispose()
        self._writing.dispose()
        self._held.close()


class Machine:
    """One machine over its lives. ``weaken`` is run on every writing connection (the control that must fail)."""

    def __init__(self, base: Path, *, seed: int, vfs: PowerVfs, weaken: str = "") -> None:
        self.said = Said()
        self._chance = random.Random(seed)
        self._vfs = vfs
        self._weaken = weaken
        self._clock = StillClock()
        self._base = base
        self._life = 0
        self.root = base / "disk-0"
        self.root.mkdir()
        self.disk = self._fresh_disk()

    def _fresh_disk(self) -> Disk:
        return Disk(self.root, seed=self._chance.randrange(1 << 30))

    async def live_and_die(self) -> Cut:
        """Work until the power fails, look at what is left."""
        early = self._chance.random() < 0.2
        self.disk.cut_at = self.disk.number + self._chance.randint(1, 60 if early else 600)
        self.disk.cut_only = self._chance.choice((None, None, "sync"))
        before = self.said.total
        await self.live(self._chance.randint(1, 12))
        cut = await self.lose_power(kept=self._chance.choice(KEPT))
        cut.at_stake = self.said.total - before
        return cut

    async def live(self, rounds: int) -> None:
        """Open what is there, work for some rounds, close; the disk may say no at any point."""
        with self._vfs.under(self.disk), followed(self.disk), same_place(), suppress(PowerCut, DeskhandError):
            await self._live(rounds)

    async def live_through(self, failing: Callable[[int], Rule], *, after: int) -> list[str]:
        """Work while the disk says no after so many acts, then when it does not; return what went against the promise."""
        with self._vfs.under(self.disk), followed(self.disk), same_place():
            on = Open(self.root, self._clock)
            await self._prepare(on)
            await self.work(on)
            self.disk.rule = failing(self.disk.number + after)
            await self.work(on)
            await self.work(on)
            wrong = await self._unreadable(on)
            self.disk.rule = lambda _act, _path, _number: False
            before, self.said.refused = self.said.refused, Counter()
            await self.work(on)
            wrong += [f"still refused: {code}" for code in self.said.refused]
            self.said.refused = before
            partial = [one.name for one in (self.root / "home/blobs/partial").iterdir()]
            wrong += [f"half a file: {name}" for name in partial if not name.startswith("upl_")]
            await on.close()
        return wrong

    async def _unreadable(self, on: Open) -> list[str]:
        """Return what cannot be read although it was acknowledged."""
        page = await on.store.events(OWNER, after=0, limit=1_000_000)
        words = {str(event.body.get("text", "")).rstrip(".") for event in page.events}
        wrong = [f"unreadable {word}" for word in sorted(self.said.words - words)]
        steps = {step.n: step for step in on.journal.steps(KEY)}
        lost = [n for n, step in self.said.steps.items() if not same(step, steps.get(n))]
        return wrong + [f"unreadable step {n}" for n in lost]

    async def lose_power(self, *, kept: float) -> Cut:
        """Go on with what survives; return what is wrong with it."""
        self.disk.off = True
        act = self.disk.cut_in
        self._next_root()
        self.disk.survivors(self.root, kept=kept)
        wrong = await self.wrong()
        self.disk = self._fresh_disk()
        return Cut(act=act, kept=kept, wrong=wrong)

    def be_killed(self) -> None:
        """Go on as another process, with all that the cache holds."""
        self._next_root()
        self.disk = self.disk.after_a_kill(self.root)

    def _next_root(self) -> None:
        self._life += 1
        self.root = self._base / f"disk-{self._life}"

    async def _live(self, rounds: int) -> None:
        on = Open(self.root, self._clock)
        try:
            await self._prepare(on)
            for _ in range(rounds):
                if not self.disk.off:
                    await self.work(on)
        finally:
            with suppress(PowerCut, DeskhandError):
                await on.close()

    async def _prepare(self, on: Open) -> None:
        """Open the journal, begin the account once, make checkpoints frequent in some lives."""
        pages = self._chance.choice((8, 40, 1000))
        for writer in on.writers:
            await writer.do(lambda one: one.exec_driver_sql(f"PRAGMA wal_autocheckpoint={pages}"))
            connection = writer._connection
            if self._weaken and connection is not None:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute(self._weaken)
        if await on.store.head(A) == 0:
            await begun(on.store)
        await on.journal.open(home_identity=IDENTITY)
        self.said.incarnation = on.journal.incarnation
        if on.journal.attempt(KEY) is None:
            await on.journal.receive(ASSIGNED)

    async def work(self, on: Open) -> None:
        """Write in several lanes at once; keep what is acknowledged; what fails is refused and counted."""
        lanes = [*[self._say] * LANES, self._step, self._send, self._keep_blob, self._upload]
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(self._tried(lane(on)))

    async def _tried(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except DeskhandError as error:
            self.said.refused[error.code] += 1
        except PowerCut:
            assert self.disk.off

    async def _say(self, on: Open) -> None:
        word = f"word-{self._chance.randrange(1 << 60)}"
        op = op_of(word)

        def work(tx: SqlTx) -> None:
            seq = tx.emit(said(word + "." * self._chance.randrange(3000))).seq
            tx.remember_op(PHONE, op, OpResult(op_id=word, status="ok", seq=seq))

        await on.store.write(A, work)
        self.said.words.add(word)

    async def _step(self, on: Open) -> None:
        """Do the next thing of an attempt: a move, an intent, or its result."""
        state = fold(on.journal.steps(KEY))
        if state.open is not None:
            step = result_of(state.open)
        else:
            wish: JsonObject = {"n": state.next_n}
            kind = "tool" if isinstance(state.move, Wishes) else "move"
            result = None if kind == "tool" else move_to_json(MOVE)
            key = step_key(KEY.task, state.next_n, wish)
            step = Step(n=state.next_n, kind=kind, key=key, wish=wish, at="x", result=result)
        op = op_of(f"step-{step.n}-{self._chance.randrange(1 << 60)}")
        await on.journal.record(KEY, steps=[step], ops=[op], place=None)
        self.said.steps[step.n] = step
        self.said.ops.add(op.op_id)

    async def _send(self, on: Open) -> None:
        """Let the hub take some of the outbox."""
        rows = on.journal.outbox()[: self._chance.randrange(3)]
        self.said.sent |= {row.op.op_id for row in rows}
        on.journal.acknowledge(rows)
        await on.journal.tidy()

    async def _keep_blob(self, on: Open) -> None:
        data = self._chance.randbytes(self._chance.randrange(1, 40_000))

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 8192):
                yield data[start : start + 8192]

        name, _ = await on.blobs.put(pieces(), limit=1 << 20)
        self.said.blobs.add(name)

    async def _upload(self, on: Open) -> None:
        """Add to an upload, or begin another one; how far it came is acknowledged."""
        name = f"upl_{self._chance.randrange(4)}_{self._life // 3}"
        data = self._chance.randbytes(self._chance.randrange(1, 20_000))

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        offset = await on.blobs.partial(name)
        self.said.uploads[name] = await on.blobs.append(name, pieces(), offset=offset, limit=1 << 20)

    async def wrong(self) -> list[str]:
        """Open a copy of what survived as the product would, and say what is lost or broken.

        A copy, so that the next life recovers from the raw remains and may be cut in that.
        """
        judged = self._base / "judged"
        shutil.copytree(self.root, judged)
        try:
            on = Open(judged, self._clock)
            try:
                with same_place():
                    return [*await self._wrong_in_store(on), *await self._wrong_in_journal(on)]
            finally:
                await on.close()
        except DeskhandError as error:
            return [f"cannot be opened or read: {error.code}"]
        finally:
            shutil.rmtree(judged)

    async def _wrong_in_store(self, on: Open) -> list[str]:
        page = await on.store.events(OWNER, after=0, limit=1_000_000)
        seqs = [event.seq for event in page.events]
        words = Counter(str(event.body.get("text", "")).rstrip(".") for event in page.events)
        kept = await on.store.write(A, self._remembered) if seqs else set[str]()
        wrong = [f"lost {word}" for word in sorted(self.said.words - words.keys())]
        wrong += [f"forgotten {word}" for word in sorted(self.said.words - kept)]
        wrong += [f"twice {word}" for word in self.said.words if words[word] > 1]
        wrong += ["a gap in seq"] if seqs != list(range(1, len(seqs) + 1)) else []
        wrong += [f"blob lost {name}" for name in self.said.blobs if on.blobs.size(name) is None]
        for name in self.said.blobs:
            if on.blobs.size(name) is not None and await digest(on, name) != name:
                wrong.append(f"blob spoiled {name}")
        for name, offset in self.said.uploads.items():
            if await on.blobs.partial(name) < offset:
                wrong.append(f"upload {name} shorter than was said")
        if seqs:
            wrong += await on.store.verify(A)
        return wrong + integrity(on.engines[0])

    def _remembered(self, tx: SqlTx) -> set[str]:
        return {word for word in self.said.words if tx.op_result(PHONE, word)}

    async def _wrong_in_journal(self, on: Open) -> list[str]:
        await on.journal.open(home_identity=IDENTITY)
        steps = {step.n: step for step in on.journal.steps(KEY)}
        fold(steps.values())
        lost = [n for n, step in self.said.steps.items() if not same(step, steps.get(n))]
        wrong = [f"step {n} lost" for n in lost]
        waiting: set[str] = set()
        while rows := on.journal.outbox():
            waiting |= {row.op.op_id for row in rows}
            on.journal.acknowledge(rows)
        wrong += [f"op {op} lost" for op in sorted(self.said.ops - waiting - self.said.sent)]
        if self.said.incarnation and on.journal.incarnation != self.said.incarnation:
            wrong.append("another incarnation")
        return wrong + integrity(on.engines[1])


@contextmanager
def same_place() -> Generator[None]:
    """Let every disk of a machine count as the one on which its journal was made: our copies have other numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_module, "_inode", _one)
        yield


def _one(_: Connection) -> int:
    return 1


def same(acknowledged: Step, found: Step | None) -> bool:
    """Whether a row is there; an intent may have got its result meanwhile, a result stays as it is."""
    if found is None or found.key != acknowledged.key:
        return False
    return acknowledged.result is None or found.result == acknowledged.result


def result_of(step: Step) -> Step:
    """Return an intent with its result."""
    return Step(
        n=step.n,
        kind=step.kind,
        key=step.key,
        wish=step.wish,
        at=step.at,
        result={"outcome": "ok", "value": {}, "text": f"result of {step.n}"},
    )


def op_of(name: str) -> Op:
    """Return an op of this id."""
    return Op(op_id=name, kind="message.post", thread="thr_1", body={"text": name})


def integrity(engine: Engine) -> list[str]:
    """Return what SQLite itself finds broken."""

    with translated(), engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return [f"integrity: {line}" for line in found if line != "ok"] + [str(row) for row in broken]


async def digest(on: Open, name: str) -> str:
    """Return the hash of what a blob holds."""
    content = hashlib.sha256()
    async for piece in on.blobs.open(name):
        content.update(piece)
    return content.hexdigest()
