"""``DESKHAND_HOME``: one private directory on a local disk, used by one Deskhand at a time.

Loose modes are repaired, foreign owners refused (SE-02). It refuses network file systems, where locks and
write-ahead logs do not hold what they promise.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deskhand.errors import Code, DeskhandError
from deskhand.store.engine import translated
from deskhand.store.private import FILE_MODE, sync

LOCK = "lock"
_FOLDER_MODE = 0o700
_OTHERS = 0o077
_MOUNTS = Path("/proc/self/mounts")

NETWORK = re.compile(
    r"9p|afs|beegfs|ceph|cifs|davfs|glusterfs|gpfs|lustre|ncpfs|nfs4?|smb[23]|smbfs|vboxsf"
    r"|fuse\.(ceph|davfs2|glusterfs|rclone|s3fs|sshfs|vmhgfs-fuse)"
)
"""File systems whose disk is elsewhere."""


@dataclass(frozen=True, slots=True)
class Home:
    """An open home; holds its lock until closed."""

    path: Path
    _handle: int

    def folder(self, name: str) -> Path:
        """Return a private directory inside, made when it is missing.

        Raises:
            DeskhandError: ``disk_full``, ``home_unsafe``.
        """
        inner = self.path / name
        with _told():
            make_folder(inner)
            _make_private(inner)
        return inner

    def close(self) -> None:
        """Let the next one in."""
        os.close(self._handle)


def file_system_of(path: Path, *, mounts: Path = _MOUNTS) -> str:
    """Return the type of the innermost mount around a path; the last one wins; empty where the machine does not say."""
    found, depth = "", -1
    for line in mounts.read_text(encoding="utf-8").splitlines() if mounts.is_file() else ():
        _, place, kind, *_ = line.split(" ")
        mount = Path(place.encode().decode("unicode_escape"))
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            found, depth = kind, len(mount.parts)
    return found


def open_home(path: Path, *, file_system: Callable[[Path], str] = file_system_of) -> Home:
    """Open (or make) a home, repair loose modes and take its lock.

    Raises:
        DeskhandError: ``home_locked``; ``home_unsafe`` with the reason; ``disk_full``.
    """
    with _told(), ExitStack() as undo:
        make_folder(path)
        path = path.resolve()
        if NETWORK.fullmatch(kind := file_system(path)):
            raise DeskhandError(Code.HOME_UNSAFE, kind)
        _make_private(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(path / LOCK, flags, FILE_MODE)
        undo.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeskhandError(Code.HOME_LOCKED) from None
        except OSError as error:
            raise DeskhandError(Code.HOME_UNSAFE, "no locks here") from error
        for inner in sorted(path.iterdir()):
            # What lies in a closed directory is closed with it; sockets and links have no modes to repair.
            if not inner.is_symlink() and (inner.is_dir() or inner.is_file()):
                _make_private(inner)
        undo.pop_all()
    return Home(path, handle)


def _make_private(path: Path) -> None:
    """Close a file or directory to others."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} belongs to somebody else")
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        path.chmod(_FOLDER_MODE if stat.S_ISDIR(found.st_mode) else FILE_MODE)


@contextmanager
def _told() -> Generator[None]:
    with translated():
        try:
            yield
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise DeskhandError(Code.HOME_UNSAFE, error.strerror or "") from None


def make_folder(path: Path) -> None:
    """Make a private directory, and what is missing above it, whose names outlive a power cut."""
    for one in reversed([one for one in (path, *path.parents) if not one.exists()]):
        one.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        sync(one.parent)
