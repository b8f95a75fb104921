"""Bringing results to this computer: whole, checked against their hash, under a plain name, never over another file.

It refuses every name that would leave the directory or mean something special (UP-03, FS-05).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path, PureWindowsPath
from typing import Final

from deskhand.cli.client import Client, quoted
from deskhand.cli.screen import Obj, plain
from deskhand.errors import Code, DeskhandError

_BYTES_MAX: Final = 255
_ODD: Final = frozenset('/\\:*?"<>|\n\t')


def fetch(hub: Client, artifact: Obj, directory: Path, *, overwrite: bool) -> Path:
    """Download an artifact into a directory and return its path.

    Raises:
        DeskhandError: ``path_refused`` for a tricky name; ``conflict`` when the file is there already or the bytes
            are not the ones announced; ``not_found``; ``disk_full``.
    """
    target = directory / safe_name(str(artifact["name"]))
    if not overwrite and os.path.lexists(target):
        raise _taken(target)
    chunks = hub.download(f"/v1/artifacts/{quoted(str(artifact['id']))}/content")
    try:
        descriptor, part = tempfile.mkstemp(dir=directory, prefix=".deskhand-", suffix=".part")
    except OSError as error:
        raise DeskhandError(Code.PATH_REFUSED, f"{directory}: {error.strerror}") from None
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != artifact["sha256"]:
            raise DeskhandError(Code.CONFLICT, "the bytes are not what was announced")
        _publish(Path(part), target, overwrite=overwrite)
    finally:
        Path(part).unlink(missing_ok=True)
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


def _publish(part: Path, target: Path, *, overwrite: bool) -> None:
    """Give the file its name, which fails rather than replaces what somebody put there meanwhile."""
    try:
        if not overwrite:
            target.touch(exist_ok=False)  # the name is ours from here on
    except FileExistsError:
        raise _taken(target) from None
    part.replace(target)


def _taken(target: Path) -> DeskhandError:
    said = f"{target} is there already, --force replaces it"
    return DeskhandError(Code.CONFLICT, said, field="--to")
