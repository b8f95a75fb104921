"""Markdown to a Word file: headings, lists, tables, code, bold and italic. What it does not know stays as it is written.

It loads nothing: a picture or link becomes its words and its address. The same text gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from docx import Document
from docx.document import Document as Word
from docx.text.paragraph import Paragraph

from deskhand.tools.workbooks import settled

_LINE: Final = re.compile(
    r"(?P<level>#{1,6})\s+(?P<heading>.*)|\s*[-*+]\s+(?P<bullet>.*)|\s*\d+[.)]\s+(?P<number>.*)"
    r"|>\s?(?P<quote>.*)|(?P<rule>-{3,}|\*{3,}|_{3,})|(?P<fence>```.*|~~~.*)"
)
_STYLES: Final = {"bullet": "List Bullet", "number": "List Number", "quote": "Intense Quote"}
_SPAN: Final = re.compile(
    r"\*\*(?P<bold>.+?)\*\*|(?<!\w)[*_](?P<italic>[^*_]+)[*_](?!\w)|`(?P<code>[^`]+)`"
)
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
_RULE_ROW: Final = re.compile(r"\|?[\s:|-]*-[\s:|-]*\|?")
_UNHOLDABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph, a heading, an item, a line of code; or a table with its rows."""

    kind: str
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


def word(markdown: str) -> bytes:
    """Return a docx file."""
    document = Document()
    for block in blocks(markdown):
        if block.kind == "table":
            _table(document, block.rows)
        elif block.kind == "heading":
            document.add_heading(_said(block.text), block.level)
        elif block.kind == "code":
            document.add_paragraph(style="No Spacing").add_run(block.text).font.name = "Consolas"
        else:
            _fill(document.add_paragraph(style=_STYLES.get(block.kind)), block.text)
    raw = io.BytesIO()
    document.save(raw)
    return settled(raw.getvalue())


def blocks(markdown: str) -> Iterator[Block]:
    """Yield what stands in a text, from its beginning to its end."""
    for kind, group in groupby(_lines(markdown), key=lambda line: line.kind):
        if kind == "text":
            yield Block(kind=kind, text=" ".join(line.text for line in group))
        elif kind == "table":
            yield Block(kind=kind, rows=_cells([line.text for line in group]))
        elif kind != "gap":
            yield from group


def _lines(markdown: str) -> Iterator[Block]:
    fenced = False
    for line in _UNHOLDABLE.sub("", markdown).splitlines():
        found = _LINE.fullmatch(line.rstrip())
        kind = found.lastgroup if found else None
        if kind == "fence":
            fenced = not fenced
            yield Block(kind="gap")
        elif fenced:
            yield Block(kind="code", text=line)
        elif line.startswith("|"):
            yield Block(kind="table", text=line)
        elif not line.strip() or kind == "rule":
            yield Block(kind="gap")
        elif found and kind:
            yield Block(kind=kind, text=found[kind], level=len(found["level"] or ""))
        else:
            yield Block(kind="text", text=line.strip())


def _cells(lines: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    kept = [line for line in lines if not _RULE_ROW.fullmatch(line.strip())]
    rows = [
        re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|")) for line in kept
    ]
    width = max(map(len, rows), default=0)
    return tuple(
        tuple(cell.strip().replace(r"\|", "|") for cell in [*row, *[""] * (width - len(row))])
        for row in rows
    )


def _table(document: Word, rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    table = document.add_table(0, len(rows[0]), style="Table Grid")
    for number, row in enumerate(rows):
        for place, cell in zip(table.add_row().cells, row, strict=True):
            _fill(place.paragraphs[0], f"**{cell}**" if number == 0 and cell else cell)


def _fill(paragraph: Paragraph, text: str) -> None:
    """Put a text into a paragraph, with what is bold, italic and code in it."""
    said, at = _said(text), 0
    for found in _SPAN.finditer(said):
        paragraph.add_run(said[at : found.start()])
        run = paragraph.add_run(found["bold"] or found["italic"] or found["code"])
        run.bold, run.italic = bool(found["bold"]) or None, bool(found["italic"]) or None
        if found["code"]:
            run.font.name = "Consolas"
        at = found.end()
    paragraph.add_run(said[at:])


def _said(text: str) -> str:
    """Return a text in which a link is its words and its address."""
    return _LINK.sub(lambda found: f"{found[1]} ({found[2]})" if found[1] else found[2], text)
