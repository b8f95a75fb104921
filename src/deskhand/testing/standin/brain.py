"""What the stand-in says next: computed from the task's sentence and the tool results it was sent, never from a store.

Pure: the same conversation gives the same answer. It refuses to pretend: whatever it does not know how to do it says it
cannot do, by its full name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from deskhand.protocol.wire import JsonObject

NAME: Final = "stand-in (a scripted program, not a language model)"
_TEXTS: Final = (".md", ".txt")
_ACTION: Final = re.compile(r"^\s*(?:- \[ \]|action:|todo:|할 일:)\s*", re.IGNORECASE)
_MARKED: Final = re.compile(r"^\s*(?:decision|risk|open question|결정|위험)\b.*:", re.IGNORECASE)
_PLACE: Final = re.compile(r"([\w./-]+\.\w+):(\d+)")
_WORDS_MAX: Final = 430
"""One page is at most 450 words; the title and the list of sources need some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A tool call of the conversation and what came back."""

    tool: str
    arguments: JsonObject
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A conversation as the stand-in understands it; ``missing`` are the places that a refused end complained of."""

    task: str
    today: date
    done: tuple[Done, ...]
    missing: tuple[str, ...] = ()
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it says and which tools it wants."""

    text: str = ""
    calls: tuple[tuple[str, JsonObject], ...] = field(default=())


def answer(seen: Seen) -> Answer:
    """Return the next thing to say or do."""
    said = seen.task.casefold()
    jobs: tuple[tuple[tuple[str, ...], Callable[[Seen], Answer]], ...] = (
        (("note", "minutes", "회의"), _briefing),
        (("campaign", "캠페인"), _report),
        (("contract", "계약"), _risks),
    )
    for words, job in jobs:
        if any(word in said for word in words):
            return job(seen)
    return _give_up(f"This is the {NAME}. It only knows notes, campaign tables and contracts.")


def _briefing(seen: Seen) -> Answer:
    listed = _results(seen, "list_files")
    if not listed:
        return _call("list_files", "I look at what is there.", path=".", recursive=True)
    read = {str(one.arguments["path"]): one for one in seen.done if one.tool == "read_file"}
    if not read:
        paths = _notes_of(listed[0].result, seen)
        if not paths:
            return _give_up("There are no notes that fit.")
        calls = tuple(("read_file", _arguments(path=path)) for path in paths)
        return Answer(text=f"I read {len(paths)} notes.", calls=calls)
    name = "briefing-agent.md"
    written = [one for one in seen.done if one.tool == "write_file"]
    if len(written) <= seen.tries:
        content = _page(read, seen, careful=seen.tries > 0)
        replaces = {"replace": True} if written else {}
        return _call("write_file", "I write the briefing.", path=name, content=content, **replaces)
    packed = _results(seen, "run_command")
    if "save" in seen.task.casefold() and not packed and seen.tries:
        folder = next(iter(read)).partition("/")[0]
        argv = ["python3", "-m", "zipfile", "-c", "meeting-pack.zip", name, f"{folder}/"]
        return _call("run_command", "I pack it with the notes.", argv=argv)
    outputs = [name, *(["meeting-pack.zip"] if packed and "[" not in packed[0].result[:1] else [])]
    return _finish(f"A one-page briefing of {len(read)} notes.", outputs)


def _page(read: dict[str, Done], seen: Seen, *, careful: bool) -> str:
    """Return the briefing: first without what hides in plain lines, then with all that was missed."""
    facts: list[str] = []
    actions: list[str] = []
    for path, one in read.items():
        short = path.rpartition("/")[2]
        for number, line in enumerate(one.result.splitlines(), start=1):
            place, clean = f"{short}:{number}", line.strip()
            if _ACTION.match(line):
                todo = clean.casefold().startswith(("todo", "할 일"))
                if careful or not todo or place in seen.missing:
                    actions.append(f"- {_ACTION.sub('', clean)} ({place})")
            elif _MARKED.match(line):
                facts.append(f"- {clean} ({place})")
    sources = ", ".join(path.rpartition("/")[2] for path in read)
    lines = [f"# Briefing, {seen.today:%d %B %Y}", "", "## Actions", "", *actions]
    lines += ["", "## Decisions and risks", "", *facts]
    words = 0
    kept: list[str] = []
    for line in lines:
        words += len(line.split())
        if words > _WORDS_MAX and line.startswith("- ") and line in facts:
            continue
        kept.append(line)
    return "\n".join([*kept, "", f"Sources: {sources}", f"Written by the {NAME}.", ""])


def _report(seen: Seen) -> Answer:
    listed = _results(seen, "list_files")
    if not listed:
        return _call("list_files", "I look for the data.", path=".", recursive=True)
    tables = [path for path in _paths(listed[0].result) if path.endswith((".csv", ".tsv"))]
    if not tables:
        return _give_up("There is no table.")
    read = _results(seen, "read_table")
    if not read:
        return _call("read_table", "I add it up.", path=tables[-1])
    if not _results(seen, "write_file"):
        text = f"# Weekly report\n\nFrom {tables[-1]}:\n\n{read[0].result}\n\nWritten by the {NAME}.\n"
        return _call("write_file", "I write the report.", path="weekly-report.md", content=text)
    return _finish("A weekly report with the table's own totals.", ["weekly-report.md"])


def _risks(seen: Seen) -> Answer:
    listed = _results(seen, "list_files")
    if not listed:
        return _call("list_files", "I look for the contract.", path=".", recursive=True)
    drafts = [path for path in _paths(listed[0].result) if path.endswith(_TEXTS)]
    chosen = [path for path in drafts if "contract" in path.casefold() or "계약" in path] or drafts
    if not chosen:
        return _give_up("There is no contract.")
    read = _results(seen, "read_file")
    if not read:
        return _call("read_file", "I read it.", path=chosen[0])
    if not _results(seen, "write_file"):
        risky = re.compile(r"liab|indemn|terminat|penalt|exclusiv|renew|unlimited|위약|해지|배상", re.I)
        lines = [
            f"- {line.strip()} ({chosen[0]}:{number})"
            for number, line in enumerate(read[0].result.splitlines(), start=1)
            if risky.search(line)
        ]
        text = "\n".join(["# Risk items", "", *(lines or ["None found."]), "", f"Written by the {NAME}.", ""])
        return _call("write_file", "I list the risks.", path="risks.md", content=text)
    return _finish(f"The risk items of {chosen[0]}.", ["risks.md"])


def _notes_of(listing: str, seen: Seen) -> list[str]:
    """Return the notes of yesterday when the sentence says so and names carry dates; else all notes."""
    paths = [path for path in _paths(listing) if path.endswith(_TEXTS) and "briefing" not in path]
    notes = [path for path in paths if "note" in path.casefold() or "회의" in path] or paths
    if "yesterday" in seen.task.casefold() or "어제" in seen.task:
        day = (seen.today - timedelta(days=1)).isoformat()
        return [path for path in notes if day in path] or notes
    return notes


def _paths(listing: str) -> list[str]:
    """Return the files of a listing: a path, two spaces, and its size."""
    found = [line.rpartition("  ")[0] for line in listing.splitlines()]
    return [path for path in found if path and not path.endswith("/")]


def _results(seen: Seen, tool: str) -> list[Done]:
    return [one for one in seen.done if one.tool == tool]


def _arguments(**arguments: object) -> JsonObject:
    return json.loads(json.dumps(arguments))


def _call(tool: str, text: str, **arguments: object) -> Answer:
    return Answer(text=text, calls=((tool, _arguments(**arguments)),))


def _finish(summary: str, outputs: Sequence[str]) -> Answer:
    return Answer(calls=(("finish", _arguments(summary=summary, outputs=list(outputs))),))


def _give_up(reason: str) -> Answer:
    return Answer(calls=(("give_up", _arguments(reasons=[reason])),))


def places_in(said: str) -> tuple[str, ...]:
    """Return every ``file:line`` that a text names."""
    return tuple(f"{file}:{line}" for file, line in _PLACE.findall(said))
