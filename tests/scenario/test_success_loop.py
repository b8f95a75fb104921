"""What the loop adds to an agent that errs, measured over hundreds of seeded tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from deskhand.protocol.tasks import Verdict
from tests.success.page import BUDGET, ENDLESS, LEAK, PAGE, RUNS, figures_of, page_of
from tests.success.trials import TRIALS

ONCE, ANEW, SAME, LEAKY, TOLD, MUTE, LIAR, UNCHECKED, _ = RUNS


@pytest.mark.timeout(300)
async def test_verified_is_what_is_right_and_tries_add_what_they_can(tmp_path: Path) -> None:
    """A-08: verified goes to 95 % of right results and to no wrong one where a check is sound; the page says it all."""
    found = await figures_of(tmp_path)

    sound = (ONCE, ANEW, SAME, TOLD, MUTE)
    shares = [found[one].of(Verdict.VERIFIED, right=True) / found[one].right for one in sound]
    wrong = [found[one].of(Verdict.VERIFIED, right=False) for one in (*sound, LIAR, UNCHECKED)]
    leaked = found[LEAKY].of(Verdict.VERIFIED, right=False)
    assert min(shares) >= 0.95
    assert wrong == [0] * len(wrong)
    assert found[ONCE].right < 0.6 * TRIALS < 0.8 * TRIALS < found[ANEW].right
    assert found[SAME].right < 0.6 * TRIALS
    assert 0 < leaked < TRIALS * 3 * LEAK
    assert found[MUTE].right < 0.6 * found[TOLD].right
    assert found[UNCHECKED].of(Verdict.UNVERIFIED, right=False) == TRIALS
    assert found[ENDLESS].steps_most <= BUDGET
    assert found[ENDLESS].of(Verdict.NOT_DONE, right=False) == ENDLESS.tasks
    assert page_of(found) == PAGE.read_text(encoding="utf-8")
