"""What may be done beneath a directory that is already open: open another one in it, and handle one last name.

No function follows a link, also no inner one. Two ways lead to a directory: ``by_openat2`` lets the kernel do it in one
call; ``by_walk`` opens component by component where that call is missing or forbidden. Both refuse mounts that lie
inside. Neither is given a file: all others take the descriptor of a directory and a last name. They refuse pipes,
sockets, devices and files with several names, and say what the system said in our words.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import secrets
import stat
import struct
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, Final, Literal

from deskhand.errors import Code, DeskhandError
from deskhand.limits import ARTIFACT_BYTES_MAX
from deskhand.ports import Entry

Resolver = Callable[[int, Sequence[str]], int]
"""(descriptor of the root, components of a directory) -> descriptor of that directory, to be closed by the caller.

It raises ``OSError``: ``ENOTDIR`` or ``ELOOP`` for a link, ``EXDEV`` for a way out or another file system."""

DIRECTORY: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENAT2: Final = 437  # the same number on every architecture that has the call
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RETRIES_MAX: Final = 64
_PLAIN: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_RENAME_NOREPLACE: Final = 1
_IN_THE_WAY: Final = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.EAGAIN)
_MEANING: Final = (
    ((errno.ENOSPC, errno.EDQUOT), Code.DISK_FULL, ""),
    ((errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR), Code.CONFLICT, "the name is taken"),
    (_IN_THE_WAY, Code.PATH_REFUSED, "a link or something else is in the way"),
    ((errno.EACCES, errno.EPERM, errno.EROFS), Code.PATH_REFUSED, "the system does not permit it"),
)
_FOREIGN: Final = frozenset(
    b"user.deskhand.foreign user.xdg.origin.url user.xdg.referrer.url com.apple.quarantine "
    b"user.com.apple.quarantine user.Zone.Identifier".split()
)
"""The marks of a download, by browsers and file systems, and the one that we set."""
_ATTRIBUTES_MAX: Final = 65_536
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What a name leads to; of a file whose bytes could not be read there is no hash."""

    kind: Literal["nothing", "file", "directory", "other"] = "nothing"
    mode: int = 0
    size: int = 0
    sha256: str = ""


NOTHING: Final = Thing()


def translated(error: OSError) -> DeskhandError:
    """Return our error for what the system said."""
    for numbers, code, detail in _MEANING:
        if error.errno in numbers:
            return DeskhandError(code, detail)
    return DeskhandError(Code.PATH_REFUSED, os.strerror(error.errno or 0))


def status_of(parent: int, name: str) -> os.stat_result | None:
    """Return the status of a name, of a link its own, or nothing when the name is free."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    return None


def known(status: os.stat_result) -> os.stat_result:
    """Return the status of a file or directory.

    Raises:
        DeskhandError: ``path_refused`` for a link, pipe, socket or device.
    """
    if stat.S_ISLNK(status.st_mode):
        raise DeskhandError(Code.PATH_REFUSED, "it is a link")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise DeskhandError(Code.PATH_REFUSED, "it is a pipe, socket or device")
    return status


def entry_of(parts: Sequence[str], status: os.stat_result) -> Entry:
    """Return the entry that a person or agent sees; links, pipes, sockets and devices are ``other``."""
    path, mode = "/".join(parts) or ".", status.st_mode
    kind = "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if shown != path:
        # Bytes that are no text cannot travel in JSON: shown, but nothing that can be opened.
        kind = "other"
    size = status.st_size if kind == "file" else 0
    several = kind == "file" and status.st_nlink > 1
    identity = f"{status.st_dev}:{status.st_ino}" if several else ""
    return Entry(path=shown, kind=kind, size=size, modified_ns=status.st_mtime_ns, identity=identity)


def scan(directory: int, parents: Sequence[str]) -> Iterator[Entry]:
    """Yield the entries of an open directory, in no order."""
    with _readable(directory) as readable, os.scandir(readable) as names:
        for each in names:
            with contextlib.suppress(FileNotFoundError):  # gone between listing and looking
                yield entry_of((*parents, each.name), each.stat(follow_symlinks=False))


def open_plain(parent: int, name: str, *, limit: int = ARTIFACT_BYTES_MAX) -> BufferedReader:
    """Look before opening (opening a device can act), then look at what was really opened."""
    _plain(os.stat(name, dir_fd=parent, follow_symlinks=False), limit)
    descriptor = os.open(name, os.O_RDONLY | _PLAIN, dir_fd=parent)
    try:
        _plain(os.fstat(descriptor), limit)
        return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, not a path
    except BaseException:
        os.close(descriptor)
        raise


def _plain(status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(known(status).st_mode):
        raise DeskhandError(Code.PATH_REFUSED, "it is a directory")
    if status.st_size > limit:
        raise DeskhandError(Code.TOO_LARGE, f"{status.st_size} bytes, at most {limit}")


def replaceable(parent: int, name: str, expect: str | None) -> os.stat_result | None:
    """Return the status of the file that a write would replace, or nothing when the name is free.

    Raises:
        DeskhandError: ``conflict``, also where its hash is not ``expect`` (empty: the name is free); ``path_refused``.
    """
    status, found = status_of(parent, name), ""
    if status is not None:
        if not stat.S_ISREG(known(status).st_mode):
            raise DeskhandError(Code.CONFLICT, "a directory is in the way")
        if status.st_nlink > 1:
            raise DeskhandError(Code.PATH_REFUSED, "the file has several names")
        if expect is not None:
            with open_plain(parent, name) as file:
                found = digest(file)
    if expect not in (None, found):
        raise DeskhandError(Code.CONFLICT, "it changed meanwhile")
    return status


def digest(file: BufferedReader) -> str:
    """Return the hash of the rest of a file."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def make_temporary(parent: int) -> tuple[str, int]:
    """Create a file that nobody can have prepared (FS-12); return its name and descriptor."""
    name = f".deskhand-{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN
    return name, os.open(name, flags, 0o600, dir_fd=parent)


