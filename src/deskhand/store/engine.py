"""Opens SQLite the only way in which an acknowledged row survives a power cut: WAL with ``synchronous=FULL``.

Free of tables: the hub's store and the runner's journal open their files here. It refuses a connection that is not
FULL, because NORMAL loses acknowledged rows and no test with killed processes ever shows it.

Which schema is on disk and how it becomes ours is here, too: Alembic revisions, run at start when there is something to
run. A file is copied before it is migrated. It refuses a schema it does not know: that one was written by a newer
Deskhand. Alembic costs 0.3 s to import, so a schema that is up to date is seen by one SELECT without it.

What databases and disks say is turned into the closed list of errors here. SQL text, paths and driver messages do not
get through: they are for the log of the program, not for people.

One writer: waiting writes share a durable commit, each in a savepoint of its own. A result is delivered only after the
commit, and what must follow a commit follows it even when the caller is gone. It refuses to run two writes at once.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, Pool, StaticPool

from deskhand.clock import Clock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Committed, Offload
from deskhand.store.private import FILE_MODE, disk_fault, sync
from deskhand.texts import table

R = TypeVar("R")

BUSY_SECONDS = 5.0
FULL = 2
_PIECE_BYTES = 1024 * 1024
_DURABLE = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
_POWER_CUT = ("fullfsync=ON", "checkpoint_fullfsync=ON") if sys.platform == "darwin" else ()


_SAID = table("deskhand.store", "faults.toml")
_SQLITE = {getattr(sqlite3, name): Code(said) for name, said in _SAID["sqlite"].items()}
_SQLSTATE = {state: Code(said) for state, said in _SAID["sqlstate"].items()}


def open_sqlite(path: Path) -> Engine:
    """Open (or create, readable by its owner only) a SQLite file for writing.

    Raises:
        DeskhandError: ``disk_full``, ``unavailable``.
    """
    with translated():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    pragmas, log = ("journal_mode=WAL", *_DURABLE, *_POWER_CUT), Path(f"{path}-wal")
    return _engine(f"file:{quote(str(path))}?mode=rw", NullPool, *pragmas, log=log)


def empty_log(engine: Engine) -> None:
    """Write the write-ahead log into its file and cut it to nothing, so that nothing erased is left in it.

    Raises:
        DeskhandError: ``unavailable`` when somebody reads too long.
    """
    with closing(engine.raw_connection()) as driver:
        found = driver.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if found[0]:
        raise DeskhandError(Code.UNAVAILABLE, "the write-ahead log is in use")


READS_ONLY = "reads_only"
"""The option of a connection that only reads, and so waits for no writer: each statement sees what is committed."""


def open_sqlite_reader(path: Path) -> Engine:
    """Open an existing SQLite file so that nothing can be written through it."""
    reader = _engine(f"file:{quote(str(path))}?mode=ro", NullPool, "query_only=ON")
    return reader.execution_options(**{READS_ONLY: True})


def open_memory() -> Engine:
    """Open a database of this process alone; every connection is the same one, so committed rows are its disk."""
    return _engine(":memory:", StaticPool, *_DURABLE)


def _engine(name: str, pool: type[Pool], *pragmas: str, log: Path | None = None) -> Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins nothing by itself, so BEGIN IMMEDIATE and savepoints are ours.
        driver = sqlite3.connect(name, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for pragma in pragmas:
            driver.execute(f"PRAGMA {pragma}")
        if log:
            _write_log_again(driver, log)
        return driver

    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=pool)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _begin_immediate(connection: Connection) -> None:
    if not connection.get_execution_options().get(READS_ONLY):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _write_log_again(driver: sqlite3.Connection, log: Path) -> None:
    """Make the log as durable as it looks, before anything is built on it.

    After a failed sync its pages count as written and are not. A process that died then leaves rows in the cache that
    the next one would recover, and a power cut would take them with all that was acknowledged after them.
    """
    if not log.exists() or not log.stat().st_size:
        return
    driver.execute("BEGIN IMMEDIATE")  # nobody writes to the log meanwhile
    handle = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while piece := os.pread(handle, _PIECE_BYTES, at):
            at += os.pwrite(handle, piece, at)
        os.fsync(handle)
    finally:
        os.close(handle)
        driver.execute("ROLLBACK")


def require_full(connection: Connection) -> None:
    """Let a SQLite connection pass only if its commits survive a power cut.

    Raises:
        DeskhandError: ``home_unsafe`` naming the setting that is wrong.
    """
    if connection.dialect.name != "sqlite":
        return
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    if driver.execute("PRAGMA synchronous").fetchone()[0] < FULL:
        raise DeskhandError(Code.HOME_UNSAFE, "synchronous is not FULL")
    if driver.execute("PRAGMA journal_mode").fetchone()[0] not in {"wal", "memory"}:
        raise DeskhandError(Code.HOME_UNSAFE, "no write-ahead log")


def fault_of(error: BaseException) -> DeskhandError | None:
    """Return what to tell for an error of the database or disk, or nothing when it is neither."""
    if isinstance(error, DeskhandError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return DeskhandError(Code.INVALID, "text with a lone surrogate")
    if isinstance(error, OSError):
        return disk_fault(error)
    said = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(said, sqlite3.Error):
        return DeskhandError(_sqlite_code(said))
    # psycopg is optional, so its errors are known by what they carry.
    state: object = getattr(said, "sqlstate", None)
    if isinstance(state, str):
        return DeskhandError(_SQLSTATE.get(state) or _SQLSTATE.get(state[:2]) or Code.UNAVAILABLE)
    return DeskhandError(Code.UNAVAILABLE) if isinstance(error, DBAPIError) else None


@contextmanager
def translated() -> Generator[None]:
    """Turn what the database or disk says inside into an error of the closed list."""
    try:
        yield
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        raise fault from None


def _sqlite_code(error: sqlite3.Error) -> Code:
    # The primary code is in the lower byte; the driver's own complaints (closed, wrong thread) carry none.
    if str(error).startswith("Could not decode"):
        return Code.STORE_DAMAGED  # the driver's word for text in which a bit flipped
    number = getattr(error, "sqlite_errorcode", None)
    if number is None:
        wrong_value = isinstance(error, sqlite3.DataError | sqlite3.InterfaceError)
        return Code.INVALID if wrong_value else Code.UNAVAILABLE
    return _SQLITE.get(number) or _SQLITE.get(number & 0xFF, Code.UNAVAILABLE)


# --- its schema


VERSIONS = Path(__file__).parent / "migrations"


def revisions(scripts: Path = VERSIONS) -> list[str]:
    """Return every revision of the scripts, oldest first."""
    return sorted(one.name[:4] for one in scripts.glob("versions/*.py"))


def prepare_sqlite(engine: Engine, path: Path, clock: Clock, *, scripts: Path = VERSIONS) -> None:
    """Bring a SQLite file to the newest revision; one that holds something is copied first.

    Raises:
        DeskhandError: ``schema_newer``.
    """
    with engine.connect() as connection:
        if _up_to_date(connection, scripts):
            return
        holds = bool(inspect(connection).get_table_names())
    if holds:
        for broken_off in path.parent.glob(f"{path.stem}.before-upgrade-*.partial"):
            broken_off.unlink()
        named = stamp(clock.now()).replace(":", "").replace(".", "")
        copy_sqlite(path, path.with_name(f"{path.stem}.before-upgrade-{named}{path.suffix}"))
    with engine.begin() as connection:
        _migrate(connection, scripts)


def prepare_postgres(engine: Engine) -> None:
    """Bring a PostgreSQL database to the newest revision; one process does it, the others wait.

    Raises:
        DeskhandError: ``schema_newer``.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(4815162342)"))
        if not _up_to_date(connection, VERSIONS):
            _migrate(connection, VERSIONS)


