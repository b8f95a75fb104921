"""The processes of one box, seen from outside: counting what they use, killing them, and knowing that they are dead.

The first process of the box is the root of its pid namespace: when it is gone, the kernel has ended every other one,
however often it forked (SH-09). It is watched through a descriptor, so a reused number cannot be mistaken for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_GONE_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much a box uses now: memory of its own that is resident, and threads."""

    memory_bytes: int
    tasks: int


class Inner:
    """The first process inside a box."""

    def __init__(self, pid: int) -> None:
        """Take hold of it; it may be gone already."""
        self.pid = pid
        self._descriptor = -1
        with contextlib.suppress(ProcessLookupError):
            self._descriptor = os.pidfd_open(pid)

    def kill(self) -> None:
        """End it, and with it everything in the box."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    async def gone(self) -> bool:
        """Wait until every process of the box is dead; return whether that came true in time."""
        if self._descriptor < 0:
            return True
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        loop.add_reader(self._descriptor, lambda: None if ended.done() else ended.set_result(None))
        try:
            async with asyncio.timeout(_GONE_SECONDS_MAX):
                await ended
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._descriptor)
        return True

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def usage(self) -> Usage:
        """Add up what the box uses."""
        memory = tasks = 0
        for pid in _tree(self.pid):
            with contextlib.suppress(OSError, ValueError, IndexError):
                _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text("ascii").split()
                memory += (int(resident) - int(shared)) * _PAGE_BYTES
                tasks += sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        return Usage(memory_bytes=memory, tasks=tasks)


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it; orphans of a box hang under its first process."""
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        yield each
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text("ascii").split()]
