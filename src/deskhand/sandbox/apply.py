"""Carries what a command wrote from the upper layer into the folder, change by change, through its handle.

Runs when every process of the command is dead, so the upper layer stands still. Nothing is taken on trust: links and
special files are refused, permission bits beyond ``rwx`` fall away, protected names are the handle's refusal, and what
the person changed meanwhile is kept beside the command's version. It refuses a run with too many changes as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal, Protocol, runtime_checkable

from deskhand.errors import Code, DeskhandError
from deskhand.limits import COMMAND_CHANGED_BYTES_MAX, COMMAND_CHANGES_MAX, COMMAND_FILE_BYTES_MAX
from deskhand.ports import FileChange, FolderAccess, RefusedChange
from deskhand.sandbox.layers import Layers, open_up

_OPAQUE: Final = "user.overlay.opaque"
_BLOCK_BYTES: Final = 512
_DEPTH_MAX: Final = 64
_CONFLICT_NAMES_MAX: Final = 100


@runtime_checkable
class _Together(Protocol):
    """A handle that can make many writes durable at once; thousands of files would take minutes otherwise."""

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Return a context at whose end everything is durable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What reached the folder and what did not."""

    changes: tuple[FileChange, ...] = ()
    refused: tuple[RefusedChange, ...] = ()


@dataclass(slots=True)
class _Ledger:
    changes: list[FileChange] = field(default_factory=list[FileChange])
    refused: list[RefusedChange] = field(default_factory=list[RefusedChange])

    def did(self, path: str, kind: Literal["created", "changed", "deleted"], size: int = 0) -> None:
        self.changes.append(FileChange(path=path, kind=kind, size=size))

    def refuse(self, path: str, reason: str) -> None:
        self.refused.append(RefusedChange(path=path, reason=reason))

    @contextlib.contextmanager
    def keeping(self, path: str) -> Generator[None]:
        """Note a refusal of the handle and go on; a folder that is gone ends everything."""
        try:
            yield
        except DeskhandError as error:
            if error.code in (Code.FOLDER_CHANGED, Code.DISK_FULL):
                raise
            self.refuse(path, str(error.code))
        except OSError:
            self.refuse(path, str(Code.PATH_REFUSED))


def apply_changes(layers: Layers, access: FolderAccess) -> Applied:
    """Apply every change that may be applied; return all of them and every refusal.

    Raises:
        DeskhandError: ``folder_changed`` or ``disk_full``; what was applied until then stays.
    """
    ledger = _Ledger()
    if not _within_bounds(layers.upper):
        ledger.refuse(".", "too_many")
    else:
        together = access.together() if isinstance(access, _Together) else contextlib.nullcontext()
        with together:
            _Carrier(layers, access, ledger).directory(layers.upper, ".")
    return Applied(changes=tuple(ledger.changes), refused=tuple(ledger.refused))


def _within_bounds(upper: Path) -> bool:
    """Look at everything once before anything is applied; directories become readable on the way."""
    count = size = 0
    waiting = [(upper, 0)]
    while waiting:
        directory, depth = waiting.pop()
        open_up(directory)
        with os.scandir(directory) as entries:
            for entry in entries:
                count += 1
                size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), depth + 1))
        if count > COMMAND_CHANGES_MAX or size > COMMAND_CHANGED_BYTES_MAX or depth > _DEPTH_MAX:
            return False
    return True


