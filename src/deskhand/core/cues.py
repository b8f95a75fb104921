"""What a line of notes is: an action, a decision, a risk, a date. Patterns in English and Korean, no model.

The one definition both sides use: the command that makes a briefing and the check that counts whether every action
is in it. It refuses to interpret: a cue says that certain words stand there, never what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deskhand.core.quotes import bare, visible


class Cue(StrEnum):
    """What marks a line."""

    ACTION = "action"
    DONE = "done"
    DECISION = "decision"
    RISK = "risk"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
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
    found = (
        section.take(number, seen=visible(raw, path), following=following)
        for number, (raw, following) in enumerate(zip(lines, (*lines[1:], ""), strict=False), 1)
        if number > start
    )
    return [line for line in found if line is not None]


def cues_of(words: str) -> frozenset[Cue]:
    """Return what the words of one line say by themselves."""
    found = {cue for cue, pattern in _PATTERNS.items() if pattern.search(words)}
    if Cue.DECISION not in found and _promise(words):
        found.add(Cue.ACTION)
    if _DONE.search(words):
        found = (found - {Cue.ACTION}) | {Cue.DONE}
    if _UNDECIDED.search(words):
        found = (found - {Cue.DECISION}) | {Cue.RISK}
    return frozenset(found)


def cue_place(words: str) -> int:
    """Return where in a long line the telling words are, so that a cut keeps them."""
    hits = (pattern.search(words) for pattern in _PATTERNS.values())
    return next((hit.start() for hit in hits if hit is not None), 0)


class _Section:
    """The heading a line stands under. A short ``Actions:`` opens a section that ends at a gap after its items."""

    def __init__(self) -> None:
        self._cue: Cue | None = None
        self._items = 0
        self._gap = False
        self._next: tuple[int, str] | None = None
        """How the heading after this one begins, where headings are numbered."""

    def take(self, number: int, *, seen: str, following: str) -> Line | None:
        words, is_item = bare(seen), bool(_ITEM.match(seen))
        if not words or _RULE.fullmatch(seen):
            self._gap = self._gap or not words
            return None
        if "|" in seen and "-" in following and _TABLE_RULE.fullmatch(following):
            return Line(number=number, words=words, is_heading=True)  # names columns, says nothing
        hit = _NUMBERED.match(seen)
        at = (int(hit[1]), hit[2]) if hit else None
        is_next = at is not None and at == self._next
        if at and self._next and at[1] == self._next[1]:
            self._next = None  # its items have numbers of the same kind
        if (
            is_next
            or _BARE_SECTION.fullmatch(words)
            or (not is_item and _is_heading(seen, following))
        ):
            self._next = (at[0] + 1, at[1]) if at else None
            name = words.strip(" :：[]#*")
            self._cue = next((cue for cue, pattern in _SECTIONS if pattern.search(name)), None)
            self._items, self._gap = 0, False
            return Line(number=number, words=words, is_heading=True)
        if self._gap and self._items and not is_item:
            self._cue = None  # prose after the list is no longer part of it
        self._gap, self._items = False, self._items + 1
        cues = cues_of(words)
        if self._cue is not None and not self._contradicted(words, cues):
            cues |= {self._cue}
        return Line(number=number, words=words, cues=cues, is_item=is_item)

    def _contradicted(self, words: str, cues: frozenset[Cue]) -> bool:
        """What is ticked off is no action, and what is still open is no decision."""
        if self._cue is Cue.DECISION:
            return _UNDECIDED.search(words) is not None
        decided = Cue.DECISION in cues and Cue.ACTION not in cues
        return self._cue is Cue.ACTION and (Cue.DONE in cues or decided)


_SOFT_WORDS_MAX: Final = 5
_SOFT_CHARS_MAX: Final = 80


def _is_heading(seen: str, following: str) -> bool:
    """``# Title`` and underlined titles are headings; so is a short ``Actions:`` or ``[할 일]`` of its own."""
    marked = re.match(r"#{1,6}\s", seen) or re.fullmatch(r"\s*(?:={3,}|-{3,})\s*", following)
    short = len(seen) <= _SOFT_CHARS_MAX and len(seen.split()) <= _SOFT_WORDS_MAX
    if not marked and not (short and _SOFT_HEADING.search(seen)):
        return False
    # A heading that itself says what to do opens nothing.
    return not (_LABELLED.search(seen) and Cue.ACTION in cues_of(bare(seen)))


