"""How far a result can be believed: a pure function of the checks that were run.

``verified`` needs a check that *we* ran and every check passed; a verifier's yes alone, or no check at all, is
``unverified``. It refuses to be talked into anything: the agent's own words are not among its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deskhand.protocol.tasks import Check, TaskState, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ends. ``failed`` names the checks that did not pass."""

    state: TaskState
    verdict: Verdict
    failed: tuple[str, ...] = ()


def verdict_of(checks: Sequence[Check], *, unknown_effects: int = 0) -> Outcome:
    """Return how a task ends whose agent says that it is done.

    Args:
        checks: what was looked at, in the last try.
        unknown_effects: how many effects may or may not have happened; with one, nobody can call it verified.
    """
    failed = tuple(check.name for check in checks if not check.passed)
    if failed:
        return Outcome(state=TaskState.FAILED, verdict=Verdict.NOT_DONE, failed=failed)
    believed = any(check.ran_by == "runner" for check in checks) and not unknown_effects
    return Outcome(state=TaskState.COMPLETED, verdict=Verdict.VERIFIED if believed else Verdict.UNVERIFIED)
