"""``/table``, ``/merge`` and ``/convert`` over data nobody has seen: exact, complete, and what is lost is said."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.agents.commands.agent import CommandAgent
from deskhand.ports import Done, GiveUp
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools import office
from deskhand.tools.registry import standard_tools
from deskhand.tools.tables import reading
from deskhand.tools.tables.reading import Amount, Style
from tests import papers
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
ORDERS = (
    "Kunde;Stadt;Betrag;Datum\n"
    "A-01;Berlin;1.234,50 €;03.12.2025\n"
    "B-02;München;10,25 €;24.12.2025\n"
    "A-01;Berlin;-5,00 €;25.12.2025\n"
    "C-03;;k.A.;26.12.2025\n"
    "Summe;;1.239,75 €;\n"
)
MONIES = "who,paid\nAnn,100 EUR\nBo,100 USD\nCy,90 EUR\nDi,\n"
KOREAN = '지역,담당,금액\n서울,김민수,"1,000원"\n부산,이영희,"2,500원"\n서울,박철수,500원\n'  # fmt: skip


async def _do(folder: MemoryFolder, line: str) -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _rows(folder: MemoryFolder, name: str, delimiter: str = ",") -> list[list[str]]:
    return [*csv.reader(io.StringIO(folder.files[name].decode("utf-8-sig")), delimiter=delimiter)]


def _done(driven: Driven) -> Done:
    assert isinstance(driven.end, Done), driven.end
    assert driven.checks
    assert all(check.passed for check in driven.checks), driven.checks
    return driven.end


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("--by Stadt --sum Betrag", [["Berlin", "2", "1229.50"], ["München", "1", "10.25"], ["", "1", "0"]]),
        ('--where "betrag > 10.2" --columns Kunde', [["A-01"], ["B-02"]]),
        ('--where "Betrag >= 1.234,50" --columns kunde,betrag', [["A-01", "1.234,50 €"]]),
        ('--where "Stadt = BERLIN and Betrag < 0" --columns Datum', [["25.12.2025"]]),
        ('--where "Stadt = \'\'" --columns Kunde', [["C-03"]]),
        ('--where "Stadt != Berlin" --columns Kunde', [["B-02"], ["C-03"]]),
        ('--where "Stadt ~ ünch" --columns Kunde', [["B-02"]]),
        ('--where "Datum > 2025-12-24" --columns Kunde', [["A-01"], ["C-03"]]),
        ("--sort -Betrag --columns Betrag", [["1.234,50 €"], ["10,25 €"], ["-5,00 €"], ["k.A."]]),
        ("--sort Betrag --top 1 --columns Betrag", [["-5,00 €"]]),
        ("--by Kunde --top 1", [["A-01", "2", "1229.50"]]),
        ("--sum Betrag", [["4", "1239.75"]]),
    ],
)  # fmt: skip
async def test_rows_are_chosen_added_up_and_sorted_exactly(line: str, rows: list[list[str]]) -> None:
    """Decimal commas, money, dates, missing values and a totals row; every result is computed anew and the same."""
    folder = MemoryFolder({"o.csv": ORDERS.encode("cp1252")})

    end = _done(await _do(folder, f"/table o.csv {line} --out t.csv"))

    assert _rows(folder, "t.csv")[1:] == rows
    assert "The totals row of o.csv is left out." in end.say
    assert end.summary.endswith("rows from 4, computed anew and the same")


@pytest.mark.parametrize(
    ("condition", "names"), [("paid ~ usd", ["Bo"]), ("paid = ''", ["Di"]), ("paid != ''", ["Ann", "Bo", "Cy"])]
)
async def test_mixed_money_is_looked_for_by_its_words(condition: str, names: list[str]) -> None:
    """What says nothing of how much it is can be asked of it."""
    folder = MemoryFolder({"m.csv": MONIES})

    _done(await _do(folder, f'/table m.csv --where "{condition}" --columns who --out t.csv'))

    assert [row[0] for row in _rows(folder, "t.csv")[1:]] == names


async def test_a_korean_table_is_answered_in_korean() -> None:
    """cp949, 원 behind the numbers, conditions in Korean; names of columns as they are."""
    folder = MemoryFolder({"매출.csv": KOREAN.encode("cp949")})

    end = _done(await _do(folder, "/table 매출.csv --by 지역 --sum 금액 --out 지역별.xlsx"))

    sheet = office.cells(folder.files["지역별.xlsx"])["Table"]
    assert sheet == [["지역", "행 수", "금액"], ["서울", 2, 1500], ["부산", 1, 2500]]
    assert end.summary == "지역별.xlsx: 2행, 3열. 3행에서 나온 2행을 다시 계산했고 같음"


async def test_an_excel_file_is_read_with_its_other_sheets_named() -> None:
    """The first sheet with something in it; what is not looked at is said."""
    data = papers.xlsx({"Empty": [], "May": [["Item", "Price; net"], ["pen", 1.5]], "June": [["x"], ["y"]]})  # fmt: skip
    folder = MemoryFolder({"b.xlsx": data})

    end = _done(await _do(folder, "/table b.xlsx --sort Item --out t.md"))

    assert folder.files["t.md"].decode() == "| Item | Price; net |\n|---|---|\n| pen | 1.5 |\n"
    assert end.say == "- Other sheets of b.xlsx are not in it: June."


async def test_a_table_changed_afterwards_fails_its_check() -> None:
    """A changed source, and a changed result, are found."""
    for changed in ("o.csv", "t.csv"):
        folder = MemoryFolder({"o.csv": ORDERS})
        end = _done(await _do(folder, "/table o.csv --by Stadt --out t.csv"))
        folder.put(changed, folder.files[changed].decode().replace("Berlin", "Bonn"))

        check = await checked("table", end.checks[0].call, place_of(folder), TOOLS)

        assert check.passed is False


async def test_a_table_computed_wrongly_fails_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check does not share what reads the numbers: a doubled one is found."""
    right = reading.amount

    def doubled(cell: str, style: Style) -> Amount | None:
        found = right(cell, style)
        return found and replace(found, value=found.value * 2)

    monkeypatch.setattr(reading, "amount", doubled)

    driven = await _do(MemoryFolder({"o.csv": ORDERS}), "/table o.csv --by Stadt")

    assert isinstance(driven.end, GiveUp)
    assert driven.end.reasons[1].startswith("table.xlsx is not what its files come to")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "B", "é;", 'q"x', "가", "=1+1", ""]),
            st.decimals(min_value=-(10**9), max_value=10**9, places=2),
        ),
        min_size=2,
        max_size=30,
    )
)
async def test_any_amounts_add_up_to_the_cent(rows: list[tuple[str, Decimal]]) -> None:
    """By every group, for any amounts and odd words, against plain arithmetic."""
    out = io.StringIO()
    csv.writer(out).writerows([("name", "amount"), *((name, f"{value:f}") for name, value in rows)])
    folder = MemoryFolder({"d.csv": out.getvalue()})

    _done(await _do(folder, "/table d.csv --by name --sum amount --out t.csv"))

    sums: dict[str, Decimal] = {}
    for name, value in rows:
        sums[name] = sums.get(name, Decimal(0)) + value
    found = {row[0].removeprefix("'"): Decimal(row[2]) for row in _rows(folder, "t.csv")[1:]}
    assert found == sums


