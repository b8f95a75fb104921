"""Files beneath a pinned directory handle: the only way in which Deskhand touches a person's folder.

Every path is relative, every directory is opened through the handle without following a link (also no inner one), and
every last name is handled with ``O_NOFOLLOW`` in the directory that was opened. A write makes a new file and renames
it over the name, so no existing inode is ever written through. It refuses links, pipes, sockets, devices, files with
several names, protected names and anything that is not beneath.

Which relative paths may be named at all are pure text rules, before any file is touched: spellings that mean something
else somewhere (FS-01), and names whose content *runs* by itself when a person or program comes near (FS-11). They do
not know whether anything exists, so a protected file that is not there yet is as protected as one that is. Never
granted are the home directory itself, system trees, our own state and the places where credentials live, in both
directions: a folder that contains one of them would give it away just as well.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import os
import re
import stat
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Final
from unicodedata import category

from deskhand.errors import Code, DeskhandError
from deskhand.limits import LIST_ENTRIES_MAX
from deskhand.permissions.matching import fold
from deskhand.ports import Entry
from deskhand.texts import table
from deskhand.tools import leaf
from deskhand.tools.leaf import DIRECTORY, Resolver


class Folder:
    """A granted folder, opened once and for one user at a time; ``root`` says where it was then.

    Everything that takes a path raises ``path_refused`` for what is no plain file or directory beneath,
    ``folder_changed`` when the folder is not the one that was opened (FS-10), ``not_found`` for a name or directory
    that is missing, and ``disk_full``; everything that changes something also ``protected_name`` and ``conflict``.
    """

    def __init__(self, root: Path, *, resolver: Resolver | None = None) -> None:
        """Resolve a directory once and pin it; ``folder_refused`` when it is none that can be opened."""
        try:
            self.root = root.resolve(strict=True)
            self._handle = os.open(self.root, DIRECTORY)
        except (OSError, RuntimeError) as error:
            raise DeskhandError(Code.FOLDER_REFUSED, "it is no directory") from error
        self._pinned, self._resolve = os.fstat(self._handle), resolver or leaf.best_resolver()
        self._together = self._unsynced = False

    def still_there(self) -> bool:
        """Return whether the path still leads to the pinned directory (FS-10)."""
        try:
            return os.path.samestat(self.root.lstat(), self._pinned)
        except OSError:
            return False

    def close(self) -> None:
        """Give the handle back; later calls fail."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    # --- reading

    def read(self, rel: str, *, limit: int) -> bytes:
        """Return a file's bytes; ``too_large`` beyond ``limit``."""
        with self._at(rel) as (parent, name), leaf.open_plain(parent, name, limit=limit) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise DeskhandError(Code.TOO_LARGE, f"more than {limit} bytes")
        return data

    def sha256(self, rel: str) -> str:
        """Return the hash of a file's bytes; ``too_large`` for what can be no artifact."""
        with self._at(rel) as (parent, name), leaf.open_plain(parent, name) as file:
            return leaf.digest(file)

    def stat(self, rel: str) -> Entry | None:
        """Return what has this name, or nothing when the name is free; ``"."`` is the folder itself."""
        parts = components(rel)
        try:
            with self._opened(parts, parts[:-1]) as parent:
                status = os.stat(parts[-1] if parts else ".", dir_fd=parent, follow_symlinks=False)
        except DeskhandError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise
        if stat.S_ISLNK(status.st_mode):
            raise DeskhandError(Code.PATH_REFUSED, "it is a link")
        return leaf.entry_of(parts, status)

    def list(self, rel: str = ".", *, limit: int = LIST_ENTRIES_MAX) -> Sequence[Entry]:
        """Return the first ``limit`` entries of a directory by name; links are ``other`` and never followed."""
        parts = components(rel)
        with self._opened(parts, parts) as directory:
            return heapq.nsmallest(limit, leaf.scan(directory, parts), key=lambda each: each.path)

    def foreign(self, rel: str) -> bool:
        """Return whether a file came from elsewhere, by its mark; of what is no file nothing is known."""
        with contextlib.suppress(DeskhandError), self._at(rel) as (parent, name):
            return leaf.is_foreign(parent, name)
        return False

    def mark(self, rel: str) -> None:
        """Mark a file as :meth:`foreign`; it stays so, also when it is written again."""
        with self._at(rel) as (parent, name), leaf.open_plain(parent, name) as file:
            leaf.mark_foreign(file.fileno())

    # --- writing

    def write(self, rel: str, data: bytes, *, expect: str | None = None) -> None:
        """Replace or create a file: temporary file, fsync, rename, fsync of the directory.

        Args:
            rel: where.
            data: all of it.
            expect: hash of what must be there now, or nothing for a free name; else ``conflict``.
        """
        self.write_from(rel, io.BytesIO(data), limit=len(data), expect=expect)

    def write_from(
        self, rel: str, source: BinaryIO, *, limit: int, mode: int | None = None, expect: str | None = None
    ) -> None:
        """Do as :meth:`write` from an open file, never holding it whole in memory; ``too_large`` beyond ``limit``.

        ``mode`` are permission bits; without it an existing file keeps its own and a new one follows its directory.
        """
        with self._at(rel, changing=True) as (parent, name):
            before = leaf.replaceable(parent, name, expect)
            temporary, descriptor = leaf.make_temporary(parent)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                    digest = leaf.copy_bounded(source, file, limit=limit)
                    if before is not None and leaf.is_foreign(parent, name):
                        leaf.mark_foreign(descriptor)
                    made = leaf.settle(descriptor, parent, before, mode)
                    if before is not None or not self._together:
                        os.fsync(descriptor)
                self._changing(parent, rel, leaf.file_thing(made, digest))
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            self._sync(parent)

    def mkdir(self, rel: str) -> None:
        """Create a directory and its parents; one that exists is fine."""
        for count in range(len(parts := components(rel))):
            self._make_one("/".join(parts[: count + 1]))

    def move(self, rel: str, to: str) -> None:
        """Move a file or directory to a name that is free."""
        with self._at(to, changing=True) as (there, new), self._at(rel, changing=True) as (here, old):
            leaf.known(os.stat(old, dir_fd=here, follow_symlinks=False))
            leaf.must_be_free(there, new)
            self._changing(here, rel, leaf.NOTHING, to=to)
            leaf.rename_free(here, old, there, new)
            self._sync(here)
            self._sync(there)

    def remove(self, rel: str) -> None:
        """Remove a file or an empty directory; ``conflict`` when it is not empty."""
        with self._at(rel, changing=True) as (parent, name):
            status = leaf.known(os.stat(name, dir_fd=parent, follow_symlinks=False))
            if stat.S_ISDIR(status.st_mode) and self.list(rel, limit=1):
                raise DeskhandError(Code.CONFLICT, "it is not empty")
            self._changing(parent, rel, leaf.NOTHING)
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
            self._sync(parent)

    @contextlib.contextmanager
    def together(self) -> Generator[None]:
        """Make everything that is written inside durable at once, at the end, instead of name by name.

        For many files whose writing is repeated as a whole after a crash. What replaces an existing file is still made
        durable before the old one goes.
        """
        self._together = True
        try:
            yield
        finally:
            self._together = False
            if self._unsynced and self._handle >= 0:
                self._unsynced = False
                leaf.sync(self._handle, whole=True)

    def keep(self, paths: Iterable[str]) -> None:
        """Do nothing: nobody wants what was here before. :class:`~deskhand.tools.undo.keeping.Kept` does more."""

    # --- inside

    def _changing(self, parent: int, rel: str, after: leaf.Thing, *, to: str = "") -> None:
        """Be told right before a name in an open directory changes, what comes ``after`` or where it goes."""

    def _sync(self, directory: int) -> None:
        if self._together:
            self._unsynced = True
        else:
            leaf.sync(directory)

    def _make_one(self, rel: str, mode: int | None = None) -> None:
        with self._at(rel) as (parent, name):
            status = leaf.status_of(parent, name)
            if status is None:
                guard_new(components(rel))
                self._changing(parent, rel, leaf.Thing(kind="directory"))
                leaf.make_directory(parent, name, mode)
                self._sync(parent)
            elif not stat.S_ISDIR(leaf.known(status).st_mode):
                raise DeskhandError(Code.CONFLICT, "a file is in the way")

    @contextlib.contextmanager
    def _at(self, rel: str, *, changing: bool = False) -> Generator[tuple[int, str]]:
        """Yield the open directory in which a name stands, and the name; ``changing``: if that may be."""
        parts = components(rel)
        if changing:
            guard_new(parts)
        if not parts:
            raise DeskhandError(Code.PATH_REFUSED, "it is the folder itself")
        with self._opened(parts, parts[:-1]) as parent:
            yield parent, parts[-1]

    @contextlib.contextmanager
    def _opened(self, parts: Sequence[str], inner: Sequence[str]) -> Generator[int]:
        """Yield an open directory; what the system says of a path inside is said in our words.

        An odd name that is not there is refused, not just absent.
        """
        if self._handle < 0 or not self.still_there():
            raise DeskhandError(Code.FOLDER_CHANGED)
        try:
            descriptor = self._resolve(self._handle, inner)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            reason = odd_spelling(parts)
            code = Code.PATH_REFUSED if reason else Code.NOT_FOUND
            raise DeskhandError(code, reason or "/".join(parts)) from error
        except OSError as error:
            raise leaf.translated(error) from error


# --- which paths may be named


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
    with contextlib.suppress(OSError):
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
