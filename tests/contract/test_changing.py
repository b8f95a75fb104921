"""Tools that change files: exactly what was said, at most once, and nothing is ever lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.errors import Code, DeskhandError
from deskhand.ports import FolderAccess, ToolResult
from deskhand.protocol.wire import JsonObject
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.beneath import Folder
from deskhand.tools.builtin import BuiltIn
from deskhand.tools.registry import standard_tools
from tests.driven import offloaded, place_of

Make = Callable[[dict[str, bytes]], FolderAccess]


class Day:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        """Begin on a day."""
        self.moment = datetime(2026, 11, 23, 10, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment

    def monotonic(self) -> float:
        """Return nothing of use."""
        return 0.0

    def elapsed(self) -> float:
        """Return nothing of use."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Not sleep."""
        del seconds


CLOCK = Day()
TOOLS = standard_tools(offload=offloaded, clock=CLOCK)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a maker of real folders."""

    def on_disk(files: dict[str, bytes]) -> FolderAccess:
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Folder(tmp_path)

    return on_disk


async def _call(tool: str, folder: FolderAccess, **arguments: str) -> ToolResult:
    return await TOOLS[tool].call({**arguments}, place_of(folder))


async def _probed(tool: str, folder: FolderAccess, **arguments: str) -> ToolResult | None:
    built = TOOLS[tool]
    assert isinstance(built, BuiltIn)
    assert built.effect == "probe"
    said: JsonObject = {**arguments}
    return await built.probe(said, place_of(folder))


# --- edits


@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8", "\n"), ("utf-8-sig", "\r\n"), ("cp949", "\r\n"), ("utf-16", "\n")]
)
async def test_an_edit_keeps_encoding_and_line_ends(encoding: str, end: str, make: Make) -> None:
    """Every byte that was not meant stays as it was."""
    before = f"가격표{end}담당: 김{end}금액은 그대로 둡니다{end}"
    folder = make({"a.txt": before.encode(encoding)})

    result = await _call("edit_file", folder, path="a.txt", old="표\n담당: 김", new="표\n담당: 이\n비고")

    after = f"가격표{end}담당: 이{end}비고{end}금액은 그대로 둡니다{end}"
    assert folder.read("a.txt", limit=999) == after.encode(encoding)
    assert "-담당: 김\n+담당: 이\n+비고" in result.text


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("x", ("3 times", "at lines 1, 2, 4", "only one")),
        ("nothing like it", ("0 times", "copy the passage exactly")),
        ("2: xy", ("0 times", "without the numbers before lines")),
    ],
)
async def test_a_passage_must_stand_there_once(old: str, said: tuple[str, ...], make: Make) -> None:
    """Otherwise nothing is changed, and the model is told where it stands and what to do."""
    folder = make({"a.txt": b"x\nxy\nz\nzx\n"})

    with pytest.raises(DeskhandError) as caught:
        await _call("edit_file", folder, path="a.txt", old=old, new="new")

    assert (caught.value.code, caught.value.field) == (Code.INVALID, "old")
    assert [part for part in said if part not in caught.value.detail] == []
    assert folder.read("a.txt", limit=99) == b"x\nxy\nz\nzx\n"


async def test_what_the_encoding_cannot_hold_is_said(make: Make) -> None:
    """A file in an old encoding is not silently turned into another, nor given question marks."""
    folder = make({"a.txt": "가격표를 보냅니다".encode("cp949")})

    with pytest.raises(DeskhandError) as caught:
        await _call("edit_file", folder, path="a.txt", old="가격", new="😀")

    assert (caught.value.code, caught.value.field) == (Code.INVALID, "new")
    assert "cp949" in caught.value.detail


@given(
    before=st.text(alphabet="ab\n", max_size=30),
    old=st.text(alphabet="ab\n", min_size=1, max_size=4),
    new=st.text(alphabet="abc\n", min_size=1, max_size=6),
)
async def test_an_edit_that_is_repeated_changes_nothing_more(before: str, old: str, new: str) -> None:
    """R3: after a crash the same wish is carried out again; where it was done, it says so or finds nothing."""
    folder = MemoryFolder({"a.txt": before})
    try:
        await _call("edit_file", folder, path="a.txt", old=old, new=new)
    except DeskhandError:
        assert folder.files["a.txt"] == before.encode()
        return
    once = folder.files["a.txt"]

    if old in new or old not in once.decode():
        await _call("edit_file", folder, path="a.txt", old=old, new=new)

    assert folder.files["a.txt"] == once


# --- moves


async def test_a_move_makes_the_directory_it_goes_to(make: Make) -> None:
    """And says which file is gone and which is new."""
    folder = make({"a.txt": b"a"})

    result = await _call("move_file", folder, path="a.txt", to="old/2026/a.txt")

    assert folder.read("old/2026/a.txt", limit=9) == b"a"
    assert result.value["changes"] == [
        {"path": "a.txt", "kind": "deleted"},
        {"path": "old/2026/a.txt", "kind": "created"},
    ]


async def test_a_move_to_a_missing_file_is_no_success(make: Make) -> None:
    """That something lies at the new name does not mean that it was moved there."""
    folder = make({"b.txt": b"b"})

    with pytest.raises(DeskhandError) as caught:
        await _call("move_file", folder, path="a.txt", to="b.txt")

    assert caught.value.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ({"b.txt": b"b"}, "done before"),
        ({"a.txt": b"a"}, "done now"),
        ({"a.txt": b"a", "b.txt": b"b"}, "nobody can tell"),
        ({}, "nobody can tell"),
    ],
)
async def test_a_move_that_a_crash_cut_off_is_looked_for(files: dict[str, bytes], ends: str, make: Make) -> None:
    """R3: gone here and there at the new name is done; untouched is done now; else the person is told."""
    folder = make(files)

    found = await _probed("move_file", folder, path="a.txt", to="b.txt")

    assert (found is None) is (ends == "nobody can tell")
    assert ends == "nobody can tell" or folder.stat("a.txt") is None


# --- trash


async def test_what_is_thrown_away_can_be_brought_back(make: Make) -> None:
    """FS-11's neighbour: nothing a model does deletes a file; the same name twice keeps both."""
    folder = make({"notes/a.txt": b"first"})

    first = await _call("trash_file", folder, path="notes/a.txt")
    folder.write("notes/a.txt", b"second")
    second = await _call("trash_file", folder, path="notes/a.txt")
    await _call("move_file", folder, path=str(first.value["to"]), to="notes/a.txt")

    assert first.value["to"] == ".deskhand-trash/2026-11-23/notes/a.txt"
    assert folder.read("notes/a.txt", limit=9) == b"first"
    assert folder.read(str(second.value["to"]), limit=9) == b"second"


