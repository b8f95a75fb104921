"""Small files that only this user can read: who its user is to the hub, what this computer is, keys of models.

Light enough for every command. It refuses files that others may read, links in their place, and what is no object.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import Any, Final, cast

from deskhand.errors import Code, DeskhandError

FILE_MODE: Final = 0o600
OWNER_FILE: Final = "owner.json"
RUNNER_FILE: Final = "runner.json"


def read_private(path: Path) -> dict[str, Any] | None:
    """Return the object in a file, or nothing where there is none.

    Raises:
        DeskhandError: ``home_unsafe`` when others can read it or it is damaged.
    """
    said = read_own(path, nobody_else=0o077)
    if said is None:
        return None
    data: object = None
    with suppress(ValueError):
        data = json.loads(said)
    if not isinstance(data, dict):
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} is damaged")
    return cast("dict[str, Any]", data)


def read_own(path: Path, *, nobody_else: int = 0o022) -> bytes | None:
    """Return what stands in a file of this user that nobody else may write, or use as said; nothing where there is none.

    Raises:
        DeskhandError: ``home_unsafe`` when others may, or when it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeskhandError(Code.HOME_UNSAFE, f"{path.name}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} is no file of this user")
        if found.st_mode & nobody_else:
            raise DeskhandError(Code.HOME_UNSAFE, f"{path.name} must be 0600")
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Write a file, all or nothing, on disk with its name."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def replacing(path: Path) -> Generator[BufferedRandom]:
    """Open a file to write and read again; it has its name, on disk, only when the block ended well."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        # Or a power cut takes the name away, and with it the way into the account.
        sync(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """See to it that a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
