"""One writer: waiting writes share a durable commit, each in a savepoint of its own.

Free of tables; the hub's store and the runner's journal both write through it. A result is delivered only after the
commit, and what must follow a commit follows it even when the caller is gone. It refuses to run two writes at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed
from deskhand.store.engine import fault_of, require_full, translated

R = TypeVar("R")

BATCH_MAX = 128
Work = Callable[[Connection], R]
After = Callable[[R], None]
Hook = Callable[[Sequence[Committed]], None]
Settle = Callable[[], None]
"""Waits until the database answered all it was sent, so that an error belongs to one write."""
Framing = Callable[[Connection], AbstractContextManager[Settle]]
"""What surrounds a batch on one connection; PostgreSQL sends a batch through a pipeline."""


class Writer(Protocol):
    """Runs writes one after the other and commits them durably."""

    async def do(self, work: Work[R], *, key: str = "", after: After[R] | None = None) -> R:
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


@dataclass(slots=True, kw_only=True, eq=False)
class _Job(Generic[R]):
    """A write that waits: what to do, and whom to tell on which loop."""

    work: Work[R]
    key: str
    after: After[R] | None
    future: asyncio.Future[R]
    result: R | None = None
    error: BaseException | None = None


AnyJob = _Job[Any]


class ThreadWriter:
    """A long-lived thread with a connection of its own; a commit holds waiting writes of one key.

    Args:
        engine: where to write.
        framing: what surrounds a batch.
        committed: told in the thread after each batch of a key.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        framing: Framing = lambda _: nullcontext(lambda: None),
        committed: Callable[[Connection, str], None] = lambda _, __: None,
    ) -> None:
        self._engine = engine
        self._framing = framing
        self._committed = committed
        self._queue: list[AnyJob] = []
        self._wake = threading.Condition()
        self._closing = False
        # Opened here, so that a file that is not safe is refused before anything is promised.
        self._connection: Connection | None = _opened(engine)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def do(self, work: Work[R], *, key: str = "", after: After[R] | None = None) -> R:
        """Let the write wait for its turn and for the durable commit."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing:
                raise DeskhandError(Code.UNAVAILABLE)
            self._queue.append(_Job(work=work, key=key, after=after, future=future))
            self._wake.notify()
        return await future

    async def close(self) -> None:
        """Finish what waits and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next_batch():
            self._commit(batch)
            for job in batch:
                with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                    job.future.get_loop().call_soon_threadsafe(_finish, job)
            if self._connection is not None and not all(job.error for job in batch):
                # A lost wake-up is found by the listener's own look.
                with suppress(Exception):
                    self._committed(self._connection, batch[0].key)
        self._drop_connection()

    def _next_batch(self) -> list[AnyJob]:
        """Wait for writes; return the first with others of its key, or nothing when all is done."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._closing)
            batch = [job for job in self._queue if job.key == self._queue[0].key][:BATCH_MAX]
            self._queue = [job for job in self._queue if job not in batch]
            return batch

    def _commit(self, batch: Sequence[AnyJob]) -> None:
        """Run a batch and commit it; whatever breaks the transaction as a whole fails every write of it."""
        try:
            connection = self._connection = self._connection or _opened(self._engine)
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
        reason = fault_of(error) or DeskhandError(Code.UNAVAILABLE)
        for job in batch:  # "the disk is full" says more than what follows from it
            if isinstance(job.error, DeskhandError) and job.error.code is Code.DISK_FULL:
                reason = job.error
        for job in batch:
            job.error = job.error or reason
        self._drop_connection()  # after a failed commit nothing it remembers is believed

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(Exception):
            connection.rollback()
        with suppress(Exception):
            connection.close()


def _opened(engine: Engine) -> Connection:
    with translated():
        connection = engine.connect()
        require_full(connection)
    return connection


def _finish(job: AnyJob) -> None:
    """Tell of a write, on the loop of its caller."""
    if job.error is None and job.after is not None:
        tell(job.after, job.result, job.future.get_loop())
    if job.future.done():
        return
    if job.error is None:
        job.future.set_result(job.result)
    else:
        job.future.set_exception(job.error)


def tell(after: After[R], result: R, loop: asyncio.AbstractEventLoop) -> None:
    """Say what was committed, on the loop."""
    try:
        after(result)
    except Exception as error:  # noqa: BLE001 - one listener must not silence the others
        loop.call_exception_handler({"message": "an after-commit hook failed", "exception": error})


class FanOut:
    """Hands events after their commit to hooks, exactly once each and in log order, whoever wrote them.

    Events of this process arrive from its writer, events of others from the listener, which reads the log itself. It
    refuses to guess over a gap: what is not next waits for the listener.

    Args:
        heads: where each account's log ended when this process began to listen.
    """

    def __init__(self, heads: Mapping[str, int]) -> None:
        self._hooks: list[Hook] = []
        self._told = dict(heads)

    def add(self, hook: Hook) -> None:
        """Call ``hook`` from now on."""
        self._hooks.append(hook)

    def told(self, account: str) -> int:
        """Return the seq up to which the account's events were passed on."""
        return self._told.get(account, 0)

    def offer(self, committed: Sequence[Committed]) -> None:
        """Pass on what is next in its log; on the loop only."""
        fresh: list[Committed] = []
        for item in committed:
            if item.event.seq == self.told(item.account) + 1:
                self._told[item.account] = item.event.seq
                fresh.append(item)
        if fresh:
            for hook in self._hooks:
                hook(fresh)
