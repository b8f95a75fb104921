"""Follows a box from outside: what it says, what all its processes use together, and that nothing of it lives on.

The kernel bounds each process; only a sum bounds all of them. The *lifeline* is a pipe into the box, never written to:
when its outer end is closed, or the runner dies in whatever way, the watcher inside kills everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeVar

from deskhand.clock import Clock
from deskhand.limits import DISK_FREE_BYTES_MIN
from deskhand.ports import Command

_PSS: Final = re.compile(rb"^Pss: +(\d+)", re.MULTILINE)

R = TypeVar("R")
Stopped = Literal["time", "memory", "processes", "disk"]
Ended = tuple[Stopped | None, int]
"""The bound that ended a box, if one did, and the status of the process that waited for all others."""


class BoundedOutput:
    """About ``limit`` bytes of what a command said: the beginning and the end, with a marker between (RL-05)."""

    def __init__(self, limit: int) -> None:
        # The end is where errors are said, so it gets a quarter.
        self._tail_room = limit // 4
        self._head_room = limit - self._tail_room
        self._head = bytearray()
        self._tail = bytearray()
        self.left_out = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        fits = self._head_room - len(self._head)
        self._head += chunk[:fits]
        self._tail += chunk[fits:]
        surplus = max(0, len(self._tail) - self._tail_room)
        self.left_out += surplus
        del self._tail[:surplus]

    def data(self) -> bytes:
        """Return what was kept."""
        marker = f"\n[... {self.left_out} bytes left out ...]\n" if self.left_out else ""
        return bytes(self._head) + marker.encode() + bytes(self._tail)


@contextlib.contextmanager
def lifeline() -> Generator[tuple[BinaryIO, BinaryIO]]:
    """Yield the end for the box and our end; ours is closed with the block, however little of the box was started."""
    inside, outside = os.pipe()
    with os.fdopen(inside, "rb") as inner, os.fdopen(outside, "wb") as outer:
        yield inner, outer


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a box that runs a command is held to; ``place`` is on the disk that must not fill up."""

    command: Command
    lifeline: BinaryIO
    place: Path
    clock: Clock

    async def follow(self, starting: Coroutine[Any, Any, Process], output: BoundedOutput) -> Ended:
        """Start a box and return when every process of it is dead, also when the caller is cancelled meanwhile."""
        # A start that is broken off would leave half a box that nobody ends, so a cancellation waits for its end.
        started = asyncio.ensure_future(starting)
        stopped: Stopped | None = None
        try:
            async with asyncio.timeout(self.command.seconds_max):
                process = await asyncio.shield(started)
                async with asyncio.TaskGroup() as tasks:
                    watching = tasks.create_task(self._watch(process))
                    await _drain(process, output)
                    stopped = watching.result() if watching.done() else None
                    watching.cancel()
        except TimeoutError:
            stopped = "time"
        finally:
            self.lifeline.close()
            status = await to_the_end(_end(started))
        return stopped, status

    async def _watch(self, process: Process) -> Stopped:
        """Return once the box is beyond a bound that no single process can keep, and it is killed."""
        while True:
            await self.clock.sleep(0.25)
            memory_bytes, tasks = _used_below(process.pid)
            if memory_bytes > self.command.memory_bytes_max:
                memory_bytes, tasks = _used_below(process.pid, exactly=True)
            disk = os.statvfs(self.place)
            beyond: dict[Stopped, bool] = {
                "memory": memory_bytes > self.command.memory_bytes_max,
                # Six are the wall's own.
                "processes": tasks > self.command.processes_max + 6,
                "disk": disk.f_bavail * disk.f_frsize < DISK_FREE_BYTES_MIN,
            }
            for bound, reached in beyond.items():
                if reached:
                    self.lifeline.close()
                    return bound


async def to_the_end(work: Awaitable[R]) -> R:
    """Finish ``work`` even when the caller is cancelled, then let the cancellation go on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


def _used_below(pid: int, *, exactly: bool = False) -> tuple[int, int]:
    """Add up memory and threads of a process and all below it; orphans stay below a box's first process.

    What several share is counted for each of them, unless ``exactly``: then it is divided, which takes the kernel time.
    """
    memory_bytes = tasks = 0
    waiting = [pid]
    while waiting:
        process = Path("/proc", str(waiting.pop()))
        with contextlib.suppress(OSError, ValueError):
            memory_bytes += _memory_of(process, exactly=exactly)
            for task in (process / "task").iterdir():
                tasks += 1
                with contextlib.suppress(OSError):
                    waiting += [int(child) for child in (task / "children").read_bytes().split()]
    return memory_bytes, tasks


def _memory_of(process: Path, *, exactly: bool) -> int:
    if exactly:
        with contextlib.suppress(OSError):
            if shared := _PSS.search((process / "smaps_rollup").read_bytes()):
                return int(shared[1]) * 1024
    return int((process / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _drain(process: Process, output: BoundedOutput) -> int:
    """Take all that a box says; return how it ended."""
    while process.stdout and (chunk := await process.stdout.read(65_536)):
        output.add(chunk)
    return await process.wait()


async def _end(started: asyncio.Future[Process]) -> int:
    """Make sure that nothing of the command lives on, now that the lifeline is cut."""
    process, lost = await started, BoundedOutput(0)
    try:
        async with asyncio.timeout(5):
            return await _drain(process, lost)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return await _drain(process, lost)
