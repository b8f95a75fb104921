"""Commands in a bubblewrap box over an overlay of the folder; changes are applied by trusted code at the end.

A command sees the folder and system programs, no network, no environment, no other process. What it writes lands in
a layer beside the folder. Only when it ended by itself and every process of it is dead is that layer carried over,
change by change, through the folder's handle. A command that was killed midway did not happen. It refuses to run
anything when the box cannot be raised; there is no way around the wall (SH-10).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import COMMAND_PROCESSES_MAX, DISK_FREE_BYTES_MIN
from deskhand.ports import Command, CommandResult, FolderAccess, Offload
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox.apply import Applied, apply_changes
from deskhand.sandbox.box import STAND_INS, Descriptors, box, limits
from deskhand.sandbox.idmap import MERGED
from deskhand.sandbox.layers import Layers, Programs, as_root, as_user, make_layers, remove_layers
from deskhand.sandbox.output import BoundedOutput
from deskhand.sandbox.pipes import Pipes
from deskhand.sandbox.processes import usage_below
from deskhand.sandbox.seccomp import filter_bytes

COMMANDS_UID: Final = 64_321
"""Under a root runner commands get this uid: nobody's, and not the overflow id that other things share."""

_WATCH_SECONDS: Final = 0.25
_CUT_SECONDS_MAX: Final = 5.0
_CHUNK: Final = 65_536
_NOT_FOUND_EXIT: Final = 127
_SAID_CHARS_MAX: Final = 200

