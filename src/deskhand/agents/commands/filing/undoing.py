"""``/undo TASK [--turn N] [--force]``: the files of the folder as they were before a task, or after its step N.

What would change is shown and asked first. It refuses to call undone what stayed, and says of each why.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import Command, Plan, Work
from deskhand.agents.commands.values import objects, strings
from deskhand.ports import Done, GiveUp
from deskhand.protocol.wire import Json, JsonObject

_SHOWN_MAX: Final = 50
_FACTS_MAX: Final = 2000


def _undo(work: Work) -> Plan:
    """Take back, and look at every name again."""
    options, (task,) = work.line.options, work.line.operands
    if work.before is not None:
        return GiveUp(reasons=(work.say("undo.changed_since"),))
    wish: JsonObject = {"task": task, "step": options.get("turn", 0), "force": "force" in options}
    value = yield from work.ask(
        "undo_files", "undo", {**wish, "language": work.language}, task=task
    )
    facts: list[Json] = [*objects(value, "facts")]
    stays, count = strings(value, "stays"), len(objects(value, "changes"))
    parts = (facts[start : start + _FACTS_MAX] for start in range(0, len(facts), _FACTS_MAX))
    checks = tuple(work.check("files", ".", {"files": part}) for part in parts)
    shown = [f"- {each}" for each in stays[:_SHOWN_MAX]]
    shown += work.more("find.more", len(stays) - _SHOWN_MAX)
    summary = work.say("undo.done", count=count, stays=len(stays))
    return Done(summary=summary, say="\n".join(shown), checks=checks)


UNDO: Final = Command.of("undo", _undo)
