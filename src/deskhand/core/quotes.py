"""The two forms of a quoted line in a result, and what it means that a quote is exact.

``- the words — `notes/client.md:8``` and, as the last cells of a table's row, ``| the words | `notes/client.md:8` |``:
words that stand in that line of that file. Whoever writes a briefing uses
``show``; the check that reads it again uses ``parse`` and ``stands_in``. It refuses to know what a quote is about.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Final

CUT: Final = "[…]"
"""Where words of a very long line were left out; nothing else may be."""

CUT_CHARS_MIN: Final = 20
"""A cut quote must still say at least this much, or it would fit anywhere."""

_QUOTED = re.compile(r"^[-*] (?P<text>.+) — `(?P<path>[^`]+):(?P<line>[1-9][0-9]{0,8})`$")
_ROW = re.compile(r"^\| (?:.* \| )?(?P<text>.+) \| `(?P<path>[^`]+):(?P<line>[1-9][0-9]{0,8})` \|$")
_MARKS = re.compile(r"^(?:[\s>]+|#{1,6}\s+|[-*+•·■□▪○●]\s+|[0-9]{1,3}[.)]\s+)+")
_PROGRAM = re.compile(r"<(script|style)\b.*?(?:</\1>|$)", re.IGNORECASE)
_HEADING_TAG = re.compile(r"<h[1-6]\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Words of one line of one file, counted from 1."""

    text: str
    path: str
    line: int


def show(quote: Quote) -> str:
    """Return the quote as one line of Markdown."""
    return f"- {quote.text} — `{quote.path}:{quote.line}`"


def show_row(quote: Quote, *cells: str) -> str:
    """Return the quote as a row of a table, behind other cells."""
    told = " | ".join(cell.replace("|", r"\|") for cell in (*cells, quote.text))
    return f"| {told} | `{quote.path}:{quote.line}` |"


def parse(line: str) -> Quote | None:
    """Return the quote a line of Markdown is, or nothing; ``parse(show(q)) == q``, and so with a row."""
    found = _QUOTED.match(line)
    row = None if found else _ROW.match(line)
    hit = found or row
    if hit is None:
        return None
    text = hit["text"] if row is None else hit["text"].replace(r"\|", "|")
    return Quote(text=text, path=hit["path"], line=int(hit["line"]))


def quotable(path: str) -> bool:
    """Return whether the form can carry this name: no backtick, no control character."""
    return "`" not in path and path.isprintable()


def bare(line: str) -> str:
    """Return a line without what only marks its place: indentation, bullets, numbers, ``#`` and ``>``."""
    return _MARKS.sub("", line).strip()


def visible(line: str, path: str) -> str:
    """Return a line as a reader sees it: of HTML files without tags, of all others as it stands."""
    if path.lower().endswith((".html", ".htm")):
        marked = _HEADING_TAG.sub("# ", _PROGRAM.sub("", line))
        return " ".join(html.unescape(_TAG.sub(" ", marked)).split())
    return line.strip()


def cut(words: str, *, at: int, limit: int) -> str:
    """Return at most about ``limit`` characters of a long line around position ``at``, with visible cut marks."""
    if len(words) <= limit:
        return words
    start = max(0, at - limit // 3)
    start = words.rfind(" ", max(0, start - 40), start) + 1 or start
    end = start + limit
    if end < len(words):
        gap = words.rfind(" ", start + limit // 2, end)
        end = end if gap < 0 else gap
    before = f"{CUT} " if start > 0 else ""
    after = f" {CUT}" if end < len(words) else ""
    return f"{before}{words[start:end].strip()}{after}"


def stands_in(quoted: str, line: str, path: str) -> bool:
    """Return whether the words stand exactly so in the line; pieces between cut marks in their order."""
    seen = visible(line, path)
    whole = (seen, bare(seen))
    if quoted in whole:
        return True
    if CUT not in quoted:
        return False
    pieces = [piece.strip() for piece in quoted.split(CUT)]
    if sum(map(len, pieces)) < CUT_CHARS_MIN:
        return False
    return any(_in_order(pieces, candidate) for candidate in whole)


def _in_order(pieces: list[str], line: str) -> bool:
    """The first piece stands at the start unless a cut mark does; so does the last at the end."""
    place = 0
    for number, piece in enumerate(pieces):
        found = line.find(piece, place)
        if found < 0 or (number == 0 and piece and found != 0):
            return False
        place = found + len(piece)
    return not pieces[-1] or line.endswith(pieces[-1])
