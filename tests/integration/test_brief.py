"""``/brief`` from a typed line to a checked page, over real tools and notes that nobody has seen before."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.agents.commands.agent import CommandAgent
from deskhand.core.words.notes import parse
from deskhand.ports import Done, GiveUp, ToolResult, Turn
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.registry import standard_tools
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
NOTES: dict[str, str | bytes] = {
    "notes/2026-11-20-call.md": (
        "# Client call\n\n- We agreed to ship 500 copies on 4 December.\n"
        "- Printing costs rose to 1,240 EUR.\n\nTODO: Call the printer on Friday\n"
    ),
    "notes/sub/2026-11-21-standup.txt": (
        "Next steps:\r\n* Tom: fix the import\r\n\r\nWho signs while she is away?\r\n"
    ),
    "notes/회의록.md": "## 할 일\n- 홈페이지 문구 검토\n\n배송 지연이 우려된다.\n".encode("cp949"),
    "notes/logo.png": b"\x89PNG\x00\x00",
}


async def _brief(folder: MemoryFolder, line: str = "/brief notes/") -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _page(folder: MemoryFolder, name: str = "briefing.md") -> str:
    return folder.files[name].decode()


def _quoted(page: str) -> list[str]:
    return [f"{q.path}:{q.line} {q.text}" for line in page.split("\n") if (q := parse(line))]


async def test_a_briefing_quotes_every_action_with_its_source_and_is_checked() -> None:
    """Three encodings, subfolders and line ends: each line exact, each action in, each check passed."""
    folder = MemoryFolder(NOTES)

    driven = await _brief(folder)

    page = _page(folder)
    assert driven.end == Done(
        summary="1 page, 7 lines, 7 of 7 found again in the notes",
        outputs=("briefing.md",),
        checks=driven.end.checks if isinstance(driven.end, Done) else (),
    )
    assert [(check.name, check.passed, check.evidence) for check in driven.checks] == [
        ("every quoted line stands in the notes", True, "7 of 7 found again in the notes"),
        ("every action item is in the result", True, "3 of 3 in the result"),
    ]
    assert _quoted(page) == [
        "notes/2026-11-20-call.md:3 We agreed to ship 500 copies on 4 December.",
        "notes/2026-11-20-call.md:6 TODO: Call the printer on Friday",
        "notes/sub/2026-11-21-standup.txt:2 Tom: fix the import",
        "notes/회의록.md:2 홈페이지 문구 검토",
        "notes/sub/2026-11-21-standup.txt:4 Who signs while she is away?",
        "notes/회의록.md:4 배송 지연이 우려된다.",
        "notes/2026-11-20-call.md:4 Printing costs rose to 1,240 EUR.",
    ]
    assert "3 notes; every line is a quote" in page
    assert "Not read: 1 files that are no text notes (png ×1)." in page


async def test_a_planted_line_comes_out_and_a_removed_note_goes() -> None:
    """The page follows the folder: what is planted is quoted, what is removed is gone."""
    before, after = MemoryFolder(NOTES), MemoryFolder(NOTES)
    after.put("notes/new.md", "TODO: feed the zebra 4711\n")
    after.remove("notes/2026-11-20-call.md")

    await _brief(before)
    await _brief(after)

    assert "zebra 4711 — `notes/new.md:1`" in _page(after)
    assert "printer" in _page(before)
    assert "printer" not in _page(after)
    assert "zebra" not in _page(before)


@pytest.mark.parametrize(
    "change",
    [
        ("- TODO: Call the printer on Friday", "- TODO: Call the printer on Monday"),
        ("## Decisions", "- Everybody agreed to everything.\n\n## Decisions"),
    ],
)
async def test_a_briefing_changed_afterwards_fails_its_check(change: tuple[str, str]) -> None:
    """A page that is not the one that was written is not verified, however plausible."""
    folder = MemoryFolder(NOTES)
    driven = await _brief(folder)
    assert isinstance(driven.end, Done)
    folder.put("briefing.md", _page(folder).replace(*change))

    check = await checked("quotes", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert (check.passed, check.evidence) == (False, "briefing.md is not the file that was written.")


async def test_a_lying_briefing_of_any_writer_fails() -> None:
    """Without a known hash too: a changed word, a wrong line, a missing file and a line without source are found."""
    folder = MemoryFolder(NOTES)
    folder.put(
        "lies.md",
        "- TODO: Call the printer on Monday — `notes/2026-11-20-call.md:6`\n"
        "- TODO: Call the printer on Friday — `notes/2026-11-20-call.md:5`\n"
        "- TODO: Call the printer on Friday — `notes/gone.md:6`\n"
        "- TODO: Call the printer on Friday — `../outside.md:6`\n"
        "- TODO: Call the printer on Friday — `notes/2026-11-20-call.md:6`\n"
        "- The client is happy.\n",
    )

    result = await TOOLS["check_quotes"].call({"path": "lies.md"}, place_of(folder))

    assert result.value["passed"] is False
    assert result.text == (
        "1 of 5 found again in the notes; 1 lines name no source; not found: "
        "notes/2026-11-20-call.md:6, notes/2026-11-20-call.md:5, notes/gone.md:6, ../outside.md:6"
    )


async def test_a_forgotten_action_is_named() -> None:
    """Whoever writes a briefing, an action that is not in it is found by reading the notes again."""
    folder = MemoryFolder(NOTES)
    folder.put("mine.md", "Tom: fix the import\n")
    paths = ["notes/2026-11-20-call.md", "notes/sub/2026-11-21-standup.txt"]

    result = await TOOLS["check_actions"].call({"path": "mine.md", "paths": [*paths]}, place_of(folder))

    assert result.value["passed"] is False
    assert result.text == "1 of 2 in the result; missing: notes/2026-11-20-call.md:6"


async def test_notes_that_change_after_the_page_fail_the_check() -> None:
    """A source that was changed is no longer what was quoted."""
    folder = MemoryFolder(NOTES)
    driven = await _brief(folder)
    assert isinstance(driven.end, Done)
    folder.put("notes/2026-11-20-call.md", "# nothing\n")

    check = await checked("quotes", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert check.passed is False
    assert "notes/2026-11-20-call.md:6" in check.evidence


async def test_any_part_of_the_history_gives_the_same_next_move() -> None:
    """R3: the plan is replayed from the journal after a crash at any step."""
    folder = MemoryFolder(NOTES)
    brief = brief_of("/brief notes/")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert len(driven.turns) == 5
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)
    assert await AGENT.move(brief, driven.turns) == driven.end


async def test_a_history_of_another_plan_is_given_up_honestly() -> None:
    """After an upgrade nothing is guessed."""
    folder = MemoryFolder(NOTES)
    driven = await _brief(folder)
    odd = Turn(move=driven.turns[1].move, results=driven.turns[0].results)

    move = await AGENT.move(brief_of("/brief notes/"), [odd])

    assert isinstance(move, GiveUp)
    assert "since an update" in move.reasons[0]


async def test_a_failed_try_is_begun_anew_with_the_folder_of_now() -> None:
    """A retry reads again and replaces its own page, never another file."""
    folder = MemoryFolder(NOTES)
    brief = brief_of("/brief notes/")
    first = await drive(AGENT, brief, place_of(folder), TOOLS)
    history = [*first.turns, Turn(move=first.end)]

    again = await AGENT.move(brief, history)

    assert again == first.turns[0].move


async def test_an_existing_file_is_never_overwritten() -> None:
    """A second briefing gets a name of its own, and does not quote the first."""
    folder = MemoryFolder({**NOTES, "briefing.md": "my own words\n"})

    await _brief(folder)
    driven = await _brief(folder, "/brief .")

    assert isinstance(driven.end, Done)
    assert driven.end.outputs == ("briefing-3.md",)
    assert folder.files["briefing.md"] == b"my own words\n"
    assert "`briefing-2.md" not in _page(folder, "briefing-3.md")


async def test_results_may_go_elsewhere() -> None:
    """With a folder that is only read, the page lies in the results place and is checked there."""
    folder, results = MemoryFolder(NOTES), MemoryFolder()

    driven = await drive(AGENT, brief_of("/brief notes --out monday"), place_of(folder, results=results), TOOLS)

    assert all(check.passed for check in driven.checks)
    assert (sorted(results.files), sorted(folder.files)) == (["monday.md"], sorted(NOTES))


@pytest.mark.parametrize(
    ("files", "line", "said"),
    [
        ({}, "/brief .", "There is nothing to read in .: no file is there."),
        ({"a.png": b"\x00", "b.pdf": b"%PDF"}, "/brief .", "only other files (png ×1, pdf ×1)"),
        ({"a.md": ""}, "/brief a.md", "The notes in a.md are empty."),
        ({"a.md": b"\x00\x01\x02"}, "/brief .", "There are no text notes in ., only other"),
        ({}, "/brief nowhere", "list nowhere: There is no such thing. (nowhere)"),
        ({}, "/brief ../out", "This path may not be used."),
        ({"a.md": "x"}, "/brief a.md --out ../x", "use a plain file name"),
        ({"a.png": b"\x00"}, "/brief 사진/", "사진/ 목록 보기"),
    ],
)
async def test_what_cannot_be_briefed_is_said_in_a_sentence(
    files: dict[str, str | bytes], line: str, said: str
) -> None:
    """Nothing to read is no success and no crash."""
    folder = MemoryFolder(files)

    driven = await _brief(folder, line)

    assert isinstance(driven.end, GiveUp)
    assert said in driven.end.reasons[0]


async def test_a_denied_write_is_told() -> None:
    """A person's no, or a rule's, ends the task with what was not allowed, and why."""
    folder = MemoryFolder(NOTES)
    driven = await _brief(folder)
    denied = Turn(move=driven.turns[3].move, results=(ToolResult(outcome="denied", value={}, text="no"),))

    move = await AGENT.move(brief_of("/brief notes/"), [*driven.turns[:3], denied])

    assert move == GiveUp(reasons=("Not allowed: write briefing.md.", "no"))


async def test_a_very_long_line_is_cut_visibly_and_still_found() -> None:
    """One line of 100,000 characters gives a short quote around its point, with marks, that the check finds."""
    filler = "word " * 10_000
    folder = MemoryFolder({"a.txt": f"{filler}TODO: call the bank about the loan {filler}\n"})

    driven = await _brief(folder, "/brief a.txt")

    quotes = _quoted(_page(folder))
    assert all(check.passed for check in driven.checks)
    assert len(quotes) == 1
    assert re.match(r"a\.txt:1 \[…\] .*TODO: call the bank about the loan .* \[…\]$", quotes[0])


@pytest.mark.parametrize(
    "files",
    [
        {"n/a.eml": "From: a@b.example\nTo: @mira please read\n\nTODO: call the bank\n"},
        {"n/a.md": "## Actions\n- https://example.com/" + "x" * 80 + "\n"},
        dict.fromkeys(("n/a.md", "n/b.md"), "word " * 120 + "TODO: call the bank " + "word " * 90),
        {"n/a.txt": "TODO: " + "x" * 200 + "\n", "n/b.txt": "TODO: y\n"},
    ],
    ids=["a mail with headers", "a long link", "a long action twice", "an unbroken action"],
)
async def test_agent_and_check_mean_the_same_actions(files: dict[str, str | bytes]) -> None:
    """Mail headers are none, a long link below Actions is one, and a cut action that stands twice is said once."""
    folder = MemoryFolder(files)

    driven = await _brief(folder, "/brief n")

    assert [check.passed for check in driven.checks] == [True, True]
    assert "@mira" not in _page(folder)


async def test_a_huge_file_is_read_to_its_end() -> None:
    """A file larger than one reading is gone on with; its last line counts as much as its first."""
    body = "\n".join(f"line {number} says nothing new" for number in range(40_000))
    folder = MemoryFolder({"big.log": f"{body}\nTODO: the very last thing\n"})

    driven = await _brief(folder, "/brief big.log")

    assert all(check.passed for check in driven.checks)
    assert "- TODO: the very last thing — `big.log:40001`" in _page(folder)


async def test_what_has_no_room_is_counted_and_located() -> None:
    """More actions than a page holds: none is lost silently, and the page stays a page."""
    notes = {
        f"n/{number:02}.md": "\n".join(
            f"TODO: thing {number}-{item} needs eight more words to be said" for item in range(20)
        )
        for number in range(10)
    }
    folder = MemoryFolder(notes)

    driven = await _brief(folder, "/brief n --pages 1")

    page = _page(folder)
    kept = len(_quoted(page))
    assert isinstance(driven.end, Done)
    assert len(page.split()) <= 450
    assert f"**Left out for space: {200 - kept} actions**" in page
    assert f"{200 - kept} actions had no room, ask for more --pages" in driven.end.summary
    assert all(check.passed for check in driven.checks)


async def test_korean_notes_are_answered_in_korean() -> None:
    """Headings and summary follow the language of the notes; the quotes are as they were."""
    folder = MemoryFolder({"회의/월.md": "# 회의\n- 예산을 확정\n- 할 일: 견적서 보내기\n"})

    driven = await _brief(folder, "/brief 회의/")

    assert isinstance(driven.end, Done)
    assert driven.end.summary == "1페이지, 2줄, 2줄 중 2줄을 메모에서 다시 찾음"
    assert "## 결정 사항\n\n- 예산을 확정 — `회의/월.md:2`" in _page(folder)


async def test_hundreds_of_notes_fit_one_page() -> None:
    """Many small files are read in few calls, and every kind of line gets its share."""
    notes: dict[str, str | bytes] = {
        f"n/{number:03}.md": (
            f"# Day {number}\n- Topic {number * 7} took {number} hours\n"
            f"We decided number {number}\nThe risk grew by {number} percent\n"
        )
        for number in range(450)
    }
    folder = MemoryFolder({**notes, "n/x.md": "TODO: the only action\n"})

    driven = await _brief(folder, "/brief n")

    page = _page(folder)
    assert all(check.passed for check in driven.checks)
    assert len(driven.turns) == 7
    assert len(page.split()) <= 450
    assert "- TODO: the only action — `n/x.md:1`" in page
    assert page.count("We decided") > 3 < page.count("The risk grew")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text("abc가나 -_", min_size=1, max_size=8).map(lambda name: f"n/{name.strip()}x.md"),
        st.lists(
            st.one_of(
                st.text(max_size=80),
                st.sampled_from(["TODO: x — `a:1`", "- [ ] 일", "## Actions", "- b", "---", "<b>x</b>", "[…]"]),
            ),
            max_size=12,
        ).map("\n".join),
        min_size=1,
        max_size=5,
    )
)
async def test_whatever_is_in_the_notes_a_page_is_right_or_honestly_none(notes: dict[str, str]) -> None:
    """Any text in any file: either every check passes, or there is a sentence why not."""
    folder = MemoryFolder({path: text.encode("utf-8", "replace") for path, text in notes.items()})

    driven = await _brief(folder, "/brief n")

    told = isinstance(driven.end, GiveUp) and bool(driven.end.reasons[0])
    assert told or all(check.passed for check in driven.checks)
    assert told or len(_page(folder).split()) <= 450
