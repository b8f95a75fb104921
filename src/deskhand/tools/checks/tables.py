"""Checks of tables, reports and copies: everything is computed anew and compared, a copy line by line.

From the wish come only names, conditions and the cells in which figures lie; the figures come from the files. It
shares no reading of numbers with ``tools.tables`` on purpose: a number that is misread there is found here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

from deskhand.ports import Place, ToolResult
from deskhand.protocol.wishes import CheckCopied, CheckReport, CheckTable
from deskhand.texts import text
from deskhand.tools.builtin import result, source
from deskhand.tools.checks.quotes import counted
from deskhand.tools.reading import Reader
from deskhand.tools.tables.columns import Column
from deskhand.tools.tables.reading import Table
from deskhand.tools.tabling import Tabling, made_of

_NOT_TEXT: Final = re.compile(r"\[(?:page \d+ of \d+|sheet .*: \d+ rows)\]|\W+|_+")
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


@dataclass(frozen=True, slots=True)
class Recounting:
    """Checks that compute or read again what was made of files, with the reader of the tools."""

    reader: Reader

    async def check_table(self, wish: CheckTable, place: Place) -> ToolResult:
        """Make it once more from the files, with numbers read by other code: it must be the same bytes."""
        tables, _ = await Tabling(self.reader).load(wish.tables, place)
        return await self.reader.offload(partial(_made_again, wish, tables, place))

    async def check_report(self, wish: CheckReport, place: Place) -> ToolResult:
        """Make it once more, with every figure; see :meth:`check_table`."""
        return await self.check_table(wish, place)

    async def check_copied(self, wish: CheckCopied, place: Place) -> ToolResult:
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
        return counted(wish, "copied", total, missing, least=1)


def _bare(line: str, *, paged: bool) -> str:
    """Return the letters and digits of a line; of a PDF also where a page begins."""
    return "\f" if paged and line.startswith("[page ") else _NOT_TEXT.sub("", line)


def _made_again(wish: CheckTable, tables: list[tuple[str, Table]], place: Place) -> ToolResult:
    said, made = partial(text, language=wish.language), made_of(wish, tables, read=_number_in)
    if place.results.sha256(wish.path) != hashlib.sha256(made.data).hexdigest():
        return result(said("check.differs", path=wish.path), passed=False)
    rows, total = len(made.grid.rows), sum(len(table.rows) for _, table in tables)
    if not isinstance(wish, CheckReport):
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
