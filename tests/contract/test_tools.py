"""What every tool keeps, and what each one promises, on a folder in memory and on a real one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.limits import TOOL_TEXT_CHARS_MAX
from deskhand.ports import CommandResult, FileChange, FolderAccess, Place, ToolResult
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import Json, JsonObject
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools import office
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests import papers
from tests.driven import RecordedSandbox, offloaded, place_of

TOOLS = standard_tools(offload=offloaded)
Files = dict[str, str | bytes]
Make = Callable[[Files], FolderAccess]

ARGUMENTS: dict[str, JsonObject] = {
    "list_files": {"path": "."},
    "read_file": {"path": "a.txt"},
    "read_files": {"paths": ["a.txt"]},
    "find_files": {"words": ["x"]},
    "find_duplicates": {"path": "."},
    "write_file": {"path": "new.txt", "content": "x"},
    "edit_file": {"path": "a.txt", "old": "x", "new": "y"},
    "make_directory": {"path": "new"},
    "trash_file": {"path": "a.txt"},
    "move_file": {"path": "a.txt", "to": "b.txt"},
    "move_files": {"paths": ["a.txt"], "to": ["b.txt"]},
    "write_table": {"path": "new.csv", "tables": {"paths": ["a.csv"]}},
    "list_sheets": {"paths": ["a.xlsx"]},
    "merge_pdfs": {"path": "new.pdf", "files": {"paths": ["a.pdf", "a.pdf"]}},
    "check_table": {"path": "a.csv", "tables": {"paths": ["a.csv"]}},
    "check_copied": {"path": "a.txt", "paths": ["a.txt"]},
    "query_table": {"paths": ["a.csv"], "sql": "SELECT sum(v) FROM a"},
    "write_report": {"path": "new.xlsx", "tables": {"paths": ["a.csv"]}},
    "write_document": {"path": "new.docx", "content": "# A"},
    "fetch_url": {"url": "https://example.org/"},
    "undo_files": {"task": "tsk_1"},
    "run_command": {"argv": ["true"]},
    "check_files": {"path": ".", "files": []},
    "check_exit": {"step": "0" * 64},
    "check_quotes": {"path": "a.txt"},
    "check_actions": {"path": "a.txt", "paths": ["a.txt"]},
    "check_report": {"path": "a.xlsx", "tables": {"paths": ["a.csv"]}},
}
FILES: Files = {
    "a.pdf": papers.pdf("Page one"),
    "a.txt": "x\n",
    "a.csv": "n,v\na,1\nb,2\n",
    "a.xlsx": office.build([("A", [[3]])]),
}


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return a maker of folders of one kind."""

    def in_memory(files: Files) -> FolderAccess:
        return MemoryFolder(files, root=str(tmp_path))

    def on_disk(files: Files) -> FolderAccess:
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return Folder(tmp_path)

    return in_memory if request.param == "memory" else on_disk


async def _call(tool: str, arguments: JsonObject, folder: FolderAccess) -> ToolResult:
    return await TOOLS[tool].call(arguments, place_of(folder))


ELSEWHERE = {"fetch_url", "undo_files"}
"""What needs more than a folder: a site, a checkpoint."""


