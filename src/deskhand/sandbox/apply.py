"""Carries what a command wrote from the upper layer into the folder, change by change, through its handle.

Runs when every process of the command is dead, so the upper layer stands still. Nothing is taken on trust: links and
special files are refused, permission bits beyond ``rwx`` fall away, protected names are the handle's refusal, and what
the person changed meanwhile is kept beside the command's version. It refuses a run with too many changes as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from deskhand.errors import Code, DeskhandError
from deskhand.limits import (
    COMMAND_CHANGED_BYTES_MAX,
    COMMAND_CHANGES_MAX,
    COMMAND_DEPTH_MAX,
    COMMAND_FILE_BYTES_MAX,
)
from deskhand.ports import Entry, FileChange, FolderAccess, RefusedChange
from deskhand.sandbox.layers import Layers, open_up

_OPAQUE: Final = "user.overlay.opaque"
_BLOCK_BYTES: Final = 512
_CONFLICT_NAMES_MAX: Final = 100


@dataclass(slots=True)
class Applied:
    """What reached the folder and what did not, in the order of trying; ``notes`` tell of it after a crash."""

    notes: Path
    changes: list[FileChange] = field(default_factory=list[FileChange])
    refused: list[RefusedChange] = field(default_factory=list[RefusedChange])

    @contextlib.contextmanager
    def doing(self, change: FileChange) -> Generator[None]:
        """Note what comes next, for whoever goes on after a crash, and then that it came."""
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(change)) + "\n")
        yield
        self.changes.append(change)

    def before(self) -> list[FileChange]:
        """Return what was begun before a crash."""
        begun: dict[str, FileChange] = {}
        if self.notes.exists():
            for line in self.notes.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # the crash may have torn the last one
                    change = FileChange(**json.loads(line))
                    begun[change.path] = change
        return list(begun.values())

    def refuse(self, path: str, reason: str) -> None:
        """Note what did not reach the folder."""
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

    Again, after a crash: what is there already stays, and the rest follows.

    Raises:
        DeskhandError: ``folder_changed`` or ``disk_full``; what was applied until then stays.
    """
    applied = Applied(notes=layers.place / "applied")
    begun = applied.before()
    if not _within_bounds(layers.upper):
        applied.refuse(".", "too_many")
        return applied
    with access.together():
        access.keep(_touched(layers.upper))
        _Carrier(layers, access, applied).carry(layers.upper, ".")
    told = {one.path for one in (*applied.changes, *applied.refused)}
    applied.changes[:0] = [one for one in begun if one.path not in told]
    return applied


def _touched(upper: Path, below: str = "") -> Iterator[str]:
    """Yield every name that may change, of what goes as a whole the topmost."""
    for entry in os.scandir(upper):
        path = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False) and not _opaque(Path(entry.path)):
            yield from _touched(Path(entry.path), f"{path}/")
        else:
            yield path


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
        if (
            count > COMMAND_CHANGES_MAX
            or size > COMMAND_CHANGED_BYTES_MAX
            or depth > COMMAND_DEPTH_MAX
        ):
            return False
    return True


