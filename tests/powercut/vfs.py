"""Puts the forgetting disk under SQLite: a VFS in the very library that Python's ``sqlite3`` uses.

The product opens its files as always and does not know. Only what changes a file comes through Python (write, sync,
truncate, create, delete); reads, locks and shared memory stay with SQLite's own ``unix`` VFS. Nothing is really synced:
the disk model says what that would have meant. It refuses a ``sqlite3`` with the library built in, which it cannot reach.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.powercut.disk import Act, Change, Disk

_OK: Final = 0
_FULL: Final = 13
_IOERR: Final = 10
_FAILED: Final[dict[Act, int]] = {
    "write": _IOERR | 3 << 8,
    "sync": _IOERR | 4 << 8,
    "truncate": _IOERR | 6 << 8,
    "delete": _IOERR | 10 << 8,
    "create": 14,  # SQLITE_CANTOPEN
    "grow": _IOERR | 19 << 8,  # SQLITE_IOERR_SHMSIZE
}
_CREATES: Final = 0x00000004
_SYNCS_ITS_FOLDER: Final = 0x00000800 | 0x00004000 | 0x00080000
"""Journals of all kinds: SQLite syncs the folder with their first sync."""

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
_ShmMap = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("path_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _Open),
        ("delete", _Delete),
        *((f"rest{n}", c_void_p) for n in range(14)),
    )


class _Methods(Structure):
    _fields_ = (
        ("version", c_int),
        ("close", _Close),
        ("read", c_void_p),
        ("write", _Write),
        ("truncate", _Truncate),
        ("sync", _Sync),
        *((f"rest{n}", c_void_p) for n in range(7)),
        ("shm_map", _ShmMap),
        *((f"more{n}", c_void_p) for n in range(5)),
    )


class _File(Structure):
    _fields_ = (("methods", POINTER(_Methods)),)


class PowerVfs:
    """The default VFS of this process while it is ``under`` a disk; other files pass through it untouched."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._disks: list[Disk] = []
        self._files: dict[int, tuple[Disk, Path, list[bool]]] = {}
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        self._unix: Any = library.sqlite3_vfs_find(None)
        unix = self._unix.contents
        self._own = _Vfs.from_buffer_copy(unix)
        self._own.name, self._own.next = b"powercut", None
        self._own.open, self._own.delete = _Open(self._open), _Delete(self._delete)
        self._methods: dict[int, tuple[_Methods, _Methods]] = {}

    @contextmanager
    def under(self, disk: Disk) -> Generator[Disk]:
        """Have a disk under every SQLite file in its folder."""
        self._disks.append(disk)
        self._library.sqlite3_vfs_register(ctypes.byref(self._own), 1)
        try:
            yield disk
        finally:
            self._disks.remove(disk)
            if not self._disks:
                self._library.sqlite3_vfs_register(self._unix, 1)

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        path = Path(ctypes.string_at(name).decode()) if name else None
        disk = next((one for one in self._disks if path and one.holds(path)), None)
        if disk is None or path is None:
            return int(self._unix.contents.open(self._unix, name, file, flags, out_flags))
        with disk.lock:
            new = flags & _CREATES and not path.exists()
            if disk.off or (new and not disk.act("create", path)):
                return self._failure("create", disk)
            said = self._unix.contents.open(self._unix, name, file, flags, out_flags)
            if said == _OK:
                opened = ctypes.cast(file, POINTER(_File)).contents
                opened.methods = ctypes.pointer(self._hooked(opened.methods))
                waits = bool(flags & _CREATES and flags & _SYNCS_ITS_FOLDER)
                self._files[file] = (disk, path, [waits])
        return int(said)

    def _delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        path = Path(name.decode())
        disk = next((one for one in self._disks if one.holds(path)), None)
        if disk is None:
            return int(self._unix.contents.delete(self._unix, name, sync_folder))
        with disk.lock:
            if path.exists() and not disk.act("delete", path):
                return self._failure("delete", disk)
            said = self._unix.contents.delete(self._unix, name, 0)
            if sync_folder:
                disk.folder_synced(path.parent)
        return int(said)

    def _hooked(self, methods: ctypes._Pointer[_Methods]) -> _Methods:
        """Return SQLite's own methods for a file, with ours in place of those that change it."""
        address = ctypes.addressof(methods.contents)
        if address not in self._methods:
            own = _Methods.from_buffer_copy(methods.contents)
            own.close, own.write = _Close(self._close), _Write(self._write)
            own.truncate, own.sync = _Truncate(self._truncate), _Sync(self._sync)
            if own.shm_map:
                own.shm_map = _ShmMap(self._shm_map)
            self._methods[address] = (methods.contents, own)
            self._methods[ctypes.addressof(own)] = (methods.contents, own)
        return self._methods[address][1]

    def _unhooked(self, file: int) -> _Methods:
        methods = ctypes.cast(file, POINTER(_File)).contents.methods
        address = ctypes.addressof(methods.contents)
        return self._methods[address][0] if address in self._methods else methods.contents

    def _close(self, file: int) -> int:
        del self._files[file]
        return int(self._unhooked(file).close(file))

    def _write(self, file: int, data: int, size: int, at: int) -> int:
        disk, path, _ = self._files[file]
        change = Change(at, ctypes.string_at(data, size))
        if not disk.act("write", path, change=change):
            if not disk.off:  # as a full disk does it: some of it, then no more
                self._unhooked(file).write(file, data, size // 2, at)
            return self._failure("write", disk)
        return int(self._unhooked(file).write(file, data, size, at))

    def _truncate(self, file: int, size: int) -> int:
        disk, path, _ = self._files[file]
        if not disk.act("truncate", path, change=Change(size, None)):
            return self._failure("truncate", disk)
        return int(self._unhooked(file).truncate(file, size))

    def _sync(self, file: int, _flags: int) -> int:
        disk, path, folder_waits = self._files[file]
        if not disk.act("sync", path):
            return self._failure("sync", disk)
        if folder_waits[0]:
            folder_waits[0] = False
            disk.folder_synced(path.parent)
        return _OK

    def _shm_map(self, file: int, region: int, size: int, extend: int, out: int) -> int:
        disk, path, _ = self._files[file]
        grows = extend and _size(path.with_name(path.name + "-shm")) < (region + 1) * size
        if grows and not disk.act("grow", path):
            return self._failure("grow", disk)
        return int(self._unhooked(file).shm_map(file, region, size, extend, out))

    def _failure(self, act: Act, disk: Disk) -> int:
        """Return what SQLite's own VFS would say: a write that finds no room is FULL, all else an I/O error."""
        return _FULL if disk.full and act == "write" and not disk.off else _FAILED[act]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@cache
def power_vfs() -> PowerVfs | None:
    """Return the VFS of this process, or nothing where ``sqlite3`` has its library built in."""
    if sys.platform != "linux":
        return None
    try:
        reached = ctypes.CDLL(_sqlite3.__file__)
        version = reached.sqlite3_libversion
    except (AttributeError, OSError):
        return None
    version.restype = c_char_p
    if version().decode() != sqlite3.sqlite_version:
        return None
    return PowerVfs(reached)
