"""How far a result can be believed."""

from __future__ import annotations

import pytest

from deskhand.core.lifecycle import Outcome, verdict_of
from deskhand.protocol.tasks import Check, TaskState, Verdict

PASSED = Check(name="counts", passed=True)
FAILED = Check(name="totals", passed=False)
BELIEVED = Check(name="looks right", passed=True, ran_by="verifier")


@pytest.mark.parametrize(
    ("checks", "unknown", "verdict"),
    [
        ([PASSED], 0, Verdict.VERIFIED),
        ([PASSED, BELIEVED], 0, Verdict.VERIFIED),
        ([], 0, Verdict.UNVERIFIED),
        ([BELIEVED], 0, Verdict.UNVERIFIED),
        ([PASSED], 1, Verdict.UNVERIFIED),
    ],
    ids=["ours", "ours and a verifier's", "none", "only a verifier's", "an effect in doubt"],
)
def test_what_is_done_is_verified_only_by_a_check_of_ours(checks: list[Check], unknown: int, verdict: Verdict) -> None:
    """A verifier's yes alone, or no check at all, is not enough."""
    expected = Outcome(state=TaskState.COMPLETED, verdict=verdict)

    assert verdict_of(checks, unknown_effects=unknown) == expected


def test_one_failed_check_is_not_done() -> None:
    """Nothing outweighs a check that failed; it is named."""
    expected = Outcome(state=TaskState.FAILED, verdict=Verdict.NOT_DONE, failed=("totals",))

    assert verdict_of([PASSED, FAILED, BELIEVED]) == expected
