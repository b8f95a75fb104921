"""The same disk under Python's own file calls, for what is written without SQLite: blobs, locks, folders.

Only the calls by which the store's files are made are followed: open to create, write, truncate, fsync, mkdir, rename,
unlink. It refuses to look like a power cut to code that catches errors: a cut goes through every ``except Exception``.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from typing_extensions import Buffer, override

from tests.powercut.disk import Act, Change, Disk, PowerCut


class _Raw(io.FileIO):
    """An unbuffered file that asks the disk before each write."""

    def __init__(self, handle: int, mode: str, *, disk: Disk, path: Path) -> None:
        super().__init__(handle, mode)
        self._disk = disk
        self._path = path

    @override
    def write(self, data: Buffer, /) -> int:
        change = Change(self.tell(), bytes(data))
        asked = self._disk.act("write", self._path, change=change)
        return super().write(data) if asked else refused(self._disk)

    @override
    def truncate(self, size: int | None = None, /) -> int:
        at = self.tell() if size is None else size
        asked = self._disk.act("truncate", self._path, change=Change(at, None))
        return super().truncate(size) if asked else refused(self._disk)


def refused(disk: Disk) -> int:
    """Say that the machine is off, or that there is no room."""
    if disk.off:
        raise PowerCut
    number = errno.ENOSPC if disk.full else errno.EIO
    raise OSError(number, os.strerror(number))


class _Calls:
    """The file calls of ``os``, each asking the disk first. A name changes while the disk is held."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._open, self._fdopen, self._fsync = os.open, os.fdopen, os.fsync
        self._pwrite = os.pwrite
        self._mkdir, self._unlink, self._replace = os.mkdir, os.unlink, os.replace

    def open(self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """Ask when it makes a file."""
        with self._disk.lock:
            if dir_fd is None and flags & os.O_CREAT and not os.path.lexists(path):
                self._ask("create", Path(path))
            return self._open(path, flags, mode, dir_fd=dir_fd)

    def fdopen(self, handle: int, mode: str = "r", buffering: int = -1, *, encoding: str | None = None) -> IO[Any]:
        """Ask for every write through the file, if it is unbuffered."""
        path = _path_of(handle)
        if self._disk.holds(path) and mode == "r+b" and buffering == 0:
            return _Raw(handle, mode, disk=self._disk, path=path)
        return self._fdopen(handle, mode, buffering, encoding=encoding)

    def fsync(self, handle: int) -> None:
        """Ask; nothing is really synced here."""
        path = _path_of(handle)
        if self._disk.holds(path):
            self._ask("folder" if path.is_dir() else "sync", path)
        else:
            self._fsync(handle)

    def pwrite(self, handle: int, data: bytes, at: int) -> int:
        """Ask for a write past the file object."""
        path = _path_of(handle)
        if self._disk.holds(path) and not self._disk.act("write", path, change=Change(at, data)):
            return refused(self._disk)
        return self._pwrite(handle, data, at)

    def mkdir(self, path: str | Path, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        """Ask when it makes a folder."""
        with self._disk.lock:
            if dir_fd is None and not os.path.lexists(path):
                self._ask("mkdir", Path(path))
            self._mkdir(path, mode, dir_fd=dir_fd)

    def unlink(self, path: str | Path, *, dir_fd: int | None = None) -> None:
        """Ask when there is something."""
        with self._disk.lock:
            if dir_fd is None and os.path.lexists(path):
                self._ask("delete", Path(path))
            self._unlink(path, dir_fd=dir_fd)

    def replace(self, source: str | Path, target: str | Path) -> None:
        """Ask always."""
        with self._disk.lock:
            self._ask("rename", Path(source), target=Path(target))
            self._replace(source, target)

    def _ask(self, act: Act, path: Path, *, target: Path | None = None) -> None:
        if self._disk.holds(path) and not self._disk.act(act, path, target=target):
            refused(self._disk)


@contextmanager
def followed(disk: Disk) -> Generator[Disk]:
    """Have a disk under the file calls of this process."""
    calls = _Calls(disk)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "fdopen", "fsync", "pwrite", "mkdir", "unlink", "replace"):
            patch.setattr(os, name, getattr(calls, name))
        yield disk


def _path_of(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}").readlink()
