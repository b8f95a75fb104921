"""What a line of people's documents is and how it is quoted: an action, a decision, a risk; who owes it, and by when.

The one definition both sides use: the commands that make a briefing or list actions, and the checks that look whether one
is missing. Patterns in English and Korean, no model. It refuses to interpret: a cue says that certain words stand there,
never what they mean; and to guess: a name or a day that does not stand in the line is none, and a day that could be two
is left as written.

A quote has two forms, ``- the words — `notes/client.md:8``` and, as the last cells of a table's row,
``| the words | `notes/client.md:8` |``: words that stand in that line of that file. Whoever writes one uses ``show``; the
check that reads it again uses ``parse`` and ``stands_in``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from deskhand.texts import table


class Cue(StrEnum):
    """What marks a line."""

    ACTION = "action"
    DONE = "done"
    DECISION = "decision"
    RISK = "risk"
    DATE = "date"


_WORDING: Final = table("deskhand.core.words", "wording.toml")
_WORDS: Final = _WORDING["cues"]
_FORMS: Final = {name: re.compile(form) for name, form in _WORDS["forms"].items()}
_NOBODY: Final = frozenset(_WORDS["nobody"].split())
_LINES: Final = {
    name: re.compile("|".join([rf"\b(?i:{'|'.join(told['words'])})", *told["forms"]]))
    for name, told in _WORDS["lines"].items()
}
_UNDECIDED: Final = _LINES.pop("undecided")
_PATTERNS: Final = {Cue(name): form for name, form in _LINES.items()}


class Line(NamedTuple):
    """One line with words in it; ``words`` is what may be quoted."""

    number: int
    words: str
    cues: frozenset[Cue] = frozenset()
    is_heading: bool = False
    is_item: bool = False


def scan(lines: Sequence[str], path: str) -> list[Line]:
    """Return the lines that say something, each with its cues; sections mark the items below them.

    Of a stored mail the headers say nothing.
    """
    section, start = _Section(), 0
    if path.lower().endswith(".eml"):
        start = next((place for place, line in enumerate(lines) if not line.strip()), 0)
    seen = [*(visible(line, path) for line in lines), ""]
    numbered = enumerate(pairwise(seen), 1)
    return [*filter(None, (section.take(number, *pair) for number, pair in numbered if number > start))]


def cues_of(words: str) -> frozenset[Cue]:
    """Return what the words of one line say by themselves."""
    found = {cue for cue, form in _PATTERNS.items() if form.search(words)}
    promise = _FORMS["promise"].match(words) if Cue.DECISION not in found else None
    if promise and promise["who"].split()[0].lower() not in _NOBODY:
        found.add(Cue.ACTION)  # ``Anna to send ...`` is one, ``It will rain`` is none
    if _FORMS["done"].search(words):
        found = (found - {Cue.ACTION}) | {Cue.DONE}
    if _UNDECIDED.search(words):
        found = (found - {Cue.DECISION}) | {Cue.RISK}
    return frozenset(found)


def cue_place(words: str) -> int:
    """Return where in a long line the telling words are, so that a cut keeps them."""
    hits = (pattern.search(words) for pattern in _PATTERNS.values())
    return next((hit.start() for hit in hits if hit is not None), 0)


@dataclass(slots=True)
class _Section:
    """The heading a line stands under. A short ``Actions:`` opens a section that ends at a gap after its items."""

    _cue: Cue | None = None
    _has_items: bool = False
    _gap: bool = False
    _next: str = ""
    """How the heading after this one begins, where headings are numbered."""

    def take(self, number: int, seen: str, following: str) -> Line | None:
        words, is_item = bare(seen), bool(_FORMS["item"].match(seen))
        if not words or _FORMS["rule"].fullmatch(seen):
            self._gap = self._gap or not words
            return None
        if "|" in seen and "-" in following and _FORMS["table_rule"].fullmatch(following):
            return Line(number, words, is_heading=True)  # names columns, says nothing
        hit = _FORMS["numbered"].match(seen)
        is_next = hit is not None and f"{int(hit[1])}{hit[2]}" == self._next
        if hit and self._next.endswith(hit[2]):
            self._next = ""  # its items have numbers of the same kind
        if is_next or (not is_item and _is_heading(seen, following)) or _FORMS["section"].fullmatch(words):
            self._next = f"{int(hit[1]) + 1}{hit[2]}" if hit else ""
            name = words.strip(" :：[]#*")
            self._cue = next((Cue(cue) for cue, form in _WORDS["sections"].items() if re.search(form, name)), None)
            self._has_items = self._gap = False
            return Line(number, words, is_heading=True)
        if self._gap and self._has_items and not is_item:
            self._cue = None  # prose after the list is no longer part of it
        self._gap, self._has_items = False, True
        cues = cues_of(words)
        # What is ticked off is no action, and what is still open is no decision.
        ended = Cue.DONE in cues or (Cue.DECISION in cues and Cue.ACTION not in cues)
        is_none = {Cue.ACTION: ended, Cue.DECISION: _UNDECIDED.search(words) is not None}
        if self._cue is not None and not is_none.get(self._cue):
            cues |= {self._cue}
        return Line(number, words, cues, is_item=is_item)


_SOFT_WORDS_MAX: Final = 5
_SOFT_CHARS_MAX: Final = 80


def _is_heading(seen: str, following: str) -> bool:
    """``# Title`` and underlined titles are headings; so is a short ``Actions:`` or ``[할 일]`` of its own."""
    marked = re.match(r"#{1,6}\s", seen) or re.fullmatch(r"={3,}|-{3,}", following)
    short = len(seen) <= _SOFT_CHARS_MAX and len(seen.split()) <= _SOFT_WORDS_MAX
    named = marked or (short and _FORMS["soft_heading"].search(seen))
    # A heading that itself says what to do opens nothing.
    return bool(named) and not (_FORMS["labelled"].search(seen) and Cue.ACTION in cues_of(bare(seen)))


