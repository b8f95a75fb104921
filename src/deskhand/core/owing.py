"""What people owe by their notes: every action with who and by when, in the words that stand there.

The one definition both sides use: the command that lists actions and the check that looks whether one is missing. It
refuses to guess: a name or a day that does not stand in the line is none, and a day that could be two is left as written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from deskhand.core.cues import Cue, scan
from deskhand.core.dates import DAY, date_in, day_meant

_LOOKED_AT_CHARS: Final = 2000
_HEAD_LINES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A line that says what is to be done, or was; ``day`` is what ``due`` means beyond doubt."""

    number: int
    words: str
    done: bool
    owner: str = ""
    due: str = ""
    day: date | None = None

    def wanted(self, *, owner: str = "", due: bool = False) -> bool:
        """Return whether it is one of this person, and has a date where one is asked for."""
        return (not owner or _same_person(self.owner, owner)) and bool(self.due or not due)


def actions_in(lines: Sequence[str], path: str) -> list[Action]:
    """Return every action of a note, open and done."""
    noted = noted_on(lines, path)
    found: list[Action] = []
    for line in scan(lines, path):
        if not line.is_heading and line.cues & {Cue.ACTION, Cue.DONE}:
            due = _due(line.words[:_LOOKED_AT_CHARS])
            found.append(
                Action(
                    number=line.number,
                    words=line.words,
                    done=Cue.DONE in line.cues,
                    owner=_owner(line.words[:_LOOKED_AT_CHARS]),
                    due=due,
                    day=day_meant(due, noted),
                )
            )
    return found


def noted_on(lines: Sequence[str], path: str) -> date | None:
    """Return the day a note says it is of: in its name, else in its first lines."""
    places = (path.rpartition("/")[2], *lines[:_HEAD_LINES])
    return next((day for line in places if (day := date_in(line)) is not None), None)


def _due(words: str) -> str:
    hit = _BY.search(words) or _ANY_DAY.search(words)
    return "" if hit is None else next(said for said in hit.groups() if said)


def _owner(words: str) -> str:
    said = _BOX.sub("", words)
    for pattern in _OWNERS:
        hit = pattern.search(said)
        name = hit["who"].strip(" *_") if hit else ""
        if name and name.split()[0].casefold() not in _NOBODY:
            return name
    return ""


def _same_person(owner: str, wanted: str) -> bool:
    """``anna`` is ``Anna Meier`` and ``@anna.meier``; ``Ann`` is not."""
    names = re.split(r"[\s,&+/]+", owner.casefold().replace("@", " "))
    sought = wanted.casefold().lstrip("@").split()
    return bool(sought) and all(
        any(part in (name, *re.split(r"[._-]", name)) or _titled(name, part) for name in names)
        for part in sought
    )


def _titled(name: str, part: str) -> bool:
    return "가" <= part[:1] <= "힣" and bool(re.fullmatch(rf"{re.escape(part)}{_TITLE}", name))


_TITLE = r"(?: ?(?:님|씨|사원|주임|대리|과장|차장|부장|팀장|실장|이사|대표|매니저|선생님|교수님))"
_NAME = r"[A-Z][\w'’-]*(?: (?:(?:and|&|\+) )?[A-Z][\w'’-]*)?"
_BOX = re.compile(
    r"^(?:\[ ?[xX✓✔]?\]|~~|\W)*\s*"
    r"(?:(?i:todo|to do|to-do|fixme|action(?: items?)?|ai|task|next step|follow[- ]?up|done|completed)s?"
    r"|할 ?일|액션|완료)?\s*(?:[:：]\s*|-\s+|(?=\())"
    r"|^\[ ?[xX✓✔]?\]\s*"
)
_OWNERS: Final = (
    re.compile(r"(?<![\w.@])(?P<who>@[A-Za-z가-힣][\w.-]*[\w가-힣])"),
    re.compile(
        rf"(?i:\b(?:owner|assigned to|assignee|responsible|who)\b\s*(?:[:：]|(?<=to))\s*)(?P<who>{_NAME}|[가-힣]{{2,10}})"
    ),
    re.compile(rf"(?:담당자?|책임자?)\s*[:：]\s*(?P<who>[가-힣]{{2,4}}{_TITLE}?|{_NAME})"),
    re.compile(
        rf"^(?P<who>{_NAME}|I|We)(?: \([^)]{{1,30}}\))?"
        r"(?:\s+(?:to|will|must|shall|should|needs? to|has to|have to|promised to|is to|are to)|['’]ll)\s"
    ),
    re.compile(rf"^\**(?P<who>{_NAME}|[가-힣]{{2,4}}{_TITLE}?)\**\s*[:：]\**\s*\S"),
    re.compile(rf"^\((?P<who>{_NAME}|[가-힣]{{2,4}}{_TITLE}?)\)"),
    re.compile(rf"(?P<who>[가-힣]{{2,4}}{_TITLE})(?:이|가|은|는|께서|에게|께)?(?=[\s,]|$)"),
    re.compile(r"(?<![가-힣])(?P<who>[가-힣]{2,4}) 담당"),
    re.compile(rf"[(\[](?P<who>{_NAME}|[가-힣]{{2,4}}{_TITLE}?)[)\]]\.?$"),
    re.compile(rf"\s[-–—]\s(?P<who>{_NAME})(?=\s*(?:[,.(]|$))"),
)
_WORDS: Final = (
    "action actions todo next done task owner it that this the there please note due deadline call"
    " 할 일 기한 마감 마감일 담당 담당자 내용 결과 회의 일정 안건 참고 비고 확인 완료 목표 방법 장소 시간"
)
_NOBODY: Final = frozenset(_WORDS.split())
_BY = re.compile(
    rf"(?i:\b(?:by|before|until|till|due(?: on| by|:)?|deadline(?: is|:)?)\s+(?:on |the )?)({DAY})"
    rf"|(?:기한|마감일?|납기)(?:은|는)?\s*[:：]?\s*({DAY})|({DAY})\s*(?:까지|마감|전까지|이내)"
)
_ANY_DAY = re.compile(f"({DAY})")
