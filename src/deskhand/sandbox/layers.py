"""The layers of one run: where a command's writes land instead of in the folder, and how they are mounted.

The folder is the lower layer and is never written by a command. As a normal user the overlay is mounted in an own
user namespace; as root by :mod:`deskhand.sandbox.idmap`, so that the command runs under an unprivileged uid. Where none
can be mounted a copy stands in for it, and what differs at the end is laid out as an overlay would have it, so one and
the same trusted code applies it. It refuses folders that are too large to be copied for every command.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.limits import COMMAND_COPIED_BYTES_MAX, COMMAND_COPIED_MAX, COMMAND_DEPTH_MAX

SEARCH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
"""Where the programs that raise the wall are looked for, whatever the environment says."""
_PLAIN_PATH: Final = re.compile(r"[^,:\\\"\n]+")
_RAISE: Final = Path(__file__).with_name("raise.sh").read_text("ascii")
"""First process of the box; what it mounts for a normal user is mounted already for root."""


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
                if stat.S_ISDIR(status.st_mode) and len(path.parts) <= COMMAND_DEPTH_MAX + 1:
                    waiting.append(root / path)


def copy_in(layers: Layers, root: Path) -> None:
    """Copy all that is in a folder, links as links, and note what the copy is like.

    Raises:
        DeskhandError: ``too_large``, ``sandbox_unavailable``.
    """
    sizes = [status.st_size for _, status in everything(root)]
    if len(sizes) > COMMAND_COPIED_MAX or sum(sizes) > COMMAND_COPIED_BYTES_MAX:
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
