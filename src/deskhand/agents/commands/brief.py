"""``/brief PATH... [--pages N] [--out NAME]``: an extractive briefing over notes. Every line is a quote with its source.

It never paraphrases and never leaves out an action silently: what had no room is counted and its file is named.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from deskhand.agents.commands.brief_lines import Note, choose
from deskhand.agents.commands.brief_page import MARK, PAGES_MAX, Paper, compose, word_count
from deskhand.agents.commands.brief_page import WORDS_PER_PAGE as WORDS
from deskhand.agents.commands.command import (
    Line,
    Option,
    Plan,
    Spec,
    Steps,
    StoppedError,
    free_name,
    mostly_korean,
    number,
    objects,
    strings,
    use,
    words,
)
from deskhand.core.quotes import quotable
from deskhand.ports import CheckWish, Done, ToolCall
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.texts import text

NOTE_ENDINGS: Final = frozenset(
    ("md", "markdown", "txt", "text", "rst", "org", "adoc", "log", "eml", "html", "htm")
)
FILES_PER_READ: Final = 200
BYTES_PER_READ: Final = 800_000
CHARS_MAX: Final = 16_000_000
ACTION_PATHS_PER_CHECK: Final = 500
NAME_CHARS_MAX: Final = 120


class BriefCommand:
    """Makes a briefing."""

    spec = Spec(
        name="brief",
        metavar="PATH...",
        operands_least=1,
        operands_most=50,
        options=(
            Option(name="pages", metavar="N", kind="count", most=PAGES_MAX),
            Option(name="out", metavar="NAME"),
        ),
        examples_en=(
            "Summarise yesterday's three meeting notes into a one-page briefing",
            "Give me a one-page briefing of the notes folder",
            "What was decided in these meetings? Put it on two pages",
            "Brief me on notes/client before my call",
            "Condense all my meeting minutes into one page",
            "Write a briefing from the interview notes and save it as friday.md",
            "I need an overview of what is in these text files",
        ),
        examples_ko=(
            "어제 회의록 세 개를 한 페이지 브리핑으로 요약해 줘",
            "회의록 폴더를 한 장으로 정리해 줘",
            "이번 주 회의에서 결정된 것을 두 페이지로 정리해 줘",
            "고객 미팅 메모를 브리핑해 줘",
            "모든 회의 메모를 한 페이지로 압축해 줘",
            "인터뷰 메모로 브리핑을 만들어 friday.md로 저장해 줘",
        ),
    )

    def plan(self, line: Line, brief: Brief, before: Done | None) -> Plan:
        """Return the plan: list, read, choose, write, read again.

        Raises:
            StoppedError: there is nothing to read, or a step was not possible.
        """
        del brief
        wanted = _out_name(line)
        found = yield from _found(line)
        yield from _read(found, line)
        if not any(note.lines for note in found.notes):
            raise StoppedError(_nothing(line, found))
        language = _language(line, found)
        name, replace = yield from free_name(wanted, before=before, language=language)
        pages = line.count("pages", 1)
        paper = compose(
            choose(tuple(found.notes)),
            Paper(
                title=" ".join(line.operands),
                pages=pages,
                language=language,
                notes=tuple(found.notes),
                not_read=_not_read(found, language),
            ),
        )
        yield from use(
            ToolCall(
                tool="write_file",
                arguments={"path": name, "content": paper.text, "replace": replace},
                title=text("step.write", language=language, path=name),
            ),
            language=language,
        )
        checks = self.checks(name, paper.text, found, language, every_action=not paper.actions_left)
        evidence = yield from _looked_again(checks[0], language)
        count = math.ceil(word_count(paper.text) / WORDS)
        summary = text(
            "command.brief.summary.one" if count == 1 else "command.brief.summary.many",
            language=language,
            pages=count,
            lines=paper.quotes,
            evidence=evidence,
        )
        if paper.actions_left:
            summary += text(
                "command.brief.actions_left", language=language, count=paper.actions_left
            )
        return Done(summary=summary, outputs=(name,), checks=checks)

    def checks(
        self, name: str, content: str, found: Found, language: str, *, every_action: bool
    ) -> tuple[CheckWish, ...]:
        """Return what shall be read again once it is done; actions only when none was left out for space."""
        quotes = ToolCall(
            tool="check_quotes",
            arguments={
                "path": name,
                "sha256": hashlib.sha256(content.encode("utf-8", errors="replace")).hexdigest(),
                "language": language,
            },
            title=text("step.check_quotes", language=language, path=name),
        )
        checks = [CheckWish(name=text("check_name.quotes", language=language), call=quotes)]
        paths = [note.path for note in found.notes if note.lines]
        if every_action:
            checks += [
                CheckWish(
                    name=text("check_name.actions", language=language),
                    call=ToolCall(
                        tool="check_actions",
                        arguments={
                            "path": name,
                            "paths": [*paths[start : start + ACTION_PATHS_PER_CHECK]],
                            "language": language,
                        },
                        title=text("step.check_actions", language=language, path=name),
                    ),
                )
                for start in range(0, len(paths), ACTION_PATHS_PER_CHECK)
            ]
        return tuple(checks)


@dataclass(slots=True, kw_only=True)
class Found:
    """What lies under the paths of the line; ``cut`` names files that were not read to their end."""

    entries: list[JsonObject] = field(default_factory=list[JsonObject])
    complete: bool = True
    notes: list[Note] = field(default_factory=list[Note])
    others: Counter[str] = field(default_factory=Counter[str])
    cut: list[str] = field(default_factory=list[str])


def _out_name(line: Line) -> str:
    name = line.words("out") or "briefing.md"
    if "/" in name or "\\" in name or name.startswith(".") or len(name) > NAME_CHARS_MAX:
        raise StoppedError(text("command.out_name", language=line.language, name=name))
    return name if name.casefold().endswith((".md", ".markdown", ".txt")) else f"{name}.md"


def _found(line: Line) -> Steps[Found]:
    """List every path; of a folder take what people keep notes in, of a file named outright take it as it is."""
    found = Found()
    seen: set[str] = set()
    for operand in line.operands:
        value = yield from use(_listing(operand, line), language=line.language)
        found.complete = found.complete and value.get("complete") is True
        entries = [entry for entry in objects(value, "entries") if entry.get("kind") == "file"]
        named = len(entries) == 1 and words(entries[0], "path") == _clean(operand)
        for entry in sorted(entries, key=lambda each: words(each, "path")):
            path = words(entry, "path")
            if path in seen or _hidden(path):
                continue
            seen.add(path)
            if (named or _ending(path) in NOTE_ENDINGS) and quotable(path):
                found.entries.append(entry)
            else:
                found.others[_ending(path) or path] += 1
    return found


def _listing(operand: str, line: Line) -> ToolCall:
    return ToolCall(
        tool="list_files",
        arguments={"path": operand, "recursive": True},
        title=text("step.list", language=line.language, path=operand),
    )


def _read(found: Found, line: Line) -> Steps[None]:
    """Read the notes in a few calls; a file larger than one call is gone on with from the next line."""
    by_path = {words(entry, "path"): entry for entry in found.entries}
    waiting: list[tuple[str, int]] = [
        (path, 1) for path, entry in by_path.items() if number(entry, "size")
    ]
    lines: dict[str, list[str]] = {path: [] for path, _ in waiting}
    left = CHARS_MAX
    while waiting and left > 0:
        batch, first = _batch(waiting, by_path), waiting[0][1]
        value = yield from use(
            ToolCall(
                tool="read_files",
                arguments={"paths": [*batch], "from_line": first},
                title=text("step.read", language=line.language, count=len(batch), first=batch[0]),
            ),
            language=line.language,
        )
        waiting = waiting[len(batch) :]
        waiting[:0] = [(path, 1) for path in strings(value, "unread")]
        for file in objects(value, "files"):
            path, got = words(file, "path"), strings(file, "lines")
            if "error" in file:
                found.others[_ending(path) or path] += 1
                lines.pop(path, None)
                continue
            lines[path] += got
            left -= sum(map(len, got))
            following = number(file, "from_line") + len(got)
            if got and following <= number(file, "lines_total"):
                waiting.insert(0, (path, following))
    found.cut = [path for path, _ in waiting]
    found.notes = [
        Note(
            path=path, lines=tuple(got), modified_seconds=number(by_path[path], "modified_seconds")
        )
        for path, got in lines.items()
        if MARK not in got[-1:]
    ]


def _batch(waiting: list[tuple[str, int]], by_path: dict[str, JsonObject]) -> list[str]:
    """Take as many files as fit one call; what goes on in its middle goes alone."""
    if waiting[0][1] > 1:
        return [waiting[0][0]]
    batch: list[str] = []
    size = 0
    for path, first in waiting[:FILES_PER_READ]:
        size += number(by_path[path], "size")
        if batch and (first > 1 or size > BYTES_PER_READ):
            break
        batch.append(path)
    return batch


def _looked_again(check: CheckWish, language: str) -> Steps[str]:
    """Run the check at once: notes that changed meanwhile are said now, not found out later."""
    value = yield from use(check.call, language=language)
    if value.get("passed") is not True:
        raise StoppedError(
            text("command.changed_meanwhile", language=language), words(value, "evidence")
        )
    return words(value, "evidence")


def _language(line: Line, found: Found) -> str:
    sample = "".join("".join(note.lines[:20])[:1000] for note in found.notes[:20])
    return "ko" if line.language == "ko" or mostly_korean(sample) else "en"


def _nothing(line: Line, found: Found) -> str:
    where = " ".join(line.operands)
    if not found.entries and not found.others:
        return text("command.brief.empty", language=line.language, path=where)
    if found.others:
        return text(
            "command.brief.no_notes", language=line.language, path=where, kinds=_kinds(found.others)
        )
    return text("command.brief.blank", language=line.language, path=where)


def _not_read(found: Found, language: str) -> tuple[str, ...]:
    """Say what was left aside: other kinds of files, ends of huge ones, a listing that was cut."""
    said: list[str] = []
    if found.others:
        said.append(
            text(
                "command.brief.others",
                language=language,
                count=found.others.total(),
                kinds=_kinds(found.others),
            )
        )
    if found.cut:
        shown = ", ".join(found.cut[:3])
        said.append(text("command.brief.cut", language=language, count=len(found.cut), shown=shown))
    if not found.complete:
        said.append(text("command.brief.incomplete", language=language))
    return tuple(said)


def _kinds(others: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in others.most_common(4))


def _clean(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _ending(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].casefold() if "." in name.lstrip(".") else ""


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "~$")) for part in path.split("/"))
