"""Which directories may be granted as a folder at all.

Refuses the home directory itself, system trees, our own state and the places where credentials live, in both
directions: a folder that contains one of them would give it away just as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError

_SYSTEM: Final = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr")
_PRIVATE: Final = (".ssh", ".gnupg", ".aws", ".config", ".local")


def refuse_root(path: Path, *, home: Path, state: Path) -> Path:
    """Return the resolved directory if it may be a folder.

    Args:
        path: what the person typed.
        home: the person's home directory.
        state: ``DESKHAND_HOME``.

    Raises:
        DeskhandError: ``folder_refused`` with the reason.
    """
    try:
        root = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DeskhandError(Code.FOLDER_REFUSED, "it does not exist") from error
    if not root.is_dir():
        raise DeskhandError(Code.FOLDER_REFUSED, "it is no directory")
    home, state = home.resolve(), state.resolve()
    if root == Path(root.anchor) or home.is_relative_to(root):
        raise DeskhandError(Code.FOLDER_REFUSED, "it is or contains the home directory")
    if root.is_relative_to(state) or state.is_relative_to(root):
        raise DeskhandError(Code.FOLDER_REFUSED, "it overlaps Deskhand's own state")
    _refuse_private(root, home)
    return root


def _refuse_private(root: Path, home: Path) -> None:
    for name in _PRIVATE:
        private = home / name
        if name in root.parts or root.is_relative_to(private.resolve()):
            raise DeskhandError(Code.FOLDER_REFUSED, f"{name} holds credentials or settings")
    anchor = Path(root.anchor)
    for name in _SYSTEM:
        if root.is_relative_to(anchor / name):
            raise DeskhandError(Code.FOLDER_REFUSED, "it belongs to the system")
