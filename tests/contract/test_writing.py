"""Documents that a model writes open in the programs of people: each is read again with another library."""

from __future__ import annotations

import csv
import io
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from docx import Document
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.wire import JsonObject
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.registry import standard_tools
from tests.driven import offloaded, place_of

TOOLS = standard_tools(offload=offloaded)

MARKDOWN = """# 주간 보고

First line of a paragraph
that goes on with **bold**, *italic*, `code` and [a page](https://example.org/x).

- one
- **two**

1. first

| Region | Sum |
| --- | ---: |
| 서울 | 10 |
| a \\| b |

```
x = 1
```

---
> said
"""


async def _written(path: str, **arguments: object) -> bytes:
    folder = MemoryFolder()
    said: JsonObject = {"path": path, **arguments}  # pyright: ignore[reportAssignmentType] - JSON by its making
    await TOOLS["write_document"].call(said, place_of(folder))
    return folder.files[path]


async def test_markdown_becomes_a_word_file() -> None:
    """Headings, lists, tables, code and bold are what they are in Word."""
    document = Document(io.BytesIO(await _written("a.docx", content=MARKDOWN)))

    found = [(p.style.name if p.style else "", p.text) for p in document.paragraphs]
    table = document.tables[0]
    assert found == [
        ("Heading 1", "주간 보고"),
        (
            "Normal",
            ("First line of a paragraph that goes on with bold, italic, code and a page (https://example.org/x)."),
        ),
        ("List Bullet", "one"),
        ("List Bullet", "two"),
        ("List Number", "first"),
        ("No Spacing", "x = 1"),
        ("Intense Quote", "said"),
    ]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Region", "Sum"],
        ["서울", "10"],
        ["a | b", ""],
    ]
    assert [run.text for run in document.paragraphs[1].runs if run.bold and run.text] == ["bold"]
    assert [run.text for run in document.paragraphs[1].runs if run.italic and run.text] == ["italic"]
    assert all(run.bold for run in table.rows[0].cells[0].paragraphs[0].runs if run.text)


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet=st.sampled_from("ab가 #*_-|>`1.\n[]()\x01\\"), max_size=60))
async def test_any_text_becomes_a_word_file_that_opens(markdown: str) -> None:
    """No spelling of markdown breaks it."""
    assert Document(io.BytesIO(await _written("a.docx", content=markdown)))


async def test_the_same_text_is_the_same_bytes() -> None:
    """R3: a write that is repeated after a crash is found done."""
    assert await _written("a.docx", content=MARKDOWN) == await _written("a.docx", content=MARKDOWN)


async def test_rows_become_a_workbook_with_numbers_as_numbers() -> None:
    """A person can add them up; the header stays in sight."""
    tables = [
        {"name": "매출", "rows": [["지역", "금액"], ["서울", 10.5], ["부산", 3]]},
        {"name": "Notes", "rows": [["Text"], [None], ["=1+1"]]},
    ]

    book = load_workbook(io.BytesIO(await _written("a.xlsx", tables=tables)))

    sales, notes = book.worksheets
    assert (sales.title, sales.freeze_panes) == ("매출", "A2")
    assert [list(row) for row in sales.iter_rows(values_only=True)] == [["지역", "금액"], ["서울", 10.5], ["부산", 3]]
    assert [cell.data_type for cell in notes["A"]] == ["s", "n", "s"]
    assert notes["A3"].value == "'=1+1"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "=cmd|' /C calc'!A0"])
async def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    """UP-09: what a spreadsheet program would run is neutralised; a negative number stays one."""
    data = await _written("a.csv", tables=[{"rows": [["a", "b"], [text, -1.5]]}])

    assert list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[1] == [f"'{text}", "-1.5"]


async def test_a_mail_is_a_draft_and_never_sent() -> None:
    """It opens in a mail program as unsent, in Korean too."""
    data = await _written(
        "a.eml", to=["kim@example.com", "lee@example.com"], subject="회의 일정", content="내일 만나요\n"
    )

    mail = message_from_bytes(data, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert (mail["To"], mail["Subject"], mail["X-Unsent"]) == ("kim@example.com, lee@example.com", "회의 일정", "1")
    assert mail.get_content() == "내일 만나요\n"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"path": "a.exe", "content": "x"}, "path"),
        ({"path": "a.xlsx", "content": "no table"}, "tables"),
        ({"path": "a.csv", "tables": [{"rows": [["a"]]}, {"rows": [["b"]]}]}, "tables"),
        ({"path": "a.eml", "to": ["a@example.com\nBcc: all@example.com"]}, "to"),
        ({"path": "a.eml", "subject": "x\r\nBcc: all@example.com"}, "to"),
    ],
)
async def test_what_cannot_be_written_is_said(arguments: JsonObject, field: str) -> None:
    """The field that is wrong is named, and no header is smuggled into a mail."""
    folder = MemoryFolder()

    with pytest.raises(DeskhandError) as caught:
        await TOOLS["write_document"].call(arguments, place_of(folder))

    assert (caught.value.code, caught.value.field) == (Code.INVALID, field)
    assert folder.files == {}
