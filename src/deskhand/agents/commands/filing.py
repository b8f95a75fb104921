"""The commands that make and move files, and the one that takes it back: what they did is looked at again.

``/table``, ``/report``, ``/merge`` and ``/convert`` are tables and documents in another shape, computed or read again.

``/table FILE [--where CONDITION] [--by COLUMNS] [--sum COLUMNS] ...`` chooses, adds up and sorts rows exactly;
``/report FILE.csv [--by COLUMN]`` makes a workbook with what a table adds up to and how it was read;
``/merge FILE... [--on COLUMN] [--unique]`` puts tables below or beside each other, texts and PDFs in a row;
``/convert FILE... TO`` writes each beside its old one. The agent never holds a table. What is lost, has no partner or
stands there twice is said. They refuse sums that are not honest, tables mixed with texts, and tables guessed out of
documents.

``/organize``, ``/rename``, ``/run`` and ``/undo`` show what they change in the folder.

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
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from deskhand.agents.commands.command import TYPED, Plan, Steps, StoppedError, Work
from deskhand.agents.commands.values import ending_of, named, number, objects, plain, sized, stem_of, strings, words
from deskhand.core.dates import date_in
from deskhand.ports import Done, GiveUp, Wishes
from deskhand.protocol.wire import Json, JsonObject

# --- tables and documents in another shape


_FORMS: Final = TYPED["forms"]
_TABLES: Final[list[str]] = _FORMS["table"]
_DOCUMENTS: Final[list[str]] = _FORMS["document"]
_KINDS: Final[dict[str, str]] = {end: kind for kind, ends in _FORMS["read"].items() for end in ends}
_MERGED_MAX: Final = 20


def table(work: Work) -> Plan:
    """Write, compute anew."""
    said, paths = work.line.options, work.line.operands
    work = work.about(" ".join(map(str, said.values())) or paths[0])
    wanted = work.name_for("table.xlsx", *(f".{kind}" for kind in _TABLES))
    shape: JsonObject = {name: said[name] for name in ("where", "sort", "top") if name in said}
    for name in ("by", "sum", "columns"):
        shape[name] = [each.strip() for each in work.option(name).split(",") if each.strip()]
    shape["count"] = work.say("table.rows")
    given: JsonObject = {"tables": {"paths": [*paths]}, "shape": shape}
    return (yield from _made(work, "write_table", wanted, given, "table.done"))


def report(work: Work) -> Plan:
    """Write, add up again."""
    by = work.option("by")
    work = work.about(by or work.line.operands[0])
    shape: JsonObject = {"by": [by] if by else [], "count": work.say("table.rows")}
    given: JsonObject = {"tables": {"paths": [*work.line.operands]}, "shape": shape, "language": work.language}
    return (yield from _made(work, "write_report", work.name_for("report.xlsx", ".xlsx"), given, "report.done"))


def merge(work: Work) -> Plan:
    """List, see of which kind they are, write, look again."""
    work = work.about(*work.line.operands)
    paths = yield from _files(work)
    kinds = {_kind(path) for path in paths}
    number_fits = 1 < len(paths) <= _MERGED_MAX
    if not number_fits or len(kinds) > 1 or "" in kinds:
        key = "merge.kinds" if number_fits else "merge.number"
        raise StoppedError(work.say(key, count=len(paths), most=_MERGED_MAX, paths=", ".join(paths[:10]) or "–"))
    kind, on = kinds.pop(), work.option("on")
    if on and kind != "table":
        raise StoppedError(work.say("merge.on"))
    if kind == "table":
        wanted = work.name_for("merged.xlsx", *(f".{each}" for each in _TABLES))
        shape: JsonObject = {"on": on, "unique": "unique" in work.line.options}
        shape["origin"] = "" if on else work.say("merge.origin")
        given: JsonObject = {"tables": {"paths": [*paths]}, "shape": shape}
        return (yield from _made(work, "write_table", wanted, given, "merge.table"))
    if kind == "pdf":
        wanted = work.name_for("merged.pdf", ".pdf")
        given = {"files": {"paths": [*paths]}}
        return (yield from _made(work, "merge_pdfs", wanted, given, "merge.pdf", copied=paths))
    wanted, parts = work.name_for("merged.md", ".md", ".txt", ".docx"), list[str]()
    for path in paths:
        lines, _ = yield from work.lines(path)
        parts.append(f"# {stem_of(path)}\n\n" + "\n".join(lines))
    given = {"content": "\n\n".join(parts) + "\n"}
    return (yield from _made(work, "write_document", wanted, given, "merge.text", copied=paths))


def convert(work: Work) -> Plan:
    """Each on its own: read, write, look again."""
    *paths, said = work.line.operands
    work, to = work.about(*paths), said.casefold().lstrip(".")
    to = _FORMS["also"].get(to, to)
    for path in paths:
        fits = _TABLES if _kind(path) == "table" else _DOCUMENTS
        if to not in fits and not (ending_of(path) == "txt" and to in _TABLES):
            raise StoppedError(work.say("convert.kinds", path=path, to=to, fits=", ".join(fits)))
    ends = list[Done]()
    for path in paths:
        is_table = _kind(path) == "table" or to not in _DOCUMENTS
        ends += yield from (_sheets(path, to, work) if is_table else _document(path, to, work))
    outputs = tuple(name for end in ends for name in end.outputs)
    checks = tuple(check for end in ends for check in end.checks)
    told = "\n".join(dict.fromkeys(end.say for end in ends if end.say))
    return Done(summary="\n".join(end.summary for end in ends), outputs=outputs, checks=checks, say=told)


def _made(
    work: Work, tool: str, wanted: str, given: JsonObject, key: str, *remarks: str, copied: Sequence[str] = ()
) -> Steps[Done]:
    """Write a file, and compute it anew or look for every line of those that are ``copied`` in it."""
    name, replacing = yield from work.free_name(wanted)
    given = {"path": name, **given}
    again: JsonObject = {"path": name, "paths": [*copied]} if copied else given
    check = work.check("copied" if copied else tool.removeprefix("write_"), name, again)
    writing = work.call(tool, "write", {**given, "replace": replacing}, path=name)
    return (yield from work.deliver(writing, (check,), key, *remarks, count=len(copied)))


def _files(work: Work) -> Steps[list[str]]:
    """Return the files that are named, and of a folder those that can be merged."""
    found = dict[str, None]()
    for operand in work.line.operands:
        value = yield from work.ask("list_files", "list", {"path": operand}, path=operand)
        files = [words(e, "path") for e in objects(value, "entries") if e.get("kind") == "file"]
        found |= dict.fromkeys(path for path in files if files == [plain(operand)] or _kind(path))
    return [*found]


def _kind(path: str) -> str:
    return _KINDS.get(ending_of(path), "")


def _sheets(path: str, to: str, work: Work) -> Steps[list[Done]]:
    """Convert a table, of an Excel file every sheet."""
    sheets, ends = [""], list[Done]()
    if ending_of(path).startswith("xls"):
        value = yield from work.ask("list_sheets", "sheets", {"paths": [path]}, path=path)
        sheets = strings(value, "sheets")
    for sheet in sheets:
        part = f"-{sheet.replace('/', '-')}" if len(sheets) > 1 else ""
        given: JsonObject = {"tables": {"paths": [path], "sheet": sheet}, "shape": {"whole": True}}
        ends.append((yield from _made(work, "write_table", f"{stem_of(path)}{part}.{to}", given, "convert.table")))
    return ends


def _document(path: str, to: str, work: Work) -> Steps[list[Done]]:
    lines, notes = yield from work.lines(path)
    kind, wanted = ending_of(path), f"{stem_of(path)}.{to}"
    # Of these nothing is lost by reading.
    is_whole = kind in ("md", "markdown", "txt") and to != "txt"
    lost = [] if is_whole else [work.say("convert.lost", notes=", ".join(notes))]
    has_paragraphs = to == "md" and kind in ("docx", "html", "htm")
    if has_paragraphs or (to == "docx" and kind not in ("md", "markdown")):
        lines = _apart(lines)
    bare = ("" if line.startswith("[page ") else line for line in lines)
    given: JsonObject = {"content": "\n".join(bare) + "\n"}
    return [(yield from _made(work, "write_document", wanted, given, "convert.text", *lost, copied=[path]))]


def _apart(lines: list[str]) -> list[str]:
    """Return lines of a document as paragraphs of markdown, and rows as a table."""
    shown, before = list[str](), ""
    for line in lines:
        first_row = line.startswith("| ") and not before.startswith("| ")
        shown += [""] if first_row or not line.startswith("| ") else []
        shown += [line, "|" + "---|" * (line.count(" | ") + 1)] if first_row else [line]
        before = line
    return shown


# --- files that move, a command, and the way back


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
            failed.append(work.say("duplicates.not_moved", path=named(words(one, "path")), why=words(one, "why")))
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
