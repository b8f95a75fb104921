"""The demo is a test subject: its figures follow its input, and it fails loudly when a part does (S-12)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)


def _demo(tmp_path: Path, *, mark: str = "", patch: str = "") -> tuple[int, str]:
    """Run ``make demo``'s program; ``patch`` is run in each of its processes before anything else."""
    (tmp_path / "sitecustomize.py").write_text(patch, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200", "MARK": mark}
    done = subprocess.run(
        [sys.executable, "-m", "deskhand.testing.demo"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_planted_line_comes_out_with_its_place(tmp_path: Path) -> None:
    """A-11, L-10: the planted line is in both briefings, a killed step is done once, every notification was shown."""
    mark = "TODO: Zoë buys 37 lemons for the harbour"

    code, said = _demo(tmp_path, mark=mark)

    assert code == 0, said
    assert f"“{mark}”" in said
    assert re.search(r"found: briefing\.md:\d+, briefing-agent\.md:\d+ ← ", said)
    assert "0 repeated, 0 unknown" in said
    assert "5 planned · 5 accepted · 5 shown" in said
    assert "✂ killed the program (kill -9) in that step" in said
    assert said.count("STAND-IN") + said.count("stand-in (a scripted program, not a language model)") >= 2
    assert re.search(r"✗ check “every action item is in the briefing”: \d+ of \d+ .* try 2 of 3", said)


def test_two_runs_of_the_demo_show_two_different_sets_of_figures(tmp_path: Path) -> None:
    """Nothing is a fixed text: new numbers in, new totals out."""
    _, first = _demo(tmp_path)

    _, second = _demo(tmp_path)

    totals = [next(line for line in said.splitlines() if "says a total" in line) for said in (first, second)]
    assert totals[0] != totals[1]


LYING_AGENT = """
import deskhand.agents.commands.agent as agent
from deskhand.ports import Done
async def lie(self, brief, history): return Done(summary='All done.')
agent.CommandAgent.move = lie
"""
BROKEN_TOOL = """
import deskhand.tools.builtin as builtin
async def broken(self, arguments, place): raise OSError('the disk is gone')
builtin.BuiltIn.call = broken
"""
IDLE_COURIER = """
import deskhand.hub.delivering as delivering
import deskhand.testing.demo.agent_act as act
async def never(self): return None
delivering.Courier.run = never
act.WORK_SECONDS = 8
"""
NO_RECOVERY = """
import deskhand.runner.attempt as attempt
async def never(self, call, step): return None
attempt._Driver._again = never
"""


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (LYING_AGENT, "unverified"),
        (BROKEN_TOOL, "not_done"),
        (IDLE_COURIER, "failed"),
        (NO_RECOVERY, "completed unverified"),
    ],
    ids=["a lying agent", "a broken tool", "a courier that sends nothing", "no recovery"],
)
def test_a_broken_part_fails_the_demo(tmp_path: Path, patch: str, reason: str) -> None:
    """A demo that cannot fail shows nothing."""
    code, said = _demo(tmp_path, patch=patch)

    assert code == 1, said
    assert "The demo failed" in said
    assert reason in said
