"""A runner's memory: one SQLite file that every order, intent, result and unsent op goes through.

What is not committed here has not happened. It refuses to write for an attempt that is over or has lost its epoch,
and counts its commits so that their number can be held down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine, Row, delete, exists, func, select, update
from sqlalchemy.dialects.sqlite import insert

from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.limits import OPS_PER_BATCH_MAX, PROTOCOL
from deskhand.ports import Effect
from deskhand.protocol.events import Event
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.ops import Op
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import Json, JsonObject
from deskhand.workflow import orders
from deskhand.workflow.rows import (
    AttemptKey,
    AttemptRow,
    OutboxRow,
    Received,
    Status,
    Step,
    StepKind,
)
from deskhand.workflow.tables import (
    ATTEMPTS,
    HUB_FOLDERS,
    INBOX,
    META,
    METADATA,
    OUTBOX,
    SCHEMA,
    SETTINGS,
    STEPS,
)

R = TypeVar("R")
_SEND_BYTES_MAX: Final = 768 * 1024


class Writer(Protocol):
    """Runs work in a transaction on the one writing thread and returns after a durable commit."""

    async def do(self, work: Callable[[Connection], R]) -> R:
        """Return what ``work`` returned, once it is on the disk; what it raises undoes it."""
        ...


class Journal:
    """The journal of one runner.

    Args:
        engine: for reading, on one connection of the loop's thread; the same file as the writer's.
        writer: for writing.
        ids: makes the ids of ops that follow from orders.
    """

    def __init__(self, *, engine: Engine, writer: Writer, ids: Ids) -> None:
        """Keep the parts; ``open`` comes next."""
        self._engine = engine
        self._reading: Connection | None = None
        self._writer = writer
        self._ids = ids
        self.commits = 0
        self.on_outbox: Callable[[], None] = _nothing
        self._meta: dict[str, str] = {}
        self._acknowledged: dict[int, OutboxRow] = {}

    async def open(self, *, home_identity: str) -> None:
        """Create or check the tables, and notice a home that was copied or restored.

        A home that is not where it was gets a new incarnation: its outbox may have been sent by another copy, so it
        is emptied, and what was under way is no longer this runner's.

        Raises:
            DeskhandError: ``schema_newer``.
        """

        def work(connection: Connection) -> dict[str, str]:
            METADATA.create_all(connection)
            known = {row.name: row.value for row in connection.execute(select(META))}
            if int(known.get("schema", SCHEMA)) > SCHEMA:
                raise DeskhandError(Code.SCHEMA_NEWER, f"journal {known['schema']}")
            if known.get("home") != home_identity:
                known["incarnation"] = self._ids.new("inc")
                connection.execute(delete(OUTBOX))
                connection.execute(
                    update(ATTEMPTS).where(ATTEMPTS.c.status == "open").values(status="superseded")
                )
            known |= {"schema": str(SCHEMA), "home": home_identity, "protocol": str(PROTOCOL)}
            for name, value in known.items():
                orders.put_meta(connection, name, value)
            return known

        self._meta = await self._do(work)

    @property
    def is_open(self) -> bool:
        """Whether ``open`` has been done."""
        return bool(self._meta)

    @property
    def incarnation(self) -> str:
        """Return the id of this home's present life."""
        return self._meta["incarnation"]

    # --- orders in

    @property
    def cursor(self) -> int:
        """Return the seq of the last order that is stored."""
        with self._read() as connection:
            value = connection.scalar(select(META.c.value).where(META.c.name == "cursor"))
        return int(value or 0)

    async def receive(self, event: Event) -> Received:
        """Store an order, its first consequences and the cursor in one commit; again is nothing."""
        op_id = self._ids.new("op")
        received = await self._do(lambda connection: orders.receive(connection, event, op_id=op_id))
        self.on_outbox()
        return received

    async def begin(self, brief: Brief) -> None:
        """Store an attempt that did not come by an order; the same task and epoch again is nothing."""
        op_id = self._ids.new("op")
        await self._do(lambda connection: orders.begin(connection, brief, seq=0, op_id=op_id))
        self.on_outbox()

    async def stop(self, task: str, *, below: int, status: Status) -> tuple[AttemptKey, ...]:
        """Mark every open attempt of the task below an epoch as over; return them."""
        return await self._do(
            lambda connection: orders.stop(connection, task, below=below, status=status)
        )

    # --- attempts

    def attempt(self, key: AttemptKey) -> AttemptRow | None:
        """Return an attempt."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.task == key.task, ATTEMPTS.c.epoch == key.epoch)
        with self._read() as connection:
            row = connection.execute(query).first()
        return _attempt(row) if row else None

    def open_attempts(self) -> list[AttemptRow]:
        """Return every attempt that is not over, oldest first."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.status == "open").order_by(ATTEMPTS.c.received)
        with self._read() as connection:
            return [_attempt(row) for row in connection.execute(query)]

    def ready(self) -> list[AttemptRow]:
        """Return the attempts that have all they waited for, oldest first."""
        decided = exists().where(INBOX.c.ref == STEPS.c.ref)
        waits = exists().where(
            STEPS.c.task == ATTEMPTS.c.task,
            STEPS.c.epoch == ATTEMPTS.c.epoch,
            STEPS.c.kind == "wait",
            STEPS.c.result.is_(None),
            ~decided,
        )
        query = (
            select(ATTEMPTS)
            .where(ATTEMPTS.c.status == "open", ~ATTEMPTS.c.paused, ~waits)
            .order_by(ATTEMPTS.c.received)
        )
        with self._read() as connection:
            return [_attempt(row) for row in connection.execute(query)]

    def steps(self, key: AttemptKey) -> list[Step]:
        """Return the step rows of an attempt in order."""
        query = (
            select(STEPS)
            .where(STEPS.c.task == key.task, STEPS.c.epoch == key.epoch)
            .order_by(STEPS.c.n)
        )
        with self._read() as connection:
            return [_step(row) for row in connection.execute(query)]

    def paused(self, key: AttemptKey) -> bool:
        """Return whether the owner stopped the clock of an attempt."""
        query = select(ATTEMPTS.c.paused).where(
            ATTEMPTS.c.task == key.task, ATTEMPTS.c.epoch == key.epoch
        )
        with self._read() as connection:
            return bool(connection.scalar(query))

    def follows(self, key: AttemptKey) -> bool:
        """Return whether another attempt of the task lost its epoch here before this one."""
        query = select(ATTEMPTS.c.epoch).where(
            ATTEMPTS.c.task == key.task,
            ATTEMPTS.c.epoch < key.epoch,
            ATTEMPTS.c.status == "superseded",
        )
        with self._read() as connection:
            return connection.execute(query).first() is not None

    def decision(self, ref: str) -> Event | None:
        """Return the first valid decision about an approval or question."""
        query = select(INBOX.c.event).where(INBOX.c.ref == ref).order_by(INBOX.c.seq)
        with self._read() as connection:
            text = connection.scalar(query)
        return Event.from_json(json.loads(text)) if text else None

    def steering(self, task: str, *, after: int) -> list[Event]:
        """Return what a person said to the task while it was under way."""
        query = (
            select(INBOX.c.event)
            .where(INBOX.c.task == task, INBOX.c.kind == "message.posted", INBOX.c.seq > after)
            .order_by(INBOX.c.seq)
        )
        with self._read() as connection:
            return [Event.from_json(json.loads(text)) for text in connection.scalars(query)]

    def criteria(self, task: str) -> tuple[str, ...] | None:
        """Return the criteria as the owner last edited them, if they did."""
        query = (
            select(INBOX.c.event)
            .where(INBOX.c.task == task, INBOX.c.kind == "task.edited")
            .order_by(INBOX.c.seq.desc())
        )
        with self._read() as connection:
            for text in connection.scalars(query):
                found = Event.from_json(json.loads(text)).body.get("criteria")
                if isinstance(found, list):
                    return tuple(str(item) for item in found)
        return None

    async def record(
        self,
        key: AttemptKey,
        *,
        steps: Sequence[Step] = (),
        ops: Sequence[Op] = (),
        status: Status = "open",
        place: str | None = None,
    ) -> None:
        """Write step rows, results and ops of an attempt in one commit.

        Raises:
            DeskhandError: ``stale_epoch`` when the attempt is over or has lost its epoch; ``conflict`` when a
                result is already there.
        """
        changes: dict[str, object] = {"status": status}
        if place is not None:
            changes["place"] = place

        def work(connection: Connection) -> None:
            mine = (
                ATTEMPTS.c.task == key.task,
                ATTEMPTS.c.epoch == key.epoch,
                ATTEMPTS.c.status == "open",
            )
            if connection.execute(update(ATTEMPTS).where(*mine).values(**changes)).rowcount != 1:
                raise DeskhandError(Code.STALE_EPOCH, key.task)
            for step in steps:
                _put_step(connection, key, step)
            for op in ops:
                orders.put_op(connection, op, key=(key.task, key.epoch))

        await self._do(work)
        if ops:
            self.on_outbox()

    async def adopt(self, key: AttemptKey) -> bool:
        """Take over the rows of the task's last superseded attempt, so that no effect of it is done twice.

        Waits without a decision stay behind: their approvals belonged to the old epoch.
        """
        return await self._do(lambda connection: orders.adopt(connection, key.task, key.epoch))

    # --- ops out

    def outbox(self, *, limit: int = OPS_PER_BATCH_MAX) -> list[OutboxRow]:
        """Return the oldest unsent ops, as many as one request may carry."""
        query = (
            select(OUTBOX)
            .where(OUTBOX.c.refused.is_(None), OUTBOX.c.n.not_in(list(self._acknowledged)))
            .order_by(OUTBOX.c.n)
            .limit(limit)
        )
        found: list[OutboxRow] = []
        size = 0
        with self._read() as connection:
            for row in connection.execute(query):
                size += len(row.op)
                if found and size > _SEND_BYTES_MAX:
                    break
                found.append(_outbox(row))
        return found

    def acknowledge(self, rows: Sequence[OutboxRow]) -> None:
        """Note what the hub took; it leaves the disk with the next commit, and would at worst be sent again."""
        self._acknowledged |= {row.n: row for row in rows}

    async def tidy(self) -> None:
        """Let acknowledged ops leave the disk now, if there are any."""
        if self._acknowledged:
            await self._do(_nothing_more)

    async def refuse(self, rows: Sequence[tuple[OutboxRow, str]]) -> None:
        """Mark what the hub will never take, with its code."""

        def work(connection: Connection) -> None:
            for row, code in rows:
                connection.execute(update(OUTBOX).where(OUTBOX.c.n == row.n).values(refused=code))

        await self._do(work)

    def unsent(self) -> int:
        """Return how many ops wait to be sent."""
        query = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.refused.is_(None))
        with self._read() as connection:
            return (connection.scalar(query) or 0) - len(self._acknowledged)

    def refused(self) -> list[tuple[str, str]]:
        """Return (op id, code) of what the hub will never take."""
        query = select(OUTBOX.c.op_id, OUTBOX.c.refused).where(OUTBOX.c.refused.is_not(None))
        with self._read() as connection:
            return [(row.op_id, row.refused) for row in connection.execute(query)]

    # --- what the hub said about folders and settings

    def hub_folders(self) -> dict[str, FolderMode | None]:
        """Return how far the hub narrows each folder it spoke of; nothing means: not at all any more."""
        with self._read() as connection:
            return {
                row.id: FolderMode(row.mode) if row.state == "granted" else None
                for row in connection.execute(select(HUB_FOLDERS))
            }

    def setting(self, name: str) -> Json:
        """Return a setting of the account, or nothing."""
        query = select(SETTINGS.c.value).where(SETTINGS.c.name == name)
        with self._read() as connection:
            text = connection.scalar(query)
        return cast("Json", json.loads(text)) if text else None

    def close(self) -> None:
        """Close the reading connection; the writer is its owner's to close."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    @contextmanager
    def _read(self) -> Generator[Connection]:
        """Read on a connection that stays open: SQLite answers in microseconds, opening a file does not."""
        connection = self._reading = self._reading or self._engine.connect()
        try:
            yield connection
        finally:
            if connection.in_transaction():
                connection.rollback()

    async def _do(self, work: Callable[[Connection], R]) -> R:
        """Commit work, and with it what the hub has acknowledged since."""
        acknowledged = dict(self._acknowledged)

        def all_of_it(connection: Connection) -> R:
            _forget(connection, list(acknowledged.values()))
            return work(connection)

        result = await self._writer.do(all_of_it)
        self.commits += 1
        for n in acknowledged:
            self._acknowledged.pop(n, None)
        return result


def _nothing() -> None:
    """Stand in until somebody sends."""


def _nothing_more(_: Connection) -> None:
    """Add nothing to what is committed anyway."""


def _forget(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Take acknowledged ops out, and note which attempts the hub knows to be accepted."""
    if rows:
        connection.execute(delete(OUTBOX).where(OUTBOX.c.n.in_([row.n for row in rows])))
    for row in rows:
        if row.op.kind == "task.accept" and row.key:
            connection.execute(
                update(ATTEMPTS)
                .where(ATTEMPTS.c.task == row.key.task, ATTEMPTS.c.epoch == row.key.epoch)
                .values(accepted=True)
            )


