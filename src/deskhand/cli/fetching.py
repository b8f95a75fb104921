"""Bringing results to this computer: whole, checked against their hash, under a plain name, never over another file.

It refuses every name that would leave the directory or mean something special (UP-03, FS-05).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path, PureWindowsPath
from typing import Final

from deskhand.cli.client import Client
from deskhand.cli.screen import Obj, plain
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import replacing

_BYTES_MAX: Final = 255
_ODD: Final = frozenset('/\\:*?"<>|\n\t')


def fetch(hub: Client, artifact: Obj, directory: Path, *, overwrite: bool) -> Path:
    """Download an artifact into a directory and return its path.

    Raises:
        DeskhandError: ``path_refused`` for a tricky name; ``conflict`` when the file is there already or the bytes
            are not the ones announced; ``not_found``; ``disk_full``.
    """
    target, digest = directory / safe_name(str(artifact["name"])), hashlib.sha256()
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DeskhandError(Code.PATH_REFUSED, str(directory))
    with ExitStack() as undoing:
        if not overwrite:
            try:
                target.touch(exist_ok=False)
            except FileExistsError:
                said = f"{target} is there already, --force replaces it"
                raise DeskhandError(Code.CONFLICT, said, field="--to") from None
            undoing.callback(target.unlink)
        with replacing(target) as file:
            for chunk in hub.download(str(artifact["id"])):
                digest.update(chunk)
                file.write(chunk)
            if digest.hexdigest() != artifact["sha256"]:
                raise DeskhandError(Code.CONFLICT, "the bytes are not what was announced")
        undoing.pop_all()
    return target


def safe_name(name: str) -> str:
    """Return a name that means a file in one directory and nothing else.

    Raises:
        DeskhandError: ``path_refused``.
    """
    tricky = (
        not name
        or name.startswith((".", "-", "~"))
        or name != name.strip()
        or name.endswith(".")
        or plain(name) != name
        or bool(_ODD & set(name))
        or PureWindowsPath(name).is_reserved()
        or len(name.encode()) > _BYTES_MAX
    )
    if tricky:
        raise DeskhandError(Code.PATH_REFUSED, plain(name)[:80])
    return name
