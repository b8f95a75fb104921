"""``/run COMMAND...``: one command in the sandbox, with its output, its exit status and the files it left.

Whether it may run is the folder's mode and the gate's to say. It refuses to call anything done that ended with another
exit status than 0, was stopped, or left changes that could not be taken over.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from deskhand.agents.commands.command import Command, Plan, Work
from deskhand.agents.commands.values import named, number, objects, sized, words
from deskhand.ports import Done, GiveUp, Wishes
from deskhand.protocol.wire import Json, JsonObject

_OUTPUT_CHARS_MAX: Final = 8000
_FILES_SHOWN_MAX: Final = 30
_FILES_CHECKED_MAX: Final = 2000
_PLAIN = re.compile(r"[\w@%+=:,./-]+")


def _plan(work: Work) -> Plan:
    """Run once, say what came of it, look at its status and its files again."""
    line = work.line
    plain = (each if _PLAIN.fullmatch(each) else shlex.quote(each) for each in line.operands)
    shown = line.operands[-1] if line.operands[:2] == ("sh", "-c") else " ".join(plain)
    if work.before is not None:
        return GiveUp(reasons=(work.say("run.changed_since", what=shown),))
    call = work.call("run_command", "run", {"argv": [*line.operands]}, what=shown)
    turn = yield Wishes(calls=(call,))
    value = turn.results[0].value if turn.results else {}
    if "exit_code" not in value:
        return GiveUp(reasons=work.stopped(call, turn).reasons)
    refused = objects(value, "refused")
    reasons = [
        work.say("run.refused", path=named(words(each, "path")), why=words(each, "reason"))
        for each in refused[:_FILES_SHOWN_MAX]
    ]
    if value["exit_code"] != 0:
        key = "run.failed" if isinstance(value["exit_code"], int) else "run.stopped"
        reasons.insert(0, work.say(key, what=shown, code=number(value, "exit_code")))
    said = _said(value, work)
    if reasons:
        return GiveUp(reasons=tuple(reasons), say=said)
    facts: list[Json] = [_fact(change) for change in objects(value, "changes")[:_FILES_CHECKED_MAX]]
    step = words(value, "step")
    checks = (work.check("exit", "", {"step": step}),) if step else ()
    checks += (work.check("files", "", {"files": facts}),) if facts else ()
    return Done(summary=work.say("run.done", what=shown), say=said, checks=checks)


RUN: Final = Command.of("run", _plan)


def _said(value: JsonObject, work: Work) -> str:
    """Return the end of the output, where a program says what was wrong, and the files it left."""
    output, changes = words(value, "output").rstrip("\n"), objects(value, "changes")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", output)), 0)
    said = work.more("run.cut", len(output) - _OUTPUT_CHARS_MAX)
    shown = f"{fence}\n{output[-_OUTPUT_CHARS_MAX:]}\n{fence}"
    said.append(shown if output else work.say("run.silent"))
    said += [work.say("run.truncated")] if value.get("truncated") is True else []
    files: list[str] = []
    for each in changes[:_FILES_SHOWN_MAX]:
        kind, path = work.say(f"run.{words(each, 'kind')}"), named(words(each, "path"))
        files.append(f"- {kind} {path} {sized(number(each, 'size'))}")
    files += work.more("find.more", len(changes) - _FILES_SHOWN_MAX)
    return "\n\n".join([*said, "\n".join(files)]).rstrip()


def _fact(change: JsonObject) -> JsonObject:
    if change.get("kind") == "deleted":
        return {"path": words(change, "path"), "gone": True}
    return {"path": words(change, "path"), "size": number(change, "size")}
