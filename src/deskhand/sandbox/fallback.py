"""Weaker walls for computers that cannot raise the full one: a copy instead of an overlay, Landlock instead of a box.

They are shown as reduced, and every command is asked. They refuse what they cannot hold: root, hosts, huge folders.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command
from deskhand.sandbox import landlock
from deskhand.sandbox.box import INSIDE, limits
from deskhand.sandbox.bubblewrap import Bubblewrap
from deskhand.sandbox.layers import Layers
from deskhand.sandbox.seccomp import filter_bytes

_START = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import landlock; landlock.main()"
"""As a module it is compiled once; as a program it would be each time."""


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
    def line(self, command: Command, layers: Layers, root: Path, handed: Mapping[str, int]) -> Generator[list[str]]:
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


def _tasks_of_user() -> int:
    """Count what the kernel counts together with the command's own: all threads of this user."""
    count = 0
    for tasks in Path("/proc").glob("[0-9]*/task"):
        with contextlib.suppress(OSError):
            status = tasks.stat()
            count += (status.st_nlink - 2) * (status.st_uid == os.getuid())
    return count
