"""What to take back of a task, name by name in reverse, how that looks to a person, and the doing of it.

Each name is looked at first: what is as it was before stays, what somebody changed since is theirs and stays too, and
what was too large to keep cannot come back. It refuses to follow a link or to write anywhere but through the handle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from deskhand.errors import DeskhandError
from deskhand.texts import text
from deskhand.tools.builtin import within
from deskhand.tools.changing import difference
from deskhand.tools.leaf import NOTHING, Thing
from deskhand.tools.undo.keeping import Change, Checkpoint, Kept

T = TypeVar("T")
Verdict = Literal["back", "forced", "changed", "lost"]
_SHOWN_CHARS_MAX: Final = 50_000
_COMPARED_MAX: Final = 50
_COMPARED_BYTES_MAX: Final = 200_000
"""What can be read on a phone; of files, those of which the lines are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change to take back. ``here`` is where that is now which it is about, ``now`` what is there.

    ``back``: it can be; ``forced``: it is, though somebody changed it since; ``changed``: not, for that; ``lost``: what
    was there was not kept.
    """

    change: Change
    verdict: Verdict
    here: str
    now: Thing


class Plan:
    """What to take back of a folder, the last first; ``names``: what each name leads to when that is done.

    Args:
        folder: as it is now.
        checkpoint: of the task.
        after: the step of the task that still counts.
        force: take back also what somebody changed since.
    """

    def __init__(self, folder: Kept, checkpoint: Checkpoint, *, after: int = 0, force: bool = False) -> None:
        """Look at every name."""
        self.folder, self.checkpoint, self.steps = folder, checkpoint, list[Step]()
        self.names, self._where = dict[str, Thing](), dict[str, str | None]()
        root, found = str(folder.root), checkpoint.changes()
        ours = [one for one in found if one.root == root and one.step > after]
        for change, last in _backwards(ours):
            now, before, to = self._look(change.path), change.before, change.to
            if to:
                free, there = now.kind == "nothing", self._look(to).kind != "nothing"
                if free or there:  # else it did not come about, or was taken back
                    self._add(change, now, "back" if free and there else "changed")
                continue
            # The last change may not have come about: killed, or refused by the system.
            left = _same(now, last.after) or _same(now, last.before)
            if not _same(now, before) and (left or not _same(before, last.after)):
                kept = change.at >= 0 or before.kind in ("nothing", "directory")
                verdict = "back" if left else "forced" if force else "changed"
                self._add(change, now, verdict if kept else "lost")

    def _add(self, change: Change, now: Thing, verdict: Verdict) -> None:
        here = self._now(change.path) or change.path
        self.steps.append(Step(change=change, verdict=verdict, here=here, now=now))
        if verdict not in ("back", "forced"):
            return
        path, to = change.path, change.to
        if to:
            here, deep = self._now(to), self._look(to).kind == "directory"
            _carry(self.names, to, path, deep=deep)
            _carry(self._where, to, path, deep=deep)
            self._where |= {to: None, path: here}
        else:
            self.names[path] = change.before

    def _look(self, path: str) -> Thing:
        """Return what has a name once all steps so far are done."""
        here = self._now(path)
        return self.names.get(path) or (self.folder.look(here) if here else NOTHING)

    def _now(self, path: str) -> str | None:
        """Return where that lies now which will have a name; nothing where nothing will be."""
        top = path
        while top and top not in self._where:
            top = top.rpartition("/")[0]
        here = self._where.get(top, top)
        return None if here is None else here + path[len(top) :]

    def pictured(self, language: str, *, forwards: bool = False) -> str:
        """Return what would be different as people read changes; ``forwards`` what the task itself did."""
        lines, compared = list[str](), 0
        for step in self.steps[::-1] if forwards else self.steps:
            change, sides = step.change, [step.now, step.change.before]
            old, new = reversed(sides) if forwards else sides
            if step.verdict in ("changed", "lost"):
                lines.append(text(f"undo.{step.verdict}", language=language, path=change.path))
            elif change.to:
                names = [change.to, change.path]
                lines.append(" → ".join(reversed(names) if forwards else names))
            else:
                sign = "+" if old.kind == "nothing" else "-" if new.kind == "nothing" else "~"
                modes = f"  {old.mode:o} → {new.mode:o}" * (sign == "~" and old.mode != new.mode)
                slash = "/" * ("directory" in (old.kind, new.kind))
                lines.append(f"{sign} {change.path}{slash}{modes}")
                compared += not slash
                if not slash and compared <= _COMPARED_MAX:
                    lines += self._compared(step, forwards=forwards)
        shown = within(lines, _SHOWN_CHARS_MAX)
        rest = lines[len(shown) :]
        digest = hashlib.sha256("\n".join(rest).encode()).hexdigest()
        more = text("undo.more", language=language, count=len(rest), sha256=digest)
        return "\n".join([*shown, *[more] * bool(rest)])

    def _compared(self, step: Step, *, forwards: bool) -> list[str]:
        """Return the lines of a text that differ."""
        before, now, most = step.change.before, step.now, _COMPARED_BYTES_MAX
        if max(before.size, now.size) > most:
            return []
        try:
            was = self.checkpoint.bytes_of(step.change) if before.kind == "file" else b""
            here = self.folder.read(step.here, limit=most) if now.kind == "file" else b""
            sides = [here.decode(), was.decode()]
        except (DeskhandError, UnicodeDecodeError):
            return []
        said = difference(*(reversed(sides) if forwards else sides))
        return [f"  {line}" for line in (said or "").splitlines()]


def _backwards(changes: Sequence[Change]) -> Iterator[tuple[Change, Change]]:
    """Yield the changes in reverse: of one name between two moves its first and its last."""
    waiting = dict[str, tuple[Change, Change]]()
    for change in reversed(changes):
        if change.to:
            yield from waiting.values()
            waiting.clear()
            yield change, change
        else:
            waiting[change.path] = change, waiting.get(change.path, (change, change))[1]
    yield from waiting.values()


def _carry(table: dict[str, T], to: str, path: str, *, deep: bool) -> None:
    """Let what is told of names go along when one goes back from ``to`` to its path."""
    names = [*table] if deep else [path, to]
    for name in [one for one in names if one == path or one.startswith(f"{path}/")]:
        table.pop(name, None)
    for name in [one for one in names if one == to or one.startswith(f"{to}/")]:
        if name in table:
            table[path + name[len(to) :]] = table.pop(name)


def _same(one: Thing, other: Thing) -> bool:
    """Return whether nothing differs: bytes and permissions of files; of directories nobody but the maker knows those."""
    return one == other if one.kind == "file" else one.kind == other.kind
