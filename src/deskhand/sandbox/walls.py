"""The walls: a bubblewrap box over an overlay of the folder, and weaker ones; trusted code applies changes at the end.

A command sees the folder and system programs, no network, no environment, no other process. What it writes lands in
a layer beside the folder. Only when it ended by itself and every process of it is dead is that layer carried over,
change by change, through the folder's handle. A command that was killed midway did not happen; one that ended is
applied whole, also when its runner is killed meanwhile. It refuses to run anything when the box cannot be raised; there
is no way around the wall (SH-10).

Each is followed from outside: what it says, what all its processes use together, and that nothing of it lives on. The
kernel bounds each process; only a sum bounds all of them. The *lifeline* is a pipe into the box, never written to: when
its outer end is closed, or the runner dies in whatever way, the watcher inside kills everything.

Computers that cannot raise the full one get a copy instead of the overlay, or Landlock instead of the box. These are
shown as reduced, and every command is asked. They refuse what they cannot hold: root, hosts, huge folders.

Which of them this computer can raise, and whether it holds, is found out by trying: every way out that we know is tried
from inside, with bait laid out for each. No version number, file on PATH or setting is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Awaitable, Coroutine, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final, Literal, TypeVar

from typing_extensions import override

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import DISK_FREE_BYTES_MIN
from deskhand.ports import Command, CommandResult, FolderAccess, Offload, Sandbox
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox import landlock
from deskhand.sandbox import layers as overlay
from deskhand.sandbox.box import INSIDE, SCOPED, box, exit_code, filter_bytes, handed_over, limits
from deskhand.texts import table

_COMMANDS_UID: Final = 64_321
"""Under a root runner commands get this uid: nobody's, and not the overflow id that other things share."""
_KEY_CHARS: Final = 32
_START = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import landlock; landlock.main()"
"""As a module it is compiled once; as a program it would be each time."""
_PSS: Final = re.compile(rb"^Pss: +(\d+)", re.MULTILINE)

R = TypeVar("R")
Stopped = Literal["time", "memory", "processes", "disk"]
_End = tuple[Stopped | None, int]
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


