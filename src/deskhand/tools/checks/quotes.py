"""Checks of a briefing: does every quoted line stand where it says, and is every action of the notes in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deskhand.core.cues import Cue, scan
from deskhand.core.quotes import CUT, Quote, bare, parse, stands_in
from deskhand.errors import DeskhandError
from deskhand.limits import EVIDENCE_CHARS_MAX
from deskhand.ports import Effect, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol.wire import JsonObject
from deskhand.texts import LANGUAGES, text
from deskhand.tools.arguments import Arguments, shown_result, source
from deskhand.tools.files import PATHS_MAX, read_decoded

_NAMED_MAX: Final = 10
_ITEM = re.compile(r"[-*] ")


class CheckQuotes:
    """``check_quotes {path, sha256?, language?, from?}``: reads every quoted ``file:line`` again and compares exactly.

    With ``sha256`` the briefing must also be the very file that was written, so that nothing was added to it.
    """

    name = "check_quotes"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the briefing."""
        return shown_result(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read briefing and notes again.

        Raises:
            DeskhandError: ``invalid`` for wrong arguments; a briefing that cannot be read is a failed check.
        """
        given = Arguments(arguments)
        path, digest = given.path(), given.text("sha256", "", most=64)
        language = given.choice("language", LANGUAGES, "en")
        notes = source(given, place)
        given.finish()
        return await self._offload(
            lambda: _quotes_checked(_Paper(place.results, path, language), notes, digest)
        )


class CheckActions:
    """``check_actions {path, paths, language?, from?}``: finds the open actions of the notes anew and looks for each."""

    name = "check_actions"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the briefing."""
        return shown_result(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read briefing and notes again.

        Raises:
            DeskhandError: ``invalid`` for wrong arguments.
        """
        given = Arguments(arguments)
        path, paths = given.path(), given.texts("paths", most=PATHS_MAX)
        language = given.choice("language", LANGUAGES, "en")
        notes = source(given, place)
        given.finish()
        return await self._offload(
            lambda: _actions_checked(_Paper(place.results, path, language), notes, paths)
        )


def result(sentence: str, *, passed: bool) -> ToolResult:
    """Return what a check found, as every check tool does."""
    evidence = sentence[:EVIDENCE_CHARS_MAX]
    return ToolResult(outcome="ok", value={"passed": passed, "evidence": evidence}, text=evidence)


@dataclass(frozen=True, slots=True)
class _Paper:
    """The briefing and the language its reader gets."""

    access: FolderAccess
    path: str
    language: str

    def said(self, key: str, **values: object) -> str:
        return text(f"check.{key}", language=self.language, **values)


def _quotes_checked(paper: _Paper, notes: FolderAccess, digest: str) -> ToolResult:
    try:
        decoded, found = read_decoded(paper.access, paper.path)
    except DeskhandError as error:
        return result(error.sentence(paper.language), passed=False)
    if digest and found != digest:
        return result(paper.said("other_file", path=paper.path), passed=False)
    items = [line for line in decoded.lines() if _ITEM.match(line)]
    quotes = [(line, parse(line)) for line in items]
    unsourced = sum(quote is None for _, quote in quotes)
    wrong = _not_found([quote for _, quote in quotes if quote is not None], notes)
    total = len(items) - unsourced
    sentence = paper.said("quotes", found=total - len(wrong), total=total)
    if unsourced:
        sentence += "; " + paper.said("unsourced", count=unsourced)
    if wrong:
        named = ", ".join(f"{quote.path}:{quote.line}" for quote in wrong[:_NAMED_MAX])
        sentence += "; " + paper.said("quotes_wrong", named=named)
    return result(sentence, passed=total > 0 and not wrong and not unsourced)


def _not_found(quotes: Sequence[Quote], notes: FolderAccess) -> list[Quote]:
    """Read each file once; a quote whose file cannot be read is not found."""
    files: dict[str, list[str]] = {}
    wrong: list[Quote] = []
    for quote in quotes:
        if quote.path not in files:
            try:
                files[quote.path] = read_decoded(notes, quote.path)[0].lines()
            except DeskhandError:
                files[quote.path] = []
        lines = files[quote.path]
        line = lines[quote.line - 1] if quote.line <= len(lines) else None
        if line is None or not stands_in(quote.text, line, quote.path):
            wrong.append(quote)
    return wrong


def _actions_checked(paper: _Paper, notes: FolderAccess, paths: Sequence[str]) -> ToolResult:
    try:
        briefing = read_decoded(paper.access, paper.path)[0].lines()
        wanted = [action for path in paths for action in _actions(notes, path)]
    except DeskhandError as error:
        return result(error.sentence(paper.language), passed=False)
    said = {quote.text if quote else bare(line) for line in briefing for quote in (parse(line),)}
    whole = "\n".join(briefing)
    missing = [action for action in wanted if not _is_in(action, said, whole)]
    named = ", ".join(f"{action.path}:{action.line}" for action in missing[:_NAMED_MAX])
    sentence = paper.said("actions", found=len(wanted) - len(missing), total=len(wanted))
    if missing:
        sentence += "; " + paper.said("actions_missing", named=named)
    return result(sentence, passed=not missing)


def _actions(notes: FolderAccess, path: str) -> list[Quote]:
    lines = read_decoded(notes, path)[0].lines()
    return [
        Quote(text=line.words, path=path, line=line.number)
        for line in scan(lines, path)
        if Cue.ACTION in line.cues
    ]


def _is_in(action: Quote, said: set[str], whole: str) -> bool:
    """Found by its words, or by the place it stands at; a cut quote has only the place."""
    if action.text in said or action.text in whole:
        return True
    return CUT in whole and f"`{action.path}:{action.line}`" in whole