class _Carrier:
    def __init__(self, layers: Layers, access: FolderAccess, applied: Applied) -> None:
        self._started_ns = layers.started_ns
        self._access = access
        self._applied = applied

    def carry(self, upper: Path, path: str) -> None:
        """Apply the entries of one upper directory; whiteouts first, so that names become free."""
        entries = sorted(os.scandir(upper), key=lambda entry: (not _whiteout(entry), entry.name))
        if _opaque(upper):
            present = {entry.name for entry in entries}
            for below in self._access.list(path, limit=COMMAND_CHANGES_MAX):
                if PurePosixPath(below.path).name not in present:
                    self._delete(below.path)
        for entry in entries:
            self._entry(entry, entry.name if path == "." else f"{path}/{entry.name}")

    def _entry(self, entry: os.DirEntry[str], path: str) -> None:
        mode = entry.stat(follow_symlinks=False).st_mode
        upper = Path(entry.path)
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        if shown != path:  # bytes that are no text
            self._applied.refuse(shown, str(Code.PATH_REFUSED))
        elif _whiteout(entry):
            self._delete(path)
        elif stat.S_ISLNK(mode):
            if not self._same_link(upper, path):
                self._applied.refuse(path, "link")
        elif stat.S_ISDIR(mode):
            self._directory(upper, path)
        elif stat.S_ISREG(mode):
            with self._applied.keeping(path):
                self._file(upper, path)
        else:
            self._applied.refuse(path, "special")

    def _directory(self, upper: Path, path: str) -> None:
        refusals = len(self._applied.refused)
        with self._applied.keeping(path):
            if self._cleared(path, for_directory=True) is None:
                self._access.mkdir(path)
        if len(self._applied.refused) == refusals:
            with self._applied.keeping(path):
                self.carry(upper, path)

    def _file(self, upper: Path, path: str) -> None:
        status = upper.lstat()
        mode = stat.S_IMODE(status.st_mode) & 0o777
        upper.chmod(mode | 0o400)
        there = self._cleared(path, for_directory=False)
        if there is not None and self._same(upper, path, there.size, mode):
            return
        kind: Literal["created", "changed"] = "created" if there is None else "changed"
        if there is not None and self._touched(path):
            self._applied.refuse(path, "conflict")
            path, kind = self._free_beside(path, upper), "created"
        if path:
            change = FileChange(path=path, kind=kind, size=status.st_size)
            with self._applied.doing(change), upper.open("rb") as source:
                self._access.write_from(path, source, limit=COMMAND_FILE_BYTES_MAX, mode=mode)

    def _cleared(self, path: str, *, for_directory: bool) -> Entry | None:
        """Return what has this name; a file where a directory must be, or the other way round, is deleted first."""
        there = self._access.stat(path)
        if there is None or (there.kind == "directory") == for_directory:
            return there
        self._delete(path)
        return self._access.stat(path)

    def _free_beside(self, path: str, upper: Path) -> str:
        """Return a name for the second version of a file; empty when there is none, or when it is there already."""
        pure = PurePosixPath(path)
        for number in range(1, _CONFLICT_NAMES_MAX):
            beside = str(pure.with_name(f"{pure.stem} (conflict {number}){pure.suffix}"))
            there = self._access.stat(beside)
            if there is None:
                return beside
            if there.kind == "file" and self._access.sha256(beside) == _sha256(upper):
                break
        return ""

    def _delete(self, path: str) -> None:
        """Delete a file, or all of a directory that may be deleted."""
        with self._applied.keeping(path):
            there = self._access.stat(path)
            if there is not None and there.kind == "directory":
                for below in self._access.list(path, limit=COMMAND_CHANGES_MAX):
                    self._delete(below.path)
                self._access.remove(path)
            elif there is not None and self._touched(path):
                self._applied.refuse(path, "conflict")
            elif there is not None:
                with self._applied.doing(FileChange(path=path, kind="deleted", size=0)):
                    self._access.remove(path)

    def _same(self, upper: Path, path: str, size: int, mode: int) -> bool:
        """Return whether the command only looked: a file opened for writing is copied up unchanged."""
        lower = self._access.root / path
        if stat.S_IMODE(lower.lstat().st_mode) & 0o777 != mode or upper.lstat().st_size != size:
            return False
        return size <= COMMAND_FILE_BYTES_MAX and self._access.sha256(path) == _sha256(upper)

    def _touched(self, path: str) -> bool:
        """Return whether somebody else changed the file since the start; detection only, nothing is opened."""
        return (self._access.root / path).lstat().st_ctime_ns > self._started_ns

    def _same_link(self, upper: Path, path: str) -> bool:
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
    with contextlib.suppress(OSError):
        return os.getxattr(upper, _OPAQUE, follow_symlinks=False) == b"y"
    return False
