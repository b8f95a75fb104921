"""Keeps what was in a folder before a task changes it: a folder handle that writes down each change before it happens.

A checkpoint is one file a task, to which is only added: a line says which name changes, what was there and what comes,
and the bytes that were there follow it. They are durable before the change, so killed anywhere either the old bytes
are in the folder or a complete line tells of them. It refuses to change what cannot be written down (a full disk), and
to keep what is too large: that is told as not covered.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.limits import COMMAND_CHANGES_MAX, KEPT_FILE_BYTES_MAX
from deskhand.tools import leaf
from deskhand.tools.beneath import Folder, components
from deskhand.tools.leaf import DIRECTORY, NOTHING, Resolver, Thing

CHECKPOINTS: Final = "checkpoints"
"""Where they lie in a home."""
_DROPPED: Final = b"-"
_ELSEWHERE: Final = (Code.PATH_REFUSED, Code.NOT_FOUND)
_ADDS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A name that changed in a step: what was there ``before`` and ``after``, or where it went ``to``.

    ``at`` is where in the checkpoint the bytes of before begin, 0 or
    more where they were kept.
    """

    root: str
    step: int
    path: str
    to: str = ""
    before: Thing = NOTHING
    after: Thing = NOTHING
    at: int = -1


_CHANGE: Final = TypeAdapter(Change)