def copy_bounded(source: BinaryIO, target: BinaryIO, *, limit: int) -> str:
    """Copy at most ``limit`` bytes and return their hash; refuse with ``too_large`` when there are more."""
    left, hashed = limit, hashlib.sha256()
    while chunk := source.read(min(1024 * 1024, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise DeskhandError(Code.TOO_LARGE, f"more than {limit} bytes")
        target.write(chunk)
        hashed.update(chunk)
    target.flush()
    return hashed.hexdigest()


def settle(descriptor: int, parent: int, before: os.stat_result | None, mode: int | None) -> os.stat_result:
    """Give a new file its permissions (never a setuid bit) and its owner; return what it is then."""
    around = os.fstat(parent)
    kept = before.st_mode if before else 0o644 & (around.st_mode | 0o600)
    os.fchmod(descriptor, (kept if mode is None else mode) & 0o777)
    if os.geteuid() == 0:  # a runner for root must not take files away from their owner
        like = before or around
        os.fchown(descriptor, like.st_uid, like.st_gid)
    return os.fstat(descriptor)


def make_directory(parent: int, name: str, mode: int | None = None) -> None:
    """Create a directory with the permissions of the one it lies in or its own, and under root with its owner."""
    around = os.fstat(parent)
    os.mkdir(name, 0o777 & (around.st_mode if mode is None else mode), dir_fd=parent)
    if mode is not None:
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _PLAIN, dir_fd=parent)
        os.fchmod(made, mode & 0o777)
        os.close(made)
    if os.geteuid() == 0:
        os.chown(name, around.st_uid, around.st_gid, dir_fd=parent, follow_symlinks=False)


def file_thing(status: os.stat_result, sha256: str) -> Thing:
    """Return a file as it is told of."""
    return Thing(kind="file", mode=status.st_mode & 0o777, size=status.st_size, sha256=sha256)


def look(parent: int, name: str, *, most: int = 0) -> tuple[Thing, bytes | None]:
    """Return what has a name, and the bytes of a file with at most so many; what cannot be read is told without hash."""
    status = status_of(parent, name)
    if status is None:
        return NOTHING, None
    if not stat.S_ISREG(status.st_mode):
        kind = "directory" if stat.S_ISDIR(status.st_mode) else "other"
        return Thing(kind=kind, mode=status.st_mode & 0o777), None
    data, sha256 = None, ""
    with contextlib.suppress(OSError, DeskhandError), open_plain(parent, name) as file:
        data = file.read(most + 1) if status.st_size <= most else None
        sha256 = digest(file) if data is None else hashlib.sha256(data).hexdigest()
    return file_thing(status, sha256), data


def is_foreign(parent: int, name: str) -> bool:
    """Return whether a file has the mark of a download, or ours."""
    if status_of(parent, f"{name}:Zone.Identifier") is not None:
        return True
    said = ctypes.create_string_buffer(_ATTRIBUTES_MAX)
    with open_plain(parent, name, limit=sys.maxsize) as file:
        size = _libc.flistxattr(file.fileno(), said, len(said), 0)  # the 0 is for macOS alone
    return not _FOREIGN.isdisjoint(said.raw[: max(size, 0)].split(b"\0"))


def mark_foreign(descriptor: int) -> None:
    """Set our mark, where the file system has room for one."""
    _libc.fsetxattr(descriptor, b"user.deskhand.foreign", b"1", 1, 0, 0)


def sync(directory: int, *, whole: bool = False) -> None:
    """Make the names of a directory durable; ``whole``: all that was written to its file system."""
    with _readable(directory) as readable:
        if not whole:
            os.fsync(readable)
        elif not hasattr(_libc, "syncfs") or _libc.syncfs(readable):
            os.sync()


@contextlib.contextmanager
def _readable(directory: int) -> Generator[int]:
    """Open a directory again: the handle of a path can be neither listed nor synced."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield readable
    finally:
        os.close(readable)


def must_be_free(parent: int, name: str) -> None:
    """Refuse a name that is taken with ``conflict``."""
    if status_of(parent, name) is not None:
        raise DeskhandError(Code.CONFLICT, "the name is taken")


def rename_free(old_parent: int, old: str, new_parent: int, new: str) -> None:
    """Rename without replacing: in the kernel where it can, else after a look."""
    if hasattr(_libc, "renameat2"):
        names = (os.fsencode(old), os.fsencode(new))
        if not _libc.renameat2(old_parent, names[0], new_parent, names[1], _RENAME_NOREPLACE):
            return
        if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    must_be_free(new_parent, new)
    os.rename(old, new, src_dir_fd=old_parent, dst_dir_fd=new_parent)
