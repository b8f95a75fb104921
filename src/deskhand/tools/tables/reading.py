"""Text files, and CSV and TSV files as they are: encoding, delimiter, header, rows, every row that was left out, numbers, and columns.

The encoding of any text is found from its bytes alone; bytes that are no text are none: better "not a text file" than
a page of mojibake. It refuses to mend: a row with another number of fields is not padded into the wrong columns, it is skipped and named.
Numbers are exact decimals, never a float; where the same digits mean two, the column decides, and when even the column
cannot, the caller is told so. Only what may honestly be added up is a number: identifiers, years, percentages and mixed
currencies are not.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from decimal import Context, Decimal
from enum import StrEnum
from itertools import chain, count
from typing import Final, Literal

from deskhand.core.dates import Order, a_date, order_of
from deskhand.errors import Code, DeskhandError
from deskhand.texts import table

_SAMPLE_BYTES: Final = 64 * 1024
_MARK = re.compile(rb"(?P<utf_8_sig>\xef\xbb\xbf)|(?P<utf_32>\xff\xfe\0\0)|(?P<utf_16>\xff\xfe|\xfe\xff)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A text, and the name of the encoding it was in."""

    text: str
    encoding: str

    def lines(self) -> list[str]:
        """Return its lines; a last line end starts no further line."""
        return [line.removesuffix("\n") for line in io.StringIO(self.text, newline=None)]


def decode(data: bytes) -> Decoded:
    """Return the text.

    Raises:
        DeskhandError: ``unsupported_type`` when the bytes are none.
    """
    for encoding in _encodings(data):
        with suppress(UnicodeDecodeError):
            found = Decoded(text=data.decode(encoding), encoding=encoding)
            shown = found.text[:_SAMPLE_BYTES]
            if len(_CONTROL.findall(shown)) > max(3, len(shown) * 0.02):
                break
            return found
    raise DeskhandError(Code.UNSUPPORTED_TYPE, "it is no text")


def _encodings(data: bytes) -> Iterator[str]:
    """Yield what the bytes may be in, the likeliest first."""
    if marked := _MARK.match(data):
        yield str(marked.lastgroup).replace("_", "-")
    elif b"\x00" not in data[:_SAMPLE_BYTES]:
        yield "utf-8"
        yield from ["cp949"] * _korean(data)
        yield from ("cp1252", "latin-1")


def _korean(data: bytes) -> bool:
    """Latin text often decodes as cp949 too, but its high bytes stand alone; Korean ones come in pairs."""
    high = [letter for letter in data.decode("cp949", errors="replace") if letter > "\x7f"]
    hangul = sum("가" <= letter <= "힣" for letter in high)
    pairs = len(re.findall(rb"[\x81-\xfe][\xa1-\xfe]", data))
    return bool(high) and min(hangul, pairs) >= len(high) * 0.8


# --- tables


WORDS = table("deskhand.tools.tables", "words.toml")
"""Words by which tables say what they mean."""
MISSING: Final = frozenset[str](WORDS["missing"])
"""Cells that say that there is no value, in lower case."""

COLUMNS_MAX: Final = 500
_SNIFF_ROWS: Final = 200
_STRAY_QUOTE_LINES: Final = 20
"""A field over more lines than this is a quote that nobody closed."""

_TOTAL_LABEL = re.compile("|".join(WORDS["total"]), re.IGNORECASE)
_HINT = re.compile(r"sep=(.)")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")


