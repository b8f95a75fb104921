"""Two ways to open a directory beneath a handle without following a single link.

``by_openat2`` lets the kernel do it in one call; ``by_walk`` opens component by component where that call is missing
or forbidden. Both refuse links, also inner ones, and mounts that lie inside the folder. Neither is given a file: the
last name is always handled by the caller with ``O_NOFOLLOW`` in the directory returned here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Final

Resolver = Callable[[int, Sequence[str]], int]
"""(descriptor of the root, components of a directory) -> descriptor of that directory, to be closed by the caller.

It raises ``OSError``: ``ENOTDIR`` or ``ELOOP`` for a link, ``EXDEV`` for a way out or another file system."""

DIRECTORY: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_OPENAT2: Final = 437  # the same number on every architecture that has the call
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RETRIES_MAX: Final = 64


_libc = ctypes.CDLL(None, use_errno=True)


def by_openat2(root: int, parts: Sequence[str]) -> int:
    """Open with the kernel's beneath-only resolution; ``EAGAIN`` when renames never let it finish."""
    how = struct.pack("=QQQ", DIRECTORY, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV)
    path = os.fsencode("/".join(parts) or ".")
    for _ in range(_RETRIES_MAX):
        opened = int(_libc.syscall(_OPENAT2, root, path, how, len(how)))
        if opened >= 0:
            return opened
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def by_walk(root: int, parts: Sequence[str]) -> int:
    """Open one component at a time."""
    device = os.fstat(root).st_dev
    here = os.open(".", DIRECTORY, dir_fd=root)
    for part in parts:
        try:
            below = os.open(part, DIRECTORY, dir_fd=here)
        finally:
            os.close(here)
        here = below
        if os.fstat(here).st_dev != device:
            os.close(here)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return here


def openat2_works() -> bool:
    """Try the call: old kernels lack it, and some container filters forbid it."""
    if sys.platform != "linux":
        return False
    root = os.open("/", DIRECTORY)
    try:
        os.close(by_openat2(root, ()))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def best_resolver() -> Resolver:
    """Return the kernel's way where it works, else the walk."""
    return by_openat2 if openat2_works() else by_walk