def _promise(words: str) -> bool:
    """``Anna to send ...`` and ``We will call ...`` are actions; ``It will rain`` is none."""
    hit = _PROMISE.match(words)
    return hit is not None and hit["who"].split()[0].lower() not in _NOBODY


_LABELLED = re.compile(r"[:：]\**\s*[^\s*]+\s+\S+")
_SOFT_HEADING = re.compile(r"[:：]$|^\*\*[^*]+\*\*$|^\[[^\]]{2,}\]$|^【.+】$")
_RULE = re.compile(r"[\s=_*~\-|:+#]+|```.*|~~~.*")
_TABLE_RULE = re.compile(r"[\s:|-]+")
_NUMBERED = re.compile(r"([0-9]{1,3})([.)])\s")
_BARE_SECTION = re.compile(
    r"(?i:(?:open |our |my )?(?:action(?: item)?s|next steps|to-?\s?dos?|tasks|follow[- ]?ups|(?:key )?decisions"
    r"|risks|issues|concerns|open (?:questions|points|issues)|questions))"
    r"|(?:향후 |주요 )?(?:할 ?일|조치 ?사항|후속 ?조치|액션 ?아이템|다음 ?단계|결정 ?사항|합의 ?사항|이슈|미결 ?사항)(?: 목록)?"
)
_ITEM = re.compile(r"\s*(?:[-*+•·■□▪○●]\s+|[0-9]{1,3}[.)]\s+|\[[ xX]\])")
_DONE = re.compile(
    r"^\[[xXvV✓✔]\]|^[☑☒✅✔]|^~~.*~~$|^(?:done|completed|완료)\s*[:\-–]|[(\[](?:done|completed|완료)[)\]]\s*$",
    re.IGNORECASE,
)
_ACTION = re.compile(
    r"^\[ ?\]|^☐"
    r"|\bTODO\b|\bTO[- ]DO\b|\bFIXME\b|\bACTION\b"
    r"|(?i:^\**(?:action|action item|ai|next step|follow[- ]?up|todo|to do|task|assigned|owner)s?\b"
    r"[^:：]{0,30}[:：])"
    r"|(?i:\baction items?\b|\b(?:please|remember to|don['’]t forget|make sure)\b)"
    r"|(?i:\b(?:needs?|has|have|ought) to be [a-z]+|\bmust be [a-z]+)"
    r"|(?i:\bdue(?: by| on|:))"
    r"|(?<![\w.@])@[A-Za-z가-힣][\w.-]*"
    r"|^(?:→|=>|->)\s"
    r"|(?:할 ?일|조치(?: ?사항)?|담당(?:자)?|기한|마감(?:일)?|액션)\s*[:：]"
    r"|해야 ?(?:한다|함|합니다|할|돼|됨|해요|됩니다)"
    r"|까지.{0,30}(?:제출|완료|공유|전달|보내|준비|확인|회신|검토|등록|송부|작성|마무리|처리|연락|하기)"
    r"|(?:해|하여|어|아)\s?(?:주세요|주십시오|주시기)|(?:바랍니다|부탁드립니다|부탁합니다)"
)
_PROMISE = re.compile(
    r"(?:(?:Mr|Mrs|Ms|Dr|Prof)\.? )?(?P<who>[A-Z][\w'’-]*(?: (?:and|&|\+) [A-Z][\w'’-]*)?|We|I)(?: \([^)]{1,30}\))?"
    r"(?:\s+(?:to|will|must|shall|should|needs? to|has to|have to|promised to|is to|are to)|['’]ll)"
    r"\s+[a-z]{2,}"
)
_NO_PERSON = (
    "a an the it this that these those there they what which who nothing everything something how why when"
    " where welcome thanks thank due according as in on at for from up back used able happy going ready"
    " similar subject next compared contrary response reply not please to"
)
_NOBODY: Final = frozenset(_NO_PERSON.split())
_DECISION = re.compile(
    r"(?i:\bdecisions?\b|\bdecided\b|^agreed\b|\b(?:we|all|team|everyone|was|were|is|both) (?:have )?agreed\b"
    r"|\bapproved\b|\bsigned off\b|\bresolved (?:to|that)\b|\b(?:will|we) go with\b|\bwe chose\b)"
    r"|결정|합의|승인|확정|채택|하기로"
)
_UNDECIDED = re.compile(
    r"(?i:\bundecided\b|\bno decision\b|\bnot (?:yet )?(?:been )?(?:decided|agreed|approved)\b"
    r"|\bto be decided\b|\bdecide (?:whether|if|by|on)\b)"
    r"|미결정|결정(?:되지|하지| ?필요| ?안 ?됨| ?못)|미승인|미확정"
)
_RISK = re.compile(
    r"(?i:\brisks?\b|\bblock(?:er|ers|ed|ing)\b|\bconcern(?:s|ed)?\b|\bissues?\b|\bproblems?\b"
    r"|\bdelay(?:s|ed)?\b|\boverdue\b|\bunclear\b|\bunknown\b|\bT\.?B\.?[DC]\b|\bopen (?:question|point)s?\b"
    r"|\bworr(?:y|ied)\b|\bover budget\b|\bfail(?:s|ed|ure)?\b|\bdepend(?:s|ency|encies)\b"
    r"|\bquestions?\s*:|\bslip(?:s|ped|ping)?\b)"
    r"|위험|리스크|우려|문제|이슈|지연|미정|미결|불확실|질문|확인 ?필요|차질|[?？]['\")\]]*$"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    r"\b[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}\b|\b[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}\b"
    rf"|(?i:\b[0-9]{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\b|\b{_MONTH}\.? [0-9]{{1,2}}\b)"
    r"|(?i:\b(?:by|before|until|on|this|next|due) (?:mon|tues|wednes|thurs|fri|satur|sun)day\b)"
    r"|(?i:\bdeadline\b|\bdue\b|\bby (?:tomorrow|tonight|noon|eod|eow|end of|the end of)\b)"
    r"|[0-9]{1,2}월 ?[0-9]{1,2}일|[0-9]{4}년|[월화수목금토일]요일|마감|기한|(?:내일|모레|주말|월말|이번 ?주|다음 ?주)까지"
)
_PATTERNS: Final = {
    Cue.ACTION: _ACTION,
    Cue.DECISION: _DECISION,
    Cue.RISK: _RISK,
    Cue.DATE: _DATE,
}
_SECTIONS: Final = (
    (
        Cue.ACTION,
        re.compile(
            r"(?i:^(?:\d+[.)]\s*)?(?:open |our |my )?(?:actions?|action items?|next steps?|to-?\s?dos?|tasks?"
            r"|follow[- ]?ups?)\b)|할 ?일|조치 ?사항|후속 ?조치|액션 ?아이템|다음 ?단계|^조치"
        ),
    ),
    (
        Cue.DECISION,
        re.compile(
            r"(?i:^(?:\d+[.)]\s*)?(?:key )?decisions?\b|^agreed\b|^agreements?\b)|결정|합의 ?사항"
        ),
    ),
    (
        Cue.RISK,
        re.compile(
            r"(?i:^(?:\d+[.)]\s*)?(?:risks?|issues?|blockers?|concerns?|open (?:questions?|points?|issues?)"
            r"|questions?|problems?)\b)|위험|리스크|이슈|우려|문제점|미결|질문"
        ),
    ),
)
