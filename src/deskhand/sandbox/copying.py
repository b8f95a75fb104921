"""Stands in for an overlay where none can be mounted: a copy of the folder to work in, and what differs at the end.

What differs is laid out as an overlay would have it, so one and the same trusted code applies it. It refuses folders
that are too large to be copied for every command.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from deskhand.errors import Code, DeskhandError
from deskhand.limits import COMMAND_COPIED_BYTES_MAX, COMMAND_COPIED_MAX
from deskhand.sandbox.layers import SEARCH, Layers, everything


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
