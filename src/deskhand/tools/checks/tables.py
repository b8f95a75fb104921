"""Checks of tables, reports and copies: everything is computed anew and compared, a copy line by line.

From the wish come only names, conditions and the cells in which figures lie; the figures come from the files. It
shares no reading of numbers with ``tools.tables`` on purpose: a number that is misread there is found here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
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
from deskhand.tools.tables import shaping
from deskhand.tools.tables.columns import Column, number_of
from deskhand.tools.tables.reading import Table
from deskhand.tools.tabling import Tabling
from deskhand.tools.writing.documents import rendered

_NOT_TEXT: Final = re.compile(r"\[(?:page \d+ of \d+|sheet .*: \d+ rows)\]|\W+|_+")
_EVIDENCE_FIGURES: Final = 6
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


@dataclass(frozen=True, slots=True)
class Recounting:
    """Checks that compute or read again what was made of files, with the reader of the tools."""

    reader: Reader

    async def check_table(self, wish: CheckTable, place: Place) -> ToolResult:
        """Make it once more from the files, which must give the same bytes, and its rows with numbers read by other code."""
        tables, _ = await Tabling(self.reader).load(wish.tables, place)
        return await self.reader.offload(partial(_compared, wish, tables, place))

    async def check_report(self, wish: CheckReport, place: Place) -> ToolResult:
        """Make it once more, which must give the same bytes, and every figure with numbers read by other code."""
        tables, _ = await Tabling(self.reader).load(wish.tables, place)
        return await self.reader.offload(partial(_recomputed, wish, *tables[0], place))

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


def _compared(wish: CheckTable, tables: Sequence[tuple[str, Table]], place: Place) -> ToolResult:
    said = partial(text, language=wish.language)
    grid = shaping.shape(tables, wish.shape)
    if not _is_there(rendered(wish.path, grid), wish, place):
        return result(said("check.other_file", path=wish.path), passed=False)
    passed = shaping.shape(tables, wish.shape, read=_number_in).rows == grid.rows
    total = sum(len(table.rows) for _, table in tables)
    key = "check.table" if passed else "check.table_differs"
    return result(said(key, rows=len(grid.rows), total=total), passed=passed)


def _is_there(data: bytes, wish: CheckTable, place: Place) -> bool:
    return place.results.sha256(wish.path) == hashlib.sha256(data).hexdigest()


# --- a report


def _recomputed(wish: CheckReport, path: str, table: Table, place: Place) -> ToolResult:
    """Compute every figure anew, and look for it in the workbook."""
    from deskhand.tools import workbooks
    from deskhand.tools.writing.reporting import measured, report

    said = partial(text, language=wish.language)
    made = report(path, table, wish.shape, language=wish.language)
    if not _is_there(made.data, wish, place):
        return result(said("check.other_file", path=wish.path), passed=False)
    (page, *_) = workbooks.cells(made.data).values()
    there = {_figure(cell) for row in page for cell in row}
    wrong, sums, total = list[str](), list[str](), 1
    for column, figures in made.figures:
        own, total = measured(column, table, _number_in), total + len(figures)
        for measure, written in figures.items():
            is_share = column.kind == "percent" and measure != "count"
            shown = written.scaleb(-2) if is_share else written
            found = own.get(measure, Decimal(0))
            is_right = written == found and shown in there
            key, into = ("figure", sums) if is_right else ("figure_wrong", wrong)
            if measure == "sum" or not is_right:
                both = {"written": f"{written:,f}", "found": f"{found:,f}"}
                into.append(said(f"check.{key}", label=column.name, **both))
    if made.groups:
        total += len(made.groups.rows) * (len(made.groups.columns) - 1)
        again = shaping.shape([(path, table)], made.shape, read=_number_in)
        if again.rows != made.groups.rows:
            rows = len(made.groups.rows)
            wrong.append(said("check.table_differs", rows=rows, total=len(table.rows)))
    if wrong:
        count = said("check.figures_wrong", wrong=len(wrong), total=total)
        return result(f"{count} {'; '.join(wrong[:_EVIDENCE_FIGURES])}", passed=False)
    figures = ", ".join(sums[:_EVIDENCE_FIGURES])
    key = "check.figures" if figures else "check.figures_only"
    return result(said(key, figures=figures, total=total, rows=len(table.rows)), passed=True)


def _figure(value: object) -> Decimal | None:
    """Return a number of a workbook; a long text stands for what a double cannot hold."""
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    long = _LONG.fullmatch(value) if isinstance(value, str) else None
    return None if long is None else Decimal(long[1])


def _number_in(cell: str, column: Column) -> Decimal | None:
    """Read a number by taking it apart: money, sign, power, decimals, groups of three."""
    if column.kind == "mixed":
        return number_of(cell, column)
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
_LONG = re.compile(r"'?(-?(?=[0-9.]{16})[0-9]+(?:\.[0-9]+)?)")
_SIGNS: Final = {"0": "", "+0": "", "-0": "-", "−0": "-", "0-": "-", "(0)": "-"}
_WORDS = "USD US$ $|EUR €|GBP £|JPY ¥|KRW ₩ 원|INR ₹|SEK kr|PLN zł"
_MONEY: Final = {code: signs for code, *signs in (each.split() for each in _WORDS.split("|"))}
