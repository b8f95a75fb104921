"""Markdown to a Word file: headings, lists, tables, code, bold and italic. What it does not know stays as it is written.

It loads nothing: a picture or link becomes its words and its address. The same text gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from docx import Document
from docx.document import Document as Word
from docx.text.paragraph import Paragraph
from markdown_it import MarkdownIt
from markdown_it.token import Token

from deskhand.tools.workbooks import settled

_STYLES: Final = {"ul": "List Bullet", "ol": "List Number", "blockquote": "Intense Quote"}
_BREAKS: Final = {"softbreak": " ", "hardbreak": "\n"}
_UNHOLDABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph of a ``tag`` with its ``text``, or a table with the texts of its cells."""

    tag: str
    text: Token
    rows: list[list[Token]] = field(default_factory=list[list[Token]])


def word(markdown: str) -> bytes:
    """Return a docx file."""
    document = Document()
    for block in blocks(markdown):
        if block.rows:
            _table(document, block.rows)
        elif block.tag[1:].isdigit():
            _fill(document.add_heading(level=int(block.tag[1:])), block.text)
        elif block.tag == "code":
            document.add_paragraph(block.text.content.rstrip("\n"), style="No Spacing")
        else:
            _fill(document.add_paragraph(style=_STYLES.get(block.tag)), block.text)
    raw = io.BytesIO()
    document.save(raw)
    return settled(raw.getvalue())


def blocks(markdown: str) -> Iterator[Block]:
    """Yield what stands in a text, from its beginning to its end."""
    around, rows = list[str](), list[list[Token]]()
    for token in MarkdownIt("commonmark").enable("table").parse(_UNHOLDABLE.sub("", markdown)):
        if token.nesting > 0:
            around.append(token.tag)
            rows += [[]] if token.tag == "tr" else []
        elif token.nesting < 0:
            around.pop()
            if token.tag == "table":
                yield Block(tag="table", text=token, rows=rows)
                rows = []
        elif token.type != "inline":
            yield from [Block(tag="code", text=token)] if token.content else []
        elif around[-1] in ("th", "td"):
            rows[-1].append(token)
        else:
            styled = (tag for tag in reversed(around) if tag in _STYLES)
            yield Block(tag=next(styled, "p") if around[-1] == "p" else around[-1], text=token)


def _table(document: Word, rows: Sequence[Sequence[Token]]) -> None:
    table = document.add_table(0, len(rows[0]), style="Table Grid")
    for number, row in enumerate(rows):
        for place, cell in zip(table.add_row().cells, row, strict=True):
            _fill(place.paragraphs[0], cell, bold=number == 0)


def _fill(paragraph: Paragraph, text: Token, *, bold: bool = False) -> None:
    """Put a text into a paragraph, with what is bold, italic and code in it; a link's address follows its words."""
    inside = ["strong_open"] * bold
    links: list[str] = []
    for child in text.children or ():
        said = child.content or _BREAKS.get(child.type, "")
        if child.nesting > 0:
            inside.append(child.type)
            links += [str(child.attrs["href"])] if child.type == "link_open" else []
        elif child.nesting < 0:
            inside.pop()
            said = f" ({links.pop()})" if child.type == "link_close" else ""
        elif child.type == "image":
            said = f"{said} ({child.attrs['src']})"
        run = paragraph.add_run(said)
        run.bold, run.italic = "strong_open" in inside or None, "em_open" in inside or None
        if child.type == "code_inline":
            run.font.name = "Consolas"
