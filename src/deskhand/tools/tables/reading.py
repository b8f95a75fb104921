"""CSV and TSV files as they are: encoding, delimiter, header, rows, and every row that was left out with its reason.

It refuses to mend: a row with another number of fields is not padded into the wrong columns, it is skipped and named.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deskhand.errors import Code, DeskhandError
from deskhand.tools.decoding import decode
from deskhand.tools.tables.dates import a_date
from deskhand.tools.tables.numbers import Style, amount, is_missing

DELIMITERS: Final = (",", ";", "\t", "|")
COLUMNS_MAX: Final = 500
_SNIFF_LINES: Final = 400
_SNIFF_ROWS: Final = 200
_STRAY_QUOTE_LINES: Final = 20
"""A field over more lines than this is a quote that nobody closed."""

TOTAL_LABEL: Final = re.compile(
    r"(?:grand |sub)?totals?:?|sum:?|summe:?|gesamt(?:summe)?:?|합계:?|총계:?|총합:?|소계:?|계:?",
    re.IGNORECASE,
)
_HINT = re.compile(r"sep=(.)")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")

Why = Literal["width", "before_header"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row and the line of the file where it starts."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row that was left out."""

    line: int
    why: Why
    fields: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How the file is written; enough to read it again without guessing."""

    encoding: str
    delimiter: str
    quoted: bool
    width: int
    header_line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; ``totals`` is a last row that already added up, kept out of ``rows``."""

    dialect: Dialect
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    totals: Row | None = None
    skipped: tuple[Skipped, ...] = ()
    blank_lines: int = 0
    renamed: tuple[str, ...] = ()


def read(data: bytes) -> Table:
    """Return the table in a file's bytes.

    Raises:
        DeskhandError: ``unsupported_type`` for what is no text, ``invalid`` for what is no table.
    """
    decoded = decode(data)
    if decoded is None:
        raise DeskhandError(Code.UNSUPPORTED_TYPE, "it is no text")
    lines = list(io.StringIO(decoded.text, newline=""))  # only \r and \n end a line
    delimiter = _delimiter(lines)
    quoted = not _stray_quote(lines, delimiter)
    rows = list(_rows(lines, delimiter, quoted=quoted))
    filled = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if not filled:
        raise DeskhandError(Code.INVALID, "the file is empty")
    width = _width(filled)
    if width > COLUMNS_MAX:
        raise DeskhandError(Code.TOO_LARGE, f"more than {COLUMNS_MAX} columns")
    kept, skipped = _kept(filled, width)
    table = _titled(kept, skipped, width)
    return Table(
        dialect=Dialect(
            encoding=decoded.encoding,
            delimiter=delimiter,
            quoted=quoted,
            width=width,
            header_line=table.header.line if table.header else None,
        ),
        names=table.names,
        rows=tuple(table.rows),
        totals=table.totals,
        skipped=tuple(sorted(table.skipped, key=lambda each: each.line)),
        blank_lines=len(rows) - len(filled),
        renamed=table.renamed,
    )


def fitted(cells: Sequence[str], width: int) -> tuple[str, ...] | None:
    """Return the cells at this width: empty ones at the end may be dropped, nothing else is changed."""
    if len(cells) == width:
        return tuple(cells)
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return tuple(cells[:width])
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Titled:
    header: Row | None
    names: tuple[str, ...]
    renamed: tuple[str, ...]
    rows: list[Row]
    totals: Row | None
    skipped: list[Skipped]


def _titled(kept: list[Row], skipped: list[Skipped], width: int) -> _Titled:
    """Take the header off the top and a totals row off the end."""
    header = kept[0] if kept and _is_header(kept) else None
    rows = kept[1:] if header else kept
    first = header.line if header else (rows[0].line if rows else 0)
    totals = rows.pop() if len(rows) > 1 and is_total(rows[-1].cells) else None
    names, renamed = _names(header.cells if header else ("",) * width)
    return _Titled(
        header=header,
        names=names,
        renamed=renamed,
        rows=rows,
        totals=totals,
        skipped=[
            Skipped(line=s.line, why="before_header", fields=s.fields) if s.line < first else s
            for s in skipped
        ],
    )


def is_total(cells: Sequence[str]) -> bool:
    """Return whether a row's first word says that it adds up the others."""
    label = next((cell.strip() for cell in cells if cell.strip()), "")
    return TOTAL_LABEL.fullmatch(label) is not None


def _delimiter(lines: Sequence[str]) -> str:
    """The one that makes the most rows equally wide; a ``sep=;`` line says it outright."""
    hint = _HINT.fullmatch(lines[0].strip()) if lines else None
    if hint is not None:
        return hint[1]
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        rows = list(_rows(lines[:_SNIFF_LINES], delimiter, quoted=True))[:_SNIFF_ROWS]
        widths = Counter(len(row.cells) for row in rows if any(row.cells))
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        score = count / max(1, sum(widths.values())) + min(width, 10) / 100 if width > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _stray_quote(lines: Sequence[str], delimiter: str) -> bool:
    """Whether some quote is never closed, so that quotes must be read as plain characters."""
    try:
        return any(
            max((cell.count("\n") for cell in row.cells), default=0) > _STRAY_QUOTE_LINES
            for row in _rows(lines, delimiter, quoted=True)
        )
    except DeskhandError:
        return True


def _rows(lines: Sequence[str], delimiter: str, *, quoted: bool) -> Iterator[Row]:
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    line = 1
    try:
        for cells in reader:
            hint = line == 1 and _HINT.fullmatch(delimiter.join(cells).strip())
            if not hint:
                yield Row(line=line, cells=tuple(cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DeskhandError(Code.INVALID, f"line {line}: {error}") from error


def _width(rows: Sequence[Row]) -> int:
    widths = Counter(len(row.cells) for row in rows)
    return max(widths.items(), key=lambda item: (item[1], item[0]))[0]


def _kept(rows: Sequence[Row], width: int) -> tuple[list[Row], list[Skipped]]:
    kept: list[Row] = []
    skipped: list[Skipped] = []
    for row in rows:
        cells = fitted(row.cells, width)
        if cells is None:
            skipped.append(Skipped(line=row.line, why="width", fields=len(row.cells)))
        else:
            kept.append(Row(line=row.line, cells=cells))
    return kept, skipped


def _is_header(rows: Sequence[Row]) -> bool:
    first, rest = rows[0].cells, rows[1 : _SNIFF_ROWS + 1]
    if not any(cell.strip() for cell in first) or is_total(first):
        return False
    if any(_is_value(cell) for cell in first):
        return False
    columns = zip(*(row.cells for row in rest), strict=True)
    if any(_is_value(cell) for column in columns for cell in column):
        return True
    return len(set(first)) == len(first) and not any(row.cells == first for row in rest)


def _is_value(cell: str) -> bool:
    """A number or date; a bare year may be the name of a column."""
    text = cell.strip()
    if is_missing(text) or _YEAR.fullmatch(text):
        return False
    return (
        amount(text, Style.POINT) is not None
        or amount(text, Style.COMMA) is not None
        or a_date(text, "day") is not None
        or a_date(text, "month") is not None
    )


def _names(cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give every column a name of its own; say which had to be renamed."""
    names: list[str] = []
    renamed: list[str] = []
    for number, cell in enumerate(cells, start=1):
        name = " ".join(cell.split()) or f"Column {number}"
        again = 2
        unique = name
        while unique in names:
            unique = f"{name} ({again})"
            again += 1
        if unique != name:
            renamed.append(unique)
        names.append(unique)
    return tuple(names), tuple(renamed)
