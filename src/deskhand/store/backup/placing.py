"""Putting a prepared home where the present one is, in one step; the present one stays beside it under another name.

It refuses to delete anything, and to leave a moment in which there is no home or half of one.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deskhand.store.home import sync

_HERE: Final = -100
_EXCHANGE: Final = 2


def exchanged(one: Path, other: Path) -> bool:
    """Let two directories swap their names at once; return whether the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(
        _HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE
    )


def place(
    prepared: Path,
    home: Path,
    *,
    aside: Path,
    exchange: Callable[[Path, Path], bool] = exchanged,
) -> Path | None:
    """Make ``prepared`` the home; return where the one before is now, if there was one.

    Raises:
        OSError: it cannot be moved: a mount point, for example.
    """
    os.sync()  # every file that was unpacked, before its directory gets the name that counts
    if not home.exists():
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        prepared.rename(home)
        sync(home.parent)
        return None
    if exchange(prepared, home):
        prepared.rename(aside)
    else:
        home.rename(aside)
        try:
            prepared.rename(home)
        except OSError:
            aside.rename(home)
            raise
    sync(home.parent)
    return aside