def test_every_tool_is_in_the_contract() -> None:
    """A tool without its row here is not done."""
    assert set(ARGUMENTS) == set(TOOLS)


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - ELSEWHERE))
async def test_a_tool_takes_its_arguments_and_no_others(name: str, make: Make) -> None:
    """A misspelt argument is an error that names it, never a silent default."""
    folder = make(FILES)

    with pytest.raises(DeskhandError) as caught:
        await _call(name, {**ARGUMENTS[name], "recursiv": True}, folder)
    result = await _call(name, ARGUMENTS[name], folder)

    assert (caught.value.code, caught.value.field) == (Code.INVALID, "recursiv")
    assert result.outcome == "ok"


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - {"run_command", "fetch_url"}))
def test_a_target_is_an_absolute_place(name: str, make: Make) -> None:
    """Rules and approvals see where a call will land."""
    folder = make(FILES)

    target = TOOLS[name].target(ARGUMENTS[name], place_of(folder))

    assert target.startswith(str(folder.root))


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - ELSEWHERE))
async def test_a_tool_that_says_it_does_not_write_changes_nothing(name: str) -> None:
    """Only tools marked ``writes`` may change a file."""
    folder = MemoryFolder(FILES)
    before = dict(folder.files)

    await _call(name, ARGUMENTS[name], folder)

    assert TOOLS[name].writes or folder.files == before


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("list_files", {"path": 3}, "path"),
        ("list_files", {"path": ".", "recursive": "yes"}, "recursive"),
        ("list_files", {"path": ".", "limit": 0}, "limit"),
        ("list_files", {"path": ".", "from": "home"}, "from"),
        ("read_file", {}, "path"),
        ("read_file", {"path": "a.txt", "from_line": True}, "from_line"),
        ("read_files", {"paths": []}, "paths"),
        ("read_files", {"paths": [1]}, "paths"),
        ("find_files", {"words": "x"}, "words"),
        ("write_file", {"path": "x", "content": 3}, "content"),
        ("run_command", {"argv": "ls"}, "argv"),
        ("run_command", {"argv": ["ls"], "seconds": 10_000}, "seconds"),
        ("write_report", {"path": "x.xlsx", "tables": {"paths": []}}, "paths"),
        ("check_report", {"tables": {"paths": ["a.csv"]}}, "path"),
    ],
)
async def test_wrong_arguments_name_their_field(tool: str, arguments: JsonObject, field: str) -> None:
    """What a model gets wrong is named, so that it can mend it."""
    with pytest.raises(DeskhandError) as caught:
        await _call(tool, arguments, MemoryFolder(FILES))

    assert (caught.value.code, caught.value.field) == (Code.INVALID, field)


@pytest.mark.parametrize("path", ["../a.txt", "/etc/passwd", "notes/../../a.txt"])
async def test_no_path_leads_out(path: str, make: Make) -> None:
    """The handle's rules hold for tools too (FS-01)."""
    folder = make(FILES)

    with pytest.raises(DeskhandError) as caught:
        await _call("read_file", {"path": path}, folder)

    assert caught.value.code is Code.PATH_REFUSED


async def test_files_are_listed_with_what_is_below(make: Make) -> None:
    """A recursive listing has every file, a pattern narrows it, a file lists as itself."""
    folder = make({"a.md": "1", "sub/b.md": "22", "sub/c.txt": "333"})

    everything = await _call("list_files", {"recursive": True, "pattern": "*.md"}, folder)
    itself = await _call("list_files", {"path": "sub/c.txt"}, folder)
    inside = await _call("list_files", {"recursive": True, "pattern": "sub/*.md"}, folder)

    assert everything.text == "a.md  1\nsub/b.md  2"
    assert inside.text == "sub/b.md  2"
    assert itself.text == "sub/c.txt  3"


async def test_a_cut_listing_says_so(make: Make) -> None:
    """A bound that was met is never silent."""
    folder = make({f"{number}.md": "x" for number in range(9)})

    result = await _call("list_files", {"recursive": True, "limit": 4}, folder)

    assert result.value["complete"] is False
    assert result.text.endswith("[only the first 4 entries]")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("가격표\nÄrger".encode(), "utf-8"),
        ("가격표\nx".encode("utf-8-sig"), "utf-8-sig"),
        ("가격표\nx".encode("utf-16"), "utf-16"),
        ("가격표를 보냅니다\n회의".encode("cp949"), "cp949"),
        ("Ärger über Müller\nÖl".encode("cp1252"), "cp1252"),
    ],
)
async def test_the_encoding_of_a_text_is_found(data: bytes, encoding: str, make: Make) -> None:
    """Korean and Western files of twenty years are read as they were written."""
    folder = make({"a.txt": data})

    value = (await _call("read_file", {"path": "a.txt"}, folder)).value

    assert (value["encoding"], value["lines"]) == (encoding, data.decode(encoding).split("\n"))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\x00\x00\x01", bytes(range(256)) * 4])
async def test_a_binary_file_is_no_text(data: bytes, make: Make) -> None:
    """Mojibake is never passed off as content."""
    folder = make({"a.png": data, "b.txt": "fine"})

    with pytest.raises(DeskhandError) as caught:
        await _call("read_file", {"path": "a.png"}, folder)
    many = await _call("read_files", {"paths": ["a.png", "b.txt"]}, folder)

    assert caught.value.code is Code.UNSUPPORTED_TYPE
    assert many.value["files"] == [
        {"path": "a.png", "error": "unsupported_type"},
        {**_file(many, 1), "path": "b.txt", "lines": ["fine"]},
    ]


