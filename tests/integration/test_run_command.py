"""``/run``: what is run is what was typed, and what is said is what happened."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.agents.commands.agent import COMMANDS, CommandAgent
from deskhand.agents.commands.command import parse_line
from deskhand.errors import DeskhandError
from deskhand.ports import CommandResult, Done, FileChange, GiveUp, Place, RefusedChange, Turn
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.registry import standard_tools
from tests.driven import Driven, RecordedSandbox, brief_of, drive, offloaded, place_of, replays

TOOLS = standard_tools(offload=offloaded)
AGENT = CommandAgent(offload=offloaded)
SILENT = CommandResult(exit_code=0, output=b"", truncated=False, timed_out=False)


def _place(folder: MemoryFolder, ended: CommandResult) -> Place:
    return replace(place_of(folder), sandbox=RecordedSandbox(ended), step="5" * 64)


async def _run(line: str, ended: CommandResult, folder: MemoryFolder | None = None) -> Driven:
    return await drive(AGENT, brief_of(line), _place(folder or MemoryFolder(), ended), TOOLS)


@pytest.mark.parametrize(
    ("typed", "argv"),
    [
        ("/run ls -la", ("ls", "-la")),
        ("/run pytest -q —maxfail=1", ("pytest", "-q", "--maxfail=1")),
        ("/run echo “hello world”", ("echo", "hello world")),
        ("/RUN  make   build", ("make", "build")),
        ("/run python3 정리.py --out=새.csv", ("python3", "정리.py", "--out=새.csv")),
        ("/run ls | wc -l", ("sh", "-c", "ls | wc -l")),
        ('/run git commit -m "a b"', ("sh", "-c", 'git commit -m "a b"')),
        ("/run N=3 make", ("sh", "-c", "N=3 make")),
        ("/run cat *.txt > all.txt", ("sh", "-c", "cat *.txt > all.txt")),
        ("/run echo it's", ("sh", "-c", "echo it's")),
    ],
)
def test_a_line_becomes_the_call_a_shell_would_make(typed: str, argv: tuple[str, ...]) -> None:
    """Options are the program's own; what only a shell understands goes to one as it stands."""
    assert parse_line(typed, COMMANDS).operands == argv


@given(st.text(min_size=1, max_size=80))
def test_no_word_of_a_line_is_lost(words: str) -> None:
    """Every letter that is no space is in the call, or the line is refused."""
    try:
        operands = parse_line(f"/run x{words}", COMMANDS).operands
    except DeskhandError:
        return
    if operands[:2] == ("sh", "-c"):
        assert operands[2].startswith("x")


async def test_output_status_and_files_are_told_and_the_files_looked_at_again() -> None:
    """What a command left is listed, and each file is there as it was left."""
    ended = replace(
        SILENT,
        output=b"3 passed\n",
        changes=(
            FileChange(path="out/새 표.csv", kind="created", size=5),
            FileChange(path="old.csv", kind="deleted", size=0),
        ),
    )
    folder = MemoryFolder({"out/새 표.csv": "a,b\n1"})

    driven = await _run("/run make", ended, folder)

    assert isinstance(driven.end, Done)
    assert driven.end.summary == "Exit code 0: make"
    assert driven.end.say == ("```\n3 passed\n```\n\n- created `out/새 표.csv` 5 B\n- deleted `old.csv` 0 B")
    assert [(check.passed, check.evidence) for check in driven.checks] == [
        (True, "exit code 0"),
        (True, "2 of 2 as said"),
    ]


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (replace(SILENT, exit_code=2), "Exit code 2: make all"),
        (
            replace(SILENT, exit_code=None, timed_out=True),
            "Stopped at a bound of time, memory or processes; nothing was changed: make all",
        ),
        (replace(SILENT, refused=(RefusedChange(path="a\nb", reason="link"),)), "Not taken over: `a\\x0ab` (link)"),
    ],
)
async def test_what_did_not_go_well_is_never_done(ended: CommandResult, reason: str) -> None:
    """Another status, a stop and a change left out each end as not done, with the output."""
    driven = await _run("/run make all", replace(ended, output=b"no rule"))

    assert isinstance(driven.end, GiveUp)
    assert driven.end.reasons == (reason,)
    assert "no rule" in driven.end.say


async def test_long_and_odd_output_is_shown_from_its_end_inside_its_fence() -> None:
    """The end says what was wrong; marks in the output do not end the block."""
    output = b"x" * 20_000 + b"\n```\n**bold** \xff\n"

    driven = await _run("/run make", replace(SILENT, output=output, truncated=True))

    assert isinstance(driven.end, Done)
    assert "The first 12" in driven.end.say
    assert driven.end.say.count("````") == 2
    assert "There was more output than is kept." in driven.end.say


async def test_an_exit_status_is_looked_up_not_believed() -> None:
    """Of a step that never ran there is no record, and a made-up one is not looked for on the disk."""
    place = _place(MemoryFolder(), SILENT)

    unknown = await TOOLS["check_exit"].call({"step": "6" * 64}, place)

    assert (unknown.value["passed"], unknown.text) == (False, "there is no record of that command")
    with pytest.raises(DeskhandError):
        await TOOLS["check_exit"].call({"step": "../../etc/passwd"}, place)


async def test_a_command_whose_files_changed_since_is_not_run_again() -> None:
    """A failed check is no reason to have an effect twice."""
    driven = await _run("/run make", SILENT)

    again = await AGENT.move(brief_of("/run make"), [*driven.turns, Turn(move=driven.end)])

    assert isinstance(again, GiveUp)
    assert "changed since: make" in again.reasons[0]


async def test_a_korean_line_is_answered_in_korean_and_replays() -> None:
    """R3: the command is never run a second time by thinking again."""
    place = _place(MemoryFolder(), SILENT)
    brief = brief_of("/run python3 정리.py")

    driven = await drive(AGENT, brief, place, TOOLS)

    assert isinstance(driven.end, Done)
    assert driven.end.summary == "종료 코드 0: python3 '정리.py'"
    assert driven.end.say == "출력이 없습니다."
    assert await replays(CommandAgent(offload=offloaded), brief, driven.turns)
    assert isinstance(place.sandbox, RecordedSandbox)
    assert len(place.sandbox.commands) == 1