@dataclass(slots=True)
class Checkpoint:
    """What one task changed. ``most``: how many bytes it may come to; ``written``: told when it was, at its end."""

    path: Path
    most: int
    written: Callable[[], None] = lambda: None
    _file: int = -1
    _size: int = 0

    def changes(self) -> list[Change]:
        """Return what was changed, in order; a last line that a crash tore does not count.

        Raises:
            DeskhandError: ``undo_gone`` when it was dropped to make room.
        """
        found: list[Change] = []
        with contextlib.suppress(FileNotFoundError):
            found = [change for change, _ in self._read()]
            if not found and self.path.read_bytes() == _DROPPED:
                raise DeskhandError(Code.UNDO_GONE, self.path.stem)
        return found

    def bytes_of(self, change: Change) -> bytes:
        """Return what was in a file.

        Raises:
            DeskhandError: ``store_damaged`` when it is not what was kept.
        """
        with self.path.open("rb") as file:
            file.seek(change.at)
            data = file.read(change.before.size)
        if hashlib.sha256(data).hexdigest() != change.before.sha256:
            raise DeskhandError(Code.STORE_DAMAGED, change.path)
        return data

    def add(self, change: Change, data: bytes | None) -> bool:
        """Write down a change, with the bytes that were there where there is room; return whether they were kept."""
        self._open()
        kept = data is not None and self._size + len(data) <= self.most
        line = _CHANGE.dump_json(replace(change, at=0 if kept else -1)) + b"\n"
        rest = memoryview(line + data if data is not None and kept else line)
        self._size += len(rest)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        return kept

    def sync(self) -> None:
        """Make it durable."""
        if self._file >= 0:
            os.fsync(self._file)

    def close(self) -> None:
        """Give the file back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.written()

    def _open(self) -> None:
        if self._file < 0:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = os.open(self.path, _ADDS, 0o600)
            self._size = max((end for _, end in self._read()), default=0)
            os.truncate(self._file, self._size)
            here = os.open(self.path.parent, DIRECTORY)
            leaf.sync(here)
            os.close(here)

    def _read(self) -> Iterator[tuple[Change, int]]:
        """Yield each change with where it ends."""
        with self.path.open("rb") as file, contextlib.suppress(ValueError):
            whole = os.fstat(file.fileno()).st_size
            for line in iter(file.readline, b""):
                change, at = _CHANGE.validate_json(line), file.tell()
                end = at + (change.before.size if change.at >= 0 else 0)
                if end > whole or line[-1:] != b"\n":
                    return
                yield replace(change, at=at if change.at >= 0 else -1), end
                file.seek(end)


class Kept(Folder):
    """A folder in which everything is kept before it changes; ``step`` is the one that changes it now."""

    def __init__(self, root: Path, *, checkpoint: Checkpoint, resolver: Resolver | None = None) -> None:
        """Open it."""
        super().__init__(root, resolver=resolver)
        self._checkpoint, self._known, self.step = checkpoint, set[tuple[int, str]](), 1

    @override
    def close(self) -> None:
        """Give the handle back."""
        super().close()
        self._checkpoint.close()

    def look(self, rel: str) -> Thing:
        """Return what has a name now; nothing for one that leads through a link or through nothing."""
        try:
            with self._at(rel) as (parent, name):
                return leaf.look(parent, name)[0]
        except DeskhandError as error:
            if error.code in _ELSEWHERE:
                return NOTHING
            raise

    def put_back(self, changes: Iterable[Change], checkpoint: Checkpoint) -> dict[str, DeskhandError]:
        """Take back these changes at once; return of which names it was refused, and why."""
        refused = dict[str, DeskhandError]()
        for change in changes:
            try:
                self._put_back(change, checkpoint)
            except DeskhandError as error:
                if error.code in (Code.FOLDER_CHANGED, Code.DISK_FULL):
                    raise
                refused[change.path] = error
        return refused

    def _put_back(self, change: Change, checkpoint: Checkpoint) -> None:
        path, before, parent = change.path, change.before, change.path.rpartition("/")[0]
        if (change.to or before.kind != "nothing") and self.stat(parent) is None:
            self.mkdir(parent)
        if change.to:
            self.move(change.to, path)
            return
        there = self.stat(path)
        if there and (before.kind != "file" or there.kind != "file"):
            self.remove(path)
        if before.kind == "file":
            data = io.BytesIO(checkpoint.bytes_of(change))
            self.write_from(path, data, limit=before.size, mode=before.mode)
        elif before.kind == "directory":
            self._make_one(path, before.mode)

    @override
    def keep(self, paths: Iterable[str]) -> None:
        """Keep what has these names, and what lies below them; all of it is durable at the end."""
        for path in paths:
            try:
                self._keep(path)
            except DeskhandError as error:
                if error.code not in _ELSEWHERE:
                    raise
        self._checkpoint.sync()

    def _keep(self, rel: str) -> None:
        with self._at(rel) as (parent, name):
            was, data = leaf.look(parent, name, most=KEPT_FILE_BYTES_MAX)
        self._note(rel, was, was, data)
        if was.kind == "directory":
            self.keep(each.path for each in self.list(rel, limit=COMMAND_CHANGES_MAX))

    @override
    def _changing(self, parent: int, rel: str, after: Thing, *, to: str = "") -> None:
        """Write down what a name leads to before it changes, durably where it has bytes: of many :meth:`keep` sees to that."""
        if to:
            self._known.clear()
            self._note(rel, NOTHING, after, None, to="/".join(components(to)))
        else:
            *_, name = parts = components(rel)
            most = -1 if (self.step, "/".join(parts)) in self._known else KEPT_FILE_BYTES_MAX
            was, data = leaf.look(parent, name, most=most)
            if self._note(rel, was, after, data) and not self._together:
                self._checkpoint.sync()

    def _note(self, rel: str, was: Thing, after: Thing, data: bytes | None, *, to: str = "") -> bool:
        path = "/".join(components(rel))
        self._known.add((self.step, path))
        change = Change(root=str(self.root), step=self.step, path=path, to=to, before=was)
        return self._checkpoint.add(replace(change, after=after), data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """The checkpoints of one home, a file a task.

    Args:
        place: where they lie.
        most: how many bytes all of them may come to, asked each time.
        busy: whether a task is under way still; its checkpoint stays.
    """

    place: Path
    most: Callable[[], int]
    busy: Callable[[str], bool] = lambda _: False

    def of(self, task: str) -> Checkpoint:
        """Return the checkpoint of a task."""
        return Checkpoint(path=self.place / task, most=self.most(), written=self.make_room)

    def open(self, root: Path, *, task: str) -> Kept:
        """Open a folder for a task."""
        return Kept(root, checkpoint=self.of(task))

    def make_room(self) -> None:
        """Drop the oldest checkpoints of tasks that are over, until the rest fits; of each is told that it is gone."""
        found = sorted((path.stat().st_mtime_ns, path) for path in self.place.iterdir())
        over = sum(path.stat().st_size for _, path in found) - self.most()
        for _, path in found:
            if over > 0 and not self.busy(path.name):
                over -= path.stat().st_size
                path.write_bytes(_DROPPED)
