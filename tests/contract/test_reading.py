"""What a model gets to read: every kind of file as numbered lines, and a hostile one as an honest sentence."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import READ_BYTES_MAX, TOOL_TEXT_CHARS_MAX
from deskhand.ports import Place, Sandbox, ToolResult
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import JsonObject
from deskhand.sandbox.walls import NoSandbox, choose_sandbox
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.apart.asking import Apart
from deskhand.tools.beneath import Folder
from deskhand.tools.reading import Lines, Reader, numbered
from deskhand.tools.registry import standard_tools
from tests import papers
from tests.driven import offloaded, place_of

TOOLS = standard_tools(offload=offloaded)
ROWS = [["이름", "금액"], ["김", "10"], ["이", "20"]]
KOREAN_DOCX = papers.docx(heading="계약서", text="제1조 목적", rows=ROWS, header="대외비")


async def _read(data: bytes, name: str, **arguments: int) -> ToolResult:
    place = place_of(MemoryFolder({name: data}))
    return await TOOLS["read_file"].call({"path": name, **arguments}, place)


async def test_a_word_file_reads_with_its_headings_tables_and_page_header() -> None:
    """What a person sees in it is there, in order, in Korean too."""
    result = await _read(KOREAN_DOCX, "계약서.docx")

    assert result.text.splitlines() == [
        "[docx]",
        "1: [header] 대외비",
        "2: # 계약서",
        "3: 제1조 목적",
        "4: | 이름 | 금액 |",
        "5: | 김 | 10 |",
        "6: | 이 | 20 |",
        "7: - after the table",
    ]


async def test_a_pdf_reads_page_by_page() -> None:
    """A model can say on which page something stands."""
    result = await _read(papers.pdf("first words", "second words"), "a.pdf")

    assert result.text.splitlines() == [
        "[pdf, 2 pages]",
        "1: [page 1 of 2]",
        "2: first words",
        "3: [page 2 of 2]",
        "4: second words",
    ]


async def test_a_workbook_reads_as_tables_with_what_its_formulas_came_to() -> None:
    """Each sheet is named; a number stays exact."""
    data = papers.xlsx({"매출": [["지역", "금액"], ["서울", 10.5]], "빈 장": []})

    result = await _read(data, "a.xlsx")

    assert result.value["lines"] == [
        "[sheet 매출: 2 rows]",
        "| 지역 | 금액 |",
        "| 서울 | 10.5 |",
        "[sheet 빈 장: 0 rows]",
    ]


@pytest.mark.parametrize("charset", ["utf-8", "euc-kr"])
async def test_a_mail_reads_with_its_headers_text_and_attachments(charset: str) -> None:
    """An attachment is named and not opened."""
    data = papers.eml(subject="회의 일정", body="내일 만나요\n", attachment=("표.xlsx", b"12345"), charset=charset)

    result = await _read(data, "a.eml")

    assert result.value["lines"] == [
        "From: kim@example.com",
        "To: lee@example.com",
        "Subject: 회의 일정",
        "",
        "내일 만나요",
        "[attachment 표.xlsx: application/octet-stream, 5 bytes]",
    ]


async def test_a_page_reads_as_a_person_would_see_it() -> None:
    """UP-04: scripts and styles are no text, and nothing in it is loaded or run."""
    page = (
        "<html><head><title>가격</title><style>p{color:red}</style></head><body><h2>목록</h2>"
        "<script>alert(1)</script><ul><li>하나<li>둘</ul><table><tr><td>a<td>1</table>"
        "<img src=https://evil.example/x alt='그림'></body></html>"
    )

    result = await _read(page.encode("cp949"), "a.html")

    assert [line for line in result.text.splitlines()[1:] if line[3:].strip()] == [
        "1: 가격",
        "3: ## 목록",
        "5: - 하나",
        "6: - 둘",
        "8: | a | 1",
        "9: 그림",
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (papers.png(640, 480), "png picture, 640 x 480 pixels"),
        (b"GIF89a\x0a\x00\x14\x00" + b"\0" * 20, "gif picture, 10 x 20 pixels"),
        (
            papers.jpeg(4000, 3000, taken="2026:03:02 10:11:12"),
            "jpeg picture, 4000 x 3000 pixels, taken 2026:03:02 10:11:12",
        ),
    ],
)
async def test_of_a_picture_its_facts_are_told(data: bytes, said: str) -> None:
    """Kind, size and the date it was taken, from its first bytes."""
    result = await _read(data, "a.bin")

    assert result.text.startswith(f"1: {said}")


async def test_a_csv_says_in_which_encoding_it_is() -> None:
    """A model that writes a script needs to know."""
    result = await _read("이름;금액\n김;10\n".encode("cp949"), "a.csv")

    assert result.text == "1: 이름;금액\n2: 김;10"
    assert result.value["encoding"] == "cp949"


async def test_a_long_file_comes_in_parts_that_join() -> None:
    """The marker names the next line; following it gives every line once."""
    lines = [f"line {number} " + "x" * 90 for number in range(1, 1001)]
    data, first, seen = "\n".join(lines).encode(), 1, list[str]()

    while first:
        text = (await _read(data, "a.txt", from_line=first)).text
        assert len(text) <= TOOL_TEXT_CHARS_MAX
        *shown, last = text.splitlines()
        more = last.partition("read on with from_line=")[2]
        seen += shown if more else [*shown, last]
        first = int(more.rstrip("]")) if more else 0

    assert [line.partition(": ")[2] for line in seen] == lines


async def test_a_limit_is_kept_and_said() -> None:
    """A model with little room asks for less."""
    result = await _read(b"a\nb\nc\nd\n", "a.txt", from_line=2, limit=2)

    assert result.text == "2: b\n3: c\n[… 1 more lines; read on with from_line=4]"


async def test_beyond_the_end_is_said() -> None:
    """An empty answer would look like an empty file."""
    result = await _read(b"a\nb\n", "a.txt", from_line=9)

    assert result.text == "(nothing here; it has 2 lines)"


@given(
    lines=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"]))),
    first=st.integers(1, 40),
    chars=st.integers(300, 3_000),
)
def test_whatever_the_lines_the_text_is_bounded_and_says_what_is_left(lines: list[str], first: int, chars: int) -> None:
    """Every line is shown or counted, never neither."""
    chosen = lines[first - 1 :]

    text = numbered(Lines(lines=lines, sha256=""), chosen, first, chars)

    shown = [line for line in text.split("\n") if line[:1].isdigit()]
    assert len(text) <= max(chars, len(text.split("\n")[0]) + 100)
    assert len(shown) == len(chosen) or f"{len(chosen) - len(shown):,} more lines" in text


async def test_several_files_come_with_their_names_and_their_failures() -> None:
    """One broken file does not hide the others."""
    place = place_of(MemoryFolder({"a.txt": "one", "b.docx": b"PK broken", "c.txt": "three"}))

    result = await TOOLS["read_files"].call({"paths": ["a.txt", "b.docx", "c.txt"]}, place)

    assert "== a.txt\n1: one\n== b.docx: " in result.text
    assert "damaged" in result.text
    assert result.text.endswith("== c.txt\n1: three")


async def test_many_files_fit_into_one_answer_and_the_others_are_counted() -> None:
    """A model knows how many it has not seen yet."""
    place = place_of(MemoryFolder({f"{n:03}.txt": "words " * 50 for n in range(200)}))

    result = await TOOLS["read_files"].call({"paths": [f"{n:03}.txt" for n in range(200)]}, place)

    assert len(result.text) <= TOOL_TEXT_CHARS_MAX
    assert result.text.splitlines()[-1].endswith("more files; ask for them in another call]")


# --- hostile files


HOSTILE = {
    "UP-01 zip bomb": ("a.docx", papers.zip_bomb("word/document.xml", megabytes=600)),
    "UP-01 zip bomb in a workbook": ("a.xlsx", papers.zip_bomb("xl/workbook.xml", megabytes=600)),
    "UP-08 entity bomb": ("a.docx", papers.with_entity_bomb(KOREAN_DOCX, part="word/document.xml")),
    "UP-08 entity bomb in a workbook": (
        "a.xlsx",
        papers.with_entity_bomb(papers.xlsx({"A": [["x"]]}), part="xl/worksheets/sheet1.xml"),
    ),
    "truncated": ("a.docx", KOREAN_DOCX[:2000]),
    "not what its name says": ("a.pdf", b"hello"),
    "no document": ("a.xlsx", papers.zip_bomb("nothing.txt", megabytes=1)),
    "empty": ("a.pdf", b""),
    "random": ("a.eml.pdf", os.urandom(5000)),
}


@pytest.mark.parametrize(("name", "data"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_file_is_a_sentence_and_not_a_fall(name: str, data: bytes) -> None:
    """UP-01, UP-08: memory and time are bounded, and the reader's end is not the runner's."""
    with pytest.raises(DeskhandError) as caught:
        await _read(data, name)

    assert caught.value.code in (Code.UNSUPPORTED_TYPE, Code.TOO_LARGE)
    assert name in caught.value.detail


async def test_no_document_gets_a_file_of_the_machine(tmp_path: Path) -> None:
    """UP-08: an external entity is not followed."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret words", encoding="utf-8")
    data = papers.with_external_entity(KOREAN_DOCX, part="word/header1.xml", path=str(secret))

    try:
        said = (await _read(data, "a.docx")).text
    except DeskhandError as error:
        said = error.detail

    assert "the secret words" not in said


