"""Check of a report: adds the table up again, by other code than the one that wrote it, and compares the cells.

From the wish it takes only where to look: how the file is written and in which cells the figures lie. The figures
themselves come from the two files. It shares no number reading with ``tools.tables`` on purpose.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Final, TypeGuard

from openpyxl.utils.cell import coordinate_to_tuple

from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX
from deskhand.ports import Effect, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol.wire import JsonObject
from deskhand.texts import LANGUAGES, text
from deskhand.tools import workbooks
from deskhand.tools.arguments import Arguments, refused, shown_result, source
from deskhand.tools.checks.quotes import result

_Cells = list[list[workbooks.Value]]
MEASURES: Final = ("sum", "average", "minimum", "maximum", "count", "rows")
FACTS_MAX: Final = 5000
_EVIDENCE_FIGURES: Final = 6
_EXACT: Final = Context(prec=200)
_THREE: Final = 3
_DIGITS_MAX: Final = 40
_POWER: Final = 30
"""What is longer or larger is no amount; the reader of tables says the same."""


class CheckTotals:
    """``check_totals {table, workbook, sheet, facts, data_sheet?, language?, from?}``.

    ``table`` is ``{path, encoding, delimiter, quoted, width, first_line, totals_row?}``; a fact is
    ``{cell, measure, column?, style?, currency?, percent?, places?, label?, group?: {column, name}}``.
    With ``data_sheet`` the columns of that sheet must add up to the same sums.
    """

    name = "check_totals"
    effect: Effect = "pure"
    writes = False

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the workbook."""
        return shown_result(arguments, place, field="workbook")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Read table and workbook again.

        Raises:
            DeskhandError: ``invalid`` for wrong arguments; files that cannot be read are a failed check.
        """
        given = Arguments(arguments)
        inner = given.inner("table")
        if inner is None:
            raise refused("table", "is missing")
        table = _source(inner)
        workbook, sheet = given.path("workbook"), given.text("sheet", most=200)
        facts = [_fact(Arguments(fact)) for fact in given.objects("facts", most=FACTS_MAX)]
        language = given.choice("language", LANGUAGES, "en")
        data_sheet = given.text("data_sheet", "", most=200)
        access = source(given, place)
        given.finish()
        job = _Job(access, place.results, table, (workbook, sheet, data_sheet), facts, language)
        return await self._offload(job.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    path: str
    encoding: str
    delimiter: str
    quoted: bool
    width: int
    first_line: int
    totals_row: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """One figure: in which cell it lies, and of which column (of which rows) it is said to be the measure."""

    cell: str
    measure: str
    column: int
    comma: bool
    percent: bool
    currency: str
    places: int
    label: str
    group: tuple[int, str] | None


@dataclass(slots=True)
class _Seen:
    """The values of one column among some rows."""

    rows: int = 0
    values: list[Decimal] = field(default_factory=list[Decimal])


@dataclass(frozen=True, slots=True)
class _Job:
    """One comparison of a table with a workbook."""

    access: FolderAccess
    results: FolderAccess
    table: _Source
    book: tuple[str, str, str]
    facts: Sequence[_Fact]
    language: str

    def run(self) -> ToolResult:
        """Return whether every figure is what the table adds up to."""
        workbook, sheet, data_sheet = self.book
        try:
            rows = list(_rows(self.access, self.table))
            if self.table.totals_row:
                rows = rows[:-1]
            data = self.results.read(workbook, limit=READ_BYTES_MAX)
            pages = workbooks.cells(data)
        except DeskhandError as error:
            return result(error.sentence(self.language), passed=False)
        for name in (sheet, data_sheet):
            if name and name not in pages:
                return result(self._said("no_sheet", sheet=name), passed=False)
        with localcontext(_EXACT):
            return self._compared(pages[sheet], pages.get(data_sheet), rows)

    def _compared(self, page: _Cells, copy: _Cells | None, rows: list[list[str]]) -> ToolResult:
        seen = _collected(self.facts, rows)
        wrong: list[str] = []
        right: list[str] = []
        for fact in self.facts:
            found = _measure(fact, seen[_key(fact)])
            whole = fact.measure == "sum" and fact.group is None
            said = [_written(page, fact)]
            if whole and copy is not None:
                said.append(_added(copy, fact.column, len(rows)))
            differing = [each for each in said if each is None or each != found]
            if differing:
                wrong.append(self._figure("figure_wrong", fact, differing[0], found))
            elif whole:
                right.append(self._figure("figure", fact, found, found))
        if wrong:
            count = self._said("figures_wrong", wrong=len(wrong), total=len(self.facts))
            return result(f"{count} {'; '.join(wrong[:_EVIDENCE_FIGURES])}", passed=False)
        figures = ", ".join(right[:_EVIDENCE_FIGURES])
        key = "figures" if figures else "figures_only"
        sentence = self._said(key, figures=figures, total=len(self.facts), rows=len(rows))
        return result(sentence, passed=bool(self.facts))

    def _figure(self, key: str, fact: _Fact, written: Decimal | None, found: Decimal | None) -> str:
        return self._said(
            key,
            label=fact.label,
            written=_shown(written, fact.places),
            found=_shown(found, fact.places),
        )

    def _said(self, key: str, **values: object) -> str:
        return text(f"check.{key}", language=self.language, **values)


def _source(given: Arguments) -> _Source:
    made = _Source(
        path=given.path(),
        encoding=given.text("encoding", most=40),
        delimiter=given.text("delimiter", most=1),
        quoted=given.flag("quoted", default=True),
        width=given.integer("width", least=1, most=10_000),
        first_line=given.integer("first_line", least=1, most=10**9),
        totals_row=given.flag("totals_row", default=False),
    )
    given.finish()
    return made


def _fact(given: Arguments) -> _Fact:
    group = given.inner("group")
    made = _Fact(
        cell=given.text("cell", most=12),
        measure=given.choice("measure", MEASURES, "sum"),
        column=given.integer("column", 0, least=0, most=10_000),
        comma=given.choice("style", ("point", "comma"), "point") == "comma",
        percent=given.flag("percent", default=False),
        currency=given.text("currency", "", most=10),
        places=given.integer("places", 0, least=0, most=100),
        label=given.text("label", "", most=200),
        group=None
        if group is None
        else (group.integer("column", least=0, most=10_000), group.text("name")),
    )
    given.finish()
    return made


def _rows(access: FolderAccess, table: _Source) -> Iterator[list[str]]:
    """Yield the rows of the right width from a line on, read with the csv module alone."""
    data = access.read(table.path, limit=READ_BYTES_MAX)
    try:
        lines = io.StringIO(data.decode(table.encoding), newline="")
        reader = csv.reader(
            lines,
            delimiter=table.delimiter,
            quoting=csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE,
        )
        start = 1
        for row in reader:
            line, start = start, reader.line_num + 1
            cells = _trimmed(row, table.width)
            if line >= table.first_line and cells is not None:
                yield cells
    except (UnicodeDecodeError, LookupError, csv.Error, TypeError) as error:
        raise DeskhandError(Code.INVALID, f"{table.path} cannot be read as it was") from error


def _trimmed(row: list[str], width: int) -> list[str] | None:
    while len(row) > width and not row[-1].strip():
        row = row[:-1]
    return row if len(row) == width and any(cell.strip() for cell in row) else None


def _key(fact: _Fact) -> tuple[int, tuple[int, str] | None]:
    return fact.column, fact.group


def _collected(
    facts: Sequence[_Fact], rows: Sequence[list[str]]
) -> dict[tuple[int, tuple[int, str] | None], _Seen]:
    """Gather the values of every column (and group) that a fact is about, in one pass over the rows."""
    seen = {_key(fact): _Seen() for fact in facts}
    columns = {fact.column: fact for fact in facts}
    groupings = {fact.group[0] for fact in facts if fact.group is not None}
    for row in rows:
        groups = [None, *((index, row[index].strip()) for index in groupings if index < len(row))]
        for index, fact in columns.items():
            value = _number(row[index], fact) if index < len(row) else None
            for group in groups:
                into = seen.get((index, group))
                if into is None:
                    continue
                into.rows += 1
                if value is not None:
                    into.values.append(value)
    return seen


def _number(cell: str, fact: _Fact) -> Decimal | None:
    """Read a number by taking it apart: sign, money, percent, groups of three, decimals."""
    kept = cell.strip()
    if _is_digits(kept) and len(kept) <= _DIGITS_MAX:
        return Decimal(kept)
    signs = 0
    if kept.startswith("(") and kept.endswith(")"):
        signs, kept = 1, kept[1:-1]
    for word in (*_MONEY.get(fact.currency, ()), fact.currency, "%"):
        kept = kept.replace(word, "").strip() if word else kept
    negative = bool(signs) or kept[:1] in _MINUS or kept[-1:] == "-"
    bare = kept.strip("+-−")
    if signs + len(kept) - len(bare) > 1 or len(bare) > _DIGITS_MAX:
        return None
    value = _joined(bare.strip(), "," if fact.comma else ".")
    return -value if negative and value is not None else value


def _joined(kept: str, mark: str) -> Decimal | None:
    """Put the groups of three together; any other grouping is no number."""
    mantissa, has_power, power = kept.replace("E", "e").partition("e")
    if has_power and not (
        _is_digits(power[power[:1] in ("+", "-") :]) and abs(int(power)) <= _POWER
    ):
        return None
    whole, _, decimals = mantissa.partition(mark)
    digits = _ungrouped(whole)
    if digits is None or not (digits or decimals) or not _is_digits(f"{decimals}0"):
        return None
    try:
        value = Decimal(f"{digits or '0'}.{decimals or '0'}e{power or '0'}")
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _is_digits(kept: str) -> bool:
    return kept.isascii() and kept.isdecimal()


def _ungrouped(whole: str) -> str | None:
    """Return only the digits: all of them, or groups of three behind one kind of gap."""
    gaps = {letter for letter in whole if not _is_digits(letter)}
    if not gaps:
        return whole
    gap = gaps.pop()
    groups = whole.split(gap)
    fits = not gaps and gap in _GAPS and all(len(group) == _THREE for group in groups[1:])
    return "".join(groups) if fits and 0 < len(groups[0]) <= _THREE else None


def _measure(fact: _Fact, seen: _Seen) -> Decimal | None:
    if fact.measure in ("rows", "count"):
        return Decimal(seen.rows if fact.measure == "rows" else len(seen.values))
    total = sum(seen.values, Decimal(0))
    if fact.measure == "sum":
        return total
    if not seen.values:
        return None
    if fact.measure == "average":
        mean = total / len(seen.values)
        return mean.quantize(Decimal(1).scaleb(-fact.places))
    return min(seen.values) if fact.measure == "minimum" else max(seen.values)


def _added(page: _Cells, column: int, rows: int) -> Decimal | None:
    """Add up a column of the data sheet below its header; nothing when it has another number of rows."""
    if len(page) != rows + 1:
        return None
    values = (row[column] if column < len(row) else None for row in page[1:])
    return sum(
        (v if isinstance(v, Decimal) else Decimal(v) for v in values if _is_number(v)), Decimal(0)
    )


def _is_number(value: workbooks.Value) -> TypeGuard[int | Decimal]:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _written(page: _Cells, fact: _Fact) -> Decimal | None:
    """Return the figure in the workbook; exact text stands for what a double cannot hold."""
    try:
        row, column = coordinate_to_tuple(fact.cell)
        value = page[row - 1][column - 1]
        found = Decimal(str(value).removeprefix("'"))
    except (IndexError, ValueError, InvalidOperation):
        return None
    return found.scaleb(2) if fact.percent else found


def _shown(value: Decimal | None, places: int) -> str:
    """Return a figure for people, with at least so many decimals and no empty ones beyond."""
    if value is None:
        return "–"
    exponent = value.normalize().as_tuple().exponent
    written = -exponent if isinstance(exponent, int) else 0
    return f"{value:,.{max(places, written)}f}"


_MINUS: Final = ("-", "−")
_GAPS: Final = frozenset(",.'’ \u00a0\u2009\u202f")
_MONEY: Final = {
    "USD": ("US$", "$"),
    "EUR": ("€",),
    "GBP": ("£",),
    "JPY": ("¥",),
    "KRW": ("₩", "원"),
    "INR": ("₹",),
    "SEK": ("kr",),
    "PLN": ("zł",),
}
