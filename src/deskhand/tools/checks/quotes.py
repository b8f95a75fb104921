"""Checks of a briefing: does every quoted line stand where it says, and is every action of the notes in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from deskhand.core.owing import actions_in
from deskhand.core.quotes import CUT, Quote, parse, stands_in
from deskhand.errors import DeskhandError
from deskhand.limits import EVIDENCE_CHARS_MAX
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol.wishes import Check, CheckActions, CheckQuotes
from deskhand.texts import text
from deskhand.tools.builtin import ok, source
from deskhand.tools.reading import read_decoded

_NAMED_MAX: Final = 10
_ITEM = re.compile(r"[-*] ")


def check_quotes(wish: CheckQuotes, place: Place) -> ToolResult:
    """Read every quoted ``file:line`` again and compare exactly."""
    said = partial(text, language=wish.language)

    def work() -> ToolResult:
        decoded, found = read_decoded(place.results, wish.path)
        if wish.sha256 and found != wish.sha256:
            return result(said("check.other_file", path=wish.path), passed=False)
        parsed = ((line, parse(line)) for line in decoded.lines())
        quotes = [quote for line, quote in parsed if quote or _ITEM.match(line)]
        sourced = [quote for quote in quotes if quote is not None]
        wrong = _not_found(sourced, source(wish, place))
        sentence = said("check.quotes", found=len(sourced) - len(wrong), total=len(sourced))
        unsourced = len(quotes) - len(sourced)
        if unsourced:
            sentence += "; " + said("check.unsourced", count=unsourced)
        if wrong:
            sentence += "; " + said("check.quotes_wrong", named=_named(wrong))
        return result(sentence, passed=bool(sourced) and not wrong and not unsourced)

    return checked(work, wish)


def check_actions(wish: CheckActions, place: Place) -> ToolResult:
    """Find the actions of the notes anew and look for each; without a ``path`` there must be none.

    One is found by its words, or by the place it stands at; a cut quote has only the place.
    """
    said = partial(text, language=wish.language)

    def work() -> ToolResult:
        lines = read_decoded(place.results, wish.path)[0].lines() if wish.path else ()
        page = "\n".join([*lines, *(line.replace(r"\|", "|") for line in lines)])
        notes = source(wish, place)
        wanted = [action for path in wish.paths for action in _actions(notes, path, wish)]
        found = {action.text for action in wanted if _is_in(action, page)}
        missing = [action for action in wanted if action.text not in found]
        sentence = said("check.actions", found=len(wanted) - len(missing), total=len(wanted))
        if missing:
            sentence += "; " + said("check.actions_missing", named=_named(missing))
        return result(sentence, passed=not missing)

    return checked(work, wish)


def checked(work: Callable[[], ToolResult], wish: Check) -> ToolResult:
    """Return what a check found; one that cannot be made, since a file cannot be read, is a failed check."""
    try:
        return work()
    except DeskhandError as error:
        return result(error.sentence(wish.language), passed=False)


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


def _actions(notes: FolderAccess, path: str, wish: CheckActions) -> list[Quote]:
    found = actions_in(read_decoded(notes, path)[0].lines(), path)
    return [
        Quote(text=action.words, path=path, line=action.number)
        for action in found
        if action.wanted(owner=wish.owner, due=wish.due) and (wish.done or not action.done)
    ]


def _is_in(action: Quote, page: str) -> bool:
    return action.text in page or (CUT in page and f"`{action.path}:{action.line}`" in page)


def _named(quotes: Sequence[Quote]) -> str:
    return ", ".join(f"{quote.path}:{quote.line}" for quote in quotes[:_NAMED_MAX])
