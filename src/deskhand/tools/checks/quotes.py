"""Checks of what was said: does every quoted line stand where it says, is every action there, is a file as told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from deskhand.core.quotes import CUT, Quote, parse, stands_in
from deskhand.core.words.owing import actions_in
from deskhand.errors import DeskhandError
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol.wishes import Check, CheckActions, CheckFiles, CheckQuotes, FileFact
from deskhand.texts import text
from deskhand.tools.builtin import result, source
from deskhand.tools.reading import Reader

_ITEM = re.compile(r"[-*] ")


@dataclass(frozen=True, slots=True)
class Rereading:
    """Checks that read again what a result says, with the reader of the tools."""

    reader: Reader

    async def check_quotes(self, wish: CheckQuotes, place: Place) -> ToolResult:
        """Read every quoted ``file:line`` again and compare exactly."""
        said = partial(text, language=wish.language)
        page = await self.reader.lines(place.results, wish.path, place)
        notes = source(wish, place)
        if wish.sha256 and page.sha256 != wish.sha256:
            return result(said("check.other_file", path=wish.path), passed=False)
        parsed = ((line, parse(line)) for line in page.lines)
        quotes = [quote for line, quote in parsed if quote or _ITEM.match(line)]
        sourced = [quote for quote in quotes if quote is not None]
        files = {path: await self._lines(notes, path, place) for path in {q.path for q in sourced}}
        wrong = [quote for quote in sourced if not _stands(quote, files[quote.path])]
        unsourced = len(quotes) - len(sourced)
        also = [said("check.unsourced", count=unsourced)] if unsourced else []
        return counted(wish, "quotes", len(sourced), _named(wrong), *also, least=1)

    async def check_actions(self, wish: CheckActions, place: Place) -> ToolResult:
        """Find the actions of the notes anew and look for each; without a ``path`` there must be none.

        One is found by its words, or by the place it stands at; a cut quote has only the place.
        """
        lines: Sequence[str] = ()
        wanted = list[Quote]()
        if wish.path:
            lines = (await self.reader.lines(place.results, wish.path, place)).lines
        for path in wish.paths:
            note = await self.reader.lines(source(wish, place), path, place)
            wanted += await self.reader.offload(partial(_actions, note.lines, path, wish))
        page = "\n".join([*lines, *(line.replace(r"\|", "|") for line in lines)])
        at = {a.text for a in wanted if CUT in page and f"`{a.path}:{a.line}`" in page}
        found = at | {action.text for action in wanted if action.text in page}
        missing = [action for action in wanted if action.text not in found]
        return counted(wish, "actions", len(wanted), _named(missing), least=0)

    async def check_files(self, wish: CheckFiles, place: Place) -> ToolResult:
        """Look at every file again; nothing said is nothing checked."""
        wrong = [fact.path for fact in wish.files if not await self._holds(fact, wish, place)]
        return counted(wish, "files", len(wish.files), wrong, least=1)

    async def _holds(self, fact: FileFact, wish: CheckFiles, place: Place) -> bool:
        with suppress(DeskhandError):
            access = source(wish, place)
            there = access.stat(fact.path)
            if there is None or fact.gone:
                return there is None and fact.gone
            if fact.line is not None:
                quote = Quote(text=fact.text, path=fact.path, line=fact.line)
                if not _stands(quote, await self._lines(access, fact.path, place)):
                    return False
            digest = partial(access.sha256, fact.path) if fact.sha256 else str
            has_content = fact.sha256 == await self.reader.offload(digest)
            return has_content and fact.size in (None, there.size)
        return False

    async def _lines(self, access: FolderAccess, path: str, place: Place) -> Sequence[str]:
        """Return the lines of a file, none when it cannot be read."""
        with suppress(DeskhandError):
            return (await self.reader.lines(access, path, place)).lines
        return ()


def _stands(quote: Quote, lines: Sequence[str]) -> bool:
    there = quote.line <= len(lines)
    return there and stands_in(quote.text, lines[quote.line - 1], quote.path)


def _actions(lines: Sequence[str], path: str, wish: CheckActions) -> list[Quote]:
    actions = (one for one in actions_in(lines, path) if wish.done or not one.done)
    wanted = (one for one in actions if one.wanted(owner=wish.owner, due=wish.due))
    return [Quote(text=one.words, path=path, line=one.number) for one in wanted]


def _named(quotes: Sequence[Quote]) -> list[str]:
    return [f"{quote.path}:{quote.line}" for quote in quotes]


def counted(
    wish: Check, what: str, total: int, wrong: Sequence[str], *also: str, least: int
) -> ToolResult:
    """Return how many of all are so, and which are not; ``also`` is what else is wrong."""
    said = partial(text, language=wish.language)
    told = [said(f"check.{what}", found=total - len(wrong), total=total), *also]
    if wrong:
        told.append(said(f"check.{what}_wrong", named=", ".join(wrong[:10])))
    return result("; ".join(told), passed=not wrong and not also and total >= least)
