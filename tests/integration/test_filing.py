"""``/organize`` and ``/rename`` over a real folder: every file arrives whole, none is overwritten, and a no is a no."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from deskhand.agents.commands.agent import CommandAgent
from deskhand.ports import Done, GiveUp, ToolResult, Turn, Wishes
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
WHEN = 1_764_750_000  # 3 December 2025


def _filled(root: Path, *names: str) -> Folder:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
        os.utime(path, (WHEN, WHEN))
    return Folder(root)


async def _do(folder: Folder, line: str) -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _names(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def _contents(root: Path) -> Counter[str]:
    files = (root / name for name in _names(root))
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


async def test_files_go_into_folders_by_their_type_and_are_all_there(tmp_path: Path) -> None:
    """What lies in folders, and hidden files, stay; a name that is taken gets a number."""
    folder = _filled(tmp_path, "a.PDF", "b.jpg", "회의 사진.jpg", "noext", "sub/c.jpg", ".hidden", "Pictures/b.jpg")
    before = _contents(tmp_path)

    driven = await _do(folder, "/organize .")

    assert isinstance(driven.end, Done)
    assert driven.end.summary == "4 of 4 files moved; undo takes them back."
    assert _names(tmp_path) == {
        "Documents/a.PDF",
        "Pictures/b.jpg",
        "Pictures/b (2).jpg",
        "Pictures/회의 사진.jpg",
        "Other/noext",
        "sub/c.jpg",
        ".hidden",
    }
    assert _contents(tmp_path) == before
    assert all(check.passed for check in driven.checks)


async def test_a_dry_run_only_lists(tmp_path: Path) -> None:
    """The plan is said and nothing moves."""
    folder = _filled(tmp_path, "2026-03-01 plan.md", "budget 2025-12-03.xlsx")

    driven = await _do(folder, "/organize . --by date --dry-run")

    assert isinstance(driven.end, Done)
    assert driven.end.summary.startswith("2 files would move.")
    assert "- `2026-03-01 plan.md` → `2026-03/2026-03-01 plan.md`" in driven.end.say
    assert _names(tmp_path) == {"2026-03-01 plan.md", "budget 2025-12-03.xlsx"}


@pytest.mark.parametrize(
    ("line", "names", "renamed"),
    [
        ('/rename . "{date} {name}"', ["a.txt", "x 2025-01-31.txt"], ["2025-12-03 a.txt", "2025-01-31 x.txt"]),
        ('/rename . "scan {n:03}"', ["p.pdf", "q.jpg"], ["scan 001.pdf", "scan 002.jpg"]),
        ("/rename . --replace IMG_ --with 여행_", ["IMG_1.jpg", "b.jpg"], ["여행_1.jpg", "b.jpg"]),
        ('/rename . replace " " with "_"', ["a b c.tar.gz"], ["a_b_c.tar.gz"]),
        ("/rename ./ --replace x --with y", ["x.md"], ["y.md"]),
        ("/rename report.docx report-final.docx", ["report.docx", "b.md"], ["report-final.docx", "b.md"]),
        ("/rename . {name:lower}", ["ABC.TXT", "Über.md"], ["abc.TXT", "über.md"]),
        ('/rename . --replace "copy of "', ["copy of x.md", "x.md"], ["x (2).md", "x.md"]),
    ],
)  # fmt: skip
async def test_names_follow_the_pattern_and_keep_their_endings(
    line: str, names: list[str], renamed: list[str], tmp_path: Path
) -> None:
    """Nothing is overwritten, and every file has its content."""
    folder = _filled(tmp_path, *names)
    before = _contents(tmp_path)

    driven = await _do(folder, line)

    assert isinstance(driven.end, Done), driven.end
    assert _names(tmp_path) == set(renamed)
    assert _contents(tmp_path) == before
    assert all(check.passed for check in driven.checks)


async def test_files_that_take_each_others_names_swap(tmp_path: Path) -> None:
    """A loop ends where it should: each goes by a name of its own."""
    names = [f"{number} x.txt" for number in range(1, 11)]
    folder = _filled(tmp_path, *names)

    driven = await _do(folder, '/rename . "{n} x"')

    assert isinstance(driven.end, Done), driven.end
    assert _names(tmp_path) == set(names)
    assert (tmp_path / "2 x.txt").read_text() == "content of 10 x.txt"
    assert (tmp_path / "10 x.txt").read_text() == "content of 9 x.txt"
    assert [check.passed for check in driven.checks] == [True]


async def test_moves_that_a_crash_cut_off_are_finished_and_never_done_twice(tmp_path: Path) -> None:
    """R3: after the first two of four moves, looking finds what is done and does the rest."""
    folder = _filled(tmp_path, "a.txt", "b.txt", "c.txt", "d.txt")
    wish = {"paths": ["a.txt", "b.txt", "c.txt", "d.txt"], "to": ["x/a", "x/b", "x/c", "x/d"]}
    (tmp_path / "x").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").rename(tmp_path / "x" / name)
    probe = getattr(TOOLS["move_files"], "probe")  # noqa: B009 - tools without one lack the attribute

    found: ToolResult = await probe(wish, place_of(folder))
    again: ToolResult = await probe(wish, place_of(folder))

    assert _names(tmp_path) == {"x/a", "x/b", "x/c", "x/d"}
    assert found.value["failed"] == again.value["failed"] == []
    assert (tmp_path / "x/a").read_text() == "content of a.txt"


async def test_a_file_that_vanished_or_a_name_that_was_taken_meanwhile_is_said(tmp_path: Path) -> None:
    """It is not done, the others moved, and what is said is what really went."""
    folder = _filled(tmp_path, "a.txt", "b.txt", "c.txt")
    brief, turns = brief_of("/organize ."), list[Turn]()
    place = place_of(folder)
    while not isinstance(move := await AGENT.move(brief, turns), (Done, GiveUp)):
        assert isinstance(move, Wishes)
        if move.calls[0].tool == "move_files":
            (tmp_path / "a.txt").unlink()
            (tmp_path / "Documents").mkdir()
            (tmp_path / "Documents/b.txt").write_text("somebody else's")
        results = [await TOOLS[call.tool].call(call.arguments, place) for call in move.calls]
        turns.append(Turn(move=move, results=tuple(results)))

    assert isinstance(move, GiveUp)
    assert [reason.partition(":")[0] for reason in move.reasons[:2]] == [
        "`a.txt` was not moved",
        "`b.txt` was not moved",
    ]
    assert move.reasons[2].startswith("1 of 3 files moved")
    assert (tmp_path / "Documents/b.txt").read_text() == "somebody else's"
    assert "Documents/c.txt" in _names(tmp_path)


async def test_a_no_to_the_moves_ends_it(tmp_path: Path) -> None:
    """A person's no is told; nothing is said to have moved."""
    folder = _filled(tmp_path, "a.txt")
    brief, turns = brief_of("/organize ."), [*(await _do(folder, "/organize . --dry-run")).turns]
    wishes = await AGENT.move(brief, turns)
    assert isinstance(wishes, Wishes)
    denied = ToolResult(outcome="denied", value={}, text="no")

    after = await AGENT.move(brief, [*turns, Turn(move=wishes, results=(denied,))])

    assert wishes.calls[0].tool == "move_files"
    assert isinstance(after, GiveUp)
    assert after.reasons[-1].startswith("0 of 1 files moved")


