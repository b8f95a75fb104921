"""Files beneath a pinned directory handle: the only way in which Deskhand touches a person's folder.

Every path is relative, every directory is opened through the handle without following a link (also no inner one), and
every last name is handled with ``O_NOFOLLOW`` in the directory that was opened. A write makes a new file and renames
it over the name, so no existing inode is ever written through. It refuses links, pipes, sockets, devices, files with
several names, protected names and anything that is not beneath.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import os
import stat
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from deskhand.errors import Code, DeskhandError
from deskhand.limits import ARTIFACT_BYTES_MAX, LIST_ENTRIES_MAX
from deskhand.ports import Entry
from deskhand.tools.leaf import (
    ABSENT,
    Identity,
    copy_bounded,
    digest,
    entry_of,
    expected,
    identity_of,
    known,
    make_temporary,
    open_plain,
    own_like,
    rename_free,
    replaceable,
    scan,
    settle,
    sync_directory,
    sync_file_system,
    translated,
)
from deskhand.tools.names import components, guard_new, odd_spelling
from deskhand.tools.resolve import DIRECTORY, Resolver, best_resolver

__all__ = ["ABSENT", "Folder", "Identity"]


class Folder:
    """A granted folder, opened once. Made by :meth:`open`; a context manager."""

    def __init__(self, root: Path, handle: int, *, resolver: Resolver) -> None:
        """Take over an open handle; use :meth:`open`."""
        self._root = root
        self._handle = handle
        self._resolve = resolver
        self._identity = identity_of(os.fstat(handle))
        self._together = False
        self._unsynced = False

    @classmethod
    def open(cls, root: Path, *, resolver: Resolver | None = None) -> Self:
        """Resolve a directory once and pin it.

        Raises:
            DeskhandError: ``folder_refused`` when it is no directory that can be opened.
        """
        try:
            resolved = root.resolve(strict=True)
            handle = os.open(resolved, DIRECTORY)
        except (OSError, RuntimeError) as error:
            raise DeskhandError(Code.FOLDER_REFUSED, "it is no directory") from error
        return cls(resolved, handle, resolver=resolver or best_resolver())

    @property
    def root(self) -> Path:
        """Where it was when it was opened; for showing, and for binding into a sandbox."""
        return self._root

    @property
    def identity(self) -> Identity:
        """Device and inode that were pinned."""
        return self._identity

    def still_there(self) -> bool:
        """Return whether the path still leads to the pinned directory (FS-10)."""
        try:
            return identity_of(self._root.lstat()) == self._identity
        except OSError:
            return False

    def close(self) -> None:
        """Give the handle back; later calls fail."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- reading

    def read(self, rel: str, *, limit: int) -> bytes:
        """Return a file's bytes.

        Raises:
            DeskhandError: ``not_found``, ``path_refused``, ``too_large``, ``folder_changed``.
        """
        with self.open_file(rel, limit=limit) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise DeskhandError(Code.TOO_LARGE, f"more than {limit} bytes")
        return data

    def open_file(self, rel: str, *, limit: int) -> BinaryIO:
        """Open a plain file for reading; the caller closes it.

        Raises:
            DeskhandError: as :meth:`read`.
        """
        parts = components(rel)
        with self._errors(parts), self._parent(parts) as (parent, name):
            return open_plain(parent, name, limit=limit)

    def sha256(self, rel: str, *, limit: int = ARTIFACT_BYTES_MAX) -> str:
        """Return the hash of a file's bytes.

        Raises:
            DeskhandError: as :meth:`read`.
        """
        with self.open_file(rel, limit=limit) as file:
            return digest(file)

    def stat(self, rel: str) -> Entry | None:
        """Return what has this name, or nothing when the name is free; ``"."`` is the folder itself.

        Raises:
            DeskhandError: ``path_refused`` (also for a link), ``folder_changed``.
        """
        parts = components(rel)
        try:
            with self._errors(parts), self._directory(parts[:-1]) as parent:
                name = parts[-1] if parts else "."
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except DeskhandError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise
        if stat.S_ISLNK(status.st_mode):
            raise DeskhandError(Code.PATH_REFUSED, "it is a link")
        return entry_of(parts, status)

    def list(self, rel: str = ".", *, limit: int = LIST_ENTRIES_MAX) -> Sequence[Entry]:
        """Return the first ``limit`` entries of a directory by name; links are ``other`` and never followed.

        Raises:
            DeskhandError: ``not_found``, ``path_refused``, ``folder_changed``.
        """
        parts = components(rel)
        with self._errors(parts), self._directory(parts) as directory:
            return heapq.nsmallest(limit, scan(directory, parts), key=lambda entry: entry.path)

    def walk(
        self, rel: str = ".", *, limit: int = LIST_ENTRIES_MAX, depth: int = 32
    ) -> Sequence[Entry]:
        """Return up to ``limit`` entries below a directory, sorted by path; no link is entered.

        What is deeper than ``depth`` or cannot be read further down is left out.

        Raises:
            DeskhandError: as :meth:`list`, for the first directory.
        """
        start = components(rel)
        found = list[Entry](self.list(rel, limit=limit))
        waiting = [entry.path for entry in reversed(found) if entry.kind == "directory"]
        while waiting and len(found) < limit:
            path = waiting.pop()
            if path.count("/") - len(start) >= depth:
                continue
            with contextlib.suppress(DeskhandError):
                entries = self.list(path, limit=limit - len(found))
                found.extend(entries)
                waiting += [each.path for each in reversed(entries) if each.kind == "directory"]
        return sorted(found, key=lambda entry: entry.path)

    # --- writing

    def write(
        self, rel: str, data: bytes, *, mode: int | None = None, expect: str | None = None
    ) -> None:
        """Replace or create a file: temporary file, fsync, rename, fsync of the directory.

        Args:
            rel: where.
            data: all of it.
            mode: permission bits; without it an existing file keeps its own and a new one follows its directory.
            expect: hash of what must be there now, or ``ABSENT``.

        Raises:
            DeskhandError: ``path_refused``, ``protected_name``, ``conflict``, ``not_found`` (no such directory),
                ``disk_full``, ``folder_changed``.
        """
        self.write_from(rel, io.BytesIO(data), limit=len(data), mode=mode, expect=expect)

    def write_from(
        self,
        rel: str,
        source: BinaryIO,
        *,
        limit: int,
        mode: int | None = None,
        expect: str | None = None,
    ) -> None:
        """Do as :meth:`write` from an open file, never holding it whole in memory.

        Raises:
            DeskhandError: as :meth:`write`, and ``too_large`` beyond ``limit``.
        """
        parts = components(rel)
        guard_new(parts)
        with self._errors(parts), self._parent(parts) as (parent, name):
            before = replaceable(parent, name)
            expected(parent, name, expect)
            temporary, descriptor = make_temporary(parent)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                    copy_bounded(source, file, limit=limit)
                    settle(descriptor, parent, before, mode)
                    if before is not None or not self._together:
                        os.fsync(descriptor)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            self._sync(parent)

    def mkdir(self, rel: str) -> None:
        """Create a directory and its parents; one that exists is fine.

        Raises:
            DeskhandError: ``path_refused``, ``protected_name``, ``conflict`` (a file is there), ``folder_changed``.
        """
        parts = components(rel)
        for count in range(1, len(parts) + 1):
            self._make_one(parts[:count])

    def move(self, rel: str, to: str) -> None:
        """Move a file or directory to a name that is free.

        Raises:
            DeskhandError: ``not_found``, ``path_refused``, ``protected_name``, ``conflict``, ``folder_changed``.
        """
        old, new = components(rel), components(to)
        guard_new(old)
        guard_new(new)
        with (
            self._errors(new),
            self._parent(old) as (old_parent, old_name),
            self._parent(new) as (new_parent, new_name),
        ):
            known(os.stat(old_name, dir_fd=old_parent, follow_symlinks=False))
            rename_free(old_parent, old_name, new_parent, new_name)
            self._sync(old_parent)
            self._sync(new_parent)

    def remove(self, rel: str) -> None:
        """Remove a file or an empty directory.

        Raises:
            DeskhandError: ``not_found``, ``path_refused``, ``protected_name``, ``conflict`` (not empty),
                ``folder_changed``.
        """
        parts = components(rel)
        guard_new(parts)
        with self._errors(parts), self._parent(parts) as (parent, name):
            status = known(os.stat(name, dir_fd=parent, follow_symlinks=False))
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
            self._sync(parent)

    @contextlib.contextmanager
    def together(self) -> Generator[None]:
        """Make everything that is written inside durable at once, at the end, instead of name by name.

        For many files whose writing is repeated as a whole after a crash. What replaces an existing file is still made
        durable before the old one goes. Like the handle itself it is for one user at a time.
        """
        self._together = True
        try:
            yield
        finally:
            self._together = False
            if self._unsynced and self._handle >= 0:
                self._unsynced = False
                sync_file_system(self._handle)

    # --- inside

    def _sync(self, directory: int) -> None:
        if self._together:
            self._unsynced = True
        else:
            sync_directory(directory)

    def _make_one(self, parts: Sequence[str]) -> None:
        with self._errors(parts), self._parent(parts) as (parent, name):
            try:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except FileNotFoundError:
                guard_new(parts)
                os.mkdir(name, 0o777 & os.fstat(parent).st_mode, dir_fd=parent)
                own_like(parent, name)
                self._sync(parent)
                return
            if not stat.S_ISDIR(known(status).st_mode):
                raise DeskhandError(Code.CONFLICT, "a file is in the way")

    @contextlib.contextmanager
    def _directory(self, parts: Sequence[str]) -> Generator[int]:
        if self._handle < 0 or not self.still_there():
            raise DeskhandError(Code.FOLDER_CHANGED)
        descriptor = self._resolve(self._handle, parts)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _parent(self, parts: Sequence[str]) -> Generator[tuple[int, str]]:
        if not parts:
            raise DeskhandError(Code.PATH_REFUSED, "it is the folder itself")
        with self._directory(parts[:-1]) as parent:
            yield parent, parts[-1]

    @contextlib.contextmanager
    def _errors(self, parts: Sequence[str]) -> Generator[None]:
        """Turn what the system says into our words; an odd name that is not there is refused, not just absent."""
        try:
            yield
        except FileNotFoundError as error:
            reason = odd_spelling(parts)
            if reason is not None:
                raise DeskhandError(Code.PATH_REFUSED, reason) from error
            raise DeskhandError(Code.NOT_FOUND, "/".join(parts)) from error
        except OSError as error:
            raise translated(error) from error
