"""Granting a folder at the keyboard of this machine: first in the runner's own file, then known to the hub.

The file is the ceiling; the hub only learns of it. Loaded only by commands that grant.
"""

from __future__ import annotations

from pathlib import Path

from deskhand.cli.client import Client
from deskhand.cli.screen import Obj
from deskhand.errors import Code, DeskhandError
from deskhand.protocol.objects import FolderMode, narrower
from deskhand.runner.ceiling import Ceiling, Granted, grant_folder


def grant_for_task(hub: Client, home: Path, path: Path, *, runner: str, mode: str, op: str) -> str:
    """Return the id of a folder that the task of this op may use, granted for it alone unless it already may.

    Raises:
        DeskhandError: ``folder_refused``; what the hub says.
    """
    wanted = FolderMode(mode)
    try:
        real = str(path.resolve(strict=True))
    except OSError as error:
        raise DeskhandError(Code.FOLDER_REFUSED, f"{path}: {error.strerror}") from None
    for entry in Ceiling(home).entries():
        if entry.root == real and entry.for_op is None and narrower(entry.mode, wanted) is wanted:
            make_known(hub, entry, runner=runner)
            return entry.id
    granted = grant_folder(home, path, mode=wanted, for_op=op)
    make_known(hub, granted, runner=runner)
    return granted.id


def make_known(hub: Client, granted: Granted, *, runner: str) -> None:
    """Tell the hub of a grant; telling it again changes nothing."""
    said: Obj = {name: getattr(granted, name) for name in ("id", "root", "label", "mode")}
    hub.op("folder.put", {**said, "runner": runner, "once": granted.for_op is not None})
