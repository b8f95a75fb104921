"""Documents out: the suffix of the name says which kind, and what a person opens is checked for what it could do.

It refuses to send anything: a mail is a draft that a mail program opens unsent. No cell becomes a formula (UP-09).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from email.message import EmailMessage
from pathlib import PurePosixPath
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json
from deskhand.tools.changing import write_once


def write_document(wish: wishes.WriteDocument, place: Place) -> ToolResult:
    """Write the document that the name asks for.

    Raises:
        DeskhandError: ``invalid`` for a kind that is not known, or what this kind cannot be made from; ``conflict``.
    """
    make = _KINDS.get(PurePosixPath(wish.path).suffix.lower())
    if make is None:
        detail = f"it ends in {', '.join(_KINDS)}"
        raise DeskhandError(Code.INVALID, detail, field="path")
    return write_once(place.results, wish.path, make(wish), replace=wish.replace)


def _text(wish: wishes.WriteDocument) -> bytes:
    return wish.content.encode("utf-8", errors="replace")


def _word(wish: wishes.WriteDocument) -> bytes:
    from deskhand.tools.writing.word import word

    return word(wish.content)


def _workbook(wish: wishes.WriteDocument) -> bytes:
    from deskhand.tools.workbooks import Cell, build, headed_sheet

    def cell(value: Json) -> Cell:
        if isinstance(value, float):
            exact = Decimal(repr(value))
            return Cell(value=str(exact), kind="number", places=-int(exact.as_tuple().exponent))
        return Cell(value=value if isinstance(value, int) else _as_text(value) or None)

    return build(
        [
            headed_sheet(name, [*map(_as_text, head)], rows, (map(cell, row) for row in rows))
            for name, (head, *rows) in _tables(wish)
        ]
    )


def _csv(wish: wishes.WriteDocument) -> bytes:
    """Return the file as spreadsheet programs expect it, with the mark that says it is UTF-8."""
    from deskhand.tools.workbooks import neutral

    tables = _tables(wish)
    if len(tables) > 1:
        raise DeskhandError(Code.INVALID, "a csv holds one table", field="tables")
    out = io.StringIO(newline="")
    rows = (
        [neutral(v) if isinstance(v, str) else _as_text(v) for v in row] for row in tables[0][1]
    )
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8-sig", errors="replace")


def _mail(wish: wishes.WriteDocument) -> bytes:
    mail = EmailMessage()
    try:
        mail["To"], mail["Subject"], mail["X-Unsent"] = ", ".join(wish.to), wish.subject, "1"
        mail.set_content(wish.content)
    except (ValueError, UnicodeError) as error:
        raise DeskhandError(Code.INVALID, str(error)[:200], field="to") from None
    return bytes(mail)


def _tables(wish: wishes.WriteDocument) -> list[tuple[str, Sequence[Sequence[Json]]]]:
    """Return the tables that are given, else those in the markdown."""
    from deskhand.tools.writing.word import blocks, plain

    drawn = (block.rows for block in blocks(wish.content) if block.rows)
    given: list[tuple[str, Sequence[Sequence[Json]]]] = [(t.name, t.rows) for t in wish.tables]
    for number, rows in enumerate(() if given else drawn, start=1):
        given.append((f"Table {number}", [[plain(cell) for cell in row] for row in rows]))
    if not given:
        detail = 'say the rows: [{"name": "Sales", "rows": [["Region", "Sum"], ["North", 10]]}]'
        raise DeskhandError(Code.INVALID, detail, field="tables")
    return given


def _as_text(value: Json) -> str:
    return "" if value is None else str(value)


_KINDS: Final[dict[str, Callable[[wishes.WriteDocument], bytes]]] = {
    ".md": _text,
    ".txt": _text,
    ".docx": _word,
    ".xlsx": _workbook,
    ".csv": _csv,
    ".eml": _mail,
}
