"""Tools that change files, through the folder's handle only: write, edit, move, throw away, make a directory, undo.

Changes go to the results place. Without ``replace`` an existing file stays, the same bytes again are done already, and
nothing is ever deleted: what is thrown away lies in the folder's trash. What a crash cut off is looked for, not guessed.

``undo_files`` puts the files of a folder back as they were before a task, or after one of its steps. What to take back is
found name by name in reverse: what is as it was before stays, what somebody changed since is theirs and stays too
(unless it is forced: then theirs goes into the trash), and what was too large to keep cannot come back. It is a task's
step like any other: always asked first, with all it would change shown, and kept itself, so that an undo can be undone.
It refuses to follow a link or to write anywhere but through the handle.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeVar, cast

from deskhand.clock import Clock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text as sentence
from deskhand.tools.builtin import ok, within
from deskhand.tools.leaf import NOTHING, Thing
from deskhand.tools.reading import TRASH, read_decoded
from deskhand.tools.undo.keeping import Change, Checkpoint, Checkpoints, Kept

_COMPARED_LINES_MAX: Final = 5_000
_SHOWN_LINES_MAX: Final = 400


def write_file(wish: wishes.WriteFile, place: Place) -> ToolResult:
    """Write a text file in UTF-8."""
    data = wish.content.encode("utf-8", errors="replace")
    return write_once(place.results, wish.path, data, replace=wish.replace)


def shown_write(wish: wishes.WriteFile, place: Place) -> str | None:
    """Return what a write would change in the file that is there; nothing for a new one, which is shown whole."""
    if place.results.stat(wish.path) is None:
        return None
    return difference(read_decoded(place.results, wish.path)[0].text, wish.content)


def edit_file(wish: wishes.EditFile, place: Place) -> ToolResult:
    """Replace one passage; one that was replaced already is done.

    Raises:
        DeskhandError: ``invalid`` when the passage does not stand there once, or the file's encoding cannot hold the
            new one; ``conflict`` when the file changed meanwhile.
    """
    decoded, digest = read_decoded(place.results, wish.path)
    after = _edited(wish, decoded.text)
    if after == decoded.text:
        return ok({"path": wish.path, "sha256": digest}, f"{wish.path} stands so already")
    try:
        same, data = (said.encode(decoded.encoding) for said in (decoded.text, after))
    except UnicodeEncodeError as error:
        letter = error.object[error.start]
        detail = f"the file is in {decoded.encoding}, which has no {letter!r}"
        raise DeskhandError(Code.INVALID, detail, field="new") from None
    if hashlib.sha256(same).hexdigest() != digest:
        detail = f"{wish.path} cannot be changed in one place only; write it whole"
        raise DeskhandError(Code.UNSUPPORTED_TYPE, detail)
    place.results.write(wish.path, data, expect=digest)
    value: JsonObject = {"path": wish.path, "sha256": hashlib.sha256(data).hexdigest()}
    return ok(value, f"changed {wish.path}:\n{difference(decoded.text, after)}")


def shown_edit(wish: wishes.EditFile, place: Place) -> str | None:
    """Return what an edit would change."""
    text = read_decoded(place.results, wish.path)[0].text
    return difference(text, _edited(wish, text))


def make_directory(wish: wishes.MakeDirectory, place: Place) -> ToolResult:
    """Make a directory and its parents."""
    place.results.mkdir(wish.path)
    return ok({"path": wish.path}, f"made {wish.path}/")


def move_file(wish: wishes.MoveFile, place: Place) -> ToolResult:
    """Move to a free name."""
    return _moved(place.results, wish.path, wish.to)


def moved_before(wish: wishes.MoveFile, place: Place) -> ToolResult | None:
    """Say what came of a move that a crash cut off: it is done, or it is done now; else nobody can tell."""
    here, there = (place.results.stat(path) is not None for path in (wish.path, wish.to))
    return None if here is there else _moved(place.results, wish.path, wish.to, again=True)


def move_files(wish: wishes.MoveFiles, place: Place, *, again: bool = False) -> ToolResult:
    """Move each to its free name and return the hash of each; what cannot be moved stays and is said.

    ``again``: a crash cut it off, so what is gone from its place and lies in the other was moved then.

    Raises:
        DeskhandError: ``invalid`` when a name stands twice, so that an order would matter.
    """
    if len({*wish.paths, *wish.to}) != 2 * len(wish.paths) or len(wish.paths) != len(wish.to):
        detail = "each name stands once, as many here as there"
        raise DeskhandError(Code.INVALID, detail, field="to")
    access, moved, failed, changes = place.results, list[Json](), list[Json](), list[Json]()
    with access.together():
        for path, to in zip(wish.paths, wish.to, strict=True):
            try:
                digest = access.sha256(to if again and access.stat(path) is None else path)
                told = _moved(access, path, to, again=again)
            except DeskhandError as error:
                failed.append({"path": path, "why": error.sentence()})
                continue
            moved.append({"path": path, "to": to, "sha256": digest})
            changes += cast("list[Json]", told.value["changes"])
    text = f"moved {len(moved)} of {len(wish.paths)} files"
    return ok({"moved": moved, "failed": failed, "changes": changes}, text)


class Trash:
    """The trash of a folder: a directory a day in which everything keeps its path."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def trash_file(self, wish: wishes.TrashFile, place: Place) -> ToolResult:
        """Move a file or directory into the trash, beside what lies there under its name."""
        day = f"{TRASH}/{stamp(self._clock.now())[:10]}"
        to, again = f"{day}/{wish.path}", 2
        while place.results.stat(to) is not None:
            to, again = f"{day}/{again}/{wish.path}", again + 1
        return _moved(place.results, wish.path, to)

    def trashed_before(self, wish: wishes.TrashFile, place: Place) -> ToolResult:
        """Say what came of it after a crash: what is gone was thrown away, what is there is so now."""
        if place.results.stat(wish.path) is None:
            return _moved(place.results, wish.path, f"{TRASH}/", again=True)
        return self.trash_file(wish, place)


