"""The hub's store on a disk that is memory, for simulations: a crash is a choice, only committed rows survive it.

The statements and rows are the real ones. It refuses to run anything in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine

from deskhand.clock import Clock
from deskhand.store.engine import VERSIONS, After, FanOut, Reader, Work, fault_of, open_memory, run_script, tell
from deskhand.store.opening import SqlStore, forget_old_ops, inline
from deskhand.store.tables import heads

R = TypeVar("R")


class Crash(BaseException):
    """A simulated end of the process, exactly here."""


class InlineWriter:
    """Executes at once, without a thread.

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
        self.before_commit = before_commit
        self.after_commit = after_commit
        self._connection = engine.connect()

    async def do(
        self,
        work: Work[R],
        *,
        key: str = "",  # noqa: ARG002 - one write at a time needs no key
        after: After[R] | None = None,
    ) -> R:
        """Run, commit, tell, return."""
        try:
            result = work(self._connection)
            self.before_commit()
            self._connection.commit()
        except BaseException as error:  # noqa: BLE001 - a Crash too must leave nothing behind
            self._connection.rollback()
            # Also what a failed commit left open in the driver after SQLAlchemy called it over.
            self._connection.connection.rollback()
            raise fault_of(error) or error from None
        self.after_commit()
        if after is not None:
            tell(after, result, asyncio.get_running_loop())
        return result

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def open_memory_disk() -> Engine:
    """Make what a simulation keeps across crashes: committed rows, nothing else."""
    engine = open_memory()
    with engine.begin() as connection:
        for script in sorted(VERSIONS.glob("versions/*.sql")):  # nobody will ever migrate it
            run_script(connection, script)
    return engine


def open_memory_store(
    disk: Engine,
    clock: Clock,
    *,
    before_commit: Callable[[], None] = lambda: None,
    after_commit: Callable[[], None] = lambda: None,
) -> SqlStore:
    """Open a store on a simulated disk; hooks may raise ``Crash`` to end it exactly there.

    After a crash open another on the same disk.
    """
    forget_old_ops(disk, clock)
    writer = InlineWriter(disk, before_commit=before_commit, after_commit=after_commit)
    reader = Reader(disk, inline, here=disk.connect())
    with disk.begin() as connection:
        fanout = FanOut(heads(connection))
    return SqlStore(clock, writer=writer, reader=reader, fanout=fanout)