@pytest.mark.parametrize(
    ("files", "line", "said"),
    [
        ({"o.csv": ORDERS}, "/table o.csv --by Ort", "no column Ort; there is Kunde, Stadt"),
        ({"o.csv": ORDERS}, "/table o.csv --sum Stadt", "Stadt holds text and has no honest sum"),
        ({"o.csv": ORDERS}, '/table o.csv --where "Stadt > 3"', "use = or ~"),
        ({"o.csv": ORDERS}, '/table o.csv --where "Stadt"', 'write "COLUMN OPERATOR VALUE"'),
        ({"o.csv": ORDERS}, '/table o.csv --where "Stadt = X"', "none of 4 rows fits Stadt = X"),
        ({"o.csv": ORDERS}, '/table o.csv --where "Betrag > 10 USD"', "Betrag is in EUR, 10 USD is not"),
        ({"m.csv": MONIES}, '/table m.csv --where "paid > 90 EUR"', "paid mixes currencies or units"),
        ({"m.csv": MONIES}, '/table m.csv --where "paid = 100 EUR"', "paid mixes currencies or units"),
        ({"m.csv": MONIES}, "/table m.csv --sort -paid", "paid mixes currencies or units"),
        ({"o.csv": b"\x00\x01"}, "/table o.csv", "it is no text"),
        ({"o.csv": "a,b\n"}, "/table o.csv", "there are no rows in it"),
        ({"o.xlsx": b"PK nothing"}, "/table o.xlsx", "it is no workbook"),
        ({}, "/table gone.csv", "gone.csv"),
        ({"a.csv": "x,y\n1,2\n"}, "/merge a.csv", "There are 1 files to merge"),
        ({"a.csv": "x,y\n1,2\n", "b.md": "x"}, "/merge a.csv b.md", "Only files of one kind"),
        ({"a.md": "x", "b.md": "y"}, "/merge a.md b.md --on x", "--on joins tables"),
        ({"a.csv": "k,v\n1,2\n", "b.csv": "c,d\n1,2\n"}, "/merge a.csv b.csv --on k", "no column k"),
        ({"a.pdf": papers.pdf("x")}, "/convert a.pdf csv", "it can become md, txt, docx"),
        ({"a.csv": "x,y\n1,2\n"}, "/convert a.csv docx", "xlsx, csv, tsv, md, json"),
        ({"메모.md": "x"}, "/convert 메모.md 엑셀", "바꿀 수 없습니다"),
    ],
)  # fmt: skip
async def test_what_cannot_be_made_is_said_with_what_can(files: dict[str, str | bytes], line: str, said: str) -> None:
    """An error names the thing, and a cure."""
    driven = await _do(MemoryFolder(files), line)

    assert isinstance(driven.end, GiveUp)
    assert said in driven.end.reasons[0]


