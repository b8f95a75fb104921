"""Checks that we run ourselves: each reads the result and its source again and says what it found.

A check tool never believes the wish: what should be there is found out anew. Its value is ``{passed, evidence}``. Every
quoted line is looked for where it says it stands, every action in the result, every file as it was told; a table or a
report is made anew and compared, a copy line by line. It shares no reading of numbers with ``tools.tables`` on purpose:
a number that is misread there is found here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Final

from deskhand.core.words.notes import CUT, Quote, actions_in, parse, stands_in
from deskhand.errors import DeskhandError
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.texts import text
from deskhand.tools.builtin import result, source
from deskhand.tools.reading import Reader
from deskhand.tools.tables.reading import Column, Table
from deskhand.tools.writing.documents import Tabling, made_of

_ITEM = re.compile(r"[-*] ")
_NOT_TEXT: Final = re.compile(r"\[(?:page \d+ of \d+|sheet .*: \d+ rows)\]|\W+|_+")
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks that read again, or make again, what a result says, as the tools do it."""

    reader: Reader
    tabling: Tabling

    async def check_quotes(self, wish: wishes.CheckQuotes, place: Place) -> ToolResult:
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
        return _counted(wish, "quotes", len(sourced), _named(wrong), *also, least=1)

    async def check_actions(self, wish: wishes.CheckActions, place: Place) -> ToolResult:
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
        return _counted(wish, "actions", len(wanted), _named(missing), least=0)

    async def check_files(self, wish: wishes.CheckFiles, place: Place) -> ToolResult:
        """Look at every file again; nothing said is nothing checked."""
        wrong = [fact.path for fact in wish.files if not await self._holds(fact, wish, place)]
        return _counted(wish, "files", len(wish.files), wrong, least=1)

    async def _holds(self, fact: wishes.FileFact, wish: wishes.CheckFiles, place: Place) -> bool:
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

    async def check_table(self, wish: wishes.CheckTable, place: Place) -> ToolResult:
        """Make it once more from the files, of a report every figure, with numbers read by other code: it must be the same bytes."""
        tables, _ = await self.tabling.load(wish.tables, place)
        return await self.reader.offload(partial(_made_again, wish, tables, place))

    async def check_copied(self, wish: wishes.CheckCopied, place: Place) -> ToolResult:
        """Look for the words of every line, in their order; marks of a kind of document are no words."""
        bare = partial(_bare, paged=wish.path.endswith(".pdf"))
        result_lines = (await self.reader.lines(place.results, wish.path, place)).lines
        there = "".join(map(bare, result_lines))
        total, missing, at = 0, list[str](), 0
        for path in wish.paths:
            lines = (await self.reader.lines(source(wish, place), path, place)).lines
            for number, words in enumerate(map(bare, lines), start=1):
                stands = there.find(words, at)
                missing += [f"{path}:{number}"] if stands < 0 else []
                at = stands + len(words) if stands >= 0 else at
            total += len(lines)
        return _counted(wish, "copied", total, missing, least=1)


def _stands(quote: Quote, lines: Sequence[str]) -> bool:
    there = quote.line <= len(lines)
    return there and stands_in(quote.text, lines[quote.line - 1], quote.path)


def _actions(lines: Sequence[str], path: str, wish: wishes.CheckActions) -> list[Quote]:
    actions = (one for one in actions_in(lines, path) if wish.done or not one.done)
    wanted = (one for one in actions if one.wanted(owner=wish.owner, due=wish.due))
    return [Quote(text=one.words, path=path, line=one.number) for one in wanted]


def _named(quotes: Sequence[Quote]) -> list[str]:
    return [f"{quote.path}:{quote.line}" for quote in quotes]


def _counted(wish: wishes.Check, what: str, total: int, wrong: Sequence[str], *also: str, least: int) -> ToolResult:
    """Return how many of all are so, and which are not; ``also`` is what else is wrong."""
    said = partial(text, language=wish.language)
    told = [said(f"check.{what}", found=total - len(wrong), total=total), *also]
    if wrong:
        told.append(said(f"check.{what}_wrong", named=", ".join(wrong[:10])))
    return result("; ".join(told), passed=not wrong and not also and total >= least)


def _bare(line: str, *, paged: bool) -> str:
    """Return the letters and digits of a line; of a PDF also where a page begins."""
    return "\f" if paged and line.startswith("[page ") else _NOT_TEXT.sub("", line)


def _made_again(wish: wishes.CheckTable, tables: list[tuple[str, Table]], place: Place) -> ToolResult:
    said = partial(text, language=wish.language)
    made = made_of(wish, [(path, replace(table, number=_number_in)) for path, table in tables])
    if place.results.sha256(wish.path) != hashlib.sha256(made.data).hexdigest():
        return result(said("check.differs", path=wish.path), passed=False)
    rows, total = len(made.grid.rows), sum(len(table.rows) for _, table in tables)
    if not isinstance(wish, wishes.CheckReport):
        return result(said("check.table", rows=rows, total=total), passed=True)
    sums = [(c.name, f"{f['sum']:,f}") for c, f in made.figures if "sum" in f]
    shown = ", ".join(said("check.figure", label=name, found=found) for name, found in sums[:6])
    count = sum(len(figures) for _, figures in made.figures) + made.grouped
    key = "check.figures" if sums else "check.figures_only"
    return result(said(key, figures=shown, total=count, rows=total), passed=True)


def _number_in(cell: str, column: Column) -> Decimal | None:
    """Read a number by taking it apart: money, sign, power, decimals, groups of three."""
    kept = cell.strip()
    for word in filter(None, (*_MONEY.get(column.currency, ()), column.currency, "%")):
        kept = kept.replace(word, "").strip()
    found = _FORMS[column.style].fullmatch(kept)
    if found is None or len(kept.strip("()+-− ")) > _DIGITS_MAX:
        return None
    before, whole, _, decimals, power, after = (each or "" for each in found.groups())
    digits, sign = re.sub(r"[^0-9]", "", whole), _SIGNS.get(f"{before}0{after}")
    if sign is None or not digits + decimals or abs(int(power or 0)) > _POWER:
        return None
    return Decimal(f"{sign}{digits}.{decimals}e{power or 0}")


def _form(mark: str) -> re.Pattern[str]:
    gap = "[,.'’ \u00a0\u2009\u202f]".replace(mark, "")
    whole = rf"[0-9]{{1,3}}({gap})[0-9]{{3}}(?:\3[0-9]{{3}})*|[0-9]*"
    power = "(?:[eE]([-+]?[0-9]{1,2}))?"
    return re.compile(rf"([-+−(]?)\s*({whole})(?:[{mark}]([0-9]*))?{power}\s*([-)]?)")


_FORMS: Final = {"point": _form("."), "comma": _form(",")}
_SIGNS: Final = {"0": "", "+0": "", "-0": "-", "−0": "-", "0-": "-", "(0)": "-"}
_WORDS = "USD US$ $|EUR €|GBP £|JPY ¥|KRW ₩ 원|INR ₹|SEK kr|PLN zł"
_MONEY: Final = {code: signs for code, *signs in (each.split() for each in _WORDS.split("|"))}