class _Carrier:
    def __init__(self, layers: Layers, access: FolderAccess, ledger: _Ledger) -> None:
        self._started_ns = layers.started_ns
        self._access = access
        self._ledger = ledger

    def directory(self, upper: Path, path: str) -> None:
        """Apply the entries of one upper directory; whiteouts first, so that names become free."""
        entries = sorted(os.scandir(upper), key=lambda entry: entry.name)
        present = {entry.name for entry in entries}
        if _opaque(upper):
            for below in self._access.list(path, limit=COMMAND_CHANGES_MAX):
                if PurePosixPath(below.path).name not in present:
                    self._delete(below.path)
        for entry in sorted(entries, key=lambda each: not _whiteout(each)):
            self._entry(entry, entry.name if path == "." else f"{path}/{entry.name}")

    def _entry(self, entry: os.DirEntry[str], path: str) -> None:
        mode = entry.stat(follow_symlinks=False).st_mode
        if not _text(path):
            self._ledger.refuse(
                os.fsencode(path).decode("utf-8", "backslashreplace"), "path_refused"
            )
        elif _whiteout(entry):
            self._delete(path)
        elif stat.S_ISLNK(mode):
            if not self._same_link(path, Path(entry.path)):
                self._ledger.refuse(path, "link")
        elif stat.S_ISDIR(mode):
            self._directory(Path(entry.path), path)
        elif stat.S_ISREG(mode):
            with self._ledger.keeping(path):
                self._file(Path(entry.path), path)
        else:
            self._ledger.refuse(path, "special")

    def _directory(self, upper: Path, path: str) -> None:
        refusals = len(self._ledger.refused)
        with self._ledger.keeping(path):
            there = self._access.stat(path)
            if there is not None and there.kind != "directory":
                self._delete(path)
                there = None
            if there is None:
                self._access.mkdir(path)
        if len(self._ledger.refused) == refusals:
            with self._ledger.keeping(path):
                self.directory(upper, path)

    def _file(self, upper: Path, path: str) -> None:
        status = upper.lstat()
        mode = stat.S_IMODE(status.st_mode) & 0o777
        upper.chmod(mode | 0o400)
        there = self._access.stat(path)
        if there is not None and there.kind == "directory":
            self._delete(path)
            there = self._access.stat(path)
        if there is not None and self._same(upper, path, there.size, mode):
            return
        if there is not None and self._touched(path):
            self._keep_both(upper, path, mode)
            return
        self._write(upper, path, mode)
        self._ledger.did(path, "created" if there is None else "changed", status.st_size)

    def _write(self, upper: Path, path: str, mode: int) -> None:
        with upper.open("rb") as source:
            self._access.write_from(path, source, limit=COMMAND_FILE_BYTES_MAX, mode=mode)

    def _keep_both(self, upper: Path, path: str, mode: int) -> None:
        self._ledger.refuse(path, "conflict")
        pure = PurePosixPath(path)
        for number in range(1, _CONFLICT_NAMES_MAX):
            beside = str(pure.with_name(f"{pure.stem} (conflict {number}){pure.suffix}"))
            if self._access.stat(beside) is None:
                self._write(upper, beside, mode)
                self._ledger.did(beside, "created", upper.lstat().st_size)
                return

    def _delete(self, path: str) -> None:
        with self._ledger.keeping(path):
            there = self._access.stat(path)
            if there is None:
                return
            if there.kind == "directory":
                self._delete_tree(path)
            else:
                self._delete_file(path)

    def _delete_tree(self, path: str) -> None:
        below = self._access.walk(path, limit=COMMAND_CHANGES_MAX)
        for entry in sorted(below, key=lambda each: each.path, reverse=True):
            with self._ledger.keeping(entry.path):
                if entry.kind == "directory":
                    self._access.remove(entry.path)
                else:
                    self._delete_file(entry.path)
        self._access.remove(path)

    def _delete_file(self, path: str) -> None:
        if self._touched(path):
            self._ledger.refuse(path, "conflict")
            return
        self._access.remove(path)
        self._ledger.did(path, "deleted")

    def _same(self, upper: Path, path: str, size: int, mode: int) -> bool:
        """Return whether the command only looked: a file opened for writing is copied up unchanged."""
        lower = self._access.root / path
        if stat.S_IMODE(lower.lstat().st_mode) & 0o777 != mode or upper.lstat().st_size != size:
            return False
        return size <= COMMAND_FILE_BYTES_MAX and self._access.sha256(path) == _sha256(upper)

    def _touched(self, path: str) -> bool:
        """Return whether somebody else changed the file since the start; detection only, nothing is opened."""
        return (self._access.root / path).lstat().st_ctime_ns > self._started_ns

    def _same_link(self, path: str, upper: Path) -> bool:
        with contextlib.suppress(OSError):
            return (self._access.root / path).readlink() == upper.readlink()
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whiteout(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _opaque(upper: Path) -> bool:
    try:
        return os.getxattr(upper, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
