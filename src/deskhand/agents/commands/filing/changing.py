"""``/organize``, ``/rename``, ``/run`` and ``/undo``: what they change in the folder is shown, and looked at again.

``/organize PATH [--by type|date] [--only EXT] [--dry-run]`` puts files into folders that make sense;
``/rename PATH PATTERN`` or ``--replace OLD --with NEW`` gives new names by ``{name}``, ``{n:03}``, ``{date}`` and
``{name:lower}``, the ending of each kept. Only files that lie directly in the folder move. No file is ever overwritten:
a name that is taken gets a number, and files that take each other's names go by a third.
``/run COMMAND...`` is one command in the sandbox, with its output, its exit status and the files it left. Whether it
may run is the folder's mode and the gate's to say.
``/undo TASK [--turn N] [--force]``: the files of the folder as they were before a task, or after its step N; what would
change is shown and asked first.
They refuse to call it done when one file to be moved stayed where it was, or a command ended with another exit status
than 0, was stopped, or left changes that could not be taken over; and a pattern that makes all names the same. Of each
file that an undo left as it is they say why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from deskhand.agents.commands.command import Plan, Steps, StoppedError, Work
from deskhand.agents.commands.values import named, number, objects, sized, strings, words
from deskhand.core.dates import date_in
from deskhand.ports import Done, GiveUp, Wishes
from deskhand.protocol.wire import Json, JsonObject

_BATCH_MAX: Final = 300
_BATCH_CHARS_MAX: Final = 12_000
"""An approval must be able to show all of a wish."""
_SHOWN_MAX: Final = 200
_MOVES_MAX: Final = 9_000
_FIELD: Final = re.compile(r"\{(?:n(?::(?P<digits>0?[1-9]))?|(?P<word>name|date)(?::(?P<case>lower|upper))?)\}")
_Arrived = dict[str, tuple[str, str]]
"""Where each file is now, with its hash."""


class _File(NamedTuple):
    """A file that may move."""

    path: PurePosixPath
    day: str
    """What its name says, else that of its last change."""


def organize(work: Work) -> Plan:
    """List, decide, move."""
    work = work.about(work.line.operands[0])
    files, taken = yield from _listed(work)
    only = work.option("only").casefold().lstrip(".*")
    chosen = [file for file in files if not only or file.path.suffix[1:].casefold() == only]
    pairs = {
        str(file.path): _free(file.path.parent / folder / file.path.stem, file.path.suffix, taken)
        for file, folder in zip(chosen, _folders(chosen, work), strict=True)
    }
    return (yield from _move_all(pairs, work))


def rename(work: Work) -> Plan:
    """List, make the names, move."""
    work = work.about(*work.line.operands)
    pattern, old, new = _asked(work)
    files, taken = yield from _listed(work)
    if pattern and len(files) > 1 and not _FIELD.search(pattern):
        raise StoppedError(work.say("rename.same", pattern=pattern))
    taken -= {str(file.path).casefold() for file in files}
    pairs = dict[str, str]()
    for n, file in enumerate(files, start=1):
        ending = file.path.suffix
        made = _named(pattern, file, n) if pattern else file.path.stem.replace(old, new)
        made = " ".join(made.split()).strip(" .")
        if made.casefold().endswith(ending.casefold()):
            made = made[: len(made) - len(ending)]
        if not made or "/" in made:
            raise StoppedError(work.say("rename.no_name", path=file.path, name=made))
        pairs[str(file.path)] = _free(file.path.parent / made, ending, taken)
    return (yield from _move_all({path: to for path, to in pairs.items() if to != path}, work))


def _listed(work: Work) -> Steps[tuple[list[_File], set[str]]]:
    """Return the files that lie directly there and are people's own, and all names below, folded."""
    path = work.line.operands[0]
    value = yield from work.ask("list_files", "list", {"path": path, "recursive": True}, path=path)
    if value.get("complete") is not True:
        raise StoppedError(work.say("moving.too_many", path=path))
    entries = objects(value, "entries")
    files = (_file(entry) for entry in entries if entry.get("kind") == "file")
    visible = (file for file in files if not file.path.name.startswith((".", "~$")))
    own = [file for file in visible if PurePosixPath(path) in (file.path.parent, file.path)]
    return own, {words(entry, "path").casefold() for entry in entries}


def _file(entry: JsonObject) -> _File:
    path = PurePosixPath(words(entry, "path"))
    changed = datetime.fromtimestamp(number(entry, "modified_seconds")).astimezone().date()
    return _File(path, (date_in(path.stem) or changed).isoformat())