def _up_to_date(connection: Connection, scripts: Path) -> bool:
    """Return whether the newest revision is on disk.

    Raises:
        DeskhandError: ``schema_newer`` for one that this build does not know.
    """
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    known = revisions(scripts)
    if found is not None and found not in known:
        raise DeskhandError(Code.SCHEMA_NEWER, found[:40])
    return found == known[-1]


def _migrate(connection: Connection, scripts: Path) -> None:
    """Run what is missing, all in the transaction of the connection."""
    from alembic import command  # noqa: PLC0415 - 0.3 s, only when there is something to migrate
    from alembic.config import Config  # noqa: PLC0415 - same

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_script(connection: Connection, revision: Path) -> None:
    """Run the SQL beside the file of a revision; ``$NAME`` is text that sorts by its bytes in every language."""
    name = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    script = Template(revision.with_suffix(".sql").read_text(encoding="utf-8"))
    for statement in script.substitute(NAME=name).split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def revised(file: str) -> tuple[str, str | None, Callable[[], None]]:
    """Return what Alembic asks of a revision: its number, the one before it, and a way up by the SQL beside it."""
    from alembic import op  # noqa: PLC0415 - as above

    path = Path(file)
    number = int(path.name[:4])
    before = f"{number - 1:04}" if number > 1 else None
    return f"{number:04}", before, lambda: run_script(op.get_bind(), path)


def copy_sqlite(path: Path, target: Path) -> None:
    """Copy a SQLite file as of one moment, whoever writes to it; the copy has its name only when it is whole.

    It is readable by its owner only.
    """
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    named = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(named, uri=True, timeout=BUSY_SECONDS)) as driver:
        # The empty file was made by us for its mode; SQLite fills it.
        driver.execute("VACUUM INTO ?", (str(partial),))
    sync(partial)
    partial.replace(target)
    sync(target.parent)


# --- reading


class Reader:
    """Runs reads on an engine that sees committed rows only; they raise ``unavailable``.

    Args:
        engine: where to read.
        offload: where a read may block.
        here: a connection of the calling thread for bounded reads: SQLite answers in microseconds.
    """

    def __init__(self, engine: Engine, offload: Offload, *, here: Connection | None = None) -> None:
        self.engine = engine
        self.offload = offload
        self._here = here

    async def read(self, query: Callable[[Connection], R]) -> R:
        """Return what a bounded, indexed read finds."""
        if self._here is None:
            return await self.look(query)
        try:
            with translated():
                return query(self._here)
        finally:
            # Nothing is open in SQLite (autocommit); this ends what SQLAlchemy believes to be a transaction.
            self._here.rollback()

    async def look(self, query: Callable[[Connection], R]) -> R:
        """Return what a long read finds on a connection of its own."""

        def run() -> R:
            with translated(), self.engine.connect() as connection:
                return query(connection)

        return await self.offload(run)

    def close(self) -> None:
        """Let go of connections."""
        if self._here is not None:
            self._here.close()
        else:
            self.engine.dispose()


# --- writing


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
        if connection is not None:
            with suppress(Exception), closing(connection):
                connection.rollback()


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
