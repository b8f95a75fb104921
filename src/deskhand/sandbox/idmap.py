"""Raises the overlay for a root runner: files of the folder's owner appear as files of an unprivileged uid.

The mounts are made by a thread that goes into a mount namespace of its own, which nobody else ever sees, and ends; the
box is started inside by its descriptor. It refuses to leave anything mounted: the namespace goes with the descriptor.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import subprocess
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.sandbox.landlock import checked, libc
from deskhand.sandbox.layers import SEARCH, Layers

_REACH: Final = "/mnt"
"""Exists everywhere and can be reached by every uid; only the box sees what is mounted there."""
MERGED: Final = f"{_REACH}/folder"
_LOWER: Final = f"{_REACH}/lower"
"""Where the folder is seen with other owners, below the overlay."""
_BIND: Final = 0x1000

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _CLONE_TREE, _FROM_EMPTY_PATH, _IDMAP = -100, 0x1000, 1, 4, 0x100000
_NEWNS: Final = 0x00020000
_REC_PRIVATE: Final = (1 << 14) | (1 << 18)
_IDS: Final = 2**32 - 1


def swapped(first: int, second: int) -> str:
    """Return an id map in which two ids change places and all others stay."""
    low, high = sorted((first, second))
    between, above = (low + 1, low + 1, high - low - 1), (high + 1, high + 1, _IDS - high - 1)
    ranges = dict.fromkeys([(0, 0, low), (low, high, 1), between, (high, low, 1), above])
    return "".join(f"{one} {other} {count}\n" for one, other, count in ranges if count > 0)


def program_at(number: int) -> str:
    """Return where a directory of programs is found by the box, which may not enter the home it lies in."""
    return f"{_REACH}/{number}"


@contextlib.contextmanager
def mounted(folder: Path, layers: Layers | None, *, owner: int, programs: Sequence[str]) -> Generator[str]:
    """Yield a mount namespace, by a path to its descriptor, that has ``folder`` at :data:`MERGED`.

    Args:
        folder: what is seen.
        layers: of the overlay over it; without them it is written itself.
        owner: as whose files the folder's are seen.
        programs: directories that are seen at :func:`program_at`.

    Raises:
        DeskhandError: ``sandbox_unavailable``; nothing stays mounted.
    """
    there = folder.stat()
    try:
        mapping = _mapping(swapped(there.st_uid, owner), swapped(there.st_gid, owner))
        with ThreadPoolExecutor(1) as alone:  # its thread does not come back from where it goes
            namespace = alone.submit(_mount, folder, layers, mapping, programs).result()
    except OSError as error:
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, f"mounting failed: {error}") from error
    try:
        yield f"/proc/{os.getpid()}/fd/{namespace}"
    finally:
        os.close(namespace)


def _mount(folder: Path, layers: Layers | None, mapping: int, programs: Sequence[str]) -> int:
    """Go into an own mount namespace and working directory, mount all, and return the namespace."""
    checked(libc.unshare(_NEWNS))
    checked(libc.mount(None, b"/", None, _REC_PRIVATE, None))
    tree = checked(libc.syscall(_OPEN_TREE, _AT_FDCWD, bytes(folder), _CLONE_TREE | os.O_CLOEXEC))
    checked(libc.mount(b"tmpfs", os.fsencode(_REACH), b"tmpfs", 0, b"mode=755"))
    for number, path in enumerate(programs):
        at = Path(program_at(number))
        at.mkdir()
        checked(libc.mount(os.fsencode(path), bytes(at), None, _BIND, None))
    for place in (MERGED, _LOWER):
        Path(place).mkdir()
    try:
        attributes = struct.pack("=QQQQ", _IDMAP, 0, 0, mapping)
        size = len(attributes)
        checked(libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, size))
        into = os.fsencode(_LOWER if layers else MERGED)
        checked(libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, into, _FROM_EMPTY_PATH))
    finally:
        os.close(tree)
    if layers:
        os.chdir(_LOWER)  # of this thread alone, since it has its own mounts
        options = os.fsencode(layers.options())
        checked(libc.mount(b"overlay", os.fsencode(MERGED), b"overlay", 0, options))
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


@functools.cache
def _mapping(uids: str, gids: str) -> int:
    """Return a descriptor of a user namespace that exists only to carry two id maps; kept, since folders are few."""
    waiting, pipe = ["unshare", "--user", "--", "sh", "-c", "echo; read _"], subprocess.PIPE
    with subprocess.Popen(waiting, stdin=pipe, stdout=pipe, env={"PATH": SEARCH}) as child:  # noqa: S603 - fixed programs
        child.stdout.read(1) if child.stdout else None
        process = Path("/proc", str(child.pid))
        (process / "uid_map").write_text(uids, "ascii")
        (process / "gid_map").write_text(gids, "ascii")
        return os.open(process / "ns/user", os.O_RDONLY | os.O_CLOEXEC)
