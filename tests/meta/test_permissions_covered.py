"""What decides about permission is small, pure and looked at in every branch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PERMISSIONS = ROOT / "src/deskhand/permissions"
TESTS = ("permissions", "facts", "policy_lines", "policy_matching", "narrowing")


@pytest.mark.timeout(180)
def test_every_branch_of_the_permissions_is_taken_by_their_own_tests(tmp_path: Path) -> None:
    """All of them, by the written cases alone: none is left to what a random one happens to find."""
    data = f"--data-file={tmp_path}/covered"
    coverage = (sys.executable, "-m", "coverage")
    cases = [f"tests/unit/test_{name}.py" for name in TESTS]
    run = (*coverage, "run", "--branch", f"--source={PERMISSIONS}", data, "-m", "pytest", "-q")
    # How fast they are is measured without somebody who notes every line.
    alone = ("-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not hypothesis", "-k", "not at_once", *cases)

    ran = subprocess.run((*run, *alone), cwd=ROOT, capture_output=True, text=True, check=False)
    report = (*coverage, "report", data, "-m", "--fail-under=100")
    said = subprocess.run(report, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout
    assert said.returncode == 0, said.stdout


def test_the_permissions_can_be_read_by_one_reviewer_in_one_sitting() -> None:
    """Not more than 800 lines, comments and all, and what they say as data."""
    files = [*PERMISSIONS.glob("*.py"), PERMISSIONS / "policy.toml"]

    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 800