def write_once(access: FolderAccess, path: str, data: bytes, *, replace: bool) -> ToolResult:
    """Write bytes; the same bytes already there are done, other bytes stay unless ``replace``.

    Raises:
        DeskhandError: ``conflict`` and what writing raises.
    """
    digest = hashlib.sha256(data).hexdigest()
    there = access.stat(path)
    if there is None or there.kind != "file" or access.sha256(path) != digest:
        if there is not None and not replace:
            detail = f'{path} exists already; "replace": true replaces it'
            raise DeskhandError(Code.CONFLICT, detail)
        access.mkdir(path.rpartition("/")[0])
        access.write(path, data, expect=None if replace else "")
    value: JsonObject = {"path": path, "size": len(data), "sha256": digest}
    return ok(value, f"wrote {path}, {len(data)} bytes")


def _edited(wish: wishes.EditFile, text: str) -> str:
    """Return the text with the passage replaced; as it is where that was done before."""
    end = "\r\n" if "\r\n" in text else "\n"
    old, new = (end.join(re.split(r"\r\n|\n", part)) for part in (wish.old, wish.new))
    # One that is part of what this very edit put there was replaced before.
    passed = f"{re.escape(new)}|" * (old in new)
    found = re.finditer(f"{passed}(?=({re.escape(old)}))", text)
    places = [*islice((at.start() for at in found if at[1]), 1_000)]
    if not places and new and new in text:
        return text
    if len(places) != 1:
        lines = ", ".join(str(text.count("\n", 0, at) + 1) for at in places[:10])
        cure = "copy the passage exactly, without the numbers before lines, and so much around it that it is only one"
        told = [f"it stands there {len(places)} times", lines and f"at lines {lines}", cure]
        raise DeskhandError(Code.INVALID, "; ".join(filter(None, told)), field="old")
    return text[: places[0]] + new + text[places[0] + len(old) :]


def difference(before: str, after: str) -> str | None:
    """Return the lines that differ as a unified diff; nothing where that is too long to be read or made."""
    sides = before.splitlines(), after.splitlines()
    if max(map(len, sides)) > _COMPARED_LINES_MAX:
        return None
    lines = list(difflib.unified_diff(*sides, lineterm="", n=2))[2:]
    more = len(lines) - _SHOWN_LINES_MAX
    return "\n".join([*lines[:_SHOWN_LINES_MAX], *[f"[… {more:,} more lines]"] * (more > 0)])


def _moved(access: FolderAccess, path: str, to: str, *, again: bool = False) -> ToolResult:
    """Move; ``again``: what is gone from its place and lies in the other was moved before."""
    if access.stat(path) is not None:
        access.mkdir(to.rpartition("/")[0])
        access.move(path, to)
    elif not again or access.stat(to) is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    changes: list[JsonObject] = [{"path": path, "kind": "deleted"}]
    if not to.startswith(TRASH):
        changes.append({"path": to, "kind": "created"})
    return ok({"path": path, "to": to, "changes": [*changes]}, f"moved {path} to {to}")


# --- undo


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
        return sentence(f"undo.{self.verdict}", language=language, path=self.change.path)


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
        more = sentence("undo.more", language=language, count=len(rest), sha256=digest)
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
