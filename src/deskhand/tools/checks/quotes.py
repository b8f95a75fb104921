"""Checks of a briefing: does every quoted line stand where it says, and is every action of the notes in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from deskhand.core.cues import Cue, scan
from deskhand.core.quotes import CUT, Quote, parse, stands_in
from deskhand.errors import DeskhandError
from deskhand.limits import EVIDENCE_CHARS_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.texts import LANGUAGES, text
from deskhand.tools.arguments import Arguments
from deskhand.tools.builtin import Work, ok
from deskhand.tools.files import PATHS_MAX, read_decoded

_NAMED_MAX: Final = 10
_ITEM = re.compile(r"[-*] ")


def check_quotes(given: Arguments, place: Place) -> Work:
    """``check_quotes {path, sha256?, language?, from?}``: reads every quoted ``file:line`` again and compares exactly.

    With ``sha256`` the briefing must also be the very file that was written, so that nothing was added to it.
    """
    path, digest = given.path(), given.text("sha256", "", most=64)
    language, notes = given.choice("language", LANGUAGES, "en"), given.source(place)
    said = partial(text, language=language)

    def work() -> ToolResult:
        decoded, found = read_decoded(place.results, path)
        if digest and found != digest:
            return result(said("check.other_file", path=path), passed=False)
        quotes = [parse(line) for line in decoded.lines() if _ITEM.match(line)]
        sourced = [quote for quote in quotes if quote is not None]
        wrong = _not_found(sourced, notes)
        sentence = said("check.quotes", found=len(sourced) - len(wrong), total=len(sourced))
        unsourced = len(quotes) - len(sourced)
        if unsourced:
            sentence += "; " + said("check.unsourced", count=unsourced)
        if wrong:
            sentence += "; " + said("check.quotes_wrong", named=_named(wrong))
        return result(sentence, passed=bool(sourced) and not wrong and not unsourced)

    return lambda: checked(work, language)


def check_actions(given: Arguments, place: Place) -> Work:
    """``check_actions {path, paths, language?, from?}``: finds the open actions of the notes anew and looks for each.

    One is found by its words, or by the place it stands at; a cut quote has only the place.
    """
    path, paths = given.path(), given.texts("paths", most=PATHS_MAX)
    language, notes = given.choice("language", LANGUAGES, "en"), given.source(place)

    def work() -> ToolResult:
        page = "\n".join(read_decoded(place.results, path)[0].lines())
        wanted = [action for each in paths for action in _actions(notes, each)]
        found = {action.text for action in wanted if _is_in(action, page)}
        missing = [action for action in wanted if action.text not in found]
        count = len(wanted) - len(missing)
        sentence = text("check.actions", language=language, found=count, total=len(wanted))
        if missing:
            named = text("check.actions_missing", language=language, named=_named(missing))
            sentence += f"; {named}"
        return result(sentence, passed=not missing)

    return lambda: checked(work, language)


def checked(work: Work, language: str) -> ToolResult:
    """Return what a check found; one that cannot be made, since a file cannot be read, is a failed check."""
    try:
        return work()
    except DeskhandError as error:
        return result(error.sentence(language), passed=False)


def result(sentence: str, *, passed: bool) -> ToolResult:
    """Return what a check found, as every check tool does."""
    evidence = sentence[:EVIDENCE_CHARS_MAX]
    return ok({"passed": passed, "evidence": evidence}, evidence)


def _not_found(quotes: Sequence[Quote], notes: FolderAccess) -> list[Quote]:
    """Read each file once; a quote whose file cannot be read is not found."""
    files: dict[str, list[str]] = {}
    for path in {quote.path for quote in quotes}:
        try:
            files[path] = read_decoded(notes, path)[0].lines()
        except DeskhandError:
            files[path] = []
    return [quote for quote in quotes if not _stands(quote, files[quote.path])]


def _stands(quote: Quote, lines: Sequence[str]) -> bool:
    there = quote.line <= len(lines)
    return there and stands_in(quote.text, lines[quote.line - 1], quote.path)


def _actions(notes: FolderAccess, path: str) -> list[Quote]:
    lines = scan(read_decoded(notes, path)[0].lines(), path)
    return [
        Quote(text=line.words, path=path, line=line.number)
        for line in lines
        if Cue.ACTION in line.cues
    ]


def _is_in(action: Quote, page: str) -> bool:
    return action.text in page or (CUT in page and f"`{action.path}:{action.line}`" in page)


def _named(quotes: Sequence[Quote]) -> str:
    return ", ".join(f"{quote.path}:{quote.line}" for quote in quotes[:_NAMED_MAX])
