"""Runs a scenario with a real box as this user, and when this user is root also as a normal one.

Root and a normal user raise the wall in different ways, so every promise is tried for both. The normal user is a forked
child that gave up root; what it found out comes back through a pipe.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, Sandbox
from deskhand.sandbox.walls import Bubblewrap, choose_sandbox
from deskhand.tools.beneath import Folder

T = TypeVar("T")

NORMAL_UID = 64_999
"""No account has it; nothing here needs one."""

DEADLINE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of a command; roomy unless said."""

    writable: bool = True
    seconds: float = 15.0
    output_bytes: int = 64 * 1024
    memory_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a scenario works with."""

    box: Sandbox
    folder: Folder
    outside: Path
    state: Path

    async def run(self, *argv: str, bounds: Bounds | None = None) -> CommandResult:
        """Run a command with roomy bounds unless the scenario gives its own."""
        return await self.box.run(command(self.folder.root, *argv, bounds=bounds), self.folder)

    async def sh(self, script: str, bounds: Bounds | None = None) -> CommandResult:
        """Run a shell script."""
        return await self.run("sh", "-c", script, bounds=bounds)

    def layer(self, name: str) -> Path | None:
        """Find what a running command has written so far, in its layer."""
        return written(self.state, name)


def written(state: Path, name: str) -> Path | None:
    """Find what a running command has written so far, in its layer or its copy."""
    with suppress(FileNotFoundError):  # a layer may go while it is looked into
        found = state.glob(f"sandbox/*/*/{name}")
        return next((path for path in found if path.parent.name in ("upper", "merged")), None)
    return None


def command(folder: Path, *argv: str, bounds: Bounds | None = None) -> Command:
    """Make a command with roomy bounds."""
    given = bounds or Bounds()
    return Command(
        argv=argv,
        folder=folder,
        writable=given.writable,
        seconds_max=given.seconds,
        output_bytes_max=given.output_bytes,
        memory_bytes_max=given.memory_bytes,
    )


async def until(state: Callable[[], T | None]) -> T:
    """Wait for a state; a scenario has no clock of its own, the box is real."""
    clock = SystemClock()
    deadline = clock.monotonic() + DEADLINE_SECONDS
    while not (reached := state()):
        if clock.monotonic() > deadline:
            raise TimeoutError
        await clock.sleep(0.01)
    return reached


def processes_with(mark: str, *, whole: bool = False) -> list[int]:
    """Find processes by a mark on their command line, or by the whole of it."""
    found: list[int] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = each.read_bytes()
            if line == f"{mark}\0".encode() or (not whole and mark.encode() in line):
                found.append(int(each.parent.name))
        except OSError:
            continue
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A user of a computer with a folder, a neighbour directory that is not granted, and a state directory."""

    uid: int | None
    home: Path
    kind: type[Bubblewrap] = Bubblewrap

    @property
    def work(self) -> Path:
        """The granted folder."""
        return self.home / "work"

    @property
    def outside(self) -> Path:
        """A directory beside it that is not granted."""
        return self.home / "outside"

    def put(self, rel: str, text: str, mode: int = 0o644) -> Path:
        """Place a file of this user."""
        path = self.home / rel
        for parent in reversed(path.relative_to(self.home).parents):
            (self.home / parent).mkdir(exist_ok=True)
            self._own(self.home / parent)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        self._own(path)
        return path

    def _own(self, path: Path) -> None:
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)

    def do(self, scenario: Callable[[Bench], Awaitable[T]]) -> T:
        """Play a scenario as this user and return what it found out."""
        if self.uid is None:
            return asyncio.run(self._play(scenario))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self._become_and_play(scenario, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            said = answers.read()
        os.waitpid(child, 0)
        kind, value = pickle.loads(said)  # noqa: S301 - our own child wrote it
        if kind == "refused":
            raise DeskhandError(Code(value[0]), value[1])
        if kind == "broke":
            raise AssertionError(value)
        return cast("T", value)

    def start(self, scenario: Callable[[Bench], Awaitable[T]]) -> int:
        """Play a scenario in a process of its own, to be killed; return its pid."""
        child = os.fork()
        if child == 0:
            self._become_and_play(scenario, os.open(os.devnull, os.O_WRONLY))
        return child

    def kill(self, child: int) -> None:
        """Kill a started process the hard way."""
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    def _become_and_play(self, scenario: Callable[[Bench], Awaitable[T]], writer: int) -> None:
        """Never return: a forked child must not go on with the tests."""
        answer: tuple[str, object] = ("broke", "nothing was said")
        try:
            if self.uid is not None:
                os.setgroups([])
                os.setresgid(self.uid, self.uid, self.uid)
                os.setresuid(self.uid, self.uid, self.uid)
            if not os.access(sys.executable, os.X_OK):  # a Python in somebody's home
                sys.executable = "/usr/bin/python3"
            answer = ("ok", asyncio.run(self._play(scenario)))
        except DeskhandError as error:
            answer = ("refused", (str(error.code), error.detail))
        except BaseException as error:  # noqa: BLE001 - everything must reach the parent
            answer = ("broke", repr(error))
        finally:
            with os.fdopen(writer, "wb") as answers:
                pickle.dump(answer, answers)
            os._exit(0)

    async def _play(self, scenario: Callable[[Bench], Awaitable[T]]) -> T:
        state, clock = self.home / "state", SystemClock()
        box = await choose_sandbox(state, clock=clock, offload=asyncio.to_thread, kinds=[self.kind])
        with closing(Folder(self.work)) as folder:
            return await scenario(Bench(box=box, folder=folder, outside=self.outside, state=self.home / "state"))


def warm_up() -> None:
    """Import all that a scenario needs while this user still may read it."""
    with tempfile.TemporaryDirectory() as place:
        party = Party(uid=None, home=Path(place))
        party.work.mkdir()
        (party.home / "state").mkdir()
        with suppress(DeskhandError):  # there is no bubblewrap
            party.do(lambda bench: bench.run("true"))


def contents(root: Path) -> dict[str, str]:
    """Every plain file of a tree with its text."""
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def owner_of(pid: int) -> int:
    """Return the uid of a process."""
    return Path(f"/proc/{pid}").stat().st_uid


def listed(directory: Path) -> list[str]:
    """List a directory by name."""
    return sorted(path.name for path in directory.iterdir())
