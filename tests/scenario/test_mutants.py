"""Does the simulation see anything? Each planted bug is found by some seed, and without one the same seed passes."""

from __future__ import annotations

import pytest

from deskhand.testing.seeds import play
from tests.mutants import MUTANTS

SEEDS, SIZE = 100, 0.25
KNOWN = {
    "forgets_ops": 2,
    "answers_too_early": 0,
    "forgets_epochs": 9,
    "skips_outbox_rows": 3,
    "acts_before_intent": 0,
    "moves_cursor_first": 5,
    "uses_a_yes_twice": 3,
    "tells_in_the_request": 8,
    "starts_twice": 1,
    "repeats_unknown": 0,
    "takes_old_results": 0,
    "drops_the_outbox": 0,
    "believes_heartbeats": 0,
    "takes_second_decisions": 1,
    "acts_without_a_yes": 1,
    "skips_after_snapshot": 0,
    "believes_in_pushes": 0,
    "begins_too_early": 0,
    "keeps_erased_words": 1,
}
"""Where each was found last time; only a shortcut, the whole range follows."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    """Some seed under 100 breaks a promise with this bug in the product."""
    order = [KNOWN.get(name, 0), *(seed for seed in range(SEEDS) if seed != KNOWN.get(name))]

    found = next((seed for seed in order if _breaks(name, seed)), None)

    assert found is not None


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", sorted(set(KNOWN.values())))
def test_the_same_seeds_pass_without_a_bug(seed: int) -> None:
    """What they found was the bug: in the product as it is, these seeds break nothing."""
    outcome = play(seed, size=SIZE)

    assert outcome.violations == ()


def _breaks(name: str, seed: int) -> bool:
    with MUTANTS[name]():
        return bool(play(seed, size=SIZE).violations)