class Bubblewrap:
    """The box. Made by :func:`choose_sandbox`, which tries it first.

    Args:
        place: a directory of our own for the layers, on a file system that can carry them.
        clock: for durations and the watchdog.
        offload: runs blocking work on files.
        reason: what keeps this computer from a stronger wall.
    """

    NAME: ClassVar[str] = "bubblewrap over an overlay"
    LEVEL: ClassVar[Literal["full", "reduced"]] = "full"
    COPIES: ClassVar[bool] = False
    """Whether it works in a copy of the folder instead of an overlay."""
    NEEDS: ClassVar[tuple[str, ...]] = ("bwrap", "prlimit", "unshare", "mount", "nsenter")

    def __init__(self, place: Path, *, clock: Clock, offload: Offload, reason: str | None = None) -> None:
        self._place = place
        self._records = overlay.Records(place.with_name("ended"))
        self._clock = clock
        self._offload = offload
        self.owner = _COMMANDS_UID if os.geteuid() == 0 else None
        if reason is None and self.owner:
            reason = f"the runner is root; commands run as uid {self.owner}"
        self.info = SandboxInfo(name=self.NAME, level=self.LEVEL, reason=reason)

    def lacking(self) -> str | None:
        """Return what makes it needless to try."""
        for name in self.NEEDS:
            if not shutil.which(name, path=overlay.SEARCH):
                return f"{name} is not installed"
        return None if filter_bytes(platform.machine()) else "this machine has no filter"

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Run it over an overlay of the folder and apply the changes at its end.

        Cancelling the caller kills every process of it and applies nothing; once applying began it is finished
        before the cancellation goes on.

        Raises:
            DeskhandError: ``sandbox_unavailable``, ``path_refused`` (a working directory outside),
                ``folder_changed``, ``disk_full``.
        """
        _working_directory(command, access)
        key = command.key[:_KEY_CHARS]
        before = await self._offload(lambda: self._records.read(key))
        if before is not None and before.applied:
            return before.result
        place = self._place / (key or secrets.token_hex(8))
        try:
            if before is not None:
                layers = overlay.Layers(place=place, started_ns=before.started_ns)
            else:
                layers = overlay.make_layers(place, owner=self.owner)
                ended = await self.execute(command, layers, root=access.root)
                if not command.writable or ended.stopped is not None:
                    return ended
                before = overlay.Ended(result=ended, started_ns=layers.started_ns, applied=False)
            settle = partial(self._settle, key, before, layers, access)
            return await to_the_end(self._offload(settle))
        finally:
            await to_the_end(self._offload(lambda: overlay.remove_layers(place)))

    async def ended(self, key: str) -> CommandResult | None:
        """Return how the command of a step ended, and was applied, by the record."""
        found = await self._offload(lambda: self._records.read(key[:_KEY_CHARS]))
        return found.result if found is not None and found.applied else None

    def clear(self) -> None:
        """Remove left-overs of earlier runs, but for those whose changes may be applied in part."""
        for path in self._place.iterdir() if self._place.is_dir() else ():
            ended = self._records.read(path.name)
            if ended is None or ended.applied:
                overlay.remove_layers(path)

    def _settle(self, key: str, ended: overlay.Ended, layers: overlay.Layers, access: FolderAccess) -> CommandResult:
        """Apply what a run wrote, or the rest of it: from its record on, a crash changes nothing but the time."""
        overlay.open_up(layers.upper)
        kept = key != "" and any(layers.upper.iterdir())
        if kept:
            self._records.write(key, ended)
        try:
            changes, refused = overlay.apply_changes(layers, access)
        except DeskhandError:
            self._records.drop(key)  # told as an error, with what was applied until then
            raise
        result = replace(ended.result, changes=changes, refused=refused)
        if key:
            self._records.write(key, replace(ended, result=result, applied=True))
        return result

    async def execute(self, command: Command, layers: overlay.Layers, *, root: Path) -> CommandResult:
        """Run a command over layers that are already made; apply nothing.

        Raises:
            DeskhandError: ``sandbox_unavailable`` with what the box said when it could not be raised; ``too_large``
                when the folder would have to be copied.
        """
        output = BoundedOutput(command.output_bytes_max)
        copies = self.COPIES and command.writable
        if copies:
            await to_the_end(self._offload(lambda: overlay.copy_in(layers, root)))
        with (
            handed_over(self.filter(command), command.given) as handed,
            lifeline() as (inside, outside),
            self.line(command, layers, root, handed) as line,
        ):
            starting = asyncio.create_subprocess_exec(
                *line,
                stdin=inside,
                stdout=PIPE,
                stderr=STDOUT,
                env={"PATH": overlay.SEARCH},
                cwd=root,
                pass_fds=tuple(handed.values()),
                start_new_session=True,
            )
            stopped, status = await self._follow(starting, output, command, outside)
            code = exit_code(handed) if stopped is None else None
        if stopped is None:
            if status < 0:
                # Who waits for the last process of the box was itself killed: nobody knows that all are dead.
                raise DeskhandError(Code.SANDBOX_UNAVAILABLE, "the box was killed from outside")
            code = _never_started(output) if code is None else code
            if copies:
                await to_the_end(self._offload(lambda: overlay.gather(layers)))
        return CommandResult(
            exit_code=code,
            output=output.data(),
            truncated=output.left_out > 0,
            timed_out=stopped == "time",
            stopped=stopped,
        )

    async def _follow(
        self, starting: Coroutine[Any, Any, Process], output: BoundedOutput, command: Command, outside: BinaryIO
    ) -> _End:
        """Start a box and return when every process of it is dead, also when the caller is cancelled meanwhile."""
        # A start that is broken off would leave half a box that nobody ends, so a cancellation waits for its end.
        started = asyncio.ensure_future(starting)
        stopped: Stopped | None = None
        try:
            async with asyncio.timeout(command.seconds_max):
                process = await asyncio.shield(started)
                async with asyncio.TaskGroup() as tasks:
                    watching = tasks.create_task(self._watch(process, command, outside))
                    await _drain(process, output)
                    stopped = watching.result() if watching.done() else None
                    watching.cancel()
        except TimeoutError:
            stopped = "time"
        finally:
            outside.close()
            status = await to_the_end(_end(started))
        return stopped, status

    async def _watch(self, process: Process, command: Command, outside: BinaryIO) -> Stopped:
        """Return once the box is beyond a bound that no single process can keep, and it is killed."""
        while True:
            await self._clock.sleep(0.25)
            memory_bytes, tasks = _used_below(process.pid)
            if memory_bytes > command.memory_bytes_max:
                memory_bytes, tasks = _used_below(process.pid, exactly=True)
            disk = os.statvfs(self._place)
            beyond: dict[Stopped, bool] = {
                "memory": memory_bytes > command.memory_bytes_max,
                # Six are the wall's own.
                "processes": tasks > command.processes_max + 6,
                "disk": disk.f_bavail * disk.f_frsize < DISK_FREE_BYTES_MIN,
            }
            for bound, reached in beyond.items():
                if reached:
                    outside.close()
                    return bound

    def filter(self, command: Command) -> bytes:
        """Return the filter; where the folder itself is read, sockets that lie in it are out of reach by it alone."""
        strict = SCOPED if self.COPIES and not command.writable else None
        return filter_bytes(platform.machine(), landlock=strict) or b""

    @contextlib.contextmanager
    def line(
        self, command: Command, layers: overlay.Layers, root: Path, handed: Mapping[str, int]
    ) -> Generator[list[str]]:
        """Yield the command line of the whole wall, with what has to be mounted for it beforehand."""
        over, own = None if self.COPIES else layers, [str(path) for path in command.programs]
        seen = layers.merged if command.writable or over else root
        inner = partial(box, command, root=root, handed=handed)
        if self.owner is None:
            yield overlay.as_user(over, inner(merged=str(seen), programs=own))
            return
        bounded = inner(merged=overlay.MERGED, programs=[overlay.program_at(each) for each in range(len(own))])
        below = root if over else seen
        with overlay.mounted(below, over, owner=self.owner, programs=own) as namespace:
            yield overlay.as_root(namespace, bounded, owner=self.owner)


class Copied(Bubblewrap):
    """The same box, over a copy of the folder."""

    NAME, LEVEL, COPIES = "bubblewrap over a copy", "reduced", True


class Landlocked(Copied):
    """Landlock and a filter, where no namespace can be made: what is outside can be neither read nor written."""

    NAME, NEEDS = "Landlock over a copy", ("prlimit",)

    @override
    def lacking(self) -> str | None:
        if self.owner is not None:
            return "Landlock does not hold root"
        if landlock.version() < landlock.VERSION_MIN:
            return "this computer has no Landlock that holds"
        return super().lacking()

    @override
    def filter(self, command: Command) -> bytes:
        return filter_bytes(platform.machine(), landlock=landlock.version()) or b""

    @override
    @contextlib.contextmanager
    def line(
        self, command: Command, layers: overlay.Layers, root: Path, handed: Mapping[str, int]
    ) -> Generator[list[str]]:
        if command.hosts:
            raise DeskhandError(Code.SANDBOX_UNAVAILABLE, "no host can be reached from here")
        own, seen = layers.place / "work", layers.merged if command.writable else root
        private = {"HOME": str(own), "TMPDIR": str(own)}
        given = {path: str(own / Path(path).name) for path in command.given}
        for path, data in command.given.items():
            Path(given[path]).write_bytes(data)
        yield [
            *limits(command, others=_tasks_of_user()),
            *(sys.executable, "-I", "-S", "-c", _START),
            *(str(handed["seccomp"]), str(handed["status"]), str(own)),
            *(str(seen / command.folder.relative_to(root)), str(seen) * command.writable),
            *(str(seen), *INSIDE["system"], *(f"/etc/{name}" for name in INSIDE["etc"]), *map(str, command.programs)),
            *(f"{name}={value}" for name, value in {**INSIDE["environment"], **private}.items()),
            *("--", *(given.get(part, part) for part in command.argv)),
        ]


def _working_directory(command: Command, access: FolderAccess) -> None:
    """Refuse to start anywhere but in the folder (FS-14), or in one that was replaced (FS-10)."""
    if not command.folder.is_relative_to(access.root):
        raise DeskhandError(Code.PATH_REFUSED, "the working directory is outside the folder")
    there = access.stat(command.folder.relative_to(access.root).as_posix())
    if there is None or there.kind != "directory":
        raise DeskhandError(Code.PATH_REFUSED, "the working directory is no directory")


def _never_started(output: BoundedOutput) -> int:
    """Tell a missing program, which is the command's failure, from a box that could not be raised."""
    said = output.data().decode("utf-8", "replace").strip()
    if not said.startswith("bwrap: execvp "):
        detail = said[-200:] or "the wall ended without a word"
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, detail)
    return 127  # as a shell says


