"""A disk that forgets: what lies in a folder, and how much of it would still be there after a power cut.

Files and names have two lives: what a program sees now (the real files, the page cache of this model), and what was
synced. At a cut only the synced part survives for sure; of everything younger a seeded part does, torn at sector
borders. It refuses to be kinder than POSIX: a new name lasts only when its folder was synced, and what a failed sync
was about to write is never written later (as Linux does it).
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

SECTOR: Final = 512
KEPT: Final = (0.0, 0.5, 0.9)
"""Which part of the unsynced changes survives a cut."""

_SHARED: Final = "-shm"
"""Shared memory of SQLite, rebuilt from the log after every cut."""

Act = Literal["write", "sync", "truncate", "create", "mkdir", "rename", "delete", "grow", "folder"]
Rule = Callable[[Act, Path, int], bool]
"""Whether the disk fails at this act, given its number."""


class PowerCut(BaseException):
    """The machine is off, exactly here."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change that is not synced: bytes at an offset, or with no bytes a new length."""

    at: int
    data: bytes | None


@dataclass(slots=True, eq=False)
class Body:
    """The content of one file: what is on the plates, and what is only in the cache."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list[Change])
    recorded: bool = False


class Disk:
    """A folder whose files and names are followed; several threads may use it.

    ``full`` is what it says when the rule lets an act fail: no room, or else broken. ``number`` counts acts. ``cut_at`` ends everything at that act, or the next of kind ``cut_only``; ``rule`` lets single acts fail. Who changes a name
    holds ``lock`` from asking until it is done.
    """

    def __init__(self, root: Path, *, seed: int, cut_at: int = 0) -> None:
        self.root = root
        self.number = 0
        self.cut_at = cut_at
        self.off = False
        self.failed = 0
        self.full = False
        self.cut_only: Act | None = None
        self.cut_in: Act | None = None
        self.rule: Rule = lambda _act, _path, _number: False
        self._chance = random.Random(seed)
        self.lock = threading.RLock()
        self._names: dict[Path, Body | None] = {}
        self._durable: dict[Path, Body | None] = {}
        self._look()
        self._durable = dict(self._names)
        for path, body in self._names.items():
            if body is not None:
                body.durable = bytearray(path.read_bytes())

    def holds(self, path: Path) -> bool:
        """Return whether a path lies on this disk."""
        return path == self.root or self.root in path.parents

    def act(self, act: Act, path: Path, *, change: Change | None = None, target: Path | None = None) -> bool:
        """Let one act happen; return False when it must fail, or when the machine is off.

        At a cut the act is under way: half of the cuts in a sync fall just after it, and nobody hears of it.
        """
        with self.lock:
            self.number += 1
            if self.off:
                return False
            cut = bool(self.cut_at) and self.number >= self.cut_at and act == (self.cut_only or act)
            failing = self.rule(act, path, self.number)
            if cut or failing:
                self.failed += 1
                self._half_done(act, path, change, cut=cut)
                if cut:
                    self.off, self.cut_in = True, act
                return False
            if act == "rename":
                assert target is not None
                self._names[target] = self._names.pop(path)
            else:
                self._done(act, path, change)
            return True

    def survivors(self, target: Path, *, kept: float) -> None:
        """Write what is left after the cut into a new folder: what was synced, and ``kept`` of what was not."""
        with self.lock:
            self._look()
            target.mkdir(mode=0o700)
            paths = sorted(self._names.keys() | self._durable.keys())
            for path in paths:
                younger = self._names.get(path, ...) is not self._durable.get(path, ...)
                names = self._names if younger and self._chance.random() < kept else self._durable
                body = names.get(path, ...)
                place = target / path.relative_to(self.root)
                if body is ... or not place.parent.is_dir():
                    continue
                if body is None:
                    place.mkdir(mode=0o700)
                else:
                    place.write_bytes(self._left(path, body, kept))
                    place.chmod(0o600)

    def after_a_kill(self, target: Path) -> Disk:
        """Return the disk as the next process finds it: the cache is all there, what was not synced is still not."""
        with self.lock:
            self._look()
            self.off = True
            for path, body in self._names.items():
                if body is not None and path.exists():
                    self._settle_contents(path, body)
            shutil.copytree(self.root, target, ignore=shutil.ignore_patterns("*-shm"))
            after = Disk(target, seed=self._chance.randrange(1 << 30))
            after._names = self._moved(self._names, target)
            after._durable = self._moved(self._durable, target)
            return after

    def _moved(self, names: dict[Path, Body | None], target: Path) -> dict[Path, Body | None]:
        return {target / path.relative_to(self.root): body for path, body in names.items()}

    def folder_synced(self, folder: Path) -> None:
        """Make the names in a folder last."""
        with self.lock:
            self._notice(folder, {path: path.is_file() for path in folder.iterdir()})
            for path in self._names.keys() | self._durable.keys():
                if path.parent == folder:
                    _copy_name(path, self._names, self._durable)

    # --- what happens to one file ------------------------------------------------------------------------------------

    def _done(self, act: Act, path: Path, change: Change | None) -> None:
        match act:
            case "write" | "truncate":
                self._keep(path, change)
            case "sync":
                self._sync(path, self._body(path))
            case "delete":
                self._names.pop(path, None)
            case "folder":
                self.folder_synced(path)
            case "mkdir":
                self._names[path] = None
            case "create":
                self._names[path] = Body()
            case "grow" | "rename":
                pass

    def _half_done(self, act: Act, path: Path, change: Change | None, *, cut: bool) -> None:
        """Leave what an act that did not return leaves."""
        if act in {"write", "truncate"} and cut:
            self._keep(path, change)
        elif act == "write" and change is not None and change.data is not None:
            self._keep(path, Change(change.at, change.data[: len(change.data) // 2]))
        elif act == "sync" and cut and self._chance.random() < 0.5:
            self._sync(path, self._body(path))
        elif act == "sync" and not cut:
            # After a failed sync the pages count as clean: nothing writes the rest any more.
            body = self._body(path)
            self._settle_contents(path, body)
            for one in body.pending:
                if self._chance.random() < 0.5:
                    _apply(body.durable, one)
            body.pending.clear()

    def _keep(self, path: Path, change: Change | None) -> None:
        assert change is not None
        body = self._body(path)
        body.recorded = True
        body.pending.append(change)

    def _sync(self, path: Path, body: Body) -> None:
        self._settle_contents(path, body)
        for one in body.pending:
            _apply(body.durable, one)
        body.pending.clear()

    def _body(self, path: Path) -> Body:
        found = self._names.get(path)
        if found is None:
            found = self._names[path] = Body()
        return found

    def _settle_contents(self, path: Path, body: Body) -> None:
        """Take in what was written past us (by Python itself) as pending."""
        if body.recorded or not path.is_file():
            return
        now = path.read_bytes()
        if now != bytes(body.durable):
            body.pending = [Change(0, now), Change(len(now), None)]

    def _left(self, path: Path, body: Body, kept: float) -> bytes:
        if self._names.get(path) is body:
            self._settle_contents(path, body)
        left = bytearray(body.durable)
        for one in body.pending:
            if self._chance.random() >= kept:
                continue
            torn = one.data is not None and self._chance.random() < 0.3
            for part in self._torn(one) if torn else [one]:
                _apply(left, part)
        return bytes(left)

    def _torn(self, change: Change) -> list[Change]:
        """Return some of the sectors of a write, as a write that the cut interrupted leaves them."""
        assert change.data is not None
        parts: list[Change] = []
        start = 0
        while start < len(change.data):
            size = SECTOR - (change.at + start) % SECTOR
            parts.append(Change(change.at + start, change.data[start : start + size]))
            start += size
        return [part for part in parts if self._chance.random() < 0.5]

    def _look(self) -> None:
        """Notice all names that came and went past us."""
        for folder, folders, files in os.walk(self.root):
            around = Path(folder)
            seen = {around / name: False for name in folders} | {around / name: True for name in files}
            self._notice(around, seen)

    def _notice(self, folder: Path, seen: dict[Path, bool]) -> None:
        for path, is_file in seen.items():
            if path not in self._names and not path.name.endswith(_SHARED):
                self._names[path] = Body() if is_file else None
        if not self.off:
            gone = [path for path in self._names if path.parent == folder and path not in seen]
            for path in gone:
                del self._names[path]


def _copy_name(path: Path, source: dict[Path, Body | None], target: dict[Path, Body | None]) -> None:
    if path in source:
        target[path] = source[path]
    else:
        target.pop(path, None)


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        del content[change.at :]
        content.extend(bytes(change.at - len(content)))
        return
    if len(content) < change.at:
        content.extend(bytes(change.at - len(content)))
    content[change.at : change.at + len(change.data)] = change.data