async def test_a_name_nobody_may_touch_keeps_no_other_file_from_moving(tmp_path: Path) -> None:
    """The gate refuses a wish as a whole; what is in it besides moves all the same, and the file is named."""
    folder = _filled(tmp_path, "a.txt", "b.txt", "lefthook.yml", "z.txt")
    brief, turns, place = brief_of("/organize ."), list[Turn](), place_of(folder)
    refused = ToolResult(outcome="denied", value={"rule": "protected"}, text="protected")
    while not isinstance(move := await AGENT.move(brief, turns), (Done, GiveUp)):
        assert isinstance(move, Wishes)
        call = move.calls[0]
        paths = call.arguments.get("paths")
        denied = isinstance(paths, list) and "lefthook.yml" in paths
        result = refused if denied else await TOOLS[call.tool].call(call.arguments, place)
        turns.append(Turn(move=move, results=(result,)))

    assert isinstance(move, GiveUp)
    assert move.reasons[0] == "Not allowed: move 1 files, lefthook.yml first."
    assert move.reasons[2].startswith("3 of 4 files moved")
    assert {"Documents/a.txt", "Documents/z.txt", "lefthook.yml"} <= _names(tmp_path)


async def test_a_file_changed_after_the_move_fails_the_check(tmp_path: Path) -> None:
    """The content under the new name is hashed again."""
    folder = _filled(tmp_path, "a.txt")
    driven = await _do(folder, "/rename . {name:upper}")
    assert isinstance(driven.end, Done)
    (tmp_path / "A.txt").write_text("other")

    check = await checked("files", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert check.passed is False


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/organize gone", "gone"),
        ("/organize empty", "Nothing is to be moved in empty."),
        ("/rename . same", "would give all files the same name"),
        ("/rename . a/{name}", 'would be called "a/'),
        ("/rename .", "Say one pattern"),
        ("/rename . 이름", "같은 이름"),
    ],
)
async def test_what_cannot_be_moved_is_said_in_a_sentence(line: str, said: str, tmp_path: Path) -> None:
    """Precise words, in the language of who asked."""
    folder = _filled(tmp_path, "a.txt", "b.txt")
    (tmp_path / "empty").mkdir()

    driven = await _do(folder, line)

    assert isinstance(driven.end, GiveUp)
    assert said in driven.end.reasons[0]
    assert _names(tmp_path) == {"a.txt", "b.txt"}


async def test_thousands_of_files_move_in_wishes_that_can_be_shown(tmp_path: Path) -> None:
    """Every wish is small enough for an approval, and no file is left behind."""
    count = 2_500
    folder = _filled(tmp_path, *(f"사진 파일 {number:05}.jpg" for number in range(count)))
    brief = brief_of("/organize .")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    sizes = [
        len(str(call.arguments).encode()) for t in driven.turns if isinstance(t.move, Wishes) for call in t.move.calls
    ]
    assert isinstance(driven.end, Done)
    assert len(_names(tmp_path)) == count
    assert max(sizes) < 100_000
    assert all(check.passed for check in driven.checks)


@pytest.mark.parametrize("line", ["/organize .", '/rename . "{n} {name}"'])
async def test_any_part_of_the_history_gives_the_same_next_move(line: str, tmp_path: Path) -> None:
    """R3."""
    folder = _filled(tmp_path, "aa 1.txt", "aa 2.txt", "1 aa 1.txt")
    brief = brief_of(line)

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert isinstance(driven.end, Done)
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)
