"""``/actions`` from a typed line to a checked table, over real tools and notes that nobody has seen before."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.agents.commands.agent import CommandAgent
from deskhand.core.words.notes import actions_in, parse, quotable
from deskhand.errors import DeskhandError
from deskhand.ports import Done, GiveUp
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.registry import standard_tools
from deskhand.tools.tables.reading import decode
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
NOTES: dict[str, str | bytes] = {
    "notes/2026-11-18 call.md": (
        "# Client call\n\n- We agreed to ship.\n- [ ] Anna: send the offer by Friday\n"
        "- [x] Tom: book the room\nTODO: Call the printer\n"
    ),
    "notes/sub/standup.txt": "Next steps:\r\n* Tom: fix | the import until 2026-12-01\r\n",
    "notes/회의록.md": "## 할 일\n- 김민수 과장: 홈페이지 문구 검토\n".encode("cp949"),
    "notes/wide.txt": "Action: Lena to call the bank\n".encode("utf-16"),
    "notes/logo.png": b"\x89PNG\x00\x00",
}


async def _actions(folder: MemoryFolder, line: str = "/actions notes/") -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _page(folder: MemoryFolder, name: str = "actions.md") -> str:
    return folder.files[name].decode()


async def test_every_action_is_a_row_with_its_owner_its_date_and_its_place() -> None:
    """Four encodings, tables' own bars, open and done: each line exact, none missing, each check passed."""
    folder = MemoryFolder(NOTES)

    driven = await _actions(folder)

    assert isinstance(driven.end, Done)
    assert driven.end.outputs == ("actions.md",)
    assert driven.end.summary == (
        "5 open and 1 done, 2 of them with a date, from 4 notes; 6 of 6 found again in the notes"
    )
    assert [(check.name, check.passed) for check in driven.checks] == [
        ("every quoted line stands in the notes", True),
        ("every action item is in the result", True),
    ]
    rows = [line for line in _page(folder).split("\n") if parse(line)]
    assert rows == [
        r"| Tom | 2026-12-01 | Tom: fix \| the import until 2026-12-01 | `notes/sub/standup.txt:2` |",
        "| Anna | Friday | [ ] Anna: send the offer by Friday | `notes/2026-11-18 call.md:4` |",
        "| – | – | TODO: Call the printer | `notes/2026-11-18 call.md:6` |",
        "| Lena | – | Action: Lena to call the bank | `notes/wide.txt:1` |",
        "| 김민수 과장 | – | 김민수 과장: 홈페이지 문구 검토 | `notes/회의록.md:2` |",
        "| Tom | – | [x] Tom: book the room | `notes/2026-11-18 call.md:5` |",
    ]
    assert "Not read: 1 files that are no text notes (png ×1)." in _page(folder)


@pytest.mark.parametrize(
    ("line", "places"),
    [
        ("/actions notes --owner tom", ["notes/sub/standup.txt:2", "notes/2026-11-18 call.md:5"]),
        ("/actions notes --due", ["notes/sub/standup.txt:2", "notes/2026-11-18 call.md:4"]),
        ("/actions notes --due --owner anna", ["notes/2026-11-18 call.md:4"]),
        ("/actions notes --owner 김민수", ["notes/회의록.md:2"]),
        ("/actions 'notes/2026-11-18 call.md' --owner=Anna", ["notes/2026-11-18 call.md:4"]),
    ],
)
async def test_options_narrow_what_is_listed_and_what_is_checked(line: str, places: list[str]) -> None:
    """Of one person, or with a date: the check looks for the same ones, no more and no fewer."""
    folder = MemoryFolder(NOTES)

    driven = await _actions(folder, line)

    found = [quote for row in _page(folder).split("\n") if (quote := parse(row))]
    assert [f"{quote.path}:{quote.line}" for quote in found] == places
    assert len(driven.checks) == 2
    assert all(check.passed for check in driven.checks)


async def test_a_person_nobody_named_is_answered_with_who_is_named() -> None:
    """A misspelt name is no empty list."""
    driven = await _actions(MemoryFolder(NOTES), "/actions notes --owner Annna")

    assert isinstance(driven.end, GiveUp)
    assert driven.end.reasons == ("No action names Annna. Named are: Tom, Anna, Lena, 김민수 과장.",)