async def test_lines_are_counted_as_editors_count_them(make: Make) -> None:
    """Line ends of all three systems count; a form feed or a Unicode separator does not."""
    folder = make({"a.txt": "one\r\ntwo\rthree\nfour \u2028 \x0c still four\n"})

    value = (await _call("read_file", {"path": "a.txt", "from_line": 3}, folder)).value

    assert value["lines"] == ["three", "four \u2028 \x0c still four"]
    assert value["lines_total"] == 4


async def test_what_does_not_fit_is_gone_on_with(make: Make) -> None:
    """A file larger than one call is read to its end on its own; another that no longer fits is named."""
    big = "x" * 600_000 + "\n" + "y" * 600_000
    folder = make({"big.txt": big, "b.txt": "b", "c.txt": big})

    many = await _call("read_files", {"paths": ["big.txt", "b.txt", "c.txt"]}, folder)
    rest = await _call("read_file", {"path": "big.txt", "from_line": 2}, folder)

    assert (len(_lines(many, 0)), _file(many, 0)["lines_total"]) == (1, 2)
    assert (_lines(many, 1), many.value["unread"]) == (["b"], ["c.txt"])
    assert rest.value["lines"] == ["y" * 600_000]


async def test_a_search_says_where(make: Make) -> None:
    """Words are found in any case, with their file and line; what is no text is passed over."""
    folder = make({"a.md": "x\nCall the PRINTER", "b.png": b"\x00printer\x00", "c.md": "none"})

    result = await _call("find_files", {"words": ["printer"]}, folder)

    assert result.text.splitlines() == ["a.md", "  2: Call the PRINTER"]


async def test_a_write_never_replaces_unasked(make: Make) -> None:
    """An existing file stays unless the wish says replace; the same bytes again are done already."""
    folder = make({"a.txt": "mine"})
    wish: JsonObject = {"path": "sub/new.txt", "content": "가"}

    first = await _call("write_file", wish, folder)
    again = await _call("write_file", wish, folder)
    with pytest.raises(DeskhandError) as caught:
        await _call("write_file", {"path": "a.txt", "content": "other"}, folder)
    await _call("write_file", {"path": "a.txt", "content": "new", "replace": True}, folder)

    assert first.value == again.value
    assert caught.value.code is Code.CONFLICT
    assert folder.read("a.txt", limit=10) == b"new"


async def test_writes_go_to_the_results_place() -> None:
    """What is read lies in the folder, what is written goes to results and can be read back from there."""
    folder, results = MemoryFolder({"a.txt": "source"}), MemoryFolder()
    place = place_of(folder, results=results)

    await TOOLS["write_file"].call({"path": "a.txt", "content": "result"}, place)
    source = await TOOLS["read_file"].call({"path": "a.txt"}, place)
    result = await TOOLS["read_file"].call({"path": "a.txt", "from": "results"}, place)

    assert (source.text, result.text) == ("1: source", "1: result")
    assert folder.files == {"a.txt": b"source"}


async def test_a_task_without_a_folder_can_read_its_results_only() -> None:
    """No folder is no folder, never the current directory."""
    results = MemoryFolder({"a.txt": "x"})
    place = Place(folder=None, results=results, mode=FolderMode.WORKSPACE, sandbox=place_of(results).sandbox)

    with pytest.raises(DeskhandError) as caught:
        await TOOLS["read_file"].call({"path": "a.txt"}, place)
    result = await TOOLS["read_file"].call({"path": "a.txt", "from": "results"}, place)

    assert caught.value.code is Code.FOLDER_UNKNOWN
    assert result.text == "1: x"


async def test_a_move_takes_only_a_free_name(make: Make) -> None:
    """Nothing is overwritten by a move."""
    folder = make({"a.txt": "a", "b.txt": "b"})

    with pytest.raises(DeskhandError) as caught:
        await _call("move_file", {"path": "a.txt", "to": "b.txt"}, folder)
    await _call("move_file", {"path": "a.txt", "to": "c.txt"}, folder)

    assert caught.value.code is Code.CONFLICT
    assert (folder.stat("a.txt"), folder.read("c.txt", limit=9)) == (None, b"a")


