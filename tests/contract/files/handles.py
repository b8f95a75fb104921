"""What can be tried with one path, and the code with which it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.tools.beneath import Folder
from deskhand.tools.reading import entries_of

SECRET = b"outside: nobody may read this"
LIMIT = 1024 * 1024


def refusal(act: Callable[[], object]) -> Code:
    """Return the code with which something was refused."""
    with pytest.raises(DeskhandError) as caught:
        act()
    return caught.value.code


def open_files() -> int:
    """Count this process's descriptors."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def names_below(folder: Folder) -> list[str]:
    """Return the paths of all that lies in a folder."""
    return [each.path for each in entries_of(folder, ".")[0]]


def every_use(folder: Folder, rel: str) -> dict[str, Callable[[], object]]:
    """All that can be done with one path."""
    return {
        "read": lambda: folder.read(rel, limit=LIMIT),
        "hash": lambda: folder.sha256(rel),
        "stat": lambda: folder.stat(rel),
        "list": lambda: folder.list(rel),
        "look below": lambda: entries_of(folder, rel),
        "write": lambda: folder.write(rel, b"new"),
        "mkdir": lambda: folder.mkdir(rel),
        "remove": lambda: folder.remove(rel),
        "move from": lambda: folder.move(rel, "free"),
        "move to": lambda: folder.move("notes/a.md", rel),
    }
