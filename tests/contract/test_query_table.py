"""SQL that a model writes reads the tables it was given and nothing else, behind a wall where there is one."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Place, Sandbox, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import Json, JsonObject, canonical
from deskhand.sandbox.walls import NoSandbox, choose_sandbox
from deskhand.tools.apart.answering import queried
from deskhand.tools.apart.asking import Apart
from deskhand.tools.beneath import Folder
from deskhand.tools.builtin import BuiltIn
from deskhand.tools.reading import UNWALLED, Reader
from deskhand.tools.registry import standard_tools
from tests import papers
from tests.driven import offloaded

SALES = "지역;금액;날짜\n서울;10;2026-01-02\n부산;20;2026-01-03\n서울;5;2026-01-04\n"
SECONDS = 6.0


@pytest_asyncio.fixture(
    params=["bare", pytest.param("boxed", marks=[pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay")])]
)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place]:
    """Return a folder with some tables, behind the wall of this computer and without one."""
    (tmp_path / "state").mkdir()
    root = tmp_path / "work"
    root.mkdir()
    (root / "q1 sales.csv").write_bytes(SALES.encode("cp949"))
    (root / "2026.tsv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    (root / "book.xlsx").write_bytes(papers.xlsx({"하나": [["n", "v"], ["x", 1.5]], "two": [["n"], ["y"]]}))
    (root / "rows.json").write_text(json.dumps([{"k": 1}, {"k": 2}]), encoding="utf-8")
    (tmp_path / "outside.csv").write_text("secret\n42\n", encoding="utf-8")
    sandbox: Sandbox = NoSandbox("not in this test")
    if request.param == "boxed":
        sandbox = await choose_sandbox(tmp_path / "state", clock=SystemClock(), offload=offloaded)
        assert sandbox.info.level == "full"
    folder = Folder(root)
    yield Place(folder=folder, results=folder, mode=FolderMode.READ_ONLY, sandbox=sandbox)


async def _asked(place: Place, sql: str = "", *paths: str, seconds: float = 20) -> ToolResult:
    reader = Reader(offload=offloaded, apart=Apart(seconds_max=seconds))
    tool = BuiltIn(name="query_table", wish=wishes.QueryTable, work=reader.query_table, offload=offloaded)
    return await tool.call({"paths": [*(paths or ("q1 sales.csv",))], "sql": sql}, place)


async def test_a_table_in_an_old_korean_encoding_is_added_up(place: Place) -> None:
    """Encoding and delimiter are found; the answer is exact and can be hashed."""
    result = await _asked(place, "SELECT 지역, sum(금액) AS 합계, avg(금액) FROM q1_sales GROUP BY 1 ORDER BY 2")

    assert _shown(result) == ['지역 | 합계 | avg("금액")', "서울 | 15 | 7.5", "부산 | 20 | 20.0"]
    assert result.value["rows"] == [["서울", 15, "7.5"], ["부산", 20, "20.0"]]
    assert canonical(result.value)


async def test_without_a_query_the_tables_are_told(place: Place) -> None:
    """A model sees names, columns and types before it asks."""
    result = await _asked(place, "", "q1 sales.csv", "2026.tsv", "book.xlsx", "rows.json")

    assert _shown(result) == [
        '"q1_sales" ("지역" VARCHAR, "금액" BIGINT, "날짜" DATE), 3 rows',
        '"t_2026" ("a" BIGINT, "b" BIGINT), 1 rows',
        '"book_하나" ("n" VARCHAR, "v" DOUBLE), 1 rows',
        '"book_two" ("n" VARCHAR), 1 rows',
        '"rows" ("k" BIGINT), 2 rows',
    ]


async def test_where_there_is_no_wall_it_is_said(place: Place) -> None:
    """SH-10's neighbour: the lock alone is never passed off as the wall."""
    result = await _asked(place, "SELECT 1")

    assert (UNWALLED in result.text) is (place.sandbox.info.level == "none")


async def test_tables_are_joined(place: Place) -> None:
    """Over files of different kinds."""
    result = await _asked(place, "SELECT count(*) FROM q1_sales, rows", "q1 sales.csv", "rows.json")

    assert result.value["rows"] == [[6]]


async def test_a_wrong_query_is_answered_with_the_tables_there_are(place: Place) -> None:
    """The next one is right."""
    with pytest.raises(DeskhandError) as caught:
        await _asked(place, "SELECT nothing FROM q1_sales")

    assert caught.value.code is Code.INVALID
    assert '"지역" VARCHAR' in caught.value.detail


async def test_many_rows_are_bounded_and_counted(place: Place) -> None:
    """A model sums up or pages; it never gets a million rows."""
    result = await _asked(place, "SELECT range, 'x' FROM range(1000000)")

    assert result.value["complete"] is False
    assert len(_rows(result)) == 1_000
    assert _shown(result)[-1].startswith("[… more rows")
    assert len(result.text) < 21_000


