"""Real processes, real files, real HTTP and `kill -9`: what was promised holds, and a planted bug is found."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay")]

PLANTED = {
    "acts_before_intent": ("unknown tool, midway", "once", ("R4 ",)),
    "repeats_unknown": ("unknown tool, midway", "once", ("R4 ",)),
    "uses_a_yes_twice": ("hub commit settings.put, before", "again", ("R18 ",)),
    # What was answered and then lost may be an op (R1), or the accept of a task that then loses its way (R3).
    "answers_before_commit": ("hub commit message.post, before", "", ("R1 ", "R3 ")),
    "cancels_in_silence": ("journal commit order task.finished, after", "cancel", ("R4 ",)),
}
"""Bugs, where to die and with what tasks so that they show, and which promises the judge may find broken by them."""


def _kill(*asked: str) -> dict[str, Any]:
    """Return what a run of kills says, whether it broke something or not."""
    command = [sys.executable, "-m", "tests.kills", "--json", *asked]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout, ended.stderr[-2000:]
    return json.loads(ended.stdout)


@pytest.mark.timeout(900)
@pytest.mark.survives(
    "A program of Deskhand is killed, anywhere, again and again",
    "It goes on where it was when it starts again. Nothing you sent is lost, nothing is done twice, and what nobody "
    "can know is said with where to look.",
)
def test_200_kills_at_every_point_lose_and_repeat_nothing() -> None:
    """L-01, L-02, R1, R3, R4, R18: somebody dies at every listed point, half of them in the midst of a step."""
    said = _kill("--kills", "200", "--seed", "1")

    assert said["broken"] == []
    assert said["kills"] >= 200
    assert said["share_open"] >= 0.5


@pytest.mark.timeout(300)
def test_tasks_finish_while_everybody_dies_every_few_seconds() -> None:
    """L-03, R3: with twenty tasks under way and a kill every few seconds, all come to their one end."""
    said = _kill("--minutes", "0.4", "--tasks", "20", "--seed", "2")

    assert said["broken"] == []
    assert said["kills"] >= 5


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_by_kills(bug: str) -> None:
    """The judge notices: with this bug in the killed processes it finds the promise broken."""
    at, word, promises = PLANTED[bug]

    said = _kill("--kills", "3", "--jobs", "1", "--seed", "2", "--bug", bug, "--at", at, "--only", word)

    assert any(one.startswith(promises) for one in said["broken"]), said["broken"]
