"""``/report`` from a typed line to a checked workbook, over tables of every kind and some that lie."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.agents.commands.agent import CommandAgent
from deskhand.ports import Done, GiveUp
from deskhand.protocol.wishes import Shape
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools import office
from deskhand.tools.office import Value
from deskhand.tools.registry import standard_tools
from deskhand.tools.tables import reading
from deskhand.tools.tables.reading import Amount, Style, read, recognise, value_of
from deskhand.tools.writing import documents
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
SALES = (
    "date,channel,order id,units,spend,rate\n"
    '2026-11-02,search,0001,10,"1,200.50",10%\n'
    '2026-11-03,social,0002,20,"(200.50)",20%\n'
    "2026-11-04,search,0003,n/a,300.25,30%\n"
    "broken,row\n"
    '\n2026-11-05,mail,0004,5,"$1,000.00",40%\n'
    'Total,,,35,"2,300.25",\n'
)


async def _report(folder: MemoryFolder, line: str = "/report sales.csv") -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _pages(folder: MemoryFolder, name: str = "report.xlsx") -> dict[str, list[list[Value]]]:
    return office.cells(folder.files[name])


def _until_last(row: list[Value]) -> list[Value]:
    filled = [place for place, value in enumerate(row, start=1) if value is not None]
    return row[: max(filled, default=0)]


def _notes(folder: MemoryFolder) -> str:
    rows = _pages(folder)["Notes"]
    return "\n".join(" | ".join(str(cell) for cell in row if cell is not None) for row in rows)


async def test_a_report_adds_up_exactly_and_is_checked() -> None:
    """Thousands, parentheses, money, percent, gaps, a broken row and a totals row: every figure is right."""
    folder = MemoryFolder({"sales.csv": SALES})

    driven = await _report(folder, "/report sales.csv --by channel")

    assert isinstance(driven.end, Done)
    assert driven.end.summary == (
        "6 columns, 4 rows; totals recomputed: units 35 = 35, spend 2,300.25 = 2,300.25"
        " from 4 rows, 24 figures recomputed"
    )
    assert [check.passed for check in driven.checks] == [True]
    assert [_until_last(row) for row in _pages(folder)["Summary"]] == [
        ["Report: sales.csv"],
        ["Rows", 4],
        [],
        ["Column", "Values", "Missing", "Total", "Average", "Smallest", "Largest"],
        ["units", 3, 1, 35, Decimal("11.67"), 5, 20],
        ["spend", 4, 0, Decimal("2300.25"), Decimal("575.0625"), Decimal("-200.5"), Decimal("1200.5")],
        ["rate", 4, 0, None, Decimal("0.25"), Decimal("0.1"), Decimal("0.4")],
        [],
        ["By channel"],
        ["channel", "Rows", "units", "spend"],
        ["social", 1, 20, Decimal("-200.5")],
        ["search", 2, 10, Decimal("1500.75")],
        ["mail", 1, 5, 1000],
    ]


async def test_the_notes_say_how_the_file_was_read() -> None:
    """What was recognised, skipped and compared stands in the workbook, with line numbers."""
    folder = MemoryFolder({"sales.csv": SALES})

    await _report(folder)

    notes = _notes(folder)
    assert "Delimiter | comma" in notes
    assert "order id | identifier, not added up" in notes
    assert "rate | percent, not added up" in notes
    assert "date | date, 2026-11-02 – 2026-11-05" in notes
    assert "Totals row, not counted as data | line 8" in notes
    assert "spend | says 2300.25, the rows add up to the same" in notes
    assert "line 5 | 2 fields where 6 were expected" in notes


async def test_a_totals_row_that_is_wrong_is_said() -> None:
    """A sum that somebody typed is compared, never believed."""
    folder = MemoryFolder({"sales.csv": SALES.replace('35,"2,300.25"', '36,"2,300.25"')})

    driven = await _report(folder)

    assert driven.checks[0].passed
    assert "units | says 36, but the rows add up to 35" in _notes(folder)


async def test_one_changed_value_changes_the_report() -> None:
    """The figures follow the file."""
    folder = MemoryFolder({"sales.csv": SALES.replace("300.25,30%", "301.25,30%")})

    driven = await _report(folder)

    assert "spend 2,301.25 = 2,301.25" in driven.checks[0].evidence


@pytest.mark.parametrize(
    ("old", "new"),
    [("300.25,30%", "301.25,30%"), ("2026-11-04,search,0003,n/a,300.25,30%\n", ""), ("search,0003", "mail,0003")],
)
async def test_a_table_changed_afterwards_fails_the_check(old: str, new: str) -> None:
    """The report must be what the present file comes to."""
    folder = MemoryFolder({"sales.csv": SALES})
    driven = await _report(folder, "/report sales.csv --by channel")
    assert isinstance(driven.end, Done)
    folder.put("sales.csv", SALES.replace(old, new))

    check = await checked("totals", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert check.passed is False
    assert check.evidence.startswith("report.xlsx is not what its files come to")


@pytest.mark.parametrize("sheet", ["Summary", "Data"])
async def test_a_tampered_workbook_fails_the_check(sheet: str) -> None:
    """One figure changed in the workbook, in the summary or in the data, is found."""
    folder = MemoryFolder({"sales.csv": SALES})
    driven = await _report(folder)
    assert isinstance(driven.end, Done)
    pages = _pages(folder)
    row = next(r for r in pages[sheet] if Decimal("1200.5") in r)
    row[row.index(Decimal("1200.5"))] = Decimal("1200.51")
    folder.put("report.xlsx", _built(pages))

    check = await checked("totals", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert check.passed is False


async def test_a_missing_or_broken_workbook_fails_the_check() -> None:
    """A check that cannot be made is a failed check."""
    folder = MemoryFolder({"sales.csv": SALES})
    driven = await _report(folder)
    assert isinstance(driven.end, Done)
    folder.put("report.xlsx", b"PK\x03\x04 no workbook")

    check = await checked("totals", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert check.passed is False


async def test_any_part_of_the_history_gives_the_same_next_move() -> None:
    """R3: the plan is replayed from the journal after a crash at any step."""
    folder = MemoryFolder({"sales.csv": SALES})
    brief = brief_of("/report sales.csv --by channel --out q4")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert "q4.xlsx" in folder.files
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)


@pytest.mark.parametrize(
    ("files", "line", "said"),
    [
        ({}, "/report sales.csv", "There is no such thing. (sales.csv)"),
        ({"a.csv": ""}, "/report a.csv", "the file is empty"),
        ({"a.csv": b"\x00\x01\x02\x03"}, "/report a.csv", "it is no text"),
        ({"a.csv": "name,value\n"}, "/report a.csv", "there are no rows in it"),
        ({"a.csv": SALES}, "/report a.csv --by chanel", "no column chanel; there is date, channel, order id"),
    ],
)
async def test_what_cannot_be_reported_is_said_in_a_sentence(
    files: dict[str, str | bytes], line: str, said: str
) -> None:
    """No table is no success and no crash."""
    folder = MemoryFolder(files)

    driven = await _report(folder, line)

    assert isinstance(driven.end, GiveUp)
    assert said in driven.end.reasons[0]


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("k;v\na;1.234,50\nb;2,25\n", "1236.75"),
        ("k\tv\na\t1 234.50\nb\t-2\n", "1232.50"),
        ("k|v\na|1'234.50\nb|2-\n", "1232.50"),
        ("sep=;\nk;v\na;10\nb;20\n", "30"),
        ("Report of May\n\nk,v\na,1\nb,2\n", "3"),
        ("a,1\nb,2\nc,4\n", "7"),
        ('k,v\n"a ""quoted"", with comma",1.5\n"two\nlines",2\n', "3.5"),
        ("k,v\na,₩1,000\nb,2\n".replace("₩1,000", '"₩1,000"'), "1002"),
        ("k,v,\na,1,\nb,2,\n", "3"),
        ("k,v\na,99999999999999999999.01\nb,0.01\n", "99999999999999999999.02"),
        ('k,v\na,5" pipe\nb,2\n', None),
        ("k,v\na,$5\nb,€2\n", None),
        ("k,year\na,2024\nb,2025\n", None),
        ("k,zip\na,01234\nb,98765\n", None),
    ],
)
def test_numbers_are_read_as_their_writers_meant_them(text: str, total: str | None) -> None:
    """Delimiters, thousands, decimals, signs and money of several countries; what has no honest sum has none."""
    figures = documents.report("x.csv", read(text.encode()), Shape(), language="en").figures

    sums = [f"{each['sum']:f}" for _, each in figures if "sum" in each]
    assert sums == ([] if total is None else [total])


@pytest.mark.parametrize(
    ("cells", "read_as"),
    [
        (("2026-03-04", "2026-12-31"), "2026-03-04 2026-12-31"),
        (("04.03.2026", "31.12.2026"), "2026-03-04 2026-12-31"),
        (("03/25/2026", "03/04/2026"), "2026-03-04 2026-03-25"),
        (("25/03/2026", "03/04/2026"), "2026-03-25 2026-04-03"),
        (("2026년 3월 4일", "2026년 12월 31일"), "2026-03-04 2026-12-31"),
        (("2026. 3. 4.", "2026. 12. 31."), "2026-03-04 2026-12-31"),
        (("4 Mar 2026", "Dec 31, 2026"), "2026-03-04 2026-12-31"),
        (("03/04/2026", "05/06/2026"), "unsure 03/04/2026"),
    ],
)
def test_dates_are_read_in_their_order_or_left_alone(cells: tuple[str, str], read_as: str) -> None:
    """A day above twelve decides the order for its column; without one nothing is guessed."""
    text = "day\tv\n" + "".join(f"{cell}\t1\n" for cell in cells)

    column = recognise(read(text.encode()))[0]

    days = [str(value_of(cell, column)) for cell in cells]
    assert column.kind == "date"
    assert ((column.unsure and f"unsure {column.unsure}") or " ".join(sorted(days))) == read_as


async def test_more_digits_than_a_cell_can_hold_are_kept_and_checked() -> None:
    """A number beyond a double is written as text and added up all the same, never rounded."""
    numbers = "k,v\na,1234567890123456.5\nb,99999999999999999999999999999.01\nc,-88888888888888888888888888888.01\n"
    folder = MemoryFolder({"x.csv": numbers})

    driven = await _report(folder, "/report x.csv")

    assert [check.passed for check in driven.checks] == [True]
    assert "v 11,111,111,111,112,345,679,001,234,567.50 =" in driven.checks[0].evidence


async def test_a_formula_in_the_table_is_only_text() -> None:
    """UP-09: what a stranger put into a CSV is not run by the spreadsheet program."""
    folder = MemoryFolder({"x.csv": 'name,value\n"=HYPERLINK(""http://x"")",1\n@SUM(A1),2\n'})

    driven = await _report(folder, "/report x.csv")

    assert driven.checks[0].passed
    assert _pages(folder)["Data"][1:] == [['\'=HYPERLINK("http://x")', 1], ["'@SUM(A1)", 2]]


async def test_a_korean_table_is_reported_in_korean() -> None:
    """Old Korean exports are read, and answered in their language."""
    table = '날짜,채널,금액\n2026년 11월 2일,검색,"1,200원"\n2026년 11월 3일,메일,300원\n합계,,"1,500원"\n'
    folder = MemoryFolder({"매출.csv": table.encode("cp949")})

    driven = await _report(folder, "/report 매출.csv")

    assert isinstance(driven.end, Done)
    assert driven.end.summary == ("3열, 2행. 합계를 다시 계산함: 금액 1,500 = 1,500 (2행, 수치 6개를 다시 계산함)")
    assert "요약" in _pages(folder)


def test_an_unclosed_quote_does_not_swallow_the_table() -> None:
    """One stray quote is read as a character, and said."""
    rows = "".join(f"item {number},{number}\n" for number in range(100))
    table = read(f'name,value\n"5 inch pipe,7\n{rows}'.encode())

    assert (table.quoted, len(table.rows)) == (False, 101)


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\r\n\t"), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(CELLS.map(lambda text: f"k{text}"), st.decimals(places=2, min_value=-(10**9), max_value=10**9)),
        min_size=3,
        max_size=30,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_a_written_table_is_read_back_whole(rows: list[tuple[str, Decimal]], delimiter: str) -> None:
    """Whatever the csv module writes, with quotes and line breaks inside cells, comes back cell by cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([("name", "value"), *((name, f"{value:f}") for name, value in rows)])

    table = read(out.getvalue().encode())
    ((_, figures),) = documents.report("x.csv", table, Shape(), language="en").figures

    assert [row.cells for row in table.rows] == [(name, f"{value:f}") for name, value in rows]
    assert figures["sum"] == sum((value for _, value in rows), Decimal(0))


