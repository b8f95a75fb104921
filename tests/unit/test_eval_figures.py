"""What runs come to: the figures of an eval, counted by hand here."""

from __future__ import annotations

from datetime import date

import pytest

from deskhand.evals.figures import figures_of
from deskhand.evals.looking import figures, says_day, together, words
from tests.evals.records import record


def test_one_run_and_three_in_a_row_are_two_figures() -> None:
    """Two of three right is 2/3 for one run and nothing for three; each exercise counts as much (A-12)."""
    runs = [record(run=run, right=run > 0) for run in range(3)]
    runs += [record(exercise="b", run=run) for run in range(3)]

    found = figures_of("m", runs)

    assert (found.exercises, found.runs, found.right) == (2, 6, 5)
    assert found.pass_1 == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert found.pass_3 == 0.5


def test_of_more_runs_every_three_count() -> None:
    """Four of five right: four of the ten ways to take three are all right (A-12)."""
    found = figures_of("m", [record(run=run, right=run > 0) for run in range(5)])

    assert found.pass_3 == 0.4


def test_three_in_a_row_are_unknown_with_fewer_runs() -> None:
    """What was not measured is not a figure (A-12)."""
    assert figures_of("m", [record(), record(run=1)]).pass_3 is None


def test_false_claims_asks_and_refusals_are_counted_apart() -> None:
    """Only what ended as done is a claim; a question counts as needed only where it is (A-12)."""
    runs = [
        record(right=False, verdict="verified"),
        record(run=1, right=False),
        record(run=2, right=False, state="failed", verdict="not_done"),
        record(exercise="b", asked=("Which?",)),
        record(exercise="c", kind="ask", asked=("Which?",)),
        record(exercise="c", kind="ask", run=1, right=False),
        record(exercise="d", kind="refuse", state="failed", verdict="not_done"),
        record(exercise="d", kind="refuse", run=1, right=False),
    ]

    found = figures_of("m", runs)

    assert (found.claims, found.false_done, found.false_verified) == (6, 4, 1)
    assert (found.asked, found.to_ask, found.asked_needlessly) == (1, 2, 1)
    assert (found.refused, found.to_refuse) == (1, 2)


def test_a_cost_that_nobody_knows_makes_the_sum_unknown() -> None:
    """Money is exact, or it is not said (A-12)."""
    known, unknown = figures_of("m", [record(), record(run=1)]), record(run=2, money=None)

    assert known.money == "0.02"
    assert figures_of("m", [record(), unknown]).money is None


def test_numbers_are_numbers_however_they_are_grouped() -> None:
    """1,234.50 is 1234.5; a day with dots is no number (A-12)."""
    found = figures("It is 1,234.50 EUR, 1'000 pieces, 007, on 3.11.2026.")

    assert {str(one) for one in found} == {"1234.5", "1E+3", "7"}


def test_things_stand_together_in_a_line_or_two() -> None:
    """A fact counts for the line it is in and the one that follows (A-12)."""
    text = "Ana\nsends case 12\n\nby 9 March"

    assert together(text, "ana", "12")
    assert not together(text, "ana", "march")
    assert words(text) == 7


@pytest.mark.parametrize("said", ["2026-03-09", "9 March", "Mar 9", "March 9", "3월 9일"])
def test_a_day_may_be_written_as_people_do(said: str) -> None:
    """A briefing is not wrong for writing a day in words (A-12)."""
    assert says_day(f"Ana, {said}", date(2026, 3, 9), "Ana")
    assert not says_day(f"Ana, {said}", date(2026, 4, 10), "Ana")
