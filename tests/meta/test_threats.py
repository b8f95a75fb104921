"""The list of threats: each case is held by a test that names it, or says what is missing for one (G-12)."""

from __future__ import annotations

from deskhand.testing import promises as threats

COUNTED = ("AU", "OR", "PA", "IS", "FS", "RO", "SH", "NE", "PI", "AP", "SE", "UP", "SS")
NEVER_WITHOUT = ("FS", "SH", "AP", "AU", "PA")


def test_four_of_five_cases_are_held_by_a_test() -> None:
    """Of the kinds that part 4 counts."""
    cases = [one for one in threats.CASES if one.startswith(COUNTED)]

    held = [one for one in cases if one in threats.held()]

    assert len(held) >= 0.8 * len(cases), sorted({*cases} - {*held})


def test_every_case_is_held_or_says_what_is_missing() -> None:
    """Neither both nor none, and no id that there is not."""
    held = threats.held()

    assert held.keys() | threats.WHY_NOT.keys() == threats.CASES.keys()
    assert held.keys() & threats.WHY_NOT.keys() == set()
    assert len(threats.CASES) == 178


def test_files_commands_approvals_and_access_are_held_whole() -> None:
    """What concerns files, commands, approvals, access and pairing is held by tests to the last case."""
    without = {one for one in threats.WHY_NOT if one.startswith(NEVER_WITHOUT)}

    assert without == set()


def test_only_what_a_test_says_of_itself_counts() -> None:
    """The ids come from docstrings and names of tests, each with the test that says so."""
    held = threats.held()

    assert "tests/meta/test_constant_time.py::test_a_careless_comparison_is_found" in held["AU-04"]
    assert "web/tests/threats.test.ts" in held["AP-11"]
