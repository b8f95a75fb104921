"""`make check`: lint, types, import walls, the rules of the repository, web lint and types."""

from __future__ import annotations

import sys

import steps


def main() -> int:
    """Run every check, also after one failed, and answer whether all passed."""
    outcomes = [steps.carry_out(step) for step in steps.checks()]
    outcomes.append(steps.carry_out(steps.pytest_step("repository rules", [steps.ROOT / "tests" / "meta"])))
    outcomes += steps.web(steps.WEB_CHECKS)
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    print(f" check: {'all passed' if not failed else 'FAILED: ' + ', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
