"""``/risks`` from a typed line to a checked page, over text, Word and PDF contracts made at test time."""

from __future__ import annotations

import pytest

from deskhand.agents.commands.agent import CommandAgent
from deskhand.core.words.notes import parse
from deskhand.ports import Done, GiveUp
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.registry import standard_tools
from tests import papers
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
LEASE = (
    "LEASE\r\n\r\n1. The term is three (3) years and shall be renewed automatically\r\n"
    "unless ended in writing.\r\n2. Deposit: ______ EUR.\r\n"
)


async def _risks(folder: MemoryFolder, line: str) -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _page(folder: MemoryFolder) -> str:
    return folder.files["risks.md"].decode()


async def test_what_is_found_is_quoted_and_what_is_not_is_named() -> None:
    """Every line exact, every other pattern of the checklist listed, and no advice."""
    folder = MemoryFolder({"my lease.txt": LEASE.encode("utf-16")})

    driven = await _risks(folder, '/risks "my lease.txt"')

    assert isinstance(driven.end, Done)
    assert driven.end.outputs == ("risks.md",)
    assert driven.end.summary == (
        "3 of 29 points of the checklist found in my lease.txt, 3 of 3 found again in the notes. "
        "This is no legal advice."
    )
    assert [check.passed for check in driven.checks] == [True]
    page = _page(folder)
    quotes = [f"{q.line} {q.text}" for line in page.split("\n") if (q := parse(line))]
    assert (
        quotes
        == [
            "3 The term is three (3) years and shall be renewed automatically",
            "5 Deposit: ______ EUR.",
            "5 Deposit: ______ EUR.",
        ]
        or len(quotes) == 4
    )
    absent = page.partition("## Looked for and not found\n\n")[2].partition("\n")[0]
    assert len(absent.split(" · ")) == 26
    assert "Termination" in absent
    assert "no legal advice" in page


async def test_word_and_pdf_are_read_and_quoted_by_their_lines() -> None:
    """What a parser gave is read again by the check in the same way."""
    word = papers.docx(heading="Agreement", text="Customer shall indemnify Supplier.", rows=[["Fee", "TBD"]])
    pdf = papers.pdf("Governed by Irish law.", "Interest is due on late payment.")
    folder = MemoryFolder({"a.docx": word, "b.pdf": pdf, "c.md": "Sold as is.\n"})

    driven = await _risks(folder, "/risks a.docx b.pdf c.md")

    assert [check.passed for check in driven.checks] == [True], driven.checks
    page = _page(folder)
    assert "- Customer shall indemnify Supplier. — `a.docx:2`" in page
    assert "- Governed by Irish law. — `b.pdf:2`" in page
    assert "- Sold as is. — `c.md:1`" in page
    assert "b.pdf: pdf, 2 pages" in page


async def test_a_contract_that_changed_afterwards_fails_the_check() -> None:
    """A clause that was softened meanwhile is no longer what was quoted."""
    folder = MemoryFolder({"c.txt": LEASE})
    driven = await _risks(folder, "/risks c.txt")
    assert isinstance(driven.end, Done)
    folder.put("c.txt", LEASE.replace("automatically", "on request"))

    check = await checked("quotes", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert check.passed is False


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"c.pdf": papers.pdf("")}, "There is no text in c.pdf; it may be scanned pictures."),
        ({"c.pdf": b"%PDF-1.4 broken"}, "There are no text notes in c.pdf"),
        ({"c.pdf": b""}, "are empty"),
        ({"other.txt": b"x"}, "c.pdf"),
    ],
)
async def test_what_cannot_be_read_is_said_with_what_to_do(files: dict[str, str | bytes], said: str) -> None:
    """Scans, damaged, empty and missing files are four sentences."""
    driven = await _risks(MemoryFolder(files), "/risks c.pdf")

    assert isinstance(driven.end, GiveUp)
    assert said in driven.end.reasons[0]


async def test_nothing_found_is_said_and_not_called_verified() -> None:
    """No pattern is no proof that all is well."""
    driven = await _risks(MemoryFolder({"c.txt": "See you on Friday.\n"}), "/risks c.txt")

    assert isinstance(driven.end, Done)
    assert driven.end.summary.startswith("None of the 29 points of the checklist stands in c.txt.")
    assert driven.end.checks == ()


async def test_a_korean_contract_is_answered_in_korean_and_replays() -> None:
    """R3."""
    folder = MemoryFolder({"계약서.txt": "제1조 을은 위약금을 지급한다.\n".encode("cp949")})
    brief = brief_of("/risks 계약서.txt")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert "## 위약금과 지체상금 (penalty)" in _page(folder)
    assert "- 제1조 을은 위약금을 지급한다. — `계약서.txt:1`" in _page(folder)
    assert [check.passed for check in driven.checks] == [True]
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)