async def test_files_of_the_same_columns_are_stacked_with_their_origin() -> None:
    """Other spellings of columns and numbers, extra columns, a lone line: all there, all said."""
    folder = MemoryFolder(
        {
            "in/1.csv": "Region;Amount;Day\nNord;1.234,5;31.01.2025\nSüd;2,5;01.02.2025\n",
            "in/2.csv": "region,amount,day,note\nNord,10.5,2025-03-01,=cmd\nnord,1,2025-03-02,x,y,z\n",
            "in/notes.png": b"\x89PNG",
        }
    )

    end = _done(await _do(folder, "/merge in --out all.csv"))

    assert _rows(folder, "all.csv") == [
        ["Region", "Amount", "Day", "note", "From file"],
        ["Nord", "1234.5", "2025-01-31", "", "in/1.csv"],
        ["Süd", "2.5", "2025-02-01", "", "in/1.csv"],
        ["Nord", "10.5", "2025-03-01", "'=cmd", "in/2.csv"],
    ]
    assert end.say == (
        "- 1 lines of in/2.csv do not fit its columns and are left out (line 3).\n"
        "- note is not in in/1.csv; empty there."
    )


async def test_doubles_go_only_if_asked_and_are_counted() -> None:
    """The same row of two files stays once with --unique."""
    folder = MemoryFolder({"a.csv": "n,m\nx,1\ny,2\n", "b.csv": "n,m\ny,2\nz,3\n"})

    every = _done(await _do(folder, "/merge a.csv b.csv --out a1.csv"))
    once = _done(await _do(folder, "/merge a.csv b.csv --unique --out a2.csv"))

    assert (len(_rows(folder, "a1.csv")), len(_rows(folder, "a2.csv"))) == (5, 4)
    assert "twice" not in every.say
    assert once.say == "- 1 rows stood there twice and are left out."


async def test_a_join_keeps_what_has_no_partner_and_says_so() -> None:
    """Unmatched rows of both sides, keys that stand twice, empty keys, a column of the same name."""
    folder = MemoryFolder(
        {
            "c.csv": "id,name,city\n001,Ann,Ulm\n002,Bo,Bonn\n,Cy,Köln\n",
            "o.csv": "ID;city;sum\n001;x;5\n001;y;7\n009;z;1\n",
        }
    )

    end = _done(await _do(folder, "/merge c.csv o.csv --on id --out j.csv"))

    assert _rows(folder, "j.csv") == [
        ["id", "name", "city", "city (o.csv)", "sum"],
        ["001", "Ann", "Ulm", "x", "5"],
        ["001", "Ann", "Ulm", "y", "7"],
        ["002", "Bo", "Bonn", "", ""],
        ["", "Cy", "Köln", "", ""],
        ["009", "", "", "z", "1"],
    ]
    assert "2 rows have no partner in o.csv" in end.say
    assert "1 rows are only in o.csv and stay: 009" in end.say
    assert "1 keys stand several times" in end.say


