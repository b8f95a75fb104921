"""Whole worlds from seeds: whatever goes wrong, the promises hold once everything has healed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from deskhand.testing.promises import FIGURES, note
from deskhand.testing.seeds import leave_figures, play, told
from tests.mutants import MUTANTS

SIZE = 0.25
"""A quarter of an hour with some four tasks, and as many faults as in an hour: `make seeds N=` plays whole ones."""
WORLDS = 40


@pytest.mark.timeout(600)
def test_promises_hold_in_every_world() -> None:
    """R1, R3, R4, R5, R6, R7, R9, R18: whatever breaks, sleeps or is removed, nothing is lost, doubled or unasked."""
    outcomes = [play(seed, size=SIZE) for seed in range(WORLDS)]

    counts = sum((outcome.counts for outcome in outcomes), Counter[str]())
    leave_figures(WORLDS, [outcome for outcome in outcomes if outcome.violations], counts)
    broken = [told(outcome, size=SIZE) for outcome in outcomes if outcome.violations]
    assert broken == []


@pytest.mark.timeout(120)
def test_a_seed_plays_the_same_again() -> None:
    """R20: the same seed is the same story, to the last byte of log, journals and phones; another is another."""
    first, again, other = (play(seed, size=SIZE) for seed in (3, 3, 4))

    assert (again.sha256, again.story, again.counts) == (first.sha256, first.story, first.counts)
    assert other.sha256 != first.sha256


@pytest.mark.timeout(300)
def test_a_failing_seed_fails_the_same_ten_times() -> None:
    """R20: what a failure prints plays the very same failure again, each of ten times."""
    with MUTANTS["skips_outbox_rows"]():
        worlds = (play(seed, size=SIZE) for seed in range(WORLDS))
        first = next(world for world in worlds if world.violations)
        again = [play(first.seed, size=SIZE) for _ in range(10)]

    same = [one.sha256 == first.sha256 and one.story == first.story for one in again]
    figure = f"{sum(same)} of {len(same)} replays of a planted failure gave the same hash and story"
    note("R20", figure, runs=len(same), of="replays", failing=[n for n, ok in enumerate(same) if not ok])
    assert f"--seed {first.seed} --size {SIZE}" in told(first, size=SIZE)
    assert all(same)


@pytest.mark.timeout(120)
def test_a_seed_does_not_depend_on_the_process() -> None:
    """R20: hash randomisation, another process and what ran before change nothing."""
    play(5, size=SIZE)

    hashes = {_hash_in_a_process(hash_seed) for hash_seed in ("1", "2")}

    assert len(hashes) == 1


def test_worlds_are_bad_enough() -> None:
    """A simulation in which nothing goes wrong shows nothing: a few seeds meet every kind of fault."""
    seen = play(4).counts + play(5).counts + play(11).counts

    faults = ("crashes", "lost_before", "lost_after", "late", "repeated", "hung_up", "cut", "slow")
    assert [fault for fault in (*faults, "apart", "clear", "freeze") if not seen[fault]] == []


def _hash_in_a_process(hash_seed: str) -> str:
    which = ["--seed", "5", "--size", str(SIZE), "--json"]
    command = [sys.executable, "-m", "deskhand.testing.seeds", *which]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    environment.pop(FIGURES, None)  # one world played for its hash is no figure
    ran = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=100)
    return str(json.loads(ran.stdout)["sha256"])
