"""What a command leaves behind: what it wrote, carried from the upper layer into the folder, and how it ended.

Runs when every process of the command is dead, so the upper layer stands still. Nothing is taken on trust: links and
special files are refused, permission bits beyond ``rwx`` fall away, protected names are the handle's refusal, and what
the person changed meanwhile is kept beside the command's version. It refuses a run with too many changes as a whole.

How a run ended is on the disk before the first of its changes is applied: a runner that dies in between finds it,
applies the rest, and gives the same answer instead of running anything again. Only the newest runs are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from deskhand import limits
from deskhand.errors import Code, DeskhandError
from deskhand.ports import CommandResult, Entry, FileChange, FolderAccess, RefusedChange
from deskhand.sandbox.layers import Layers, everything
from deskhand.secret import mask

_CHANGE: Final = TypeAdapter(FileChange)


def apply_changes(layers: Layers, access: FolderAccess) -> tuple[tuple[FileChange, ...], tuple[RefusedChange, ...]]:
    """Apply every change that may be applied; return all of them and every refusal, in the order of trying.

    Again, after a crash: what is there already stays, and the rest follows.

    Raises:
        DeskhandError: ``folder_changed`` or ``disk_full``; what was applied until then stays.
    """
    if not _within_bounds(layers.upper):
        return (), (RefusedChange(path=".", reason="too_many"),)
    carrier = _Carrier(layers, access)
    begun = carrier.before()
    with access.together():
        access.keep(_touched(layers.upper))
        carrier.carry(layers.upper, ".")
    told = {one.path for one in (*carrier.changes, *carrier.refused)}
    left = [one for one in begun if one.path not in told]
    return (*left, *carrier.changes), (*carrier.refused,)


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
    size = 0
    for count, (path, status) in enumerate(everything(upper, ours=True), start=1):
        size += status.st_blocks * 512  # whatever the file system has
        deep = path.count("/") > limits.COMMAND_DEPTH_MAX
        if deep or count > limits.COMMAND_CHANGES_MAX or size > limits.COMMAND_CHANGED_BYTES_MAX:
            return False
    return True


@dataclass(slots=True)
class _Carrier:
    """What reached the folder and what did not; notes on the disk tell of it after a crash."""

    layers: Layers
    access: FolderAccess
    changes: list[FileChange] = field(default_factory=list[FileChange])
    refused: list[RefusedChange] = field(default_factory=list[RefusedChange])

    @contextlib.contextmanager
    def _doing(self, change: FileChange) -> Generator[None]:
        """Note what comes next, for whoever goes on after a crash, and then that it came."""
        with (self.layers.place / "applied").open("ab") as file:
            file.write(_CHANGE.dump_json(change) + b"\n")
        yield
        self.changes.append(change)

    def before(self) -> list[FileChange]:
        """Return what was begun before a crash."""
        begun: dict[str, FileChange] = {}
        # The crash may have torn the last line.
        with contextlib.suppress(FileNotFoundError, ValueError):
            for line in (self.layers.place / "applied").read_bytes().splitlines():
                change = _CHANGE.validate_json(line)
                begun[change.path] = change
        return list(begun.values())

    def _refuse(self, path: str, reason: str) -> None:
        self.refused.append(RefusedChange(path=path, reason=reason))

    @contextlib.contextmanager
    def _keeping(self, path: str) -> Generator[None]:
        """Note a refusal of the handle and go on; a folder that is gone ends everything."""
        try:
            yield
        except DeskhandError as error:
            if error.code in (Code.FOLDER_CHANGED, Code.DISK_FULL):
                raise
            self._refuse(path, error.code)
        except OSError:
            self._refuse(path, Code.PATH_REFUSED)

    def carry(self, upper: Path, path: str) -> None:
        """Apply the entries of one upper directory; whiteouts first, so that names become free."""
        entries = sorted(os.scandir(upper), key=lambda entry: (not _whiteout(entry), entry.name))
        if _opaque(upper):
            present = {entry.name for entry in entries}
            for below in self.access.list(path, limit=limits.COMMAND_CHANGES_MAX):
                if PurePosixPath(below.path).name not in present:
                    self._delete(below.path)
        for entry in entries:
            self._entry(entry, entry.name if path == "." else f"{path}/{entry.name}")

    def _entry(self, entry: os.DirEntry[str], path: str) -> None:
        mode = entry.stat(follow_symlinks=False).st_mode
        upper = Path(entry.path)
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        if shown != path:  # bytes that are no text
            self._refuse(shown, Code.PATH_REFUSED)
        elif _whiteout(entry):
            self._delete(path)
        elif stat.S_ISLNK(mode):
            there = self.access.root / path
            with self._keeping(path):
                if not there.is_symlink() or there.readlink() != upper.readlink():
                    self._refuse(path, "link")
        elif stat.S_ISDIR(mode):
            self._directory(upper, path)
        elif stat.S_ISREG(mode):
            with self._keeping(path):
                self._file(upper, path)
        else:
            self._refuse(path, "special")

    def _directory(self, upper: Path, path: str) -> None:
        refusals = len(self.refused)
        with self._keeping(path):
            if self._cleared(path, for_directory=True) is None:
                self.access.mkdir(path)
            if len(self.refused) == refusals:
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
            self._refuse(path, "conflict")
            path, kind = self._free_beside(path, upper), "created"
        if path:
            change = FileChange(path=path, kind=kind, size=status.st_size)
            with self._doing(change), upper.open("rb") as source:
                self.access.write_from(path, source, limit=limits.COMMAND_FILE_BYTES_MAX, mode=mode)

    def _cleared(self, path: str, *, for_directory: bool) -> Entry | None:
        """Return what has this name; a file where a directory must be, or the other way round, is deleted first."""
        there = self.access.stat(path)
        if there is None or (there.kind == "directory") == for_directory:
            return there
        self._delete(path)
        return self.access.stat(path)

    def _free_beside(self, path: str, upper: Path) -> str:
        """Return a name for the second version of a file; empty when there is none, or when it is there already."""
        pure = PurePosixPath(path)
        for number in range(1, 100):
            beside = str(pure.with_name(f"{pure.stem} (conflict {number}){pure.suffix}"))
            there = self.access.stat(beside)
            if there is None:
                return beside
            if there.kind == "file" and self.access.sha256(beside) == _sha256(upper):
                break
        return ""

    def _delete(self, path: str) -> None:
        """Delete a file, or all of a directory that may be deleted."""
        with self._keeping(path):
            there = self.access.stat(path)
            if there is not None and there.kind == "directory":
                for below in self.access.list(path, limit=limits.COMMAND_CHANGES_MAX):
                    self._delete(below.path)
                self.access.remove(path)
            elif there is not None and self._touched(path):
                self._refuse(path, "conflict")
            elif there is not None:
                with self._doing(FileChange(path=path, kind="deleted", size=0)):
                    self.access.remove(path)

    def _same(self, upper: Path, path: str, size: int, mode: int) -> bool:
        """Return whether the command only looked: a file opened for writing is copied up unchanged."""
        lower = self.access.root / path
        if stat.S_IMODE(lower.lstat().st_mode) & 0o777 != mode or upper.lstat().st_size != size:
            return False
        return size <= limits.COMMAND_FILE_BYTES_MAX and self.access.sha256(path) == _sha256(upper)

    def _touched(self, path: str) -> bool:
        """Return whether somebody else changed the file since the start; detection only, nothing is opened."""
        return (self.access.root / path).lstat().st_ctime_ns > self.layers.started_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whiteout(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _opaque(upper: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.getxattr(upper, "user.overlay.opaque", follow_symlinks=False) == b"y"
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended. ``started_ns`` is when its layers were made; ``applied``: its changes are in the folder."""

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    result: CommandResult
    started_ns: int
    applied: bool


_ENDED: Final = TypeAdapter(Ended)


class Records:
    """The ended runs of one runner, by their keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Ended | None:
        """Return how this run ended, if it did."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return _ENDED.validate_json(self._path(key).read_bytes())
        return None

    def write(self, key: str, ended: Ended) -> None:
        """Keep it, durably and whole; what the run itself wrote becomes durable before."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        covered = replace(ended.result, output=mask(ended.result.output))
        fresh = self._path(key).with_suffix(".new")
        fresh.write_bytes(_ENDED.dump_json(replace(ended, result=covered)))
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(folder):
                os.sync()
            fresh.replace(self._path(key))
            os.fsync(folder)
        finally:
            os.close(folder)
        # Another run that ends at this moment may have forgotten one already.
        with contextlib.suppress(OSError):
            found = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in found[:-200]:
                path.unlink()

    def drop(self, key: str) -> None:
        """Forget a run."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
