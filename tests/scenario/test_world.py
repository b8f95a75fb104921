"""Whole worlds from seeds: whatever goes wrong, the promises hold once everything has healed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from deskhand.testing.seeds import play, told

SIZE = 0.25
"""A quarter of an hour with some four tasks, and as many faults as in an hour: `make seeds N=` plays whole ones."""
PER_TEST = 10
WORLDS = 50


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(0, WORLDS, PER_TEST))
def test_promises_hold_in_every_world(first: int) -> None:
    """R1, R3, R4, R5, R6, R9, R18: with crashes, losses, repeats and partitions, nothing is lost, doubled or unasked."""
    outcomes = [play(seed, size=SIZE) for seed in range(first, first + PER_TEST)]

    broken = [told(outcome, size=SIZE) for outcome in outcomes if outcome.violations]
    assert broken == []


@pytest.mark.timeout(120)
def test_a_seed_plays_the_same_again() -> None:
    """R20: the same seed is the same story, to the last byte of log, journals and phones; another is another."""
    first, again, other = (play(seed, size=SIZE) for seed in (3, 3, 4))

    assert (again.sha256, again.story, again.counts) == (first.sha256, first.story, first.counts)
    assert other.sha256 != first.sha256


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
    assert [fault for fault in (*faults, "apart", "clear") if not seen[fault]] == []


def _hash_in_a_process(hash_seed: str) -> str:
    which = ["--seed", "5", "--size", str(SIZE), "--json"]
    command = [sys.executable, "-m", "deskhand.testing.seeds", *which]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ran = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=100)
    return str(json.loads(ran.stdout)["sha256"])
