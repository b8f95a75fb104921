"""A folder in memory that behaves as the handle on disk does, for tests and the simulation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Entry

_MODIFIED_NS: Final = 1_795_000_000 * 10**9


class MemoryFolder:
    """Files by relative path; directories are there when something is in them or they were made.

    Args:
        files: what lies in it at first; text is stored as UTF-8.
        root: where it claims to be.
    """

    def __init__(self, files: Mapping[str, str | bytes] | None = None, *, root: str = "/folder") -> None:
        """Put the first files in."""
        self._root = Path(root)
        self._directories: set[str] = set()
        self._marked: set[str] = set()
        self.files: dict[str, bytes] = {}
        for rel, data in (files or {}).items():
            self.put(rel, data)

    @property
    def root(self) -> Path:
        """Where it claims to be."""
        return self._root

    def put(self, rel: str, data: str | bytes) -> None:
        """Change a file from outside, as a person would."""
        self.files[rel] = data.encode() if isinstance(data, str) else data

    def read(self, rel: str, *, limit: int) -> bytes:
        """Return a file's bytes."""
        path = _clean(rel)
        if path not in self.files:
            raise DeskhandError(Code.NOT_FOUND, path)
        if len(self.files[path]) > limit:
            raise DeskhandError(Code.TOO_LARGE, f"more than {limit} bytes")
        return self.files[path]

    def write(self, rel: str, data: bytes, *, expect: str | None = None) -> None:
        """Replace or create a file."""
        path = _clean(rel)
        there = self.sha256(path) if path in self.files else ""
        if expect is not None and there != expect:
            raise DeskhandError(Code.CONFLICT, path)
        self.files[path] = data

    def write_from(self, rel: str, source: BinaryIO, *, limit: int, mode: int | None = None) -> None:
        """Do as ``write`` from an open file."""
        del mode
        data = source.read(limit + 1)
        if len(data) > limit:
            raise DeskhandError(Code.TOO_LARGE, f"more than {limit} bytes")
        self.write(rel, data)

    def mkdir(self, rel: str) -> None:
        """Create a directory and its parents."""
        path = PurePosixPath(_clean(rel))
        self._directories |= {str(each) for each in (path, *path.parents)} - {"."}

    def remove(self, rel: str) -> None:
        """Remove a file."""
        self.read(rel, limit=2**40)
        del self.files[_clean(rel)]

    def stat(self, rel: str) -> Entry | None:
        """Return what has this name."""
        path = _clean(rel)
        if path in self.files:
            return self._entry(path)
        if path == "." or path in self._all_directories():
            return Entry(path=path, kind="directory", size=0, modified_ns=_MODIFIED_NS)
        return None

    def list(self, rel: str, *, limit: int) -> Sequence[Entry]:
        """Return what is directly in a directory."""
        path = _clean(rel)
        there = self.stat(path)
        if there is None or there.kind != "directory":
            raise DeskhandError(Code.NOT_FOUND, path)
        names = sorted({*self.files, *self._all_directories()})
        inside = (self.stat(name) for name in names if str(PurePosixPath(name).parent) == path)
        return [entry for entry in inside if entry is not None][:limit]

    def together(self) -> AbstractContextManager[None]:
        """Change nothing about what is made durable."""
        return nullcontext()

    def keep(self, paths: Iterable[str]) -> None:
        """Keep nothing: what is in memory is not undone."""

    def foreign(self, rel: str) -> bool:
        """Return whether a file was marked."""
        return _clean(rel) in self._marked

    def mark(self, rel: str) -> None:
        """Mark a file."""
        self._marked.add(_clean(rel))

    def sha256(self, rel: str) -> str:
        """Return the hash of a file's bytes."""
        return hashlib.sha256(self.read(rel, limit=2**40)).hexdigest()

    def move(self, rel: str, to: str) -> None:
        """Move a file to a name that is free."""
        if self.stat(to) is not None:
            raise DeskhandError(Code.CONFLICT, to)
        data = self.read(rel, limit=2**40)
        self.remove(rel)
        self.files[_clean(to)] = data

    def _entry(self, path: str) -> Entry:
        return Entry(path=path, kind="file", size=len(self.files[path]), modified_ns=_MODIFIED_NS)

    def _all_directories(self) -> set[str]:
        parents = (parent for path in self.files for parent in PurePosixPath(path).parents)
        return self._directories | ({str(parent) for parent in parents} - {"."})


def _clean(rel: str) -> str:
    if rel.startswith("/") or ".." in rel.split("/"):
        raise DeskhandError(Code.PATH_REFUSED, rel)
    return "/".join(part for part in rel.split("/") if part not in ("", ".")) or "."