def _free(stem: PurePosixPath, ending: str, taken: set[str]) -> str:
    """Return a file's name, with a number where it is taken, and take it."""
    names = (f"{stem}{f' ({n})' if n > 1 else ''}{ending}" for n in count(1))
    name = next(name for name in names if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


def _move_all(pairs: Mapping[str, str], work: Work) -> Steps[Done | GiveUp]:
    """Move, and end with what must hold of every file."""
    if work.before is not None:
        return GiveUp(reasons=(work.say("moving.changed_since"),))
    if not 0 < len(pairs) <= _MOVES_MAX:
        raise StoppedError(work.say("moving.too_many" if pairs else "moving.nothing", path=work.line.operands[0]))
    lines = [f"- {named(path)} → {named(to)}" for path, to in pairs.items()]
    lines[_SHOWN_MAX:] = work.more("find.more", len(lines) - _SHOWN_MAX)
    if "dry-run" in work.line.options:
        return Done(summary=work.say("moving.planned", total=len(pairs)), say="\n".join(lines))
    moved, failed = yield from _moved(pairs, work)
    arrived = dict(moved.values())
    summary = work.say("moving.done", count=len(moved), total=len(pairs))
    if failed:
        return GiveUp(reasons=(*failed[:_SHOWN_MAX], summary))
    facts: list[Json] = [{"path": to, "sha256": digest} for to, digest in arrived.items()]
    facts.extend({"path": path, "gone": True} for path in moved if path not in arrived)
    return Done(summary=summary, say="\n".join(lines), checks=work.file_checks(facts))


def _moved(pairs: Mapping[str, str], work: Work) -> Steps[tuple[_Arrived, list[str]]]:
    """Move what is on no other's place at once, the others by a name on the way; return who moved and who did not."""
    places = {path.casefold() for path in pairs}
    first = {path: f"{to}{'.on-its-way'}" if to.casefold() in places else to for path, to in pairs.items()}
    arrived, failed = yield from _batched(first, work)
    late = {to: path for path, (to, _) in arrived.items() if to != pairs[path]}
    second, more = yield from _batched({to: pairs[path] for to, path in late.items()}, work)
    return arrived | {late[to]: done for to, done in second.items()}, [*failed, *more]


def _batched(pairs: Mapping[str, str], work: Work) -> Steps[tuple[_Arrived, list[str]]]:
    """Return where each arrived, with its hash, and why others did not; a no ends it, a name nobody may touch is found."""
    arrived, failed = _Arrived(), list[str]()
    waiting = [[*pairs.items()]] if pairs else []
    while waiting:
        batch = waiting.pop(0)
        halves = [batch[: len(batch) // 2], batch[len(batch) // 2 :]] if batch[1:] else []
        if halves and (len(batch) > _BATCH_MAX or len(str(batch)) > _BATCH_CHARS_MAX):
            waiting[:0] = halves
            continue
        wish: JsonObject = {"paths": [path for path, _ in batch], "to": [to for _, to in batch]}
        call = work.call("move_files", "move_all", wish, count=len(batch), first=batch[0][0])
        turn = yield Wishes(calls=(call,))
        value = turn.results[0].value
        is_protected = value.get("rule") == "protected"
        if is_protected and halves:
            waiting[:0] = halves
        elif turn.results[0].outcome != "ok":
            failed += work.stopped(call, turn).args
            waiting = waiting if is_protected else []
        for one in objects(value, "moved"):
            arrived[words(one, "path")] = words(one, "to"), words(one, "sha256")
        for one in objects(value, "failed"):
            why = {"path": named(words(one, "path")), "why": words(one, "why")}
            failed.append(work.say("duplicates.not_moved", **why))
    return arrived, failed


def _folders(files: list[_File], work: Work) -> list[str]:
    """Return for each file its folder."""
    if work.option("by") == "date":
        return [file.day[:7] for file in files]
    kinds = (kind.partition(": ") for kind in work.say("organize.types").splitlines())
    of = {ending: name for name, _, endings in kinds for ending in endings.split()}
    return [of.get(file.path.suffix[1:].casefold(), work.say("organize.other")) for file in files]


def _asked(work: Work) -> tuple[str, str, str]:
    """Return the pattern, or what to replace with what."""
    match work.line.operands[1:], work.option("replace"), work.option("with"):
        case (("replace", old, "with", new), "", "") | ((), old, new) if old:
            return "", old, new
        case ((pattern,), "", ""):
            return pattern, "", ""
        case _:
            raise StoppedError(work.say("rename.how"))


def _named(pattern: str, file: _File, n: int) -> str:
    stem = file.path.stem
    if "{date" in pattern:
        stem = stem.replace(file.day, "").strip(" -_") or stem

    def field(found: re.Match[str]) -> str:
        word = found["word"] and {"name": stem, "date": file.day}[found["word"]]
        cases = {"lower": str.lower, "upper": str.upper}
        return cases.get(found["case"], str)(word or f"{n:{found['digits'] or ''}}")

    return _FIELD.sub(field, pattern)


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