def _tasks_of_user() -> int:
    """Count what the kernel counts together with the command's own: all threads of this user."""
    count = 0
    for tasks in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            status = tasks.stat()
            count += (status.st_nlink - 2) * (status.st_uid == os.getuid())
    return count


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


# --- which of them holds here


KINDS: Final[tuple[type[Bubblewrap], ...]] = (Bubblewrap, Copied, Landlocked)
_SCRIPT: Final = Path(__file__).with_name("trial.sh").read_text("ascii")
_KNOWN: Final = table("deskhand.sandbox", "escapes.toml")
_MEMORY: Final = 512 * 1024**2


class NoSandbox:
    """No wall: what a computer has on which no wall could be raised; ``reason`` tells a person what stood in the way."""

    def __init__(self, reason: str) -> None:
        self.info = SandboxInfo(name="none", level="none", reason=reason)

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Refuse with ``sandbox_unavailable``, always."""
        del command, access
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, self.info.reason or "")

    async def ended(self, key: str) -> None:
        """Nothing ever ran."""


async def choose_sandbox(
    state: Path, *, clock: Clock, offload: Offload, kinds: Sequence[type[Bubblewrap]] = KINDS
) -> Sandbox:
    """Return the first wall that works here; at worst one that refuses everything and says why.

    ``state`` is a directory of our own; left-overs of earlier runs in it are removed. ``kinds``, the strongest first,
    are tried with a real command each.
    """
    if sys.platform != "linux":
        return NoSandbox("there is no wall for this system yet")
    place, reason = state / "sandbox", None
    for kind in kinds:
        box = kind(place, clock=clock, offload=offload, reason=reason)
        try:
            await offload(box.clear)
            said = box.lacking() or await _try(box, place / "trial")
        except (DeskhandError, OSError) as error:
            said = getattr(error, "detail", str(error))
        finally:
            await offload(lambda: overlay.remove_layers(place / "trial"))
        if said is None:
            return box
        reason = said if reason in (None, said) else f"{reason}; {said}"
    return NoSandbox(reason or "")


async def try_escapes(box: Sandbox, access: FolderAccess, *, files: Sequence[Path]) -> Mapping[str, bool]:
    """Return of each way out whether the box held.

    ``access`` is a folder of our own, with nothing in it; ``files`` are on the outside and may not be read.

    Raises:
        DeskhandError: what the box refuses to run with.
    """
    root = access.root
    (root / ".git").mkdir()
    (root / ".git/config").write_text("[core]\n", "ascii")
    ways = {"plants": _KNOWN["plants"], **_KNOWN["ways"]}

    async def run(*argv: str, **bounds: Any) -> CommandResult:  # noqa: ANN401 - of a command
        command = Command(argv=argv, folder=root, seconds_max=20, **bounds)
        return await box.run(command, access)

    with contextlib.ExitStack() as stack:
        bait = _laid_out(stack, root)
        bait |= {"files": [*map(str, files)], "ways": ways}
        base = Path(bait["python"]).parents[1]
        stack.callback(os.environ.pop, "DESKHAND_CANARY", None)
        os.environ["DESKHAND_CANARY"] = bait["canary"]
        ended = await run(
            *(bait["python"], "-I", "-c", _KNOWN["start"], json.dumps(bait)),
            writable=True,
            memory_bytes_max=_MEMORY,
            programs=() if base.is_relative_to("/usr") else (base,),
        )
    said = ended.output.decode("utf-8", "replace")
    if ended.exit_code != 0 or ended.stopped is not None:
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, said[-200:])
    held = {way: way not in json.loads(said) for way in _KNOWN["ways"]}
    held["link"] = not any(path.is_symlink() for path in root.rglob("*"))
    config = (root / ".git/config").read_text("utf-8")
    plants = [*root.rglob("hooks"), *root.rglob(".mcp.json")]
    held["hook"] = config == "[core]\n" and not plants
    mark = f"98{os.getpid()}"  # of processes, too many, that would outlive their command
    bomb = await run("sh", "-c", _KNOWN["forks"], "sh", mark, writable=False, processes_max=64)
    held["forks"] = b"through" not in bomb.output
    return {**held, "left": not _runs(f"sleep\0{mark}\0".encode())}


async def _try(box: Bubblewrap, trial: Path) -> str | None:
    """Run a real command over a real folder; return what was wrong."""
    layers = overlay.make_layers(trial, owner=box.owner)
    folder = trial / "folder"
    folder.mkdir()
    was = [folder / "kept", folder / "gone", trial / "outside"]
    for path in was:
        path.write_text("old\n", encoding="utf-8")
    argv = ("sh", "-c", _SCRIPT, "sh", str(trial / "outside"))
    command = Command(argv=argv, folder=folder, writable=True, seconds_max=20)
    ended = await box.execute(command, layers, root=folder)
    if ended.exit_code != 0:
        said = ended.output.decode("utf-8", "replace").strip()
        return f"a trial command ended with {ended.exit_code}: {said[-200:]}"
    untouched = all(path.read_text("utf-8") == "old\n" for path in was)
    caught = [(layers.upper / name).lstat().st_size for name in ("kept", "made", "gone")]
    if untouched and caught == [4, 5, 0] and not (folder / "made").exists():
        return None
    return "a write of the trial was not caught"


def _runs(line: bytes) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == line:
                return True
    return False


def _laid_out(stack: contextlib.ExitStack, root: Path) -> dict[str, Any]:
    """Open what nothing in the box may reach."""
    canary = f"deskhand-canary-{os.getpid()}"
    port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    for name in ("\0" + canary, str(root / "canary.sock")):
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        with contextlib.suppress(OSError):  # a path may be too long for one
            listening.bind(name)
            listening.listen()
    bait = {"canary": canary, "port": port, "pid": os.getpid(), "memory": _MEMORY}
    return {**bait, "python": str(Path(sys.executable).resolve())}
