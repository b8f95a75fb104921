"""A runner's memory: one SQLite file that every order, intent, result and unsent op goes through.

What is not committed here has not happened. It refuses to write for an attempt that is over or has lost its epoch,
and counts its commits so that their number can be held down.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, Row, inspect

from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.limits import OPS_PER_BATCH_MAX, PROTOCOL
from deskhand.protocol.events import Event
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.ops import Life, Op
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import Json
from deskhand.store.engine import READS_ONLY, copy_sqlite, run_script, translated
from deskhand.store.tables import json_text
from deskhand.store.writer import Writer
from deskhand.workflow import orders
from deskhand.workflow.orders import run
from deskhand.workflow.rows import AttemptKey, AttemptRow, OutboxRow, Status, Step

R = TypeVar("R")
UPGRADES: Final[Mapping[int, Sequence[str]]] = {1: ()}
"""What brings a journal to each schema from the one before, statement by statement; the last one is ours. A journal
with a higher one is refused."""
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
    _heard: dict[tuple[str, str], list[Event]] = field(default_factory=dict[Any, Any])
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
            known: dict[str, str] = {r.name: r.value for r in run(connection, "facts")}
            if known.get("home") != identity:
                orders.begin_anew(connection, self.ids.new("inc"))
            kept = {"schema": str(schema), "home": identity, "protocol": str(PROTOCOL)}
            for name, value in kept.items():
                orders.put_meta(connection, name, value)
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
        stopped = await self._do(lambda connection: orders.begin_anew(connection, new))
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
        """Do as :func:`orders.change_log`, in one commit."""
        await self._do(lambda connection: orders.change_log(connection, log))

    async def receive(self, event: Event) -> tuple[AttemptKey, ...] | None:
        """Do as :func:`orders.receive`, in one commit."""
        op_id = self.ids.new("op")
        stopped = await self._do(lambda connection: orders.receive(connection, event, op_id=op_id))
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

    def decision(self, ref: str) -> Event | None:
        """Return the first valid decision about an approval or question."""
        text = self._value("decision", ref=ref)
        return Event.from_json(json.loads(text)) if text else None

    def steering(self, task: str, *, after: int) -> list[Event]:
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
            if status and run(connection, "write", **said).rowcount != 1:
                raise DeskhandError(Code.STALE_EPOCH, key.task)
            for step in steps:
                _put_step(connection, key, step)
            for op in ops:
                orders.put_op(connection, op, key=key)
            if status == "finished" and place and ops:
                orders.put_meta(connection, f"place/{ops[-1].thread}", place)

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
                run(connection, "refuse", n=row.n, code=code)
            for key in lost:
                orders.stop(connection, status="superseded", task=key.task, below=key.epoch + 1)

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

    def _orders(self, task: str, kind: str) -> list[Event]:
        """Return the orders of one kind about a task."""
        if (task, kind) not in self._heard:
            found = self._rows("orders", task=task, kind=kind)
            self._heard[task, kind] = [Event.from_json(json.loads(row.event)) for row in found]
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
                return run(self._reading, statement, **asked).all()
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
                run(connection, "forget", n=row.n)
                if row.op.kind == "task.accept":
                    run(connection, "accept", **asdict(row.key))
            return work(connection)

        result = await self.writer.do(all_of_it)
        self.commits += 1
        for n in acknowledged:
            self._acknowledged.pop(n, None)
        return result


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
    if run(connection, "step", **row).rowcount != 1:
        raise DeskhandError(Code.CONFLICT, f"step {step.n}")


def _step(row: Row[Any]) -> Step:
    said = {"wish": json.loads(row.wish), "result": row.result and json.loads(row.result)}
    return Step(**{**row._asdict(), **said})  # pyright: ignore[reportPrivateUsage] - public, as a named tuple's