async def test_no_action_at_all_is_a_checked_answer_without_a_file() -> None:
    """Nothing to do is worth knowing too, and looked at again."""
    folder = MemoryFolder({"n/a.md": "# Weather\n\nIt rained.\n"})

    driven = await _actions(folder, "/actions n")

    assert isinstance(driven.end, Done)
    assert (driven.end.summary, driven.end.outputs) == ("No action stands in 1 notes.", ())
    assert [check.passed for check in driven.checks] == [True]
    assert "actions.md" not in folder.files
    folder.put("n/a.md", "TODO: take an umbrella\n")
    again = await checked("actions", driven.end.checks[0].call, place_of(folder), TOOLS)
    assert again.passed is False


async def test_a_table_that_lost_a_row_fails_its_checks() -> None:
    """A row taken out afterwards, by whomever, is named."""
    folder = MemoryFolder(NOTES)
    driven = await _actions(folder)
    assert isinstance(driven.end, Done)
    kept = [line for line in _page(folder).split("\n") if "printer" not in line]
    folder.put("actions.md", "\n".join(kept))

    found = [await checked(wish.name, wish.call, place_of(folder), TOOLS) for wish in driven.end.checks]

    assert [check.passed for check in found] == [False, False]
    assert "notes/2026-11-18 call.md:6" in found[1].evidence


async def test_a_thousand_notes_with_giant_lines_are_listed_within_bounds() -> None:
    """What has no room is counted and named; nothing else is left out."""
    notes: dict[str, str | bytes] = {
        f"n/{number:04}.md": f"TODO: {number} {'very ' * 60}long\n" for number in range(1000)
    }
    folder = MemoryFolder({**notes, "n/giant.txt": "TODO: end " + "x" * 1_000_000})

    driven = await _actions(folder, "/actions n")

    page = _page(folder)
    rows = [line for line in page.split("\n") if parse(line)]
    assert len(page.encode()) < 160_000
    assert f"**Left out for space: {1001 - len(rows)} actions**" in page
    assert all(check.passed for check in driven.checks)


async def test_korean_notes_are_answered_in_korean_and_replay() -> None:
    """R3: headings follow the notes, and any part of the history gives the same next move."""
    folder = MemoryFolder({"회의/2026-11-18.md": "- 할 일: 견적서 보내기 (이수진)\n- [x] 예약 완료\n"})
    brief = brief_of("/actions 회의/")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert "## 할 일 (1)" in _page(folder)
    assert "| 담당 | 기한 | 할 일 | 위치 |" in _page(folder)
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text("abc가나 -_|\u202e", min_size=1, max_size=8).map(lambda name: f"n/{name.strip()}x.md"),
        st.lists(
            st.one_of(
                st.text(max_size=60).map(lambda words: f"TODO: {words}"),
                st.text(max_size=60),
                st.sampled_from(["| a | b — `a:1` |", "- [x] 일", "## Actions", r"- b \| c", "TODO: a \\", "---"]),
            ),
            max_size=12,
        ).map("\n".join),
        min_size=1,
        max_size=5,
    )
)
async def test_whatever_is_in_the_notes_every_action_is_there_or_it_is_said_why_not(notes: dict[str, str]) -> None:
    """Any text in any file: every check passes and every action of a readable note has its row."""
    folder = MemoryFolder({path: text.encode("utf-8", "replace") for path, text in notes.items()})

    driven = await _actions(folder, "/actions n")

    if isinstance(driven.end, GiveUp):
        assert driven.end.reasons[0]
        return
    assert all(check.passed for check in driven.checks), driven.checks
    lines = _page(folder).split("\n") if driven.end.outputs else []
    rows = {(quote.path, quote.line) for line in lines if (quote := parse(line))}
    texts = {path: _lines(data) for path, data in folder.files.items() if quotable(path)}
    assert rows == {
        (path, action.number)
        for path, text in texts.items()
        if path.startswith("n/")
        for action in actions_in(text, path)
    }


def _lines(data: bytes) -> list[str]:
    try:
        return decode(data).lines()
    except DeskhandError:
        return []