def _styled(value: Decimal, style: int) -> str:
    grouped = f"{abs(value):,.2f}"
    shapes = (
        f"-{grouped}" if value < 0 else grouped,
        f"({grouped})" if value < 0 else f"${grouped}",
        f"{grouped}-" if value < 0 else f"+{grouped}",
        f"−{grouped} USD" if value < 0 else f"{grouped} USD",
    )
    return shapes[style]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["north", "south", ""]),
            st.decimals(places=2, min_value=-(10**7), max_value=10**7),
            st.sampled_from([0, 1, 2, 3]),
        ),
        min_size=4,
        max_size=20,
    )
)
async def test_report_and_check_agree_without_sharing_code(rows: list[tuple[str, Decimal, int]]) -> None:
    """The reader and the check read numbers by different code and find the same sums."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([("region", "value"), *((r, _styled(v, s)) for r, v, s in rows)])
    folder = MemoryFolder({"x.csv": out.getvalue()})

    driven = await _report(folder, "/report x.csv")

    total = sum((value for _, value, _ in rows), Decimal(0))
    assert [check.passed for check in driven.checks] == [True]
    assert f"value {total:,.2f} = {total:,.2f}" in driven.checks[0].evidence


def _built(pages: dict[str, list[list[Value]]]) -> bytes:
    return office.build(pages.items())


async def test_a_figure_computed_wrongly_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check does not share what reads the numbers: a doubled one is found."""
    right = reading.amount

    def doubled(cell: str, style: Style) -> Amount | None:
        found = right(cell, style)
        return found and replace(found, value=found.value * 2)

    monkeypatch.setattr(reading, "amount", doubled)

    driven = await _report(MemoryFolder({"sales.csv": SALES}))

    assert isinstance(driven.end, GiveUp)
    assert driven.end.reasons[1].endswith("or a number was misread.")
