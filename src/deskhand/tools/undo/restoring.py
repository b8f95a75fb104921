"""``undo_files``: puts the files of a folder back as they were before a task, or after one of its steps.

What to take back is found name by name in reverse: what is as it was before stays, what somebody changed since is
theirs and stays too (unless it is forced: then theirs goes into the trash), and what was too large to keep cannot come
back. It is a task's step like any other: always asked first, with all it would change shown, and kept itself, so that
an undo can be undone. It refuses to follow a link or to write anywhere but through the handle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text
from deskhand.tools.builtin import ok, within
from deskhand.tools.changing import Trash, difference
from deskhand.tools.leaf import NOTHING, Thing
from deskhand.tools.undo.keeping import Change, Checkpoint, Checkpoints, Kept

T = TypeVar("T")
Verdict = Literal["back", "forced", "changed", "lost"]
_AT_ONCE: Final = 50
"""How many changes happen before it is asked again whether they may."""
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

    def why(self, language: str) -> str | None:
        """Return why it stays, nothing where it does not."""
        if self.verdict in ("back", "forced"):
            return None
        return text(f"undo.{self.verdict}", language=language, path=self.change.path)


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
            if why := step.why(language):
                lines.append(why)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """Takes back what tasks did on this computer."""

    checkpoints: Checkpoints | None
    trash: Trash

    def undo_files(self, wish: wishes.UndoFiles, place: Place) -> ToolResult:
        """Put back what can be, and tell what stays and why."""
        plan = self._plan(wish, place)
        folder = plan.folder
        stays: dict[str, Json] = {one.change.path: why for one in plan.steps if (why := one.why(wish.language))}
        todo = [step for step in plan.steps if step.why(wish.language) is None]
        for step in todo:
            if step.verdict == "forced" and step.now.kind != "nothing":
                self.trash.trash_file(wishes.TrashFile(path=step.here), place)
        with folder.together():
            folder.keep(step.here for step in todo if not step.change.to)
            for start in range(0, len(todo), _AT_ONCE):
                some = todo[start : start + _AT_ONCE]
                refused = folder.put_back([step.change for step in some], plan.checkpoint)
                for path, why in refused.items():
                    stays[path] = f"{path}: {why.sentence(wish.language)}"
        changes = [one for step in todo if step.change.path not in stays for one in _told(step)]
        facts = [_fact(path, is_) for path, is_ in plan.names.items() if path not in stays]
        value: JsonObject = {"changes": changes, "stays": [*stays.values()], "facts": facts}
        return ok(value, f"took back {len(changes)} changes; {len(stays)} stay")

    def shown_undo(self, wish: wishes.UndoFiles, place: Place) -> str:
        """Return all that it would change."""
        return self._plan(wish, place).pictured(wish.language)

    def _plan(self, wish: wishes.UndoFiles, place: Place) -> Plan:
        if self.checkpoints is None or not hasattr(place.results, "look"):
            raise DeskhandError(Code.NOT_FOUND, wish.task)
        folder, checkpoint = cast("Kept", place.results), self.checkpoints.of(wish.task)
        return Plan(folder, checkpoint, after=wish.step, force=wish.force)


def _told(step: Step) -> list[Json]:
    """Return what became of names that had something else before."""
    path, to = step.change.path, step.change.to
    if to:
        return [{"path": to, "kind": "deleted"}, {"path": path, "kind": "created"}]
    gone, new = step.change.before.kind == "nothing", step.now.kind == "nothing"
    return [{"path": path, "kind": "deleted" if gone else "created" if new else "changed"}]


def _fact(path: str, thing: Thing) -> Json:
    """Return what must hold of a name at the end."""
    if thing.kind == "nothing":
        return {"path": path, "gone": True}
    return {"path": path, **({"sha256": thing.sha256} if thing.kind == "file" else {})}
