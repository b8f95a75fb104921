"""Raises the overlay for a root runner: files of the folder's owner appear as files of an unprivileged uid.

Run as a program of its own, by root, with the folder as working directory and the lifeline as standard input. It mounts
in a private namespace, gives up root for good and becomes the box. It refuses to go on with any privilege left, and
uses few modules of the standard library only: it is isolated from every installed package, and an import costs time.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
from typing import Final

_REACH: Final = "/mnt"
"""Exists everywhere and can be reached by every uid; only this process and the box see what is mounted there."""
MERGED: Final = f"{_REACH}/folder"
_BIND: Final = 0x1000

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _CLONE_TREE, _FROM_EMPTY_PATH, _IDMAP = -100, 0x1000, 1, 4, 0x100000
_NEWNS, _NEWUSER, _NEWPID = 0x00020000, 0x10000000, 0x20000000
_REC_PRIVATE: Final = (1 << 14) | (1 << 18)
_SIGKILL: Final = 9  # importing signal costs 3 ms
_IDS: Final = 2**32 - 1

_libc = ctypes.CDLL(None, use_errno=True)


def swapped(first: int, second: int) -> str:
    """Return an id map in which two ids change places and all others stay."""
    low, high = sorted((first, second))
    if low == high:
        return f"0 0 {_IDS}\n"
    between, above = (low + 1, low + 1, high - low - 1), (high + 1, high + 1, _IDS - high - 1)
    ranges = [(0, 0, low), (low, high, 1), between, (high, low, 1), above]
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges if count)


def program_at(number: int) -> str:
    """Return where a directory of programs is found by the box, which may not enter the home it lies in."""
    return f"{_REACH}/{number}"


def main(owner: int, lower: bytes, options: bytes, argv: list[str]) -> None:
    """Mount, drop to ``owner``, become the box of ``argv``; end when every process of it is dead.

    ``lower`` is an empty directory for the mapped view of the folder, ``options`` are the overlay's. Before a ``--``
    in ``argv`` stand directories of programs.

    Raises:
        OSError: a step is not possible here; nothing was started.
    """
    here = os.stat(".")  # noqa: PTH116 - no pathlib: every import costs start time
    mapping = _mapping(swapped(here.st_uid, owner), swapped(here.st_gid, owner))
    _check(_libc.unshare(_NEWNS))
    _check(_libc.mount(None, b"/", None, _REC_PRIVATE, None))
    tree = _check(_libc.syscall(_OPEN_TREE, _AT_FDCWD, b".", _CLONE_TREE | os.O_CLOEXEC))
    attributes = struct.pack("=QQQQ", _IDMAP, 0, 0, mapping)
    _check(_libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes)))
    _check(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, lower, _FROM_EMPTY_PATH))
    programs = argv[: argv.index("--")]
    argv = argv[len(programs) + 1 :]
    _check(_libc.mount(b"tmpfs", os.fsencode(_REACH), b"tmpfs", 0, b"mode=755"))
    for number, path in enumerate(programs):
        os.mkdir(program_at(number))  # noqa: PTH102 - no pathlib
        at = os.fsencode(program_at(number))
        _check(_libc.mount(os.fsencode(path), at, None, _BIND, None))
    os.mkdir(MERGED)  # noqa: PTH102 - no pathlib
    os.chdir(lower)
    _check(_libc.mount(b"overlay", os.fsencode(MERGED), b"overlay", 0, options))
    os.chdir("/")
    os.close(mapping)
    os.close(tree)
    _check(_libc.unshare(_NEWPID))
    first = os.fork()
    if first == 0:
        _watch_lifeline()
        os.setgroups([])
        os.setresgid(owner, owner, owner)
        os.setresuid(owner, owner, owner)
        os.execv(argv[0], argv)  # noqa: S606 - becoming the box is the purpose
    os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)


def _watch_lifeline() -> None:
    """Leave a watcher beside the box that kills all there is when the runner lets go of the lifeline, or dies."""
    nothing = os.open("/dev/null", os.O_RDWR)
    if os.fork() == 0:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.closerange(3, 1024)
        os.read(0, 1)
        while True:
            try:  # noqa: SIM105 - no contextlib: every import costs start time
                os.kill(-1, _SIGKILL)
            except ProcessLookupError:
                pass
            time.sleep(0.02)  # noqa: TID251 - this program has no loop and no clock
    os.dup2(nothing, 0)
    os.close(nothing)


def _mapping(uids: str, gids: str) -> int:
    """Return a descriptor of a user namespace that exists only to carry two id maps."""
    told, tell = os.pipe()
    wait, go = os.pipe()
    child = os.fork()
    if child == 0:
        _check(_libc.unshare(_NEWUSER))
        os.write(tell, b"1")
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    os.read(told, 1)
    for name, text in (("uid_map", uids), ("gid_map", gids)):
        with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - no pathlib: every import costs start time
            file.write(text)
    mapping = os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    os.kill(child, _SIGKILL)
    os.waitpid(child, 0)
    for descriptor in (told, tell, wait, go):
        os.close(descriptor)
    return mapping


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]), os.fsencode(sys.argv[2]), os.fsencode(sys.argv[3]), sys.argv[4:])