R = TypeVar("R")
Stopped = Literal["time", "memory", "processes", "disk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the box ended, before anything is applied."""

    exit_code: int | None
    output: BoundedOutput
    stopped: Stopped | None


class Bubblewrap:
    """The box. Made by :func:`deskhand.sandbox.choose.choose_sandbox`, which tries it first.

    Args:
        place: a directory of our own for the layers, on a file system that can carry them.
        programs: what raises the wall.
        clock: for durations and the watchdog.
        offload: runs blocking work on files.
        readonly: further trees of programs that commands may see.
    """

    def __init__(
        self,
        place: Path,
        *,
        programs: Programs,
        clock: Clock,
        offload: Offload,
        readonly: Sequence[Path] = (),
    ) -> None:
        """Keep the parts; nothing is started."""
        self._place = place
        self._programs = programs
        self._clock = clock
        self._offload = offload
        self._readonly = tuple(readonly)
        self.owner = COMMANDS_UID if os.geteuid() == 0 else None
        self._filter = filter_bytes(platform.machine())

    @property
    def info(self) -> SandboxInfo:
        """Level ``full``: nothing a command writes reaches the folder unseen."""
        name = "bubblewrap over an overlay"
        reason = (
            None if self.owner is None else f"the runner is root; commands run as uid {self.owner}"
        )
        return SandboxInfo(name=name, level="full", reason=reason)

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Run it over an overlay of the folder and apply the changes at its end.

        Cancelling the caller kills every process of it and applies nothing; once applying began it is finished
        before the cancellation goes on.

        Raises:
            DeskhandError: ``sandbox_unavailable``, ``path_refused`` (a working directory outside),
                ``folder_changed``, ``disk_full``.
        """
        started = self._clock.monotonic()
        _working_directory(command, access)
        async with self._layers() as layers:
            ended = await self.execute(command, layers, root=access.root)
            applied = Applied()
            if command.writable and ended.stopped is None:
                applied = await self._apply(layers, access)
        return CommandResult(
            exit_code=ended.exit_code,
            output=ended.output.data(),
            truncated=ended.output.truncated,
            timed_out=ended.stopped == "time",
            stopped=ended.stopped,
            changes=applied.changes,
            refused=applied.refused,
            duration_seconds=self._clock.monotonic() - started,
        )

    async def execute(self, command: Command, layers: Layers, *, root: Path) -> Ended:
        """Run a command over layers that are already made; apply nothing.

        Raises:
            DeskhandError: ``sandbox_unavailable`` with what the box said when it could not be raised.
        """
        with _handed_over(self._filter or b"") as (stand_ins, seccomp), Pipes() as pipes:
            handed = Descriptors(stand_ins=stand_ins, seccomp=seccomp, status=pipes.status_inside)
            process = await asyncio.create_subprocess_exec(
                *self._command_line(command, layers, root, handed),
                stdin=pipes.lifeline_inside,
                stdout=PIPE,
                stderr=STDOUT,
                env={},
                cwd=root,
                pass_fds=handed.all(),
                start_new_session=True,
            )
            pipes.hand_over()
            return await self._follow(command, process, pipes)

    def _command_line(
        self, command: Command, layers: Layers, root: Path, handed: Descriptors
    ) -> list[str]:
        merged = str(layers.merged) if self.owner is None else MERGED
        inner = [
            *limits(self._programs.prlimit, command),
            *box(
                self._programs.bwrap,
                command,
                merged=merged,
                root=root,
                readonly=self._readonly,
                descriptors=handed,
            ),
        ]
        if self.owner is None:
            return as_user(self._programs, layers, inner)
        return as_root(layers, inner, owner=self.owner)

    async def _follow(self, command: Command, process: Process, pipes: Pipes) -> Ended:
        output = BoundedOutput(command.output_bytes_max)
        stopped: Stopped | None = None
        try:
            async with asyncio.timeout(command.seconds_max), asyncio.TaskGroup() as tasks:
                tasks.create_task(_drain(process, output))
                watching = tasks.create_task(self._watch(command, process, pipes))
                await pipes.follow()
                await process.wait()
                stopped = _called_off(watching)
        except TimeoutError:
            stopped = "time"
        finally:
            await _to_the_end(_end(process, pipes))
        return _judged(process, pipes.exit_code, output, stopped)

    async def _watch(self, command: Command, process: Process, pipes: Pipes) -> Stopped:
        """Return once the box is beyond a bound that no single process can keep, and it is killed."""
        while True:
            await self._clock.sleep(_WATCH_SECONDS)
            usage = usage_below(process.pid)
            free = os.statvfs(self._place)
            beyond: dict[Stopped, bool] = {
                "memory": usage.memory_bytes > command.memory_bytes_max,
                "processes": usage.tasks > COMMAND_PROCESSES_MAX,
                "disk": free.f_bavail * free.f_frsize < DISK_FREE_BYTES_MIN,
            }
            for bound, reached in beyond.items():
                if reached:
                    pipes.cut()
                    return bound

    async def _apply(self, layers: Layers, access: FolderAccess) -> Applied:
        async def work() -> Applied:
            return await self._offload(lambda: apply_changes(layers, access))

        return await _to_the_end(work())

    @contextlib.asynccontextmanager
    async def _layers(self) -> AsyncGenerator[Layers]:
        place = self._place / secrets.token_hex(8)

        async def remove() -> None:
            await self._offload(lambda: remove_layers(place))

        try:
            yield make_layers(place, owner=self.owner)
        finally:
            await _to_the_end(remove())


def _working_directory(command: Command, access: FolderAccess) -> None:
    """Refuse to start anywhere but in the folder (FS-14), or in one that was replaced (FS-10)."""
    if not command.folder.is_relative_to(access.root):
        raise DeskhandError(Code.PATH_REFUSED, "the working directory is outside the folder")
    there = access.stat(command.folder.relative_to(access.root).as_posix())
    if there is None or there.kind != "directory":
        raise DeskhandError(Code.PATH_REFUSED, "the working directory is no directory")


def _judged(
    process: Process, exit_code: int | None, output: BoundedOutput, stopped: Stopped | None
) -> Ended:
    if stopped is not None:
        return Ended(exit_code=None, output=output, stopped=stopped)
    if process.returncode is None or process.returncode < 0:
        # Whoever waits for the last process of the box was itself killed, so nobody knows that all are dead.
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, "the box was killed from outside")
    if exit_code is None:
        said = output.data().decode("utf-8", "replace").strip()
        if not said.startswith("bwrap: execvp "):
            raise DeskhandError(Code.SANDBOX_UNAVAILABLE, said[-_SAID_CHARS_MAX:])
        exit_code = _NOT_FOUND_EXIT
    return Ended(exit_code=exit_code, output=output, stopped=None)


async def _drain(process: Process, output: BoundedOutput | None) -> None:
    if process.stdout is not None:
        while chunk := await process.stdout.read(_CHUNK):
            if output is not None:
                output.add(chunk)


def _called_off(watching: asyncio.Task[Stopped]) -> Stopped | None:
    """Return what the watchdog found, or call it off."""
    if watching.done():
        return watching.result()
    watching.cancel()
    return None


async def _end(process: Process, pipes: Pipes) -> None:
    """Make sure that nothing of the command lives on, whatever way it ended."""
    pipes.cut()
    try:
        async with asyncio.timeout(_CUT_SECONDS_MAX):
            await _drain(process, None)
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await _drain(process, None)
        await process.wait()


async def _to_the_end(work: Coroutine[Any, Any, R]) -> R:
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


@contextlib.contextmanager
def _handed_over(seccomp: bytes) -> Generator[tuple[dict[str, int], int]]:
    """Yield open files in memory with the stand-ins of /etc and the filter."""
    with contextlib.ExitStack() as stack:

        def in_memory(data: bytes) -> int:
            descriptor = os.memfd_create("deskhand")
            stack.callback(os.close, descriptor)
            os.write(descriptor, data)
            os.lseek(descriptor, 0, os.SEEK_SET)
            return descriptor

        yield {path: in_memory(data) for path, data in STAND_INS.items()}, in_memory(seccomp)