# --- what people owe


_LOOKED_AT_CHARS: Final = 2000
_OWING: Final = _WORDING["owing"]
_BOX: Final = re.compile("|".join(_OWING["box"]))
_NO_OWNER: Final = frozenset(_OWING["nobody"].split())
_DUE: Final = [re.compile("|".join(_OWING["by"])), re.compile(_OWING["day"])]
_WITHIN: Final = rf"(?i)(?<![^\W_])%s{_OWING['title']}?(?![^\W_])"
_BEGINS: Final = rf"(?i)^%s{_OWING['title']}?(?:이|가|은|는|께서)?(?![^\W_])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A line that says what is to be done, or was."""

    path: str
    number: int
    words: str
    done: bool
    owner: str = ""
    due: str = ""

    def wanted(self, *, owner: str = "", due: bool = False) -> bool:
        """Return whether it is one of this person, and has a date where one is asked for.

        ``Anna`` names ``Anna Meier`` and ``@anna.meier``; ``Ann`` does not. A name that alone would be no sure one,
        since it could be a thing, has to begin the line.
        """
        asked = owner.lstrip("@")
        form, parts, there = _BEGINS, [asked], _BOX.sub("", self.words)
        if self.owner:
            form, parts, there = _WITHIN, asked.split(), self.owner
        named = all(re.search(form % re.escape(part), there) for part in parts)
        return (not owner or named) and bool(self.due or not due)


def actions_in(lines: Sequence[str], path: str) -> list[Action]:
    """Return every action of a note, open and done."""
    head, found = list[str](), list[Action]()
    for line in scan(lines, path):
        if line.is_heading:
            head = _cells(line.words) if "|" in line.words else []
        elif line.cues & {Cue.ACTION, Cue.DONE}:
            words = line.words[:_LOOKED_AT_CHARS]
            row = dict(zip(head, _cells(words), strict=False)) if words.startswith("|") else {}
            column = {name: _column(row, form) for name, form in _OWING["columns"].items()}
            due = _due(column["due"]) or column["due"] or _due(words)
            found.append(
                Action(
                    path=path,
                    number=line.number,
                    words=line.words,
                    done=Cue.DONE in line.cues or re.fullmatch(_OWING["finished"], column["status"]) is not None,
                    owner=column["owner"] or _owner(words),
                    due=due,
                )
            )
    return found


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip(" |").split("|")]


def _column(row: dict[str, str], form: str) -> str:
    """Return the cell under a head of this form, nothing where it only holds a place."""
    found = (cell for head, cell in row.items() if re.search(form, head))
    return next((cell for cell in found if cell.strip("-–—? ")), "")


def _due(words: str) -> str:
    hit = _DUE[0].search(words) or _DUE[1].search(words)
    return next(filter(None, hit.groups())) if hit else ""


def _owner(words: str) -> str:
    said = _BOX.sub("", words)
    names = (hit["who"].strip(" *_") for form in _OWING["owners"] if (hit := re.search(form, said)))
    return next((name for name in names if name and name.split()[0].casefold() not in _NO_OWNER), "")


# --- quotes


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
