"""One writer: waiting writes share a durable commit, each in a savepoint of its own.

Free of tables; the hub's store and the runner's journal both write through it. A result is delivered only after the
commit, and what must follow a commit follows it even when the caller is gone. It refuses to run two writes at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from deskhand.errors import Code, DeskhandError
from deskhand.store.engine import require_full
from deskhand.store.faults import fault_of

R = TypeVar("R")

BATCH_MAX = 128
Settle = Callable[[], None]
"""Waits until the database answered all it was sent, so that an error belongs to one write."""
Framing = Callable[[Connection], AbstractContextManager[Settle]]
"""What surrounds a batch on one connection; PostgreSQL sends a batch through a pipeline."""


class Crash(BaseException):
    """A simulated end of the process, exactly here; never raised in earnest."""


class Writer(Protocol):
    """Runs writes one after the other and commits them durably."""

    async def do(
        self,
        work: Callable[[Connection], R],
        *,
        key: str = "",
        after: Callable[[R], None] | None = None,
    ) -> R:
        """Run ``work`` in a transaction and return its result after the commit.

        Args:
            work: plain, synchronous, nothing but SQL and pure functions.
            key: writes of one key keep their order and share commits.
            after: called with the result on the caller's loop once it is durable, in commit order, also when the
                caller was cancelled meanwhile.

        Raises:
            DeskhandError: what ``work`` raised; ``disk_full``; ``unavailable``.
        """
        ...

    async def close(self) -> None:
        """Finish what waits, then stop."""
        ...


class InlineWriter:
    """Executes at once, without a thread: for the simulation, where a crash is a choice.

    Args:
        engine: where to write.
        before_commit: called between the work and its commit; may raise ``Crash``.
        after_commit: called between the commit and its answer; may raise ``Crash``.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        before_commit: Callable[[], None] = lambda: None,
        after_commit: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the connection."""
        self.before_commit = before_commit
        self.after_commit = after_commit
        self._connection = engine.connect()
        require_full(self._connection)

    async def do(
        self,
        work: Callable[[Connection], R],
        *,
        key: str = "",  # noqa: ARG002 - one write at a time needs no key
        after: Callable[[R], None] | None = None,
    ) -> R:
        """Run, commit, tell, return.

        Raises:
            DeskhandError: what ``work`` raised; ``disk_full``; ``unavailable``.
        """
        try:
            result = work(self._connection)
            self.before_commit()
            self._connection.commit()
        except BaseException as error:  # noqa: BLE001 - a Crash too must leave nothing behind
            _undo(self._connection)
            raise fault_of(error) or error from None
        self.after_commit()
        if after is not None:
            _tell(after, result, asyncio.get_running_loop())
        return result

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(slots=True, kw_only=True)
class _Job(Generic[R]):
    """A write that waits: what to do, and whom to tell on which loop."""

    work: Callable[[Connection], R]
    key: str
    after: Callable[[R], None] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[R]
    result: R | None = None
    error: BaseException | None = None


AnyJob = _Job[Any]


@contextmanager
def _unframed(_: Connection) -> Generator[Settle]:
    yield lambda: None


class ThreadWriter:
    """Long-lived threads with a connection each; one for SQLite, a few for PostgreSQL.

    Writes of one key always meet the same thread. With ``framing`` a commit holds writes of one key only, so that
    two processes never wait for each other's locks in a ring.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int = 1,
        framing: Framing | None = None,
        committed: Callable[[Connection, str], None] | None = None,
    ) -> None:
        """Start the threads.

        Args:
            engine: where to write.
            threads: how many lanes.
            framing: what surrounds a batch; given where commits are per key.
            committed: told in the lane after each batch of a key.
        """
        self._lanes = [
            _Lane(engine, framing=framing, committed=committed, number=number)
            for number in range(threads)
        ]

    async def do(
        self,
        work: Callable[[Connection], R],
        *,
        key: str = "",
        after: Callable[[R], None] | None = None,
    ) -> R:
        """Hand the write to its lane and wait for the durable commit.

        Raises:
            DeskhandError: what ``work`` raised; ``disk_full``; ``unavailable``.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        job = _Job(work=work, key=key, after=after, loop=loop, future=future)
        self._lane_of(key).put(job)
        return await future

    async def close(self) -> None:
        """Let the lanes finish what waits."""
        for lane in self._lanes:
            await lane.close()

    def _lane_of(self, key: str) -> _Lane:
        number = int.from_bytes(key.encode("utf-8", "replace")[-4:]) if key else 0
        return self._lanes[number % len(self._lanes)]


class _Lane:
    """One thread, one connection, one queue."""

    def __init__(
        self,
        engine: Engine,
        *,
        framing: Framing | None,
        committed: Callable[[Connection, str], None] | None,
        number: int,
    ) -> None:
        self._engine = engine
        self._framing = framing or _unframed
        self._one_key = framing is not None
        self._committed = committed
        self._queue: deque[AnyJob] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._stopped: asyncio.Future[None] | None = None
        # Opened here, so that a file that is not safe is refused before anything is promised.
        self._connection: Connection | None = self._open()
        self._thread = threading.Thread(target=self._run, name=f"writer-{number}", daemon=True)
        self._thread.start()

    def put(self, job: AnyJob) -> None:
        """Let a write wait for its turn."""
        with self._wake:
            if self._closing:
                raise DeskhandError(Code.UNAVAILABLE)
            self._queue.append(job)
            self._wake.notify()

    async def close(self) -> None:
        """Finish what waits and end the thread."""
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[None] = loop.create_future()
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._stopped = stopped
            self._wake.notify()
        await stopped
        self._thread.join()

    def _open(self) -> Connection:
        connection = self._engine.connect()
        require_full(connection)
        return connection

    def _run(self) -> None:
        while batch := self._next_batch():
            self._commit(batch)
            _deliver(batch)
            if self._committed and not batch[0].error and self._connection:
                # A lost wake-up is found by the listener's own look.
                with suppress(Exception):
                    self._committed(self._connection, batch[0].key)
        self._drop_connection()
        stopped = self._stopped
        if stopped is not None:
            with suppress(RuntimeError):  # the loop may be closed already
                stopped.get_loop().call_soon_threadsafe(_resolve, stopped)

    def _next_batch(self) -> list[AnyJob]:
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
            if not self._one_key:
                return [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            return self._take_key()

    def _take_key(self) -> list[AnyJob]:
        if not self._queue:
            return []
        key = self._queue[0].key
        taken: list[AnyJob] = []
        left: deque[AnyJob] = deque()
        for job in self._queue:
            (taken if job.key == key and len(taken) < BATCH_MAX else left).append(job)
        self._queue = left
        return taken

    def _commit(self, batch: Sequence[AnyJob]) -> None:
        """Run a batch and commit it; whatever breaks the transaction as a whole fails every write of it."""
        try:
            connection = self._connection = self._connection or self._open()
            with self._framing(connection) as settle:
                for job in batch:
                    self._run_one(connection, job, settle if len(batch) > 1 else None)
                connection.commit()
        except Exception as error:  # noqa: BLE001 - every waiting caller must hear of it
            self._give_up(batch, error)

    def _run_one(self, connection: Connection, job: AnyJob, settle: Settle | None) -> None:
        connection.exec_driver_sql("SAVEPOINT one")
        try:
            job.result = job.work(connection)
            if settle:
                settle()
        except Exception as error:  # noqa: BLE001 - goes to the caller of this write
            job.error = fault_of(error) or error
            # A full disk makes SQLite end the whole transaction; then this raises too and the batch fails.
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one")
        connection.exec_driver_sql("RELEASE SAVEPOINT one")

    def _give_up(self, batch: Sequence[AnyJob], error: Exception) -> None:
        told = [job.error for job in batch if job.error]
        reason = _worst(told, fault_of(error) or DeskhandError(Code.UNAVAILABLE))
        for job in batch:
            job.error = job.error or reason
        connection = self._connection
        try:
            if connection is not None:
                _undo(connection)
        except Exception:  # noqa: BLE001 - then it is of no more use
            self._drop_connection()
        if connection is not None and connection.invalidated:
            self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(Exception):
            connection.rollback()
        with suppress(Exception):
            connection.close()


def _undo(connection: Connection) -> None:
    """Roll back, also what a failed commit left open in the driver after SQLAlchemy called it over."""
    connection.rollback()
    connection.connection.rollback()


def _worst(told: Sequence[BaseException], otherwise: DeskhandError) -> DeskhandError:
    """Prefer "the disk is full" over what follows from it."""
    for error in told:
        if isinstance(error, DeskhandError) and error.code is Code.DISK_FULL:
            return error
    return otherwise


def _deliver(batch: Sequence[AnyJob]) -> None:
    """Tell each loop about its writes of the batch, in order."""
    for loop in dict.fromkeys(job.loop for job in batch):
        mine = [job for job in batch if job.loop is loop]
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(_finish, mine)


def _finish(jobs: Sequence[AnyJob]) -> None:
    for job in jobs:
        if job.error is None and job.after is not None:
            _tell(job.after, job.result, job.loop)
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)


def _tell(after: Callable[[R], None], result: R, loop: asyncio.AbstractEventLoop) -> None:
    try:
        after(result)
    except Exception as error:  # noqa: BLE001 - one listener must not silence the others
        loop.call_exception_handler({"message": "an after-commit hook failed", "exception": error})


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
