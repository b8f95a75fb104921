"""The runner's own policy file: which folders may be used and how widely. What the hub says can only narrow it.

Written at the keyboard of this machine, read again before each effect. It refuses directories that nobody should
lend (home, system, credentials, our own state), a file that others may write, and to guess when it cannot be read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from pydantic import TypeAdapter

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.limits import NAME_CHARS_MAX
from deskhand.ports import FolderAccess
from deskhand.protocol import objects, tasks, wire
from deskhand.store.private import read_own, write_private
from deskhand.tools.names import looks_mixed, refuse_root

FILE: Final = "folders.json"
_LOCK: Final = "folders.lock"
_EFFECTS: Final = "folders.effects"
_TURN: Final = "folders.turn"
_LOOKS: Final = "root read stat list sha256 foreign mark protected together keep look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A folder as it was granted here.

    ``for_op`` makes it a grant for the one task that this op begins; ``task`` is that task, from its first use on.
    ``inode`` pins which directory was meant (FS-10). ``marked``: whose words are in it, the owner's alone or others'
    too. ``lent_to``: the members for whom work may be done there.
    """

    id: str
    root: str
    mode: objects.FolderMode
    label: str
    inode: int
    marked: objects.Marked = "mine"
    lent_to: tuple[str, ...] = ()
    for_op: str | None = None
    task: str | None = None

    @property
    def as_named(self) -> dict[str, Any]:
        """Return what the hub hears of it."""
        return {name: getattr(self, name) for name in ("id", "root", "label", "mode", "marked", "lent_to")}


_GRANTED: Final = TypeAdapter(tuple[Granted, ...])


class Ceiling:
    """Reads the policy file of one runner's home."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def entries(self) -> tuple[Granted, ...]:
        """Return what is granted now, read from the disk.

        Raises:
            DeskhandError: ``config_invalid`` when the file cannot be understood; ``home_unsafe`` when others may
                write it.
        """
        data = read_own(self._home / FILE)
        if data is None:
            return ()
        try:
            parsed = cast("wire.JsonObject", wire.strict_json(data))
            return _GRANTED.validate_python(parsed["folders"])
        except (DeskhandError, KeyError, TypeError, ValueError) as error:
            raise DeskhandError(Code.CONFIG_INVALID, FILE) from error

    def mode(self, folder: str, brief: tasks.Brief) -> objects.FolderMode | None:
        """Return how widely a task may use a folder now; nothing when not at all, or when the file is broken."""
        with suppress(DeskhandError):
            found = self._entry(folder, brief)
            return found.mode if found else None
        return None

    def bind(self, folder: str, brief: tasks.Brief) -> Granted | None:
        """Return the grant a task may use, by id or path, and give a one-task grant to this task for good."""
        found = self._entry(folder, brief)
        if found is None or found.for_op is None or found.task == brief.task:
            return found
        bound = replace(found, task=brief.task)
        _change(self._home, lambda entries: [bound if e.id == bound.id else e for e in entries])
        return bound

    def lends(self, brief: tasks.Brief) -> bool:
        """Return whether this computer works for whoever asked: the owner, or a member to whom a folder is lent."""
        who = brief.requester
        return who is None or any(who in one.lent_to for one in self.entries())

    @contextmanager
    def holding(self) -> Generator[None]:
        """Let nobody be told that less may happen, while one thing happens; whoever waits to tell goes first."""
        with locked(self._home / _TURN, fcntl.LOCK_SH):
            pass
        with locked(self._home / _EFFECTS, fcntl.LOCK_SH):
            yield

    def settle(self) -> None:
        """Return when whatever was begun before is over: what begins from here on sees what is said now."""
        with locked(self._home / _TURN), locked(self._home / _EFFECTS):
            pass

    def _entry(self, folder: str, brief: tasks.Brief) -> Granted | None:
        """Return the grant of a folder to every task, to this one, or to the one that its op begins."""
        task, op, who = brief.task, brief.op_id, brief.requester
        for one in self.entries():
            mine = one.for_op is None or one.task == task or (one.task is None and one.for_op == op)
            mine = mine and (who is None or who in one.lent_to)
            if mine and folder in (one.id, one.root):
                return one
        return None


@dataclass(frozen=True, slots=True)
class Held:
    """A folder each change of which happens while ``still`` lets it: whatever does not only look is such a change."""

    _folder: FolderAccess
    _still: Callable[[], AbstractContextManager[None]]

    def __getattr__(self, name: str) -> object:
        """Return what the folder does, to be done only while it may be."""
        found = getattr(self._folder, name)
        if name in _LOOKS.split():
            return found

        def held(*what: object, **how: object) -> object:
            with self._still():
                return found(*what, **how)

        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class Lending:
    """Whose words are in a folder and to whom it is lent; unsaid, as before, else as its place suggests, to nobody."""

    marked: objects.Marked | None = None
    to: tuple[str, ...] | None = None


def grant_folder(
    home: Path,
    path: Path,
    *,
    mode: objects.FolderMode,
    label: str = "",
    for_op: str | None = None,
    lending: Lending = Lending(),
) -> Granted:
    """Grant a folder at this machine, to every task or only to the one that the op ``for_op`` begins.

    Granting the same one again changes its mode, its label (what people call it; its name if empty) and what is said
    of ``lending``. Returns when nothing happens any more that would not be allowed now.

    Raises:
        DeskhandError: ``folder_refused`` with the reason; ``config_invalid``; ``home_unsafe``.
    """
    root = refuse_root(path, home=Path.home(), state=home)
    granted = Granted(
        id=Ids(SystemClock()).new("fld"),
        root=str(root),
        mode=mode,
        label=(label or root.name)[:NAME_CHARS_MAX],
        inode=root.stat().st_ino,
        marked="mixed" if looks_mixed(root) else "mine",
        for_op=for_op,
    )

    def change(entries: Sequence[Granted]) -> list[Granted]:
        same = (e for e in entries if (e.root, e.for_op) == (granted.root, for_op))
        old = next(same, granted)
        lent = old.lent_to if lending.to is None else lending.to
        marked = lending.marked or old.marked
        again = replace(granted, id=old.id, task=old.task, marked=marked, lent_to=lent)
        return [*(e for e in entries if e is not old), again]

    after = _change(home, change)
    Ceiling(home).settle()
    return after[-1]


def revoke_folder(home: Path, folder: str) -> bool:
    """Take a folder away, by id or path; return whether it was there."""
    before = Ceiling(home).entries()
    after = _change(home, lambda entries: [e for e in entries if folder not in (e.id, e.root)])
    Ceiling(home).settle()
    return len(after) < len(before)


def _change(home: Path, change: Callable[[Sequence[Granted]], list[Granted]]) -> list[Granted]:
    """Replace the file whole: a reader sees the old or the new one, and two writers take turns."""
    with locked(home / _LOCK):
        entries = change(Ceiling(home).entries())
        data = {"folders": [asdict(entry) for entry in entries]}
        write_private(home / FILE, json.dumps(data, indent=2) + "\n")
    return entries


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Generator[None]:
    """Hold a lock between the processes and threads of this machine."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, how)
        yield
    finally:
        os.close(lock)