ATTACKS = {
    "COPY TO": "COPY q1_sales TO '{out}/stolen.csv'",
    "COPY from a query": "COPY (SELECT 1) TO '{out}/stolen.csv'",
    "EXPORT": "EXPORT DATABASE '{out}/stolen'",
    "ATTACH": "ATTACH '{out}/new.db'",
    "a file by function": "SELECT * FROM read_csv('{out}/outside.csv')",
    "a file by name": "SELECT * FROM '{out}/outside.csv'",
    "a text file": "SELECT content FROM read_text('/etc/passwd')",
    "a listing": "SELECT * FROM glob('/*')",
    "sniffing": "SELECT * FROM sniff_csv('{out}/outside.csv')",
    "an extension": "INSTALL httpfs",
    "loading": "LOAD httpfs",
    "the network": "SELECT * FROM read_csv('https://example.org/a.csv')",
    "a setting": "SET enable_external_access = true",
    "unlocking": "RESET lock_configuration",
    "memory": "SET memory_limit = '100GB'",
    "a pragma": "PRAGMA enable_external_access",
    "a secret": "CREATE SECRET (TYPE s3)",
    "two statements": "SELECT 1; COPY q1_sales TO '{out}/stolen.csv'",
    "a query in a query": "SELECT * FROM query('COPY q1_sales TO ''{out}/stolen.csv''')",
    "a variable of ours": "SELECT * FROM loading",
    "changing": "DELETE FROM q1_sales",
}


@pytest.mark.parametrize("sql", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_locked_database_refuses_what_is_no_reading_of_its_tables(sql: str, tmp_path: Path) -> None:
    """FS-01, FS-03, NE-01, NE-08, RO-02: nothing is read, written, installed or set, also without any wall."""
    (tmp_path / "outside.csv").write_text("secret\n42\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text("n\n1\n", encoding="utf-8")
    before = _names(tmp_path)
    question: JsonObject = {"names": ["q1 sales.csv"], "sql": sql.format(out=tmp_path)}

    with pytest.raises(DeskhandError) as caught:
        queried(question, [str(tmp_path / "a.csv")])

    assert caught.value.code is Code.INVALID
    assert "42" not in caught.value.detail
    assert _names(tmp_path) == before


async def test_no_query_reaches_beyond_its_tables(place: Place, tmp_path: Path) -> None:
    """FS-01, RO-02: the same through the tool, behind the wall and without one."""
    before = _everything(tmp_path / "work"), _names(tmp_path)

    for name in ("COPY TO", "a file by function", "unlocking"):
        with pytest.raises(DeskhandError) as caught:
            await _asked(place, ATTACKS[name].format(out=tmp_path))
        assert caught.value.code is Code.INVALID

    assert (_everything(tmp_path / "work"), _names(tmp_path)) == before


async def test_an_endless_query_is_ended(place: Place) -> None:
    """PI-14, RL-05: a cross join of 10^12 rows ends in time, and so does its process."""
    sql = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = -1"

    with pytest.raises(DeskhandError) as caught:
        await _asked(place, sql, seconds=SECONDS)

    assert caught.value.code is Code.TIMEOUT


async def test_a_greedy_query_gets_no_more_memory_than_its_share(place: Place) -> None:
    """RL-05: what does not fit is an error, not a machine without memory."""
    with pytest.raises(DeskhandError) as caught:
        await _asked(place, "SELECT list(range) FROM range(500000000)")

    assert caught.value.code in (Code.INVALID, Code.TOO_LARGE, Code.UNSUPPORTED_TYPE, Code.TIMEOUT)


async def test_lines_that_do_not_fit_are_counted(place: Place) -> None:
    """A sum over a broken file says that it is one."""
    (Path(str(place.results.root)) / "b.csv").write_text("a,b\n" + "1,2\n" * 30_000 + "1,2,3\n", encoding="utf-8")

    result = await _asked(place, "SELECT count(*) FROM b", "b.csv")

    assert _shown(result) == ["count_star()", "30000", "[1 lines of b do not fit its columns and are not in it]"]


async def test_a_large_table_stays_quick(place: Place) -> None:
    """100 MB are added up within the time of a tool."""
    row = "서울,10,some words that fill a row of a table\n"
    path = Path(str(place.results.root)) / "big.csv"
    path.write_text("r,n,w\n" + row * (100 * 1024**2 // len(row.encode())), encoding="utf-8")

    result = await _asked(place, "SELECT sum(n) / count(*) FROM big", "big.csv")

    assert result.value["rows"] == [["10.0"]]


async def test_a_model_is_offered_it() -> None:
    """It is one of the standard tools, and reads only."""
    tool = standard_tools(offload=offloaded)["query_table"]

    assert (tool.effect, tool.writes) == ("pure", False)


def _shown(result: ToolResult) -> list[str]:
    return [line for line in result.text.splitlines() if UNWALLED not in line]


def _rows(result: ToolResult) -> list[Json]:
    rows = result.value["rows"]
    assert isinstance(rows, list)
    return rows


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def _everything(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