async def test_a_password_is_asked_of_the_person() -> None:
    """What is sealed cannot be read, and the cure is said."""
    with pytest.raises(DeskhandError) as caught:
        await _read(papers.sealed(papers.pdf("x"), password="p"), "a.pdf")

    assert "a copy without one" in caught.value.detail


async def test_a_very_long_document_is_read_at_its_beginning() -> None:
    """The cut is said; the parser does not go on for minutes."""
    result = await _read(papers.pdf(*(f"words of page {n} " + "x" * 500 for n in range(3000))), "a.pdf")

    assert result.value["lines"]
    assert any("only its beginning" in str(note) for note in _notes(result))


async def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """FS-09: a sparse terabyte is a sentence with a way on, within no time."""
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(10**12)
    place = place_of(Folder(tmp_path))

    with pytest.raises(DeskhandError) as caught:
        await TOOLS["read_file"].call({"path": "a.csv"}, place)

    assert caught.value.code is Code.TOO_LARGE
    assert "query_table" in caught.value.detail
    assert READ_BYTES_MAX < 10**12


async def test_a_parser_that_hangs_is_ended() -> None:
    """Its time is bounded, and the runner goes on meanwhile."""
    reader = Reader(offload=offloaded, apart=Apart(seconds_max=0.05))
    folder = MemoryFolder({"a.pdf": papers.pdf("x")})

    with pytest.raises(DeskhandError) as caught:
        await reader.lines(folder, "a.pdf", place_of(folder))

    assert caught.value.code is Code.TIMEOUT


# --- in the box


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncGenerator[Sandbox]:
    """Return the wall of this computer."""
    (tmp_path / "state").mkdir()
    yield await choose_sandbox(tmp_path / "state", clock=SystemClock(), offload=offloaded)


@pytest.mark.needs("bubblewrap")
@pytest.mark.needs("overlay")
async def test_in_the_box_a_document_reads_the_same(box: Sandbox, tmp_path: Path) -> None:
    """Behind the wall as without one: Python and its packages are there, wherever they are installed."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "계약서.docx").write_bytes(KOREAN_DOCX)
    folder = Folder(tmp_path / "work")
    arguments: JsonObject = {"path": "계약서.docx"}

    walled, bare = [
        await TOOLS["read_file"].call(
            arguments, Place(folder=folder, results=folder, mode=FolderMode.READ_ONLY, sandbox=sandbox)
        )
        for sandbox in (box, NoSandbox("not here"))
    ]

    assert box.info.level == "full"
    assert walled == bare


def _notes(result: ToolResult) -> list[object]:
    notes = result.value["notes"]
    assert isinstance(notes, list)
    return [*notes]
