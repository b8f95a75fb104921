"""What ``/table``, ``/merge`` and ``/convert`` share: a result is made, checked at once, and what is not in it is said."""

from __future__ import annotations

from typing import Final

from deskhand.agents.commands.command import Steps, StoppedError, Voice
from deskhand.agents.commands.values import number, objects, strings, words
from deskhand.ports import CheckWish, Done, ToolCall
from deskhand.protocol.wire import Json, JsonObject

TABLES: Final = ("xlsx", "csv", "tsv", "md", "json")
"""What a table can be written as."""
FROM_TABLES: Final = ("csv", "tsv", "xlsx", "xlsm")
_REMARKS_MAX: Final = 50


def make(
    writing: ToolCall, check: CheckWish, voice: Voice, key: str, *remarks: str, **values: object
) -> Steps[Done]:
    """Write, look at it again, and end with the sentence ``key`` and what is to be said beside it."""
    value = yield from voice.use(writing)
    checked = yield from voice.use(check.call)
    evidence, name = words(checked, "evidence"), words(writing.arguments, "path")
    if checked.get("passed") is not True:
        raise StoppedError(voice.say("changed_meanwhile"), evidence)
    told = [
        voice.say(f"remark.{words(each, 'what')}", **each) for each in objects(value, "remarks")
    ]
    shown = [*told, *remarks][:_REMARKS_MAX]
    values |= {"name": name, "evidence": evidence, "columns": len(strings(value, "columns"))}
    summary = voice.say(key, rows=number(value, "rows"), pages=number(value, "pages"), **values)
    said = "\n".join(f"- {remark}" for remark in shown)
    return Done(summary=summary, outputs=(name,), checks=(check,), say=said)


def make_table(
    tables: JsonObject, shape: JsonObject, name: tuple[str, bool], voice: Voice, key: str
) -> Steps[Done]:
    """Write a table from files, and compute it anew."""
    given: JsonObject = {"path": name[0], "tables": tables, "shape": shape}
    writing = voice.call("write_table", "write", {**given, "replace": name[1]}, path=name[0])
    return (yield from make(writing, voice.check("table", name[0], given), voice, key))


def make_text(
    content: str, paths: list[str], name: tuple[str, bool], voice: Voice, key: str, *remarks: str
) -> Steps[Done]:
    """Write a document, and look for every line of its files in it."""
    given: JsonObject = {"path": name[0], "content": content, "replace": name[1]}
    writing = voice.call("write_document", "write", given, path=name[0])
    copied: list[Json] = [*paths]
    check = voice.check("copied", name[0], {"path": name[0], "paths": copied})
    return (yield from make(writing, check, voice, key, *remarks, count=len(paths)))


def lines_of(path: str, voice: Voice) -> Steps[tuple[list[str], list[str]]]:
    """Return all lines of a document, and what its reader said of it."""
    lines = list[str]()
    while True:
        wish: JsonObject = {"path": path, "from_line": len(lines) + 1}
        value = yield from voice.use(voice.call("read_file", "read", wish, count=1, first=path))
        got = strings(value, "lines")
        lines += got
        if not got or len(lines) >= number(value, "lines_total"):
            return lines, strings(value, "notes")


def ending_of(path: str) -> str:
    """Return what a name ends in, without the dot."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].casefold() if "." in name else ""


def stem_of(path: str) -> str:
    """Return a name without its folder and its ending."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name
