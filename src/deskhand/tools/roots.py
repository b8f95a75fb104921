"""Which directories may be granted as a folder at all.

Refuses the home directory itself, system trees, our own state and the places where credentials live, in both
directions: a folder that contains one of them would give it away just as well.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError

_SYSTEM: Final = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr")
_PRIVATE: Final = (".ssh", ".gnupg", ".aws", ".config", ".local")

_OTHERS: Final = """
downloads 다운로드 mail maildir .thunderbird dropbox nextcloud onedrive googledrive syncthing
"""
_SYNCED: Final = (".stfolder", ".sync", ".dropbox", ".owncloudsync.log")


def refuse_root(path: Path, *, home: Path, state: Path) -> Path:
    """Return the resolved directory of what a person typed, if it may be a folder.

    Raises:
        DeskhandError: ``folder_refused`` with the reason.
    """
    try:
        root = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DeskhandError(Code.FOLDER_REFUSED, "it does not exist") from error
    reason = _reason(root, home.resolve(), state.resolve())
    if reason is not None:
        raise DeskhandError(Code.FOLDER_REFUSED, reason)
    return root


def looks_mixed(root: Path) -> bool:
    """Return whether others probably wrote what is there: downloads, mail, shared or synced, cloned from elsewhere."""
    if any(part.casefold().replace(" ", "") in _OTHERS.split() for part in root.parts):
        return True
    with suppress(OSError):
        if b"[remote " in (root / ".git" / "config").read_bytes():
            return True
    return any((root / name).exists() for name in _SYNCED)


def _reason(root: Path, home: Path, state: Path) -> str | None:
    anchor = Path(root.anchor)
    if not root.is_dir():
        return "it is no directory"
    if root == anchor or home.is_relative_to(root):
        return "it is or contains the home directory"
    if root.is_relative_to(state) or state.is_relative_to(root):
        return "it overlaps Deskhand's own state"
    for name in _PRIVATE:
        if name in root.parts or root.is_relative_to((home / name).resolve()):
            return f"{name} holds credentials or settings"
    if any(root.is_relative_to(anchor / name) for name in _SYSTEM):
        return "it belongs to the system"
    return None