Read = Callable[[str, "Column"], Decimal | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row and the line of the file where it starts."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, and how its file is written: enough to read it again without guessing.

    ``totals`` is a last row that already added up, kept out of ``rows``; ``skipped`` do not have its width. ``number`` is
    how the numbers in it are read.
    """

    encoding: str
    delimiter: str
    quoted: bool
    header_line: int | None
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    totals: Row | None
    skipped: tuple[Row, ...]
    number: Read


def read(data: bytes) -> Table:
    """Return the table in a file's bytes.

    Raises:
        DeskhandError: ``unsupported_type`` for what is no text, ``invalid`` for what is no table, ``too_large``.
    """
    decoded = decode(data)
    lines = list(io.StringIO(decoded.text, newline=""))  # only \r and \n end a line
    delimiter = delimiter_of(lines)
    every, quoted = _every(lines, delimiter)
    if not every:
        raise DeskhandError(Code.INVALID, "the file is empty")
    width, _ = _usual_width(every)
    if width > COLUMNS_MAX:
        raise DeskhandError(Code.TOO_LARGE, f"more than {COLUMNS_MAX} columns")
    fitting = (row for row in every if _fits(row.cells, width))
    rows = [Row(line=row.line, cells=row.cells[:width]) for row in fitting]
    header = rows.pop(0) if rows and _is_header(rows) else None
    totals = rows.pop() if len(rows) > 1 and _is_total(rows[-1].cells) else None
    return Table(
        encoding=decoded.encoding,
        delimiter=delimiter,
        quoted=quoted,
        header_line=header.line if header else None,
        names=_names(header.cells if header else ("",) * width),
        rows=tuple(rows),
        totals=totals,
        skipped=tuple(row for row in every if not _fits(row.cells, width)),
        number=number_of,
    )


def _fits(cells: Sequence[str], width: int) -> bool:
    """Empty cells at the end may be dropped, nothing else is changed."""
    return len(cells) >= width and not any(cell.strip() for cell in cells[width:])


def _is_total(cells: Sequence[str]) -> bool:
    """Whether a row's first word says that it adds up the others."""
    label = next((cell.strip() for cell in cells if cell.strip()), "")
    return _TOTAL_LABEL.fullmatch(label) is not None


def delimiter_of(lines: Sequence[str]) -> str:
    """Return the one that makes the most rows equally wide; a ``sep=;`` line says it outright."""
    hint = _HINT.fullmatch(lines[0].strip()) if lines else None
    if hint is not None:
        return hint[1]

    def score(delimiter: str) -> float:
        rows = list(_rows(lines[:400], delimiter, quoted=True))[:_SNIFF_ROWS]
        width, count = _usual_width(rows)
        return count / len(rows) + min(width, 10) / 100 if width > 1 else 0.0

    return max((",", ";", "\t", "|"), key=score)


def _every(lines: Sequence[str], delimiter: str) -> tuple[list[Row], bool]:
    """Return all rows and whether quotes were quotes: where one is never closed they are plain characters."""
    with suppress(DeskhandError):
        rows = list(_rows(lines, delimiter, quoted=True))
        if all(cell.count("\n") <= _STRAY_QUOTE_LINES for row in rows for cell in row.cells):
            return rows, True
    return list(_rows(lines, delimiter, quoted=False)), False


def _rows(lines: Sequence[str], delimiter: str, *, quoted: bool) -> Iterator[Row]:
    """Return the rows in which something stands, but for a hint on the first line."""
    quoting, line = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, 1
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
    try:
        for cells in reader:
            said = delimiter.join(cells).strip()
            if any(map(str.strip, cells)) and not (line == 1 and _HINT.fullmatch(said)):
                yield Row(line=line, cells=tuple(cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DeskhandError(Code.INVALID, f"line {line}: {error}") from error


def _usual_width(rows: Sequence[Row]) -> tuple[int, int]:
    """Return the width that most rows have, and how many have it."""
    widths = Counter(len(row.cells) for row in rows)
    return max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))


def _is_header(rows: Sequence[Row]) -> bool:
    first, rest = rows[0].cells, rows[1 : _SNIFF_ROWS + 1]
    if not any(cell.strip() for cell in first) or _is_total(first) or any(map(_is_value, first)):
        return False
    if any(_is_value(cell) for row in rest for cell in row.cells):
        return True
    return len(set(first)) == len(first) and not any(row.cells == first for row in rest)


def _is_value(cell: str) -> bool:
    """A number or date; a bare year may be the name of a column."""
    text = cell.strip()
    if is_missing(text) or _YEAR.fullmatch(text):
        return False
    numbers = (amount(text, style) for style in Style)
    days = (a_date(text, order) for order in ("day", "month"))
    return any(value is not None for value in (*numbers, *days))


def folded(text: str) -> str:
    """Return a name or text as it is compared: composed, without case and with single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _names(cells: Sequence[str]) -> tuple[str, ...]:
    """Give every column a name of its own, that differs in more than case."""
    names = dict[str, str]()
    for number, cell in enumerate(cells, start=1):
        name = " ".join(cell.split()) or f"Column {number}"
        numbered = chain([name], (f"{name} ({again})" for again in count(2)))
        unique = next(each for each in numbered if folded(each) not in names)
        names[folded(unique)] = unique
    return (*names.values(),)


# --- numbers


_DIGITS_MAX: Final = 40
_POWER_MAX: Final = 30
_GAPS = "'’ \u00a0\u2009\u202f"
_CURRENCIES: Final[dict[str, str]] = WORDS["signs"]
_MONEY = "|".join(map(re.escape, (*_CURRENCIES, *WORDS["currencies"])))
_CELL = re.compile(
    rf"(?P<open>\()?(?P<before>[-+−])?\s*(?P<left>{_MONEY})?\s*(?P<inner>[-+−])?"
    rf"(?P<digits>[0-9.,][0-9.,{_GAPS}]*?(?:[eE](?P<power>[-+]?[0-9]{{1,2}}))?)"
    rf"\s*(?P<percent>%)?\s*(?P<right>{_MONEY})?(?P<after>-)?(?P<close>\))?"
)
_PLAIN = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")


class Style(StrEnum):
    """Which mark starts the decimals."""

    POINT = "point"
    COMMA = "comma"


def _form(mark: str, other: str) -> re.Pattern[str]:
    """Digits in groups of three behind one kind of gap, or without any."""
    return re.compile(
        rf"[0-9]{{1,3}}(?P<gap>[{other}{_GAPS}])[0-9]{{3}}(?:(?P=gap)[0-9]{{3}})*(?:{mark}[0-9]*)?"
        rf"|[0-9]+(?:{mark}[0-9]*)?(?:[eE][-+]?[0-9]{{1,2}})?|{mark}[0-9]+"
    )


_FORMS: Final = {
    Style.POINT: (_form(r"\.", ","), str.maketrans("", "", f",{_GAPS}")),
    Style.COMMA: (_form(",", "."), str.maketrans(",", ".", f".{_GAPS}")),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and what stood around it."""

    value: Decimal
    percent: bool = False
    currency: str = ""


def is_missing(cell: str) -> bool:
    """Return whether the cell says that there is no value."""
    return cell.strip().lower() in MISSING


def amount(cell: str, style: Style) -> Amount | None:
    """Return the number a cell holds in this style, or nothing."""
    if style is Style.POINT and _PLAIN.fullmatch(cell):
        return Amount(Decimal(cell))
    found = _CELL.fullmatch(cell.strip())
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    digits = found["digits"].strip()
    form, translation = _FORMS[style]
    if len(digits) > _DIGITS_MAX or not form.fullmatch(digits):
        return None
    signs = [sign for sign in (found["before"], found["inner"], found["after"]) if sign]
    twice = bool(found["left"] and found["right"]) or len(signs) + bool(found["open"]) > 1
    if twice or abs(int(found["power"] or 0)) > _POWER_MAX:
        return None
    value = Decimal(digits.translate(translation))
    if found["open"] or (signs and signs[0] != "+"):
        value = value.copy_negate()
    money = found["left"] or found["right"] or ""
    return Amount(value, bool(found["percent"]), _CURRENCIES.get(money, money))


def votes(cells: Iterable[str]) -> tuple[int, str]:
    """Return how many more cells fit only a point than only a comma, and one that means two different numbers."""
    vote, either = 0, ""
    for cell in cells:
        as_point, as_comma = amount(cell, Style.POINT), amount(cell, Style.COMMA)
        vote += (as_point is not None) - (as_comma is not None)
        if as_point and as_comma and as_point.value != as_comma.value:
            either = either or cell.strip()
    return vote, either


def places(value: Decimal) -> int:
    """Return how many decimals were written."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


# --- columns


Value = Decimal | date | None
Kind = Literal["number", "percent", "identifier", "mixed", "date", "text"]

EXACT: Final = Context(prec=200)

_IDENTIFIER = re.compile("|".join(WORDS["identifier"]), re.IGNORECASE)
_LEADING_ZERO = re.compile(r"0[0-9]+")


def number_of(cell: str, column: Column) -> Decimal | None:
    """Return the number in a cell, nothing where it is of another currency than its column."""
    found = amount(cell, column.style)
    same = found and (column.kind == "mixed" or found.currency in ("", column.currency))
    return found.value if found and same else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column holds. ``unsure`` is a value that means two things and nothing decides; ``number`` reads a cell."""

    index: int
    name: str
    kind: Kind
    style: Style = Style.POINT
    order: Order = "day"
    currency: str = ""
    unsure: str = ""
    number: Read = number_of

    @property
    def measured(self) -> bool:
        """Whether an average, smallest and largest value mean something."""
        return self.kind in ("number", "percent")

    @property
    def dated(self) -> bool:
        """Whether its cells are days beyond doubt."""
        return self.kind == "date" and not self.unsure


def recognise(table: Table) -> tuple[Column, ...]:
    """Return what each column holds, decided by its own values and, when they leave it open, by the other columns."""
    # Spread over the whole table, so that a late 25/12 still decides the order of dates.
    rows, found = table.rows[:: max(1, len(table.rows) // 2000)], list[Column]()
    columns = ([row.cells[n] for row in rows] for n in range(len(table.names)))
    samples = [[cell for cell in cells if not is_missing(cell)] for cells in columns]
    voted = [votes(sample) for sample in samples]
    leaning = sum(vote for vote, _ in voted) or (-1 if table.delimiter == ";" else 1)
    for name, sample, (vote, either) in zip(table.names, samples, voted, strict=True):
        style = Style.POINT if (vote or leaning) > 0 else Style.COMMA
        blank = Column(index=len(found), name=name, kind="text", style=style, number=table.number)
        found.append(_column(blank, sample, "" if vote else either) if sample else blank)
    return tuple(found)


def value_of(cell: str, column: Column) -> Value:
    """Return what a cell of this column means: a number in its currency, a day, or nothing beyond its words."""
    if column.measured:
        return column.number(cell, column)
    return a_date(cell, column.order) if column.dated else None


def _column(blank: Column, sample: list[str], either: str) -> Column:
    # Most of the values read as one; a column of which only half do is pointed out.
    needed, order = len(sample) * 0.9, order_of(sample)
    if order is not None and sum(a_date(cell, order) is not None for cell in sample) >= needed:
        unsure = sample[0].strip() if order == "either" else ""
        return replace(blank, kind="date", order=order, unsure=unsure)
    read = [amount(cell, blank.style) for cell in sample]
    amounts = [found for found in read if found is not None]
    if len(amounts) < needed:
        nearly = len(amounts) > len(sample) * 0.5
        return replace(blank, unsure=sample[read.index(None)].strip()[:80] if nearly else "")
    kind, currency = _numbers(blank.name, sample, amounts)
    return replace(blank, kind=kind, currency=currency, unsure=either)


def _numbers(name: str, sample: Sequence[str], amounts: Sequence[Amount]) -> tuple[Kind, str]:
    """Return what kind of numbers they are, and their currency if they have one."""
    percents = sum(found.percent for found in amounts)
    currency, *others = sorted({found.currency for found in amounts} - {""}) or [""]
    if others or 0 < percents < len(amounts):
        return "mixed", ""
    if percents:
        return "percent", currency
    if not currency and all(found.value == found.value.to_integral_value() for found in amounts):
        zeros = any(_LEADING_ZERO.fullmatch(cell.strip()) for cell in sample)
        if zeros or _IDENTIFIER.fullmatch(name):
            return "identifier", ""
    return "number", currency
