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

_CUT_CHARS_MIN: Final = 20
"""A cut quote must still say at least this much, or it would fit anywhere."""

_QUOTED = re.compile(
    r"(?:[-*] |(?P<row>\| (?:.* \| )?))(?P<text>.+)(?(row) \| | — )"
    r"`(?P<path>[^`]+):(?P<line>[1-9][0-9]{0,8})`(?(row) \|)"
)
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


def show(quote: Quote, *cells: str) -> str:
    """Return the quote as one line of Markdown; with other cells before it, as a row of a table."""
    source = f"`{quote.path}:{quote.line}`"
    if not cells:
        return f"- {quote.text} — {source}"
    escaped = (cell.replace("|", r"\|") for cell in (*cells, quote.text))
    return f"| {' | '.join(escaped)} | {source} |"


def parse(line: str) -> Quote | None:
    """Return the quote a line of Markdown is, or nothing; ``parse(show(q)) == q``, and so with a row."""
    hit = _QUOTED.fullmatch(line)
    if hit is None:
        return None
    text = hit["text"].replace(r"\|", "|") if hit["row"] else hit["text"]
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


def cut(words: str, *, at: int, limit: int = 400) -> str:
    """Return at most about ``limit`` characters of a long line around position ``at``, with visible cut marks."""
    if len(words) <= limit:
        return words
    start = max(0, at - limit // 3)
    start = words.rfind(" ", max(0, start - 40), start) + 1 or start
    end = start + limit
    if end < len(words):
        end = words.rfind(" ", start + limit // 2, end) + 1 or end
    return f"{CUT} " * (start > 0) + words[start:end].strip() + f" {CUT}" * (end < len(words))


def stands_in(quoted: str, line: str, path: str) -> bool:
    """Return whether the words stand exactly so in the line; pieces between cut marks in their order."""
    seen = visible(line, path)
    pieces = [piece.strip() for piece in quoted.split(CUT)]
    says_enough = len(pieces) > 1 and sum(map(len, pieces)) >= _CUT_CHARS_MIN
    return any(quoted == whole or (says_enough and _in_order(pieces, whole)) for whole in (seen, bare(seen)))


def _in_order(pieces: list[str], line: str) -> bool:
    """The first piece stands at the start unless a cut mark does; so does the last at the end."""
    rest = line
    for piece in filter(None, pieces):
        _, there, rest = rest.partition(piece)
        if not there:
            return False
    return line.startswith(pieces[0]) and line.endswith(pieces[-1])