async def test_texts_and_pdfs_are_put_together_whole() -> None:
    """Every line and every page is in the result, in order."""
    folder = MemoryFolder(
        {
            "n/1 월.md": "# 회의\n- 예산\n",
            "n/2.txt": "Grüße\n".encode("cp1252"),
            "a.pdf": papers.pdf("first page", "second page"),
            "b.pdf": papers.pdf("third page"),
        }
    )

    text = _done(await _do(folder, "/merge n"))
    pages = _done(await _do(folder, "/merge a.pdf b.pdf"))

    assert folder.files["merged.md"].decode() == "# 1 월\n\n# 회의\n- 예산\n\n# 2\n\nGrüße\n"
    assert text.outputs == ("merged.md",)
    assert pages.summary == "2 files, 3 pages in merged.pdf: 6 of 6 lines found again in the result"


DOCX = papers.docx(heading="계약", text="First **words**", rows=[["a", "b|c"], ["1", "2"]])
CONVERSIONS: Mapping[str, tuple[str | bytes, str]] = {
    "n.md": ("# Title\n\n- one\n- two\n\nText with **bold**.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", "docx"),
    "c.docx": (DOCX, "md"),
    "d.docx": (DOCX, "txt"),
    "p.pdf": (papers.pdf("Page one", "Page two"), "txt"),
    "q.pdf": (papers.pdf("Page one"), "word"),
    "e.eml": (papers.eml(subject="Hi", body="Dear you,\nsee below", attachment=("a.png", b"x")), "md"),
    "h.html": ("<h1>Top</h1><p>one<p>two<table><tr><td>x<td>y</table>", "md"),
    "k.txt": ("가격표\n메모\n".encode("cp949"), "txt"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSIONS)
async def test_documents_keep_every_word(name: str) -> None:
    """Read again, every line of the old form stands in the new one; the old file is untouched."""
    data, to = CONVERSIONS[name]
    folder = MemoryFolder({name: data})
    before = folder.files[name]

    end = _done(await _do(folder, f"/convert {name} {to}"))

    assert folder.files[name] == before
    assert len(end.outputs) == 1
    assert name.endswith(("md", "txt")) or "pictures, looks" in end.say


async def test_a_word_file_becomes_markdown_that_is_markdown() -> None:
    """Paragraphs are apart, a table has its rule, and a loss is found by the check."""
    folder = MemoryFolder({"c.docx": DOCX})
    end = _done(await _do(folder, "/convert c.docx md"))
    page = folder.files["c.md"].decode()

    folder.put("c.md", page.replace("First", ""))
    check = await checked("copied", end.checks[0].call, place_of(folder), TOOLS)

    assert "# 계약\n\nFirst **words**\n" in page
    assert "\n\n| a | b|c |\n|---|---|\n| 1 | 2 |" in page
    assert check.passed is False


async def test_tables_keep_every_cell() -> None:
    """csv to xlsx, json and tsv, and an Excel file's sheets each to a csv; the totals row stays a row."""
    book = papers.xlsx({"가": [["x", "y"], ["a;b", 1.25]], "B": [["z", "q"], ["w", 3]]})
    folder = MemoryFolder({"o.csv": ORDERS.encode("cp1252"), "b.xlsx": book})

    for to in ("xlsx", "json", "tsv"):
        _done(await _do(folder, f"/convert o.csv {to}"))
    sheets = _done(await _do(folder, "/convert b.xlsx csv"))

    exact = office.cells(folder.files["o.xlsx"])["Table"]
    assert exact[1][:3] == ["A-01", "Berlin", Decimal("1234.5")]
    assert exact[-1][0] == "Summe"
    assert json.loads(folder.files["o.json"])[1]["Betrag"] == 10.25
    assert _rows(folder, "o.tsv", "\t")[1] == ["A-01", "Berlin", "1.234,50 €", "03.12.2025"]
    assert sheets.outputs == ("b-가.csv", "b-B.csv")
    assert _rows(folder, "b-가.csv") == [["x", "y"], ["a;b", "1.25"]]


@pytest.mark.parametrize(
    "line", ["/table o.csv --by Stadt", "/merge o.csv p.csv", "/convert b.xlsx md", "/merge 1.md 2.md"]
)
async def test_any_part_of_the_history_gives_the_same_next_move(line: str) -> None:
    """R3."""
    book = papers.xlsx({"A": [["x"], ["y"]], "B": [["x"], ["y"]]})
    folder = MemoryFolder({"o.csv": ORDERS, "p.csv": ORDERS, "b.xlsx": book, "1.md": "a", "2.md": "b"})  # fmt: skip
    brief = brief_of(line)

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    _done(driven)
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)
