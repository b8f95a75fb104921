"""``undo_files``: puts the files of a folder back as they were before a task, or after one of its steps.

It is a task's step like any other: always asked first, with all it would change shown, and kept itself, so that an undo
can be undone. What somebody changed since stays, unless it is forced: then that goes into the trash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.texts import text
from deskhand.tools.builtin import ok
from deskhand.tools.changing import Trash
from deskhand.tools.leaf import Thing
from deskhand.tools.undo.keeping import Checkpoints, Kept
from deskhand.tools.undo.restoring import Plan, Step

_AT_ONCE: Final = 50
"""How many changes happen before it is asked again whether they may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """Takes back what tasks did on this computer."""

    checkpoints: Checkpoints | None
    trash: Trash

    def undo_files(self, wish: wishes.UndoFiles, place: Place) -> ToolResult:
        """Put back what can be, and tell what stays and why."""
        plan = self._plan(wish, place)
        folder = plan.folder
        stays, todo = dict[str, Json](), list[Step]()
        for step in plan.steps:
            if step.verdict in ("changed", "lost"):
                said = text(f"undo.{step.verdict}", language=wish.language, path=step.change.path)
                stays[step.change.path] = said
            else:
                todo.append(step)
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