def _put_step(connection: Connection, key: AttemptKey, step: Step) -> None:
    """Insert a row, or give the open one its result; a result is never replaced."""
    result = None if step.result is None else _dump(step.result)
    row = {
        "task": key.task,
        "epoch": key.epoch,
        "n": step.n,
        "kind": step.kind,
        "key": step.key,
        "effect": step.effect,
        "ref": step.ref,
        "wish": _dump(step.wish),
        "result": result,
        "at": step.at,
    }
    statement = insert(STEPS).values(row)
    same = (STEPS.c.key == step.key) & STEPS.c.result.is_(None)
    statement = statement.on_conflict_do_update(
        index_elements=["task", "epoch", "n"], set_={"result": result}, where=same
    )
    if connection.execute(statement).rowcount != 1:
        raise DeskhandError(Code.CONFLICT, f"step {step.n}")


def _dump(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _attempt(row: Row[tuple[object, ...]]) -> AttemptRow:
    return AttemptRow(
        key=AttemptKey(task=row.task, epoch=row.epoch),
        thread=row.thread,
        brief=Brief.from_json(json.loads(row.brief)),
        status=cast("Status", row.status),
        accepted=row.accepted,
        paused=row.paused,
        place=row.place,
        received=row.received,
    )


def _step(row: Row[tuple[object, ...]]) -> Step:
    return Step(
        n=row.n,
        kind=cast("StepKind", row.kind),
        key=row.key,
        effect=cast("Effect | None", row.effect),
        ref=row.ref,
        wish=json.loads(row.wish),
        result=json.loads(row.result) if row.result is not None else None,
        at=row.at,
    )


def _outbox(row: Row[tuple[object, ...]]) -> OutboxRow:
    key = AttemptKey(task=row.task, epoch=row.epoch) if row.task else None
    return OutboxRow(n=row.n, key=key, op=Op.from_json(json.loads(row.op)))
