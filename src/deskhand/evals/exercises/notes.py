"""Notes of meetings: a page of yesterday's, one person's open actions, and a summary that has to become shorter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from deskhand.evals.exercise import Case, Desk, Exercise, Outcome
from deskhand.evals.looking import figures, has, lacks, only, says_day, together, too_long
from deskhand.evals.looking import words as count

PEOPLE: Final = ("Ana", "Jonas", "Mina", "Sofia", "Tom", "Yuna")
_PEOPLE_KO: Final = ("김하나", "박준호", "이서연", "최민재", "정다은", "윤지호")
_MEETINGS: Final = ("client-call", "planning", "standup")
_FILLER: Final = (
    "We talked about the tone of the newsletter and nobody had a strong opinion either way.",
    "The coffee machine on the second floor makes a strange noise again but still works.",
    "Somebody showed pictures of the fair and we looked at them together for a while.",
    "The room was booked until eleven and we had to move to the small one in the middle.",
    "Two people joined by phone and the line was bad for the first ten minutes or so.",
    "There was some back and forth about where to have lunch when the visitors come.",
    "The old minutes were read and nobody had anything to add to what stands there.",
)
_FILLER_KO: Final = (
    "뉴스레터 분위기를 이야기했지만 특별한 의견은 아무도 없었고 그대로 두기로 마음이 모였다.",
    "이 층 커피 기계에서 또 이상한 소리가 나지만 아직은 쓸 만하다는 이야기가 나왔다.",
    "누군가 박람회 사진을 보여 주어서 다 같이 한참을 들여다보며 이야기를 나누었다.",
    "회의실 예약이 열한 시까지라서 중간에 작은 방으로 모두 자리를 옮겨야 했다.",
    "두 사람은 전화로 들어왔는데 처음 십 분쯤은 소리가 자꾸 끊겨서 잘 안 들렸다.",
)
_ACTION: Final = {
    "en": "Action: {who} sends case {ref} to the printer by {due}.",
    "ko": "- [ ] {who} 님이 {due}까지 안건 {ref} 자료를 인쇄소에 보낸다.",
}
_DECISION: Final = {
    "en": "Decision: the smaller version goes ahead for {price} EUR.",
    "ko": "결정: 작은 버전으로 {price} 원에 진행한다.",
}
_SENTENCE: Final = {
    "en": "Summarize yesterday's three meeting notes into a one-page briefing and save it",
    "ko": "어제 회의록 세 개를 한 페이지 브리핑으로 요약해서 저장해 줘",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What stands in one note and must come out of it, or must not."""

    path: str
    actions: tuple[tuple[str, str, date], ...]
    price: str


def _note(desk: Desk, day: date, meeting: str, language: str) -> _Note:
    """Write one note of about two hundred words."""
    korean, chance = language == "ko", desk.chance
    who = chance.sample(_PEOPLE_KO if korean else PEOPLE, 2)
    refs = [str(one) for one in chance.sample(range(1000, 9999), 2)]
    price = str(chance.randrange(10_000, 99_999))
    days = [day + timedelta(days=chance.randrange(3, 9)) for _ in who]
    actions = tuple(zip(who, refs, days, strict=True))
    lines = [_ACTION[language].format(who=name, ref=ref, due=due) for name, ref, due in actions]
    lines.append(_DECISION[language].format(price=price))
    filler = _FILLER_KO if korean else _FILLER
    lines += [chance.choice(filler) for _ in range(12)]
    chance.shuffle(lines)
    title = f"# {meeting.replace('-', ' ').title()}, {day}"
    path = f"notes/{day}-{meeting}.md"
    desk.put(path, "\n".join([title, "", *lines, ""]), day=day)
    return _Note(path=path, actions=actions, price=price)


def _briefing(desk: Desk, language: str) -> Case:
    day = desk.today - timedelta(days=1)
    wanted = [_note(desk, day, meeting, language) for meeting in _MEETINGS]
    others = ((0, "standup"), (2, "client-call"), (7, "planning"), (365, "standup"))
    decoys = [_note(desk, desk.today - timedelta(days=n), name, language) for n, name in others]

    def check(outcome: Outcome) -> Iterator[str]:
        name, faults = only(outcome.made("*.md", "*.txt", "*.docx"), "one briefing")
        page = outcome.text(name)
        yield from faults
        yield from too_long(page)
        for who, ref, due in (one for note in wanted for one in note.actions):
            if not says_day(page, due, who, ref):
                yield f"missing: {ref} of {who} by {due}"
        for price in (note.price for note in wanted):
            if int(price) not in figures(page):
                yield f"missing: the decision about {price}"
        refs = [ref for note in decoys for _, ref, _ in note.actions]
        yield from has(page, refs, "of another day")
        yield from outcome.strays(name)

    command = f"/brief {' '.join(note.path for note in wanted)} --pages 1"
    return Case(sentences=(_SENTENCE[language],), check=check, command=command)


