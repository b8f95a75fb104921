"""``/convert FILE... TO``: documents and tables in another form, each beside its old one, and what is lost is said.

Only words, cells and their order are taken over. It refuses to guess tables out of documents.
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
    make_table,
    make_text,
    stem_of,
)
from deskhand.agents.commands.values import strings
from deskhand.ports import Done
from deskhand.protocol.wire import JsonObject

_DOCUMENTS: Final = ("md", "txt", "docx")
_ALSO: Final = {
    **dict.fromkeys(("word", "워드"), "docx"),
    **dict.fromkeys(("excel", "엑셀"), "xlsx"),
    **dict.fromkeys(("text", "텍스트"), "txt"),
    **dict.fromkeys(("markdown", "마크다운"), "md"),
}
_PARAGRAPHS: Final = ("docx", "html", "htm")
_WHOLE: Final = ("md", "markdown", "txt")
"""Of these nothing is lost by reading."""


def _plan(line: Line, before: Done | None) -> Plan:
    """Each on its own: read, write, look again."""
    *paths, said = line.operands
    voice, to = voice_for(line, " ".join(paths)), said.casefold().lstrip(".")
    to = _ALSO.get(to, to)
    for path in paths:
        fits = TABLES if ending_of(path) in FROM_TABLES else _DOCUMENTS
        if to not in fits and not (ending_of(path) == "txt" and to in TABLES):
            raise StoppedError(voice.say("convert.kinds", path=path, to=to, fits=", ".join(fits)))
    ends = list[Done]()
    for path in paths:
        table = ending_of(path) in FROM_TABLES or to not in _DOCUMENTS
        ends += yield from (_table if table else _document)(path, to, voice, before)
    outputs = tuple(name for end in ends for name in end.outputs)
    summary = (
        ends[0].summary if len(ends) == 1 else voice.say("convert.many", names=", ".join(outputs))
    )
    checks = tuple(check for end in ends for check in end.checks)
    said = "\n".join(dict.fromkeys(end.say for end in ends if end.say))
    return Done(summary=summary, outputs=outputs, checks=checks, say=said)


CONVERT: Final = Command.of("convert", _plan)


def _table(path: str, to: str, voice: Voice, before: Done | None) -> Steps[list[Done]]:
    """Convert a table, of an Excel file every sheet."""
    sheets, ends = [""], list[Done]()
    if ending_of(path).startswith("xls"):
        call = voice.call("list_sheets", "sheets", {"paths": [path]}, path=path)
        sheets = strings((yield from voice.use(call)), "sheets")
    for sheet in sheets:
        part = f"-{sheet.replace('/', '-')}" if len(sheets) > 1 else ""
        name = yield from voice.free_name(f"{stem_of(path)}{part}.{to}", before)
        shape: JsonObject = {"whole": True}
        tables: JsonObject = {"paths": [path], "sheet": sheet}
        ends.append((yield from make_table(tables, shape, name, voice, "convert.table")))
    return ends


def _document(path: str, to: str, voice: Voice, before: Done | None) -> Steps[list[Done]]:
    lines, notes = yield from lines_of(path, voice)
    kind = ending_of(path)
    lost = (
        []
        if kind in _WHOLE and to != "txt"
        else [voice.say("convert.lost", notes=", ".join(notes))]
    )
    name = yield from voice.free_name(f"{stem_of(path)}.{to}", before)
    if to == "docx" or (kind in _PARAGRAPHS and to == "md"):
        lines = _apart(lines, kind)
    content = "\n".join("" if line.startswith("[page ") else line for line in lines) + "\n"
    return [(yield from make_text(content, [path], name, voice, "convert.text", *lost))]


def _apart(lines: list[str], kind: str) -> list[str]:
    """Return lines of a document as paragraphs of markdown, and rows as a table; markdown is that already."""
    if kind in ("md", "markdown"):
        return lines
    shown, before = list[str](), ""
    for line in lines:
        first_row = line.startswith("| ") and not before.startswith("| ")
        shown += [""] if first_row or not line.startswith("| ") else []
        shown += [line, "|" + "---|" * (line.count(" | ") + 1)] if first_row else [line]
        before = line
    return shown
