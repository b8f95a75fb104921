"""The layers of one run: where a command's writes land instead of in the folder, and what it leaves behind.

The folder is the lower layer and is never written by a command. A normal user mounts the overlay in an own user
namespace. For a root runner a thread mounts it in a mount namespace that nobody else ever sees, and ends; there files of
the folder's owner appear as files of an unprivileged uid, under which the command runs. Where none can be mounted a
copy stands in for it, and what differs at the end is laid out as an overlay would have it, so one and the same trusted
code applies it. It refuses folders that are too large to be copied for every command, and to leave anything mounted.

When every process of the command is dead, the upper layer stands still and is carried into the folder. Nothing is taken on
trust: links and special files are refused, permission bits beyond ``rwx`` fall away, protected names are the handle's
refusal, and what the person changed meanwhile is kept beside the command's version. It refuses a run with too many
changes as a whole.

How a run ended is on the disk before the first of its changes is applied: a runner that dies in between finds it,
applies the rest, and gives the same answer instead of running anything again. Only the newest runs are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from deskhand import limits
from deskhand.errors import Code, DeskhandError
from deskhand.ports import CommandResult, Entry, FileChange, FolderAccess, RefusedChange
from deskhand.sandbox.landlock import checked, libc
from deskhand.secret import mask

SEARCH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
"""Where the programs that raise the wall are looked for, whatever the environment says."""
_PLAIN_PATH: Final = re.compile(r"[^,:\\\"\n]+")
_RAISE: Final = Path(__file__).with_name("raise.sh").read_text("ascii")
"""First process of the box; what it mounts for a normal user is mounted already for root."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Directories of one run. ``started_ns`` is the file system's own clock when they were made.

    ``before``: what was copied, by name, and how each was, if it was.
    """

    place: Path
    started_ns: int
    before: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    @property
    def upper(self) -> Path:
        """Where what the command wrote lies."""
        return self.place / "upper"

    @property
    def merged(self) -> Path:
        """Where the overlay is mounted, seen by the box only; or the copy, where there is none."""
        return self.place / "merged"

    def options(self) -> str:
        """Return mount options; the lower layer is the working directory, so its name needs no quoting.

        Raises:
            DeskhandError: ``sandbox_unavailable`` when the path cannot stand in mount options.
        """
        if not _PLAIN_PATH.fullmatch(str(self.place)):
            reason = "the state directory's path has , : or a quote"
            raise DeskhandError(Code.SANDBOX_UNAVAILABLE, reason)
        return f"lowerdir=.,upperdir={self.upper},workdir={self.place / 'work'},userxattr"


def make_layers(place: Path, *, owner: int | None) -> Layers:
    """Create the directories of one run at a place that does not exist yet, for the uid of commands if it is another.

    Raises:
        DeskhandError: ``disk_full``.
    """
    try:
        place.mkdir(mode=0o700, parents=True)
        for name in ("upper", "work", "merged"):
            (place / name).mkdir(mode=0o755)
            if owner is not None:
                os.chown(place / name, owner, owner)
    except OSError as error:
        raise DeskhandError(Code.DISK_FULL, "no place for the command's changes") from error
    return Layers(place=place, started_ns=(place / "upper").stat().st_ctime_ns)


def remove_layers(place: Path) -> None:
    """Remove a run's directories, also those that a command made unreadable or nested without end."""
    inner = place / "work" / "work"  # the kernel leaves it behind without any permission
    if inner.is_dir():
        open_up(inner)
    with contextlib.suppress(RecursionError):
        shutil.rmtree(place, ignore_errors=True)
    # Python gives up at its recursion limit; these walk to any depth and follow no link.
    for program in (("chmod", "-R", "u+rwx"), ("rm", "-rf")):
        if place.exists():
            line = [*program, "--", str(place)]
            subprocess.run(line, env={"PATH": SEARCH}, capture_output=True, check=False)  # noqa: S603 - fixed programs, our own path


def open_up(directory: Path) -> None:
    """Make a directory of a layer readable, whatever the command did to it; never through a link."""
    if not directory.is_symlink():
        directory.chmod(stat.S_IMODE(directory.lstat().st_mode) | 0o700)


def everything(root: Path, *, ours: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Go through all there is by name, from above and through no link; directories of ours become readable on the way."""
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        if ours:
            open_up(directory)
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                path = Path(entry.path).relative_to(root)
                yield path.as_posix(), status
                if stat.S_ISDIR(status.st_mode) and len(path.parts) <= limits.COMMAND_DEPTH_MAX + 1:
                    waiting.append(root / path)


def copy_in(layers: Layers, root: Path) -> None:
    """Copy all that is in a folder, links as links, and note what the copy is like.

    Raises:
        DeskhandError: ``too_large``, ``sandbox_unavailable``.
    """
    sizes = [status.st_size for _, status in everything(root)]
    if len(sizes) > limits.COMMAND_COPIED_MAX or sum(sizes) > limits.COMMAND_COPIED_BYTES_MAX:
        detail = "without an overlay a folder must be copied for every command"
        raise DeskhandError(Code.TOO_LARGE, detail)
    line = ["cp", "-a", "--reflink=auto", "--", f"{root}/.", str(layers.merged)]
    env = {"PATH": SEARCH, "LC_ALL": "C"}
    copied = subprocess.run(line, capture_output=True, text=True, check=False, env=env)  # noqa: S603 - a fixed program
    if copied.returncode:
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, copied.stderr[-200:])
    layers.before.update((path, _like(of)) for path, of in everything(layers.merged))


def gather(layers: Layers) -> None:
    """Move what a command made or changed in its copy into the upper layer, and note there what it removed."""
    now = {path: _like(of) for path, of in everything(layers.merged, ours=True)}
    for path, (mode, *other) in now.items():
        before, upper = layers.before.get(path, (0,)), layers.upper / path
        if stat.S_ISDIR(mode) and not stat.S_ISDIR(before[0]):
            upper.mkdir(parents=True, exist_ok=True)
        elif not stat.S_ISDIR(mode) and before != (mode, *other):
            upper.parent.mkdir(parents=True, exist_ok=True)
            (layers.merged / path).rename(upper)
    for path in layers.before.keys() - now.keys():
        if (layers.merged / path).parent.is_dir():  # links are in the upper layer already
            upper = layers.upper / path
            upper.parent.mkdir(parents=True, exist_ok=True)
            os.mknod(upper, stat.S_IFCHR)  # a whiteout: number 0, which anybody may make


def _like(of: os.stat_result) -> tuple[int, ...]:
    return (of.st_mode, of.st_size, of.st_ino, of.st_ctime_ns)


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


def as_user(layers: Layers | None, inner: Sequence[str]) -> list[str]:
    """Return the command line that mounts the overlay, if there is one, and goes on with ``inner``.

    Its standard input is the lifeline. It ends when every process it started is dead, not before.
    """
    mounting = ("mount", layers.options(), str(layers.merged)) if layers else (":", "", "")
    return [
        *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--"),
        *("sh", "-c", _RAISE, *mounting, *inner),
    ]


def as_root(namespace: str, inner: Sequence[str], *, owner: int) -> list[str]:
    """Return the command line that goes where the overlay is mounted already, and gives up root for good."""
    return [
        *("nsenter", f"--mount={namespace}", "--"),
        *("unshare", "--pid", "--fork", f"--setgid={owner}", f"--setuid={owner}", "--"),
        *("sh", "-c", _RAISE, ":", "", "", *inner),
    ]


# --- what a command leaves behind


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