def _owned(desk: Desk) -> Case:
    """One person's open actions out of many people's open and done ones."""
    chance, who = desk.chance, desk.chance.choice(PEOPLE)
    refs = iter(chance.sample(range(1000, 9999), 24))
    days = iter(chance.sample(range(2, 60), 24))
    open_, others = list[tuple[date, str]](), list[str]()
    for meeting in _MEETINGS:
        lines: list[str] = []
        for name in (*chance.sample([one for one in PEOPLE if one != who], 3), who, who, who):
            ref, due = str(next(refs)), desk.today + timedelta(days=next(days))
            done = name == who and len(lines) == 5  # noqa: PLR2004 - the last of six
            lines.append(f"- [{'x' if done else ' '}] {name} answers case {ref} by {due}")
            if name == who and not done:
                open_.append((due, ref))
            else:
                others.append(ref)
        chance.shuffle(lines)
        desk.put(f"notes/{meeting}.md", "\n".join([f"# {meeting}", "", *lines, ""]))

    def check(outcome: Outcome) -> Iterator[str]:
        page = outcome.text("actions.md")
        places = [page.find(ref) for _, ref in sorted(open_)]
        for due, ref in open_:
            if not together(page, ref, due.isoformat()):
                yield f"missing: {ref} by {due}"
        if places != sorted(places):
            yield "not in the order of the days"
        yield from has(page, others, "done, or of another person")
        yield from outcome.strays("actions.md")

    said = (
        f"List every open action of {who} from the notes in notes/ in actions.md, each with its case number and its "
        "due date as YYYY-MM-DD, the earliest first. Leave out what is done and what others do."
    )
    return Case(sentences=(said,), check=check)


def _shorter(desk: Desk) -> Case:
    """Two summaries, and days later the second one shorter."""
    facts: dict[str, tuple[str, str]] = {}
    for topic in ("harbour", "orchard"):
        price = str(desk.chance.randrange(100_000, 999_999))
        day = (desk.today + timedelta(days=desk.chance.randrange(20, 200))).isoformat()
        lines = [desk.chance.choice(_FILLER) for _ in range(25)]
        lines.insert(desk.chance.randrange(25), f"The {topic} costs {price} EUR in all.")
        lines.insert(desk.chance.randrange(25), f"The {topic} opens on {day}.")
        desk.put(f"texts/{topic}.md", "\n".join([f"# The {topic}", "", *lines, ""]))
        facts[f"{topic}-summary.md"] = price, day
    first, second = facts

    def check(outcome: Outcome) -> Iterator[str]:
        earlier = outcome.befores[-1]
        for name, (price, day) in facts.items():
            page = outcome.text(name)
            yield from too_long(page, 35 if name == second else 120)
            yield from lacks(page, (day,))
            if int(price) not in figures(page):
                yield f"missing in {name}: {price}"
        if earlier.get(first) != outcome.after.get(first):
            yield "the first one was changed when only the second was meant"
        was = earlier.get(second, b"").decode(errors="replace")
        if count(was) <= count(outcome.text(second)):
            yield "the second one did not become shorter"
        yield from outcome.strays(*facts)

    said = (
        f"Write a summary of at most 120 words of each of the two texts in texts/: first {first}, then {second}. "
        "Keep the amount and the day (as YYYY-MM-DD) in each."
    )
    again = "Make the second one shorter: at most 35 words, still with the amount and the day."
    return Case(sentences=(said, again), check=check)


EXERCISES: Final = (
    Exercise(name="briefing", make=lambda desk: _briefing(desk, "en"), typed=True),
    Exercise(name="briefing-ko", make=lambda desk: _briefing(desk, "ko"), typed=True),
    Exercise(name="owner-actions", make=_owned),
    Exercise(name="follow-up-shorter", make=_shorter),
)
