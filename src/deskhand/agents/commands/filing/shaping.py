"""``/table``, ``/report``, ``/merge`` and ``/convert``: tables and documents in another shape, computed or read again.

``/table FILE [--where CONDITION] [--by COLUMNS] [--sum COLUMNS] ...`` chooses, adds up and sorts rows exactly;
``/report FILE.csv [--by COLUMN]`` makes a workbook with what a table adds up to and how it was read;
``/merge FILE... [--on COLUMN] [--unique]`` puts tables below or beside each other, texts and PDFs in a row;
``/convert FILE... TO`` writes each beside its old one. The agent never holds a table. What is lost, has no partner or
stands there twice is said. They refuse sums that are not honest, tables mixed with texts, and tables guessed out of
documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deskhand.agents.commands.command import TYPED, Plan, Steps, StoppedError, Work
from deskhand.agents.commands.values import ending_of, objects, plain, stem_of, strings, words
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

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
