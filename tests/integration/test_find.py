"""``/find`` and its tool over a real folder: names, contents and days, best first, each line quoted and looked at again."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand.agents.commands.agent import CommandAgent
from deskhand.ports import Done, GiveUp
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests.driven import Driven, brief_of, checked, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
FILES: dict[str, tuple[str, bytes]] = {
    "contracts/Meyer GmbH.txt": ("2026-11-20", b"Lease of the shop\nDeposit: 3,000 EUR\n"),
    "mail/re-meyer.md": ("2026-11-12", b"Hello,\nthe contract with Meyer is signed.\n"),
    "notes/2026-11-20 standup.md": ("2026-10-01", b"Nothing new.\n"),
    "notes/garden.md": ("2026-11-01", b"Contract the gardener?\n"),
    "\ud55c\uae00/보증금 안내.txt": ("2026-11-19", "보증금은 반환됩니다.\r\n".encode("cp949")),
    "wide.txt": ("2026-01-02", "the Deposit is back".encode("utf-16")),
    "logo meyer.png": ("2026-02-02", b"\x89PNG\x00\x00"),
    ".git/meyer": ("2026-02-02", b"meyer\n"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name, (day, data) in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        noon = datetime.fromisoformat(f"{day}T12:00:00").astimezone().timestamp()
        os.utime(path, (noon, noon))
    return Folder(tmp_path)


async def _find(folder: Folder | MemoryFolder, line: str) -> Driven:
    return await drive(AGENT, brief_of(line), place_of(folder), TOOLS)


def _files(driven: Driven) -> list[str]:
    assert isinstance(driven.end, Done), driven.end
    lines = driven.end.say.split("\n")
    return [line.split("`")[1] for line in lines if line.startswith("**")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/find contract Meyer", ["contracts/Meyer GmbH.txt", "mail/re-meyer.md", "logo meyer.png", "notes/garden.md"]),
        ("/find MEYER --type txt", ["contracts/Meyer GmbH.txt"]),
        ("/find Meyer --in mail", ["mail/re-meyer.md"]),
        ("/find yesterday", ["contracts/Meyer GmbH.txt", "notes/2026-11-20 standup.md"]),
        ("/find standup yesterday", ["notes/2026-11-20 standup.md"]),
        ("/find meyer since 2026-11-15", ["contracts/Meyer GmbH.txt"]),
        ("/find meyer since last week", ["mail/re-meyer.md", "contracts/Meyer GmbH.txt"]),
        ('/find "contract with meyer"', ["mail/re-meyer.md"]),
        ("/find 보증금", ["한글/보증금 안내.txt"]),
        ("/find 그저께", ["한글/보증금 안내.txt"]),
        ("/find deposit back", ["wide.txt", "contracts/Meyer GmbH.txt"]),
        ("/find the garden file", ["notes/garden.md"]),
    ],
)
async def test_what_was_looked_for_is_found_best_first(folder: Folder, line: str, found: list[str]) -> None:
    """More of the words first, then in the name, then the newest; days by change or by name; 20 November is yesterday."""
    driven = await _find(folder, line)

    assert _files(driven) == found
    assert [check.passed for check in driven.checks] == [True]


async def test_the_answer_quotes_lines_and_says_what_a_file_lacks(folder: Folder) -> None:
    """Every hit has its place, and a word that is not there is named."""
    driven = await _find(folder, "/find contract meyer")

    assert isinstance(driven.end, Done)
    assert driven.end.summary == "4 of 7 files found for “contract meyer”"
    assert "- the contract with Meyer is signed. — `mail/re-meyer.md:2`" in driven.end.say
    assert "**`notes/garden.md`** · 2026-11-01 · 23 B · without: meyer" in driven.end.say
    assert driven.end.outputs == ()
    assert driven.checks[0].evidence == "6 of 6 as said"


async def test_a_file_that_changed_meanwhile_fails_the_check(folder: Folder, tmp_path: Path) -> None:
    """What was quoted is read again."""
    driven = await _find(folder, "/find contract meyer")
    assert isinstance(driven.end, Done)
    (tmp_path / "mail/re-meyer.md").write_text("Hello,\nthe contract with Meier is signed.\n")

    check = await checked("files", driven.end.checks[0].call, place_of(folder), TOOLS)

    assert (check.passed, check.evidence) == (False, "5 of 6 as said; not so: mail/re-meyer.md")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/find zeppelin", "Nothing was found for “zeppelin” among 7 files. Try fewer words"),
        ("/find meyer --in gone", "gone"),
        ("/find 비행선", "파일 7개 중에서 “비행선”에 맞는 것이 없습니다."),
    ],
)
async def test_nothing_found_says_what_to_change(folder: Folder, line: str, said: str) -> None:
    """A wrong place and no hit are different sentences."""
    driven = await _find(folder, line)

    assert isinstance(driven.end, GiveUp)
    assert said in driven.end.reasons[0]


async def test_a_thousand_files_are_one_step_and_twenty_answers() -> None:
    """R3: what is not shown is counted, and the answer is the same when it is replayed."""
    files: dict[str, str | bytes] = {f"n/{n:04}.md": f"page {n} of Aurora\n" for n in range(1000)}
    folder = MemoryFolder({**files, "giant.txt": "x" * 1_000_000 + " aurora " + "y" * 500})
    brief = brief_of("/find aurora")

    driven = await drive(AGENT, brief, place_of(folder), TOOLS)

    assert isinstance(driven.end, Done)
    assert driven.end.say.endswith("… and 981 more")
    assert len(_files(driven)) == 20
    assert [check.passed for check in driven.checks] == [True]
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text("ab가 `|\n\u202e\u0301", min_size=1, max_size=6).map(lambda name: f"{name}x.md"),
        st.text("abAB가나ß İ\r\n`|<>", max_size=60),
        min_size=1,
        max_size=5,
    ),
    st.text("abAB가ßİ", min_size=1, max_size=3),
)
async def test_whatever_is_in_names_and_files_what_is_quoted_stands_there(files: dict[str, str], word: str) -> None:
    """Odd names, cases that change length, marks of tables: found and checked, or honestly not found."""
    folder = MemoryFolder({path: text.encode() for path, text in files.items()})

    driven = await _find(folder, f"/find {word}")

    told = isinstance(driven.end, GiveUp) and bool(driven.end.reasons[0])
    assert told or [check.passed for check in driven.checks] == [True]


async def test_a_hidden_directory_full_of_files_hides_nothing(tmp_path: Path) -> None:
    """A repository's own files do not use up what may be looked at."""
    (tmp_path / ".git").mkdir()
    for number in range(10_050):
        (tmp_path / f".git/{number}").touch()
    (tmp_path / "letter.txt").write_text("the zebra\n")

    driven = await _find(Folder(tmp_path), "/find zebra")

    assert _files(driven) == ["letter.txt"]
    assert isinstance(driven.end, Done)
    assert "more files than are listed" not in driven.end.say
