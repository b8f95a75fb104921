"""Markdown to a Word file: headings, lists, tables, code, bold and italic. What it does not know stays as it is written.

It loads nothing: a picture or link becomes its words and its address. The same text gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
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


def word(markdown: str) -> bytes:
    """Return a docx file."""
    document, around, rows = Document(), list[str](), list[list[Token]]()
    for token in MarkdownIt("commonmark").enable("table").parse(_UNHOLDABLE.sub("", markdown)):
        if token.nesting > 0:
            around.append(token.tag)
            rows += [[]] if token.tag == "tr" else []
        elif token.nesting < 0:
            around.pop()
            if token.tag == "table":
                _table(document, rows)
                rows = []
        elif token.type != "inline":
            if token.content:
                document.add_paragraph(token.content.rstrip("\n"), style="No Spacing")
        elif around[-1] in ("th", "td"):
            rows[-1].append(token)
        else:
            _fill(_paragraph(document, around), token)
    raw = io.BytesIO()
    document.save(raw)
    return settled(raw.getvalue())


def _paragraph(document: Word, around: Sequence[str]) -> Paragraph:
    """Begin what stands in a heading, else in the innermost list or quote."""
    level = around[-1].removeprefix("h")
    if level.isdigit():
        return document.add_heading(level=int(level))
    return document.add_paragraph(style=next((_STYLES[tag] for tag in reversed(around) if tag in _STYLES), None))


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
