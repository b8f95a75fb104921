"""``/merge FILE... [--on COLUMN] [--unique] [--out NAME]``: tables below or beside each other, texts and PDFs in a row.

What has no partner, lacks a column or stands there twice stays and is said. It refuses to mix tables with texts.
"""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import (
    Command,
    Line,
    Plan,
    Steps,
    StoppedError,
    Voice,
    voice_for,
)
from deskhand.agents.commands.filing.making import (
    FROM_TABLES,
    TABLES,
    ending_of,
    lines_of,
    make,
    make_table,
    make_text,
    stem_of,
)
from deskhand.agents.commands.values import objects, words
from deskhand.ports import Done
from deskhand.protocol.wire import Json, JsonObject

_TEXTS: Final = ("md", "markdown", "txt", "docx", "html", "htm", "eml")
_FILES_MAX: Final = 20


def _plan(line: Line, before: Done | None) -> Plan:
    """List, see of which kind they are, write, look again."""
    voice = voice_for(line, " ".join(line.operands))
    paths = yield from _files(line, voice)
    kinds = {_kind(path) for path in paths}
    if len(paths) not in range(2, _FILES_MAX + 1) or len(kinds) > 1 or "" in kinds:
        key = "merge.number" if len(paths) not in range(2, _FILES_MAX + 1) else "merge.kinds"
        shown = ", ".join(paths[:10]) or "–"
        raise StoppedError(voice.say(key, count=len(paths), most=_FILES_MAX, paths=shown))
    kind = kinds.pop()
    if "on" in line.options and kind != "table":
        raise StoppedError(voice.say("merge.on"))
    default, endings = _OUT[kind]
    name = yield from voice.free_name(voice.name_for(line, default, *endings), before)
    given: list[Json] = [*paths]
    if kind == "table":
        shape: JsonObject = {"on": line.options.get("on", ""), "unique": "unique" in line.options}
        shape["origin"] = "" if shape["on"] else voice.say("merge.origin")
        return (yield from make_table({"paths": given}, shape, name, voice, "merge.table"))
    if kind == "pdf":
        pages: JsonObject = {"path": name[0], "files": {"paths": given}, "replace": name[1]}
        writing = voice.call("merge_pdfs", "write", pages, path=name[0])
        check = voice.check("copied", name[0], {"path": name[0], "paths": given})
        return (yield from make(writing, check, voice, "merge.pdf", count=len(paths)))
    parts = list[str]()
    for path in paths:
        lines, _ = yield from lines_of(path, voice)
        parts.append(f"# {stem_of(path)}\n\n" + "\n".join(lines))
    content = "\n\n".join(parts) + "\n"
    return (yield from make_text(content, paths, name, voice, "merge.text"))


MERGE: Final = Command.of("merge", _plan)

_OUT: Final = {
    "table": ("merged.xlsx", tuple(f".{kind}" for kind in TABLES)),
    "text": ("merged.md", (".md", ".txt", ".docx")),
    "pdf": ("merged.pdf", (".pdf",)),
}


def _files(line: Line, voice: Voice) -> Steps[list[str]]:
    """Return the files that are named, and of a folder those that can be merged."""
    found = dict[str, None]()
    for operand in line.operands:
        call = voice.call("list_files", "list", {"path": operand}, path=operand)
        value = yield from voice.use(call)
        files = [words(e, "path") for e in objects(value, "entries") if e.get("kind") == "file"]
        alone = files == [operand.removeprefix("./")]
        found |= dict.fromkeys(path for path in files if alone or _kind(path))
    return [*found]


def _kind(path: str) -> str:
    ending = ending_of(path)
    return (
        "table"
        if ending in FROM_TABLES
        else "text"
        if ending in _TEXTS
        else ending * (ending == "pdf")
    )
