"""Which relative paths may be named at all, which names nobody but the person may write, and which folders are granted.

Of paths in a folder these are pure text rules, before any file is touched: spellings that mean something else somewhere
(FS-01), and names whose content *runs* by itself when a person or program comes near (FS-11). They refuse to know
whether anything exists, so a protected file that is not there yet is as protected as one that is. Never granted are the
home directory itself, system trees, our own state and the places where credentials live, in both directions: a folder
that contains one of them would give it away just as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from unicodedata import category

from deskhand.errors import Code, DeskhandError
from deskhand.permissions.matching import fold
from deskhand.texts import table

_PATH_BYTES_MAX: Final = 4096
_NAME_BYTES_MAX: Final = 255
_PARTS_MAX: Final = 64

_INVISIBLE: Final = {"Cf", "Cc", "Cs", "Zl", "Zp"}
_JOINERS: Final = "\u200c\u200d"
"""Invisible, but honest in Persian names and in emoji; they are ignored when names are compared."""

_SAID = table("deskhand.tools", "protected.toml")
_ODD: Final = {re.compile(spelling): reason for spelling, reason in _SAID.pop("odd").items()}
_GIT_MAY: Final = frozenset[str](_SAID.pop("git_may"))
_RUNS: Final = frozenset[str](name for names in _SAID.values() for name in names)
_GIT_NEVER: Final = frozenset({("objects", "info")})


def components(rel: str) -> tuple[str, ...]:
    """Return the components of a relative path; ``.`` and one trailing slash say nothing and are dropped.

    Raises:
        DeskhandError: ``path_refused`` for what can never lie beneath a folder.
    """
    try:
        size = len(rel.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise _refused("it is no valid text") from error
    parts = tuple(part for part in rel.removesuffix("/").split("/") if part != ".")
    wrong = {
        "it contains a NUL": "\0" in rel,
        "it is absolute": rel.startswith("/"),
        "it is too long": size > _PATH_BYTES_MAX or len(parts) > _PARTS_MAX,
        "it has an empty or .. part": parts != ("",) and not {"", ".."}.isdisjoint(parts),
        "a name in it is too long": any(len(part.encode()) > _NAME_BYTES_MAX for part in parts),
    }
    for reason, so in wrong.items():
        if so:
            raise _refused(reason)
    return () if parts == ("",) else parts


def odd_spelling(parts: Sequence[str]) -> str | None:
    """Return why a name must not be *made* like this, or nothing. An existing exact name may still be read."""
    for part in parts:
        if _INVISIBLE & {category(character) for character in part if character not in _JOINERS}:
            return "it holds invisible or direction-changing characters"
        for pattern, reason in _ODD.items():
            if pattern.search(part):
                return reason
    return None


def guard_new(parts: Sequence[str]) -> None:
    """Refuse to write, make, move or remove here: ``path_refused`` or ``protected_name``."""
    reason = odd_spelling(parts)
    if reason is not None:
        raise _refused(reason)
    guard_protected(parts)


def guard_protected(parts: Sequence[str]) -> None:
    """Refuse with ``protected_name`` what runs by itself, in any spelling that some file system takes for the same."""
    folded = [fold(part) for part in parts]
    for index, name in enumerate(folded):
        if name in _RUNS or (name == ".git" and not _git_may(folded[index + 1 :])):
            raise DeskhandError(Code.PROTECTED_NAME, parts[index][:_NAME_BYTES_MAX])


def _git_may(inner: Sequence[str]) -> bool:
    if not inner or tuple(inner[:2]) in _GIT_NEVER:
        return False
    return inner[0].removesuffix(".lock") in _GIT_MAY


def _refused(reason: str) -> DeskhandError:
    return DeskhandError(Code.PATH_REFUSED, reason)


# --- folders


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
