"""``/duplicates`` and its tool over a real folder: equal bytes, never equal names, and the oldest stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deskhand.agents.commands.agent import CommandAgent
from deskhand.ports import Done, GiveUp, ToolResult, Turn, Wishes
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    photo, letter = b"\xff\xd8" + b"p" * 2_000_000, b"Dear all,\n"
    files = {
        "photos/IMG 1.jpg": photo,
        "photos/copy\nof IMG.jpg": photo,
        "backup/\u202eIMG.jpg": photo,
        "photos/IMG 2.jpg": photo[:-1] + b"q",
        "letter.txt": letter,
        "한글 편지.txt": letter,
        "empty a.txt": b"",
        "empty b.txt": b"",
        ".cache/letter.txt": letter,
    }
    for age, (name, data) in enumerate(files.items()):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_790_000_000 + age, 1_790_000_000 + age))
    os.link(tmp_path / "photos/IMG 2.jpg", tmp_path / "photos/IMG 2 again.jpg")
    os.link(tmp_path / "letter.txt", tmp_path / "letter too.txt")
    (tmp_path / "photos/link.jpg").symlink_to("IMG 1.jpg")
    return Folder(tmp_path)


async def _duplicates(folder: Folder, line: str = "/duplicates .") -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


async def test_equal_files_are_grouped_with_what_they_cost(folder: Folder) -> None:
    """Names of one file are no copies, empty files are nobody's, same size is not same content."""
    driven = await _duplicates(folder)

    assert isinstance(driven.end, Done)
    assert driven.end.summary == ("Equal files: 3 copies in 2 groups, 4.0 MB to win, 10 files compared")
    assert driven.end.say == (
        "**2.0 MB** × 3\n\n"
        "- `photos/IMG 1.jpg` (the oldest)\n"
        "- `photos/copy\\x0aof IMG.jpg` (copy)\n"
        "- `backup/\\x202eIMG.jpg` (copy)\n"
        "\n**10 B** × 3\n\n"
        "- `letter.txt` (the oldest)\n"
        "- `letter too.txt` (same file under another name)\n"
        "- `한글 편지.txt` (copy)"
    )
    assert [(check.passed, check.evidence) for check in driven.checks] == [(True, "6 of 6 as said")]


async def test_a_copy_that_changed_meanwhile_fails_the_check(folder: Folder, tmp_path: Path) -> None:
    """The bytes are hashed again."""
    driven = await _duplicates(folder)
    assert isinstance(driven.end, Done)
    (tmp_path / "한글 편지.txt").write_bytes(b"Dear you,\n")

    check = await checked("files", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert (check.passed, check.evidence) == (False, "5 of 6 as said; not so: 한글 편지.txt")


async def test_without_duplicates_it_says_how_many_were_compared(tmp_path: Path) -> None:
    """An empty folder and a folder of singles are answered, not failed."""
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")

    driven = await _duplicates(Folder(tmp_path))

    assert isinstance(driven.end, Done)
    assert driven.end.summary == "No two files below `.` have the same content; 2 files compared."


async def test_a_folder_that_is_not_there_is_an_error_with_its_name(folder: Folder) -> None:
    """A wrong path is no empty answer."""
    driven = await _duplicates(folder, "/duplicates gone")

    assert isinstance(driven.end, GiveUp)
    assert "gone" in driven.end.reasons[0]


async def test_later_copies_go_to_the_trash_and_the_oldest_stays(folder: Folder, tmp_path: Path) -> None:
    """A name of the same file is left alone; what is gone from its place lies in the trash."""
    (tmp_path / "backup/\u202eIMG.jpg").rename(tmp_path / "backup/IMG.jpg")
    (tmp_path / "photos/copy\nof IMG.jpg").rename(tmp_path / "photos/copy of IMG.jpg")

    driven = await _duplicates(folder, "/duplicates . --move")

    assert isinstance(driven.end, Done)
    assert driven.end.summary.endswith("; 3 in the trash now")
    assert "- `letter too.txt` (same file under another name)" in driven.end.say
    assert "- `한글 편지.txt` (in the trash)" in driven.end.say
    assert [check.passed for check in driven.checks] == [True]
    names = {path.relative_to(tmp_path).as_posix() for path in _files_below(tmp_path)}
    assert {"photos/IMG 1.jpg", "letter.txt", "letter too.txt"} <= names
    assert not {"backup/IMG.jpg", "photos/copy of IMG.jpg", "한글 편지.txt"} & names
    assert sum(name.startswith(".deskhand-trash/") for name in names) == 3


async def test_copies_that_could_not_be_moved_are_named_and_it_is_not_done(folder: Folder) -> None:
    """Names that no tool may touch stay where they are, and it is said."""
    driven = await _duplicates(folder, "/duplicates . --move")

    assert isinstance(driven.end, GiveUp)
    assert [reason.partition(":")[0] for reason in driven.end.reasons[:2]] == [
        "`photos/copy\\x0aof IMG.jpg` was not moved",
        "`backup/\\x202eIMG.jpg` was not moved",
    ]
    assert driven.end.reasons[2].endswith("; 1 in the trash now")


async def test_hundreds_of_copies_are_moved_in_portions(tmp_path: Path) -> None:
    """A task has a bound of steps; what is left is counted, and the same command goes on."""
    for number in range(200):
        (tmp_path / f"{number:03}.txt").write_text("the same")
    folder = Folder(tmp_path)

    first = await _duplicates(folder, "/duplicates . --move")
    second = await _duplicates(folder, "/duplicates . --move")

    assert isinstance(first.end, Done)
    assert "49 more copies are where they were" in first.end.say
    assert isinstance(second.end, Done)
    assert [entry.path for entry in folder.list(".", limit=9) if entry.kind == "file"] == ["000.txt"]
    assert all(check.passed for check in (*first.checks, *second.checks))


async def test_a_trash_that_may_not_be_used_is_said(folder: Folder) -> None:
    """Denied or broken, nothing is called moved."""
    looked = await _duplicates(folder)
    brief = brief_of("/duplicates . --move")
    wishes = await AGENT.move(brief, looked.turns)
    assert isinstance(wishes, Wishes)
    denied = tuple(ToolResult(outcome="denied", value={}, text="read only") for _ in wishes.calls)

    end = await AGENT.move(brief, [*looked.turns, Turn(move=wishes, results=denied)])

    assert isinstance(end, GiveUp)
    assert end.reasons[2] == "`한글 편지.txt` was not moved: read only"


def _files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def test_any_part_of_the_history_gives_the_same_next_move(folder: Folder) -> None:
    """R3."""
    brief = brief_of("/duplicates photos")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)
