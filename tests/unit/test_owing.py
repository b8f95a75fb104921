"""Who owes what by when, read off a line of notes: what stands there, and never more than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.core.words.notes import actions_in


@pytest.mark.parametrize(
    ("line", "owner", "due"),
    [
        ("- TODO: Call the printer on Friday", "", "Friday"),
        ("- [ ] Anna: send the draft by 4 December", "Anna", "4 December"),
        ("- @mira.k please look at page 3 until tomorrow", "@mira.k", "tomorrow"),
        ("- Tom and Lena will check it by next Friday", "Tom and Lena", "next Friday"),
        ("- Action item (Tom): send the list, 2026-12-01", "Tom", "2026-12-01"),
        ("- The invoice needs to be paid (Anna)", "Anna", ""),
        ("- Please confirm the date", "", ""),
        ("- 할 일: 견적서 보내기 (김민수)", "김민수", ""),
        ("- 담당: 김민수 과장, 기한: 다음 주 금요일", "김민수 과장", "다음 주 금요일"),
        ("- 이수진 대리가 11월 28일까지 보고서 제출", "이수진 대리", "11월 28일"),
        ("- 박민수: 자료를 모레까지 공유해 주세요", "박민수", "모레"),
        ("- 예산: 모레까지 확인해 주세요", "", "모레"),
        ("- TODO: Mr. Smith will call the bank by 10/3", "Mr. Smith", "10/3"),
        ("- ACTION: J. Doe - circulate the draft", "J. Doe", ""),
        ("- 이영희 대리, 디자인 시안 11/20까지 제출", "이영희 대리", "11/20"),
        ("- I will call Bob on 03/04/2027", "I", "03/04/2027"),
        ("- Anna to send the contract by Wednesday", "Anna", "Wednesday"),
        ("- Owner: Jo Black, due 12/25/2026", "Jo Black", "12/25/2026"),
        ("- 배송 담당: 박지훈 / 마감: 1월 5일", "박지훈", "1월 5일"),
        ("- [ ] pay the rent by 1 November", "", "1 November"),
        ("- [ ] file it by the end of the month", "", "end of the month"),
    ],
)
def test_owner_and_due_date_are_those_of_the_line(line: str, owner: str, due: str) -> None:
    """As written, whatever day that is."""
    (found,) = actions_in(["# Call of 2026-11-18", line], "n.md")

    assert (found.owner, found.due) == (owner, due)


@pytest.mark.parametrize(
    ("owner", "asked", "is_wanted"),
    [
        ("Anna Meier", "anna", True),
        ("@anna.meier", "Anna", True),
        ("Tom and Anna", "anna", True),
        ("Joanna", "anna", False),
        ("Anna", "ann", False),
        ("김민수 과장", "김민수", True),
        ("김민수님", "김민수", True),
        ("김민수", "민수", False),
        ("", "anna", False),
    ],
)
def test_a_person_is_found_by_a_whole_name(owner: str, asked: str, *, is_wanted: bool) -> None:
    """Titles, handles and second names do not hide anybody, and half a name is somebody else."""
    line = f"담당: {owner}" if owner[:1] > "가" else f"Owner: {owner}" if owner else "TODO: x y"
    line = f"{owner} please look" if owner.startswith("@") else line
    (found,) = actions_in([line.replace("Owner: Tom and Anna", "Tom and Anna will go")], "n.md")

    assert found.owner == owner
    assert found.wanted(owner=asked) is is_wanted


@given(st.text(max_size=300))
def test_whatever_is_written_owner_and_due_stand_in_it(line: str) -> None:
    """Neither is ever made up."""
    found = actions_in([f"TODO: {line}".replace("\n", " ")], "2026-11-18.md")

    assert all(each.owner in each.words and each.due in each.words for each in found)


@pytest.mark.parametrize("piece", ["[ ]", "~", "[x] ", "A a ", "담당 ", "(A ", "- A", "1 may "])
def test_a_line_made_to_be_slow_is_not(piece: str) -> None:
    """No pattern goes back and forth over a long line; one that did would take longer than the universe."""
    (found,) = actions_in(["TODO " + piece * 3000], "n.md")

    assert found.owner in found.words


def test_who_begins_a_line_is_found_by_name_though_it_could_be_a_thing() -> None:
    """``민수:`` may be a person or a subject: it is nobody's name in the table, and still found when asked for."""
    (found,) = actions_in(["- [ ] 민수가 자료를 공유"], "n.md")

    assert found.owner == ""
    assert found.wanted(owner="민수")
    assert not found.wanted(owner="수가")


def test_tables_numbered_headings_and_ticks_are_read_as_people_write_them() -> None:
    """Columns say whose and by when, a head of columns says nothing, the next number ends a section."""
    note = """\
## Action items
| Task | Owner | Due | Status |
|------|:-----:|-----|--------|
| Draft the report | Anna | 20 Nov | open |
| Fix the login | Ben | ASAP | Done |
Decision: we go with vendor B.
"""
    korean = """\
1. 진행 상황
 - 서버 이전 완료
2. 할 일
 - 박철수 - 고객사 미팅 일정 조율
 - [v] 회의실 예약
3. 기타
 - 점심은 비빔밥
Next steps
- book a room
"""

    found = [*actions_in(note.split("\n"), "a.md"), *actions_in(korean.split("\n"), "b.md")]

    assert [(one.number, one.owner, one.due, one.done) for one in found] == [
        (4, "Anna", "20 Nov", False),
        (5, "Ben", "ASAP", True),
        (4, "박철수", "", False),
        (5, "", "", True),
        (9, "", "", False),
    ]
