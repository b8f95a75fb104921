"""The argument list of the box: what a command sees, in the order that matters.

Pure: builds arguments and the small files that stand in for ``/etc``. It refuses to bind anything of the host that is
not on the list; the whole of ``/etc``, the home, the environment and other people's processes stay outside.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deskhand.limits import COMMAND_FILE_BYTES_MAX, COMMAND_PROCESSES_MAX
from deskhand.ports import Command

HOME: Final = "/home/sandbox"
UID: Final = 1000

_ETC: Final = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "ssl/certs",
    "ca-certificates",
    "fonts",
    "localtime",
    "mime.types",
    "terminfo",
)
_MERGED_USR: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

STAND_INS: Final[Mapping[str, bytes]] = {
    "/etc/passwd": b"sandbox:x:1000:1000:sandbox:/home/sandbox:/bin/sh\n",
    "/etc/group": b"sandbox:x:1000:\n",
    "/etc/hosts": b"127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
    "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Open files that are handed to the box, by number."""

    stand_ins: Mapping[str, int]
    seccomp: int
    status: int

    def all(self) -> tuple[int, ...]:
        """Return the descriptors that must survive the start of the box, and no others."""
        return (*self.stand_ins.values(), self.seccomp, self.status)


def limits(prlimit: str, command: Command) -> list[str]:
    """Return the prefix that bounds each process; sums over all processes are the watchdog's work."""
    cores = os.cpu_count() or 1
    return [
        prlimit,
        "--core=0",
        "--nofile=1024",
        f"--nproc={COMMAND_PROCESSES_MAX}",
        f"--as={command.memory_bytes_max}",
        f"--fsize={COMMAND_FILE_BYTES_MAX}",
        f"--cpu={int(command.seconds_max * cores) + 1}",
    ]


def box(
    bwrap: str,
    command: Command,
    *,
    merged: str,
    root: Path,
    readonly: Sequence[Path],
    descriptors: Descriptors,
) -> list[str]:
    """Return the arguments of bubblewrap.

    Args:
        bwrap: the program.
        command: what to run, and whether it may write.
        merged: where the overlay of the folder is mounted on the outside.
        root: where the folder appears inside, which is its real path.
        readonly: further trees of programs.
        descriptors: the files to hand over.
    """
    bind = "--bind" if command.writable else "--ro-bind"
    return [
        bwrap,
        *_namespaces(),
        *_programs(readonly),
        *_etc(descriptors.stand_ins),
        *_file_systems(),
        *(bind, merged, str(root), "--chdir", str(command.folder)),
        *("--remount-ro", "/"),
        *_environment(readonly),
        *("--seccomp", str(descriptors.seccomp)),
        *("--json-status-fd", str(descriptors.status)),
        "--",
        *command.argv,
    ]


def _namespaces() -> list[str]:
    # Not --unshare-all: it only *tries* the user namespace. No --die-with-parent: it fires with the starting thread,
    # and not during its own start; the lifeline does both better.
    return [
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--disable-userns", "--uid", str(UID), "--gid", str(UID)),
        *("--hostname", "sandbox", "--cap-drop", "ALL", "--new-session"),
    ]


def _programs(readonly: Sequence[Path]) -> list[str]:
    found = ["--ro-bind", "/usr", "/usr"]
    for name in _MERGED_USR:
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    for tree in readonly:
        found += ["--ro-bind", str(tree), str(tree)]
    return found


def _etc(stand_ins: Mapping[str, int]) -> list[str]:
    found: list[str] = []
    for name in _ETC:
        found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path, descriptor in stand_ins.items():
        found += ["--ro-bind-data", str(descriptor), path]
    return found


def _file_systems() -> list[str]:
    # /proc/sys again and read-only: under root the box could otherwise write the host's kernel settings.
    return [
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"),
        *("--size", str(64 * 1024**2), "--tmpfs", "/dev/shm"),  # noqa: S108 - the box's own
        *("--size", str(256 * 1024**2), "--tmpfs", "/tmp"),  # noqa: S108 - the box's own
        *("--size", str(64 * 1024**2), "--tmpfs", HOME, "--dir", "/run"),
    ]


def _environment(readonly: Sequence[Path]) -> list[str]:
    path = ":".join(
        [*(str(tree / "bin") for tree in readonly), "/usr/local/bin", "/usr/bin", "/bin"]
    )
    values = {"PATH": path, "HOME": HOME, "LANG": "C.UTF-8", "TMPDIR": "/tmp", "TERM": "dumb"}  # noqa: S108 - the box's own
    return [
        "--clearenv",
        *(part for name, value in values.items() for part in ("--setenv", name, value)),
    ]
