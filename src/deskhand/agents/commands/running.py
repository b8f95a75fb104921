"""``/run COMMAND...``: one command in the sandbox, with its output, its exit status and the files it left; and ``/undo``.

``/undo TASK [--turn N] [--force]``: the files of the folder as they were before a task, or after its step N; what would
change is shown and asked first. Whether a command may run is the folder's mode and the gate's to say. They refuse to
call anything done that ended with another exit status than 0, was stopped, or left changes that could not be taken
over, and say of each file that stayed why.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from deskhand.agents.commands.command import Plan, Work
from deskhand.agents.commands.values import named, number, objects, sized, strings, words
from deskhand.ports import Done, GiveUp, Wishes
from deskhand.protocol.wire import Json, JsonObject

_OUTPUT_CHARS_MAX: Final = 8000
_FILES_SHOWN_MAX: Final = 30


def run(work: Work) -> Plan:
    """Run once, say what came of it, look at its status and its files again."""
    line = work.line
    shown = line.operands[-1] if line.operands[:2] == ("sh", "-c") else shlex.join(line.operands)
    if work.before is not None:
        return GiveUp(reasons=(work.say("run.changed_since", what=shown),))
    call = work.call("run_command", "run", {"argv": [*line.operands]}, what=shown)
    turn = yield Wishes(calls=(call,))
    value = turn.results[0].value
    if "exit_code" not in value:
        raise work.stopped(call, turn)
    code, reasons = value["exit_code"], list[str]()
    if code != 0:
        reasons.append(work.say("run.stopped" if code is None else "run.failed", what=shown, code=code))
    for each in objects(value, "refused")[:_FILES_SHOWN_MAX]:
        reasons.append(work.say("run.refused", path=named(words(each, "path")), why=words(each, "reason")))
    changes, said = objects(value, "changes"), _output(value, work)
    files = list[str]()
    for each in changes[:_FILES_SHOWN_MAX]:
        kind, path = work.say(f"run.{words(each, 'kind')}"), named(words(each, "path"))
        files.append(f"- {kind} {path} {sized(number(each, 'size'))}")
    files += work.more("find.more", len(changes) - _FILES_SHOWN_MAX)
    told = "\n\n".join([*said, "\n".join(files)]).rstrip()
    if reasons:
        return GiveUp(reasons=tuple(reasons), say=told)
    checks = (work.check("exit", "", {"step": step}),) if (step := words(value, "step")) else ()
    checks += work.file_checks([*map(_fact, changes)])
    return Done(summary=work.say("run.done", what=shown), say=told, checks=checks)


def _output(value: JsonObject, work: Work) -> list[str]:
    """Return the end of the output, where a program says what was wrong."""
    output = words(value, "output").rstrip("\n")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", output)), 0)
    said = work.more("run.cut", len(output) - _OUTPUT_CHARS_MAX)
    said.append(f"{fence}\n{output[-_OUTPUT_CHARS_MAX:]}\n{fence}" if output else work.say("run.silent"))
    return said + [work.say("run.truncated")] * (value.get("truncated") is True)


def _fact(change: JsonObject) -> Json:
    fact: JsonObject = {"gone": True} if change.get("kind") == "deleted" else {"size": number(change, "size")}
    return {"path": words(change, "path"), **fact}


def undo(work: Work) -> Plan:
    """Take back, and look at every name again."""
    options, (task,) = work.line.options, work.line.operands
    if work.before is not None:
        return GiveUp(reasons=(work.say("undo.changed_since"),))
    wish: JsonObject = {"task": task, "step": options.get("turn", 0), "force": "force" in options}
    wish["language"] = work.language
    value = yield from work.ask("undo_files", "undo", wish, task=task)
    stays, count = strings(value, "stays"), len(objects(value, "changes"))
    checks = work.file_checks(objects(value, "facts"))
    shown = [f"- {each}" for each in stays[:_FILES_SHOWN_MAX]]
    shown += work.more("find.more", len(stays) - _FILES_SHOWN_MAX)
    return Done(summary=work.say("undo.done", count=count, stays=len(stays)), say="\n".join(shown), checks=checks)