async def test_a_whole_directory_can_be_thrown_away(make: Make) -> None:
    """With everything in it, in one step."""
    folder = make({"old/a.txt": b"a", "old/b/c.txt": b"c"})

    result = await _call("trash_file", folder, path="old")

    assert folder.stat("old") is None
    assert folder.read(f"{result.value['to']}/b/c.txt", limit=9) == b"c"
    assert result.value["changes"] == [{"path": "old", "kind": "deleted"}]


async def test_the_trash_is_not_listed_or_searched(make: Make) -> None:
    """What was thrown away is out of sight, unless it is asked for."""
    folder = make({"a.txt": b"words", "b.txt": b"words"})
    await _call("trash_file", folder, path="a.txt")
    place = place_of(folder)

    listed = await TOOLS["list_files"].call({"recursive": True}, place)
    searched = await TOOLS["find_files"].call({"words": ["words"]}, place)
    asked = await TOOLS["list_files"].call({"path": ".deskhand-trash", "recursive": True}, place)

    assert listed.text == "b.txt  5"
    assert searched.text == "b.txt\n  1: words"
    assert asked.text.endswith("a.txt  5")


async def test_a_full_trash_does_not_crowd_out_the_folder(make: Make) -> None:
    """What a bound cuts off is never the person's own files for the sake of what they threw away."""
    trash = {f".deskhand-trash/2026-11-22/{n}.txt": b"words" for n in range(30)}
    folder = make({**trash, "sub/b.txt": b"words"})

    arguments: JsonObject = {"recursive": True, "limit": 10}
    listed = await TOOLS["list_files"].call(arguments, place_of(folder))

    assert listed.text == "sub/  0\nsub/b.txt  5"


async def test_throwing_away_that_a_crash_cut_off_is_looked_for(make: Make) -> None:
    """R3: also over midnight it happens once."""
    folder = make({"a.txt": b"a", "b.txt": b"b"})
    await _call("trash_file", folder, path="a.txt")
    CLOCK.moment += timedelta(days=1)

    done = await _probed("trash_file", folder, path="a.txt")
    undone = await _probed("trash_file", folder, path="b.txt")
    CLOCK.moment -= timedelta(days=1)

    assert done is not None
    assert undone is not None
    assert folder.stat("b.txt") is None


# --- search


async def test_words_are_searched_in_any_case_as_they_stand(make: Make) -> None:
    """What would be a pattern elsewhere is only letters; none can make a search run for years."""
    folder = make({"a.md": b"Call (a+)+$\nnothing\ncall me", "sub/b.md": b"a" * 50_000})

    result = await TOOLS["find_files"].call({"words": ["call (A+)+$"]}, place_of(folder))

    assert result.text == "a.md\n  1: Call (a+)+$"


async def test_a_thousand_files_are_searched_and_what_does_not_fit_is_counted(make: Make) -> None:
    """A bound that was met is said with how to see the rest."""
    folder = make({f"{n:04}.txt": b"a line with words " + b"x" * 80 for n in range(1000)})
    folder.write("picture.png", b"\x89PNG\0\0\0")

    result = await TOOLS["find_files"].call({"words": ["words"]}, place_of(folder))

    assert len(result.text) < 20_500
    assert "more files; take other words" in result.text
