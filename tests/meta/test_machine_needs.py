"""A missing tool is said, is never silent on a build server, and never called something else."""

from __future__ import annotations

import pytest

from tests.needs import NEEDS, missing, works
from tests.ran import fate, leave_out, table


def test_a_missing_tool_skips_with_its_reason() -> None:
    """On a person's machine the test is left out and the reason is printed."""
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL not found: no initdb"):
        leave_out("PostgreSQL not found: no initdb", {})


def test_a_missing_tool_fails_on_a_build_server() -> None:
    """With CI=true the same test fails: nothing may be left out quietly there."""
    with pytest.raises(pytest.fail.Exception, match="no initdb"):
        leave_out("PostgreSQL not found: no initdb", {"CI": "true"})


@pytest.mark.parametrize(
    ("ran", "left_out", "found", "said"),
    [
        (3, 0, works("15.1"), "ran         3 tests (15.1)"),
        (0, 2, missing("no bwrap on PATH"), "not found   2 tests: no bwrap on PATH"),
        (0, 0, works("15.1"), "not asked   no test of this run needed it"),
        (0, 1, works("15.1"), "left out    1 tests: 15.1"),
    ],
)
def test_the_table_says_what_became_of_each_need(ran: int, left_out: int, found: object, said: str) -> None:
    """A need that ran, one that is missing and one nobody asked for read differently."""
    assert isinstance(found, type(works("")))

    assert fate(ran, left_out, found) == said


def test_every_need_has_its_row() -> None:
    """The table leaves no need out, whatever ran."""
    rows = table({}, {}, dict.fromkeys(NEEDS, works("here")))

    assert [row.split("  ")[0] for row in rows] == [need.label for need in NEEDS.values()]
