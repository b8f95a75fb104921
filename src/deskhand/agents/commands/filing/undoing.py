"""``/undo TASK [--turn N] [--force]``: the files of the folder as they were before a task, or after its step N.

What would change is shown and asked first. It refuses to call undone what stayed, and says of each why.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import Command, Plan, Work
from deskhand.agents.commands.values import objects, strings
from deskhand.ports import Done, GiveUp
from deskhand.protocol.wire import JsonObject

_SHOWN_MAX: Final = 50


def _undo(work: Work) -> Plan:
    """Take back, and look at every name again."""
    options, (task,) = work.line.options, work.line.operands
    if work.before is not None:
        return GiveUp(reasons=(work.say("undo.changed_since"),))
    wish: JsonObject = {"task": task, "step": options.get("turn", 0), "force": "force" in options}
    wish["language"] = work.language
    value = yield from work.ask("undo_files", "undo", wish, task=task)
    stays, count = strings(value, "stays"), len(objects(value, "changes"))
    checks = work.file_checks(objects(value, "facts"))
    shown = [f"- {each}" for each in stays[:_SHOWN_MAX]]
    shown += work.more("find.more", len(stays) - _SHOWN_MAX)
    summary = work.say("undo.done", count=count, stays=len(stays))
    return Done(summary=summary, say="\n".join(shown), checks=checks)


UNDO: Final = Command.of("undo", _undo)