@pytest.mark.parametrize(("exit_code", "outcome"), [(0, "ok"), (2, "error"), (None, "error")])
async def test_a_command_runs_in_the_sandbox_and_tells_its_end(exit_code: int | None, outcome: str) -> None:
    """Only the sandbox runs it, with the folder's mode; exit code, output and changes come back."""
    sandbox = RecordedSandbox(
        CommandResult(
            exit_code=exit_code,
            output=b"hello\n",
            truncated=False,
            timed_out=exit_code is None,
            changes=(FileChange(path="a.zip", kind="created", size=3),),
        )
    )
    folder = MemoryFolder()
    place = Place(folder=folder, results=folder, mode=FolderMode.READ_ONLY, sandbox=sandbox)
    arguments: JsonObject = {"argv": ["python3", "-c", "print('hi there')"], "seconds": 5}

    result = await TOOLS["run_command"].call(arguments, place)

    assert (result.outcome, result.value["exit_code"]) == (outcome, exit_code)
    assert "created a.zip" in result.text
    assert TOOLS["run_command"].target(arguments, place) == ("""python3 -c 'print('"'"'hi there'"'"')'""")
    assert [(c.writable, c.seconds_max, c.folder) for c in sandbox.commands] == [(False, 5.0, folder.root)]


async def test_of_a_long_output_a_model_gets_both_ends() -> None:
    """RL-05: errors stand at the end, what was done at the beginning; the cut says how to see the rest."""
    output = "".join(f"line {number}\n" for number in range(20_000)).encode()
    changes = tuple(FileChange(path=f"{n}.txt", kind="created", size=1) for n in range(500))
    sandbox = RecordedSandbox(
        CommandResult(exit_code=1, output=output, truncated=False, timed_out=False, changes=changes)
    )
    folder = MemoryFolder()
    place = Place(folder=folder, results=folder, mode=FolderMode.WORKSPACE, sandbox=sandbox)

    result = await TOOLS["run_command"].call({"argv": ["make"]}, place)

    assert result.text.startswith("line 0\n")
    assert "line 19999\n" in result.text
    assert "characters left out; to see them write the output to a file" in result.text
    assert "[… 450 more changed files]" in result.text
    assert len(result.text) <= TOOL_TEXT_CHARS_MAX


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", '=HYPERLINK("x")'])
async def test_text_never_becomes_a_formula(text: str, make: Make) -> None:
    """UP-09: what a spreadsheet program would run is neutralised."""
    folder = make({})
    sheets: JsonObject = {"path": "x.xlsx", "tables": [{"name": "A", "rows": [[text]]}]}

    await _call("write_document", sheets, folder)
    written = folder.read("x.xlsx", limit=10**6)

    assert office.cells(written) == {"A": [["'" + text]]}
    assert b"<f>" not in workbooks_parts(written)


async def test_the_same_sheets_are_the_same_bytes(make: Make) -> None:
    """A workbook has no clock in it, so its hash proves its content."""
    folder = make({})
    rows: list[Json] = [["가격", "b", "c", "d"], ["=1", 3, None, 1234.5]]
    sheets: JsonObject = {"tables": [{"name": "A/B", "rows": rows}]}

    first = await _call("write_document", {**sheets, "path": "1.xlsx"}, folder)
    second = await _call("write_document", {**sheets, "path": "2.xlsx"}, folder)
    back = office.cells(folder.read("1.xlsx", limit=10**6))

    assert first.value["sha256"] == second.value["sha256"]
    assert back == {"A B": [["가격", "b", "c", "d"], ["'=1", 3, None, Decimal("1234.5")]]}


def workbooks_parts(data: bytes) -> bytes:
    """Return all parts of a workbook unpacked."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return b"".join(packed.read(name) for name in packed.namelist())


def _file(result: ToolResult, number: int) -> JsonObject:
    files = result.value["files"]
    assert isinstance(files, list)
    file = files[number]
    assert isinstance(file, dict)
    return file


def _lines(result: ToolResult, number: int) -> list[str]:
    lines = _file(result, number)["lines"]
    assert isinstance(lines, list)
    return [str(line) for line in lines]
