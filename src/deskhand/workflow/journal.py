"""A runner's memory: one SQLite file that every order, intent, result and unsent op goes through.

What is not committed here has not happened; what an order means is in the one transaction that stores it. It refuses to
write for an attempt that is over or has lost its epoch, counts its commits so that their number can be held down, and
refuses to believe a decision that does not name exactly what was asked: such an order is stored, and decides nothing. A
journal that came out of a backup begins another life, in which no yes of the old one counts: the permission may have
been used since.

Its workflow starts every attempt that is ready, as many as fit, fairly between threads. Readiness is read from the
journal each time, never remembered, so a restart needs no other path. It refuses to run two drivers for one attempt, and
to let one attempt's failure touch another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Row, inspect, text

from deskhand.clock import Ids
from deskhand.errors import Code, DeskhandError
from deskhand.limits import OPS_PER_BATCH_MAX, PROTOCOL
from deskhand.protocol import events as ev
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.ops import Life, Op
from deskhand.protocol.tasks import Brief, TaskState
from deskhand.protocol.wire import Json
from deskhand.store.engine import READS_ONLY, Writer, copy_sqlite, run_script, translated
from deskhand.store.tables import json_text
from deskhand.workflow.rows import AttemptKey, AttemptRow, OutboxRow, Status, Step

R = TypeVar("R")
Drive = Callable[[AttemptKey], Awaitable[None]]
"""Takes an attempt as far as it goes now: to its end, or to a wait."""
_log = logging.getLogger(__name__)
UPGRADES: Final[Mapping[int, Sequence[str]]] = {1: ()}
"""What brings a journal to each schema from the one before, statement by statement; the last one is ours. A journal
with a higher one is refused."""
_SAID: Final = Path(__file__).with_name("journal.sql").read_text("utf-8")
_PARTS: Final = re.split(r"^-- (\w+)(?::.*)?\n", _SAID, flags=re.MULTILINE)
_STATEMENTS: Final = dict(zip(_PARTS[1::2], map(text, _PARTS[2::2]), strict=True))
_SEND_BYTES_MAX: Final = 768 * 1024


@dataclass(kw_only=True, eq=False)
class Journal:
    """The journal of one runner: read through the engine, on one connection, and written by the writer, in one file.

    ``commits`` counts; ``incarnation`` is the id of this home's present life, empty before ``open``; ``on_outbox``
    is called when there may be something to send. ``upgrades`` bring an older journal to the present schema.
    """

    engine: Engine
    writer: Writer
    ids: Ids
    upgrades: Mapping[int, Sequence[str]] = field(default_factory=lambda: UPGRADES)
    on_outbox: Callable[[], None] = lambda: None
    commits: int = 0
    incarnation: str = ""
    _said: str = ""
    _born: str = ""
    _reading: Connection | None = None
    _heard: dict[tuple[str, str], list[ev.Event]] = field(default_factory=dict[Any, Any])
    _settings: dict[str, Json] = field(default_factory=dict[str, Json])
    """What was read of orders since the last one came in: each turn asks for the same many times."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _acknowledged: dict[int, OutboxRow] = field(default_factory=dict[int, OutboxRow])

    async def open(self, *, home_identity: str) -> None:
        """Create, check or upgrade the tables, and notice a home that was copied or restored.

        A home that is not where it was gets a new incarnation: its outbox may have been sent by another copy, so it
        is emptied, and what was under way is no longer this runner's.

        Raises:
            DeskhandError: ``schema_newer``.
        """
        self._forget_orders()
        schema = max(self.upgrades)
        with translated():
            begun = inspect(self.engine).has_table("meta")
        stored = int((begun and self._known("schema")) or schema)
        if stored > schema:
            raise DeskhandError(Code.SCHEMA_NEWER, f"journal {stored}")
        if stored < schema:
            with translated(), self.engine.connect() as connection:
                if path := _file(connection):
                    named = f"{path.stem}.before-upgrade-from-{stored}{path.suffix}"
                    copy_sqlite(path, path.with_name(named))

        def work(connection: Connection) -> None:
            for number in range(stored + 1, schema + 1):
                for statement in self.upgrades[number]:
                    connection.exec_driver_sql(statement)
            run_script(connection, Path(__file__).with_name("tables.sql"))
            identity = f"{home_identity}:{_inode(connection)}"
            known: dict[str, str] = {r.name: r.value for r in _run(connection, "facts")}
            if known.get("home") != identity:
                _begin_anew(connection, self.ids.new("inc"))
            kept = {"schema": str(schema), "home": identity, "protocol": str(PROTOCOL)}
            for name, value in kept.items():
                put_meta(connection, name, value)
            self._said = known.get("said", "")

        await self._do(work)
        self._born = self.ids.new("op")
        self.incarnation = self._known("incarnation") or ""

    @property
    def life(self) -> Life:
        """Return what tells the hub in which life of this home something is said."""
        return Life(incarnation=self.incarnation, said=self._said, born=self._born)

    async def begin_anew(self) -> tuple[AttemptKey, ...]:
        """Begin a new life, because this memory is older than what was said; return what must not go on."""
        new = self.ids.new("inc")
        stopped = await self._do(lambda connection: _begin_anew(connection, new))
        self.incarnation = self._known("incarnation") or ""
        return stopped

    def close(self) -> None:
        """Close the reading connection; the writer is its owner's to close."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    @property
    def cursor(self) -> int:
        """Return the seq of the last order that is stored."""
        return int(self._known("cursor") or 0)

    @property
    def log(self) -> str:
        """Return the name of the log that orders come from; a hub that was never restored has none."""
        return self._known("log") or ""

    async def change_log(self, log: str) -> None:
        """Take orders from another log, from its beginning: its numbers mean other events.

        The orders of the old one keep their place before it. What was ordered already comes to nothing a second time.
        """

        def work(connection: Connection) -> None:
            put_meta(connection, "log", log)
            put_meta(connection, "cursor", "0")
            _run(connection, "move_down")

        await self._do(work)

    async def receive(self, event: ev.Event) -> tuple[AttemptKey, ...] | None:
        """Store an order with its consequences, move the cursor, and return the attempts that must not go on.

        An order that is there already changes nothing, and returns nothing. One of an unknown kind or shape is kept,
        moves the cursor and means nothing.
        """
        op_id = self.ids.new("op")
        stopped = await self._do(lambda connection: _receive(connection, event, op_id=op_id))
        self._forget_orders()
        self.on_outbox()
        return stopped

    def _forget_orders(self) -> None:
        self._settings.clear()
        self._heard.clear()

    def attempt(self, key: AttemptKey) -> AttemptRow | None:
        """Return an attempt."""
        return next(self._attempts("attempt", **asdict(key)), None)

    def latest(self, task: str) -> AttemptRow | None:
        """Return the newest attempt of a task."""
        return next(self._attempts("latest", task=task), None)

    def ready(self) -> list[AttemptRow]:
        """Return the attempts that have all they waited for, oldest first."""
        return [*self._attempts("ready")]

    def steps(self, key: AttemptKey) -> list[Step]:
        """Return the step rows of an attempt in order."""
        return [*map(_step, self._rows("steps", **asdict(key)))]

    def place_of(self, thread: str, *, but: str) -> str | None:
        """Return where the last results of a thread went, unless another task than ``but`` works there now."""
        return self._value("place", thread=thread, but=but)

    def paused(self, key: AttemptKey) -> bool:
        """Return whether the owner stopped the clock of an attempt."""
        return bool(self._value("paused", **asdict(key)))

    def decision(self, ref: str) -> ev.Event | None:
        """Return the first valid decision about an approval or question."""
        text = self._value("decision", ref=ref)
        return ev.Event.from_json(json.loads(text)) if text else None

    def steering(self, task: str, *, after: int) -> list[ev.Event]:
        """Return what a person said to the task while it was under way."""
        return [one for one in self._orders(task, "message.posted") if one.seq > after]

    def criteria(self, task: str) -> tuple[str, ...] | None:
        """Return the criteria as the owner last edited them, if they did."""
        said = [order.body.get("criteria") for order in self._orders(task, "task.edited")]
        edits = [criteria for criteria in said if isinstance(criteria, list)]
        return tuple(map(str, edits[-1])) if edits else None

    async def record(
        self,
        key: AttemptKey,
        *,
        steps: Sequence[Step] = (),
        ops: Sequence[Op] = (),
        status: Status | None = "open",
        place: str | None,
    ) -> None:
        """Write step rows, results and ops of an attempt in one commit; without a status, of one that is over.

        Raises:
            DeskhandError: ``stale_epoch`` when the attempt is over or has lost its epoch; ``conflict`` when a
                result is already there.
        """

        def work(connection: Connection) -> None:
            said = {"status": status, "place": place, **asdict(key)}
            if status and _run(connection, "write", **said).rowcount != 1:
                raise DeskhandError(Code.STALE_EPOCH, key.task)
            for step in steps:
                _put_step(connection, key, step)
            for op in ops:
                put_op(connection, op, key=key)
            if status == "finished" and place and ops:
                put_meta(connection, f"place/{ops[-1].thread}", place)

        await self._do(work)
        if ops:
            self.on_outbox()

    def in_doubt(self) -> list[tuple[AttemptRow, Step]]:
        """Return the effects that a cancellation cut off and of which nobody was told."""
        return [(one, self.steps(one.key)[-1]) for one in self._attempts("cut_off")]

    async def tell(self, key: AttemptKey, op: Op, *, of: Step | None = None) -> None:
        """Say something of an attempt that is over; ``of`` such an effect it is noted that its owner is told."""
        await self.record(key, steps=[of] if of else [], ops=[op], status=None, place=None)

    def outbox(self) -> list[OutboxRow]:
        """Return the oldest unsent ops, as many as one request may carry."""
        found: list[OutboxRow] = []
        size = 0
        taken = json.dumps([*self._acknowledged])
        for row in self._rows("unsent", taken=taken, most=OPS_PER_BATCH_MAX):
            size += len(row.op)
            if found and size > _SEND_BYTES_MAX:
                break
            key = AttemptKey(task=row.task, epoch=row.epoch)
            found.append(OutboxRow(n=row.n, key=key, op=Op.from_json(json.loads(row.op))))
        return found

    def acknowledge(self, rows: Sequence[OutboxRow]) -> None:
        """Note what the hub took; it leaves the disk with the next commit, and would at worst be sent again."""
        self._acknowledged |= {row.n: row for row in rows}

    async def tidy(self) -> None:
        """Let acknowledged ops leave the disk now, if there are any."""
        if self._acknowledged:
            await self._do(lambda _: None)

    async def refuse(self, rows: Sequence[tuple[OutboxRow, str]], *, lost: Sequence[AttemptKey]) -> None:
        """Mark what the hub will never take, with its code, and the attempts that are no longer ours."""

        def work(connection: Connection) -> None:
            for row, code in rows:
                _run(connection, "refuse", n=row.n, code=code)
            for key in lost:
                _stop(connection, status="superseded", task=key.task, below=key.epoch + 1)

        await self._do(work)

    def refused(self) -> list[tuple[str, str]]:
        """Return (op id, code) of what the hub will never take."""
        return [(row.op_id, row.refused) for row in self._rows("refused")]

    def narrowed(self, folder: str) -> list[FolderMode | None]:
        """Return how far the hub narrows a folder and the account all of them, if they said so; ``None``: not at all.

        From whatever thread: an effect asks right before each change.
        """
        names = (f"folder/{folder}", "setting/ceiling.mode")
        said = [json.loads(one) for name in names if (one := self._known(name))]
        return [FolderMode(mode) if mode in tuple(FolderMode) else None for mode in said]

    def setting(self, name: str) -> Json:
        """Return a setting of the account, or nothing."""
        if name not in self._settings:
            said = self._known(f"setting/{name}")
            self._settings[name] = json.loads(said) if said else None
        return self._settings[name]

    def _known(self, name: str) -> str | None:
        """Return one fact that was kept."""
        return self._value("fact", name=name)

    def _orders(self, task: str, kind: str) -> list[ev.Event]:
        """Return the orders of one kind about a task."""
        if (task, kind) not in self._heard:
            found = self._rows("orders", task=task, kind=kind)
            self._heard[task, kind] = [ev.Event.from_json(json.loads(row.event)) for row in found]
        return self._heard[task, kind]

    def _attempts(self, statement: str, /, **asked: object) -> Iterator[AttemptRow]:
        for row in self._rows(statement, **asked):
            yield AttemptRow(
                key=AttemptKey(task=row.task, epoch=row.epoch),
                brief=Brief.from_json(json.loads(row.brief)),
                status=row.status,
                accepted=bool(row.accepted),
                paused=bool(row.paused),
                place=row.place,
            )

    def _rows(self, statement: str, /, **asked: object) -> Sequence[Row[Any]]:
        """Read on a connection that stays open: SQLite answers in microseconds, opening a file does not."""
        with translated(), self._lock:
            self._reading = self._reading or self.engine.connect().execution_options(**{READS_ONLY: True})
            try:
                return _run(self._reading, statement, **asked).all()
            finally:
                self._reading.rollback()

    def _value(self, statement: str, /, **asked: object) -> Any:  # noqa: ANN401 - whatever the one column holds
        """Return the first column of the first row, or nothing."""
        found = self._rows(statement, **asked)
        return found[0][0] if found else None

    async def _do(self, work: Callable[[Connection], R]) -> R:
        """Commit work, and with it what the hub has acknowledged since: it leaves, and says what was accepted."""
        acknowledged = dict(self._acknowledged)

        def all_of_it(connection: Connection) -> R:
            for row in acknowledged.values():
                _run(connection, "forget", n=row.n)
                if row.op.kind == "task.accept":
                    _run(connection, "accept", **asdict(row.key))
            return work(connection)

        result = await self.writer.do(all_of_it)
        self.commits += 1
        for n in acknowledged:
            self._acknowledged.pop(n, None)
        return result


def put_op(connection: Connection, op: Op, *, key: AttemptKey) -> None:
    """Put an op into the outbox, and keep which one was the last for ever."""
    _run(connection, "put", op_id=op.op_id, op=json_text(op.to_json()), **asdict(key))
    _run(connection, "keep_highest", name="said", value=op.op_id)


def put_meta(connection: Connection, name: str, value: str) -> None:
    """Keep one fact: about the journal itself, or what the hub said of a setting or folder."""
    _run(connection, "keep", name=name, value=value)


def settle_journal(connection: Connection) -> None:
    """Let the next ``open`` begin a new life, and take back what was allowed in attempts that are not over."""
    for statement in ("forget_home", "forget_unused_yes", "narrow_yes"):
        _run(connection, statement)


def _run(connection: Connection, statement: str, /, **asked: object) -> CursorResult[Any]:
    """Run a statement of ``journal.sql`` with what it asks for."""
    return connection.execute(_STATEMENTS[statement], asked)


def _receive(connection: Connection, event: ev.Event, *, op_id: str) -> tuple[AttemptKey, ...] | None:
    try:
        body = ev.body_of(event)
    except DeskhandError:
        body = None
    row = {
        "seq": event.seq,
        "kind": event.kind,
        "task": event.task,
        "ref": _decided(connection, body),
        "event": json_text(event.to_json()),
    }
    if _run(connection, "receive", **row).rowcount != 1:
        return None
    put_meta(connection, "cursor", str(event.seq))
    return _follow(connection, event, body, op_id)


def _begin(connection: Connection, brief: Brief, *, seq: int, op_id: str) -> tuple[AttemptKey, ...]:
    """Store an attempt and the op that accepts it; older attempts of the task have lost their epoch.

    It takes over what the last of them did, so that no effect is done twice; waits without a decision stay behind.
    """
    task, epoch = brief.task, brief.epoch
    stopped = _stop(connection, status="superseded", task=task, below=epoch)
    newest = _run(connection, "newest", task=task).scalar() or 0
    if newest == epoch:  # the same attempt, assigned again after a pause
        _run(connection, "pause", task=task, paused=False)
    if newest >= epoch:
        return stopped
    before = _run(connection, "superseded", task=task).first()
    place = before.place if before else None
    said = json_text(brief.to_json())
    _run(connection, "begin", task=task, epoch=epoch, brief=said, place=place, received=seq)
    if before is not None:
        _run(connection, "drop_waits", task=task, epoch=before.epoch)
        _run(connection, "adopt", task=task, epoch=before.epoch, to=epoch)
    accept = Op(op_id=op_id, kind="task.accept", thread=brief.thread, task=task, body={"epoch": epoch})
    put_op(connection, accept, key=AttemptKey(task=task, epoch=epoch))
    return stopped


def _stop(connection: Connection, *, status: Status, task: str | None = None, below: int = 0) -> tuple[AttemptKey, ...]:
    """Mark the open attempts of a task below an epoch, or of all tasks, as over, and return them."""
    found = _run(connection, "open_ones", task=task, below=below).all()
    keys = tuple(AttemptKey(task=row.task, epoch=row.epoch) for row in found)
    for key in keys:
        _run(connection, "end", status=status, **asdict(key))
    return keys


def _begin_anew(connection: Connection, incarnation: str) -> tuple[AttemptKey, ...]:
    """Begin another life of this home, which sends nothing of the former one, and return what it held."""
    old = _run(connection, "fact", name="incarnation").scalar() or ""
    put_meta(connection, "incarnation", max(incarnation, f"{old}0"))  # a clock may have gone back
    _run(connection, "forget_all")
    return _stop(connection, status="superseded")


def _follow(connection: Connection, event: ev.Event, body: ev.Body | None, op_id: str) -> tuple[AttemptKey, ...]:
    """Do what an order says, as far as it concerns the journal; return the attempts it stops."""
    task = event.task or ""
    match body:
        case ev.TaskAssigned():
            brief = body.brief.but(epoch=body.epoch)
            return _begin(connection, brief, seq=event.seq, op_id=op_id)
        case ev.TaskFinished(state=TaskState.CANCELED):  # any other end is the echo of our own
            return _stop(connection, status="canceled", task=task, below=body.epoch + 1)
        case ev.TaskPaused() | ev.TaskResumed():
            _run(connection, "pause", task=task, paused=isinstance(body, ev.TaskPaused))
        case ev.FolderPut(folder=folder):
            mode = folder.mode if folder.state == "granted" else None
            put_meta(connection, f"folder/{folder.id}", json_text(mode))
        case ev.FolderRemoved():
            put_meta(connection, f"folder/{body.folder}", json_text(None))
        case ev.SettingChanged():
            put_meta(connection, f"setting/{body.name}", json_text(body.value))
        case _:
            pass
    return ()


def _decided(connection: Connection, body: ev.Body | None) -> str | None:
    """Return the approval or question that this order validly decides, for the first time."""
    match body:
        case ev.ApprovalDecided(approval=ref) | ev.QuestionAnswered(question=ref):
            wish = _run(connection, "undecided", ref=ref).scalar()
        case _:
            return None
    if wish is None or isinstance(body, ev.QuestionAnswered):
        return ref if wish else None
    asked = json.loads(wish).get("approval", {})
    same = asked.get("action_sha256") == body.action_sha256
    return ref if same and body.scope in asked.get("scopes", ()) else None


def _file(connection: Connection) -> Path | None:
    """Return the file that this is; a journal in memory has none."""
    file = Path(str(connection.exec_driver_sql("PRAGMA database_list").all()[0][2]))
    return file if file.is_file() else None


def _inode(connection: Connection) -> int:
    """Return which file this is: one that was put back is another one, where nothing else changed."""
    file = _file(connection)
    return file.stat().st_ino if file else 0


def _put_step(connection: Connection, key: AttemptKey, step: Step) -> None:
    """Insert a row, or give the open one its result; a result is never replaced."""
    result = None if step.result is None else json_text(step.result)
    row = asdict(step) | asdict(key) | {"wish": json_text(step.wish), "result": result}
    if _run(connection, "step", **row).rowcount != 1:
        raise DeskhandError(Code.CONFLICT, f"step {step.n}")


def _step(row: Row[Any]) -> Step:
    said = {"wish": json.loads(row.wish), "result": row.result and json.loads(row.result)}
    return Step(**{**row._asdict(), **said})  # pyright: ignore[reportPrivateUsage] - public, as a named tuple's


class LocalWorkflow:
    """Drives attempts of one journal, ``slots`` at once."""

    def __init__(self, *, journal: Journal, drive: Drive, slots: int) -> None:
        self._journal = journal
        self._drive = drive
        self._slots = slots
        self._group = asyncio.TaskGroup()
        self._running: dict[AttemptKey, asyncio.Task[None]] = {}
        self._again: set[AttemptKey] = set()
        self._closing = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Accept work until the block ends, then stop every driver; what they did is in the journal."""
        with _alone():
            async with self._group:
                try:
                    yield
                finally:
                    self._closing = True
                    for running in self._running.values():
                        running.cancel()

    @property
    def under_way(self) -> frozenset[AttemptKey]:
        """Return the attempts that are being driven now."""
        return frozenset(self._running)

    async def advance_ready(self) -> None:
        """Go on with every attempt that has what it waited for."""
        if not self._closing:
            ready = self._journal.ready()
            self._again |= {row.key for row in ready} & self._running.keys()
            self._fill([row for row in ready if row.key not in self._running])

    async def halt(self, keys: Sequence[AttemptKey]) -> None:
        """End the drivers of attempts that the journal has stopped already, and wait until they are gone."""
        drivers = [self._running[key] for key in keys if key in self._running]
        for driver in drivers:
            driver.cancel()
        if drivers:
            await asyncio.wait(drivers)

    def _fill(self, waiting: list[AttemptRow]) -> None:
        """Drive them, as many as there are slots: first the oldest of the thread that has the least under way."""
        while waiting and len(self._running) < self._slots:
            load = Counter(driver.get_name() for driver in self._running.values())
            row = min(waiting, key=lambda row: load[row.brief.thread])
            waiting.remove(row)
            driver = self._group.create_task(self._guarded(row.key), name=row.brief.thread)
            self._running[row.key] = driver

    async def _guarded(self, key: AttemptKey) -> None:
        """Drive one attempt; whatever it raises ends this driver only."""
        try:
            await self._drive(key)
        except Exception as error:  # noqa: BLE001 - whatever one attempt does, the others go on
            if not (isinstance(error, DeskhandError) and error.code is Code.STALE_EPOCH):
                _log.exception("attempt.stopped")
        finally:
            del self._running[key]
        repeat = key in self._again
        self._again.discard(key)
        if not self._closing:
            # The same attempt goes on at once only if something came in for it while it was ending.
            ready = [row for row in self._journal.ready() if row.key not in self._running]
            self._fill([row for row in ready if repeat or row.key != key])


async def together(*works: Coroutine[Any, Any, R]) -> list[R]:
    """Return the results in order.

    Raises:
        Exception: the first error of any of them, alone.
    """
    with _alone():
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(work) for work in works]
    return [task.result() for task in running]


@contextmanager
def _alone() -> Generator[None]:
    """Raise the first error of several as itself."""
    try:
        yield
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
