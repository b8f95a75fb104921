"""The argument list of the box: what a command sees, in the order that matters.

Builds arguments, and in memory the small files that stand in for ``/etc``. It refuses to bind anything of the host that
is not on the list; the whole of ``/etc``, the home, the environment and other people's processes stay outside.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deskhand.limits import COMMAND_FILE_BYTES_MAX
from deskhand.ports import Command
from deskhand.texts import table

INSIDE: Final = table("deskhand.sandbox", "box.toml")
_STAND_INS: Final[Mapping[str, str]] = INSIDE["stand_ins"]


@contextlib.contextmanager
def handed_over(seccomp: bytes, given: Mapping[str, bytes]) -> Generator[Mapping[str, int]]:
    """Yield files in memory by name: the stand-ins of /etc, what is given, the filter, and the status, empty yet."""
    with contextlib.ExitStack() as stack:
        descriptors: dict[str, int] = {}
        own = {name: said.encode() for name, said in _STAND_INS.items()}
        for name, data in {**given, **own, "seccomp": seccomp, "status": b""}.items():
            descriptors[name] = os.memfd_create("deskhand")
            stack.callback(os.close, descriptors[name])
            os.pwrite(descriptors[name], data, 0)
        yield descriptors


def exit_code(handed: Mapping[str, int]) -> int | None:
    """Return what bubblewrap noted at the end; nothing if the command was never started, or was killed."""
    noted = re.search(rb'"exit-code": (\d+)', os.pread(handed["status"], 4096, 0))
    return int(noted[1]) if noted else None


def box(command: Command, *, merged: str, programs: Sequence[str], root: Path, handed: Mapping[str, int]) -> list[str]:
    """Return the command line of the bounded box.

    Args:
        command: what to run, and whether it may write.
        merged: where the overlay of the folder is mounted on the outside.
        programs: where each of the command's own programs is found on the outside.
        root: where the folder appears inside, which is its real path.
        handed: the descriptors of :func:`handed_over`; no others survive the start of the box.
    """
    return [
        *limits(command),
        "bwrap",
        *INSIDE["apart"],
        *_programs(),
        *_each("--ro-bind-try", ((f"/etc/{name}", f"/etc/{name}") for name in INSIDE["etc"])),
        *_each("--ro-bind-data", ((str(handed[to]), to) for to in (*_STAND_INS, *command.given))),
        *INSIDE["around"],
        *_each("--ro-bind", zip(programs, map(str, command.programs), strict=True)),
        *("--bind" if command.writable else "--ro-bind", merged, str(root)),
        *("--chdir", str(command.folder), "--remount-ro", "/", "--clearenv"),
        *_each("--setenv", INSIDE["environment"].items()),
        *("--seccomp", str(handed["seccomp"]), "--json-status-fd", str(handed["status"]), "--"),
        *command.argv,
    ]


def _each(option: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [part for one, other in pairs for part in (option, one, other)]


def limits(command: Command, *, others: int = 0) -> list[str]:
    """Bound each process; sums over all are the watchdog's work. ``others`` are counted with the command's own."""
    return [
        *("prlimit", "--core=0", "--nofile=1024", f"--nproc={command.processes_max + others}"),
        *(f"--as={command.memory_bytes_max}", f"--fsize={COMMAND_FILE_BYTES_MAX}"),
        f"--cpu={int(command.seconds_max * (os.cpu_count() or 1)) + 1}",
    ]


def _programs() -> list[str]:
    found = list[str]()
    for path in map(Path, INSIDE["system"]):
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    return found
