"""Each rule about one Python file catches a planted bad example and lets a good one pass."""

from __future__ import annotations

import pytest

from tests.meta.code_rules import FUNCTION_LINES_MAX, MODULE_LINES_MAX, code_findings

GOOD = '''"""What this module is for."""

def test_the_sum_is_right():
    """Two and two make four."""
    assert 2 + 2 == 4
'''

LONG_FUNCTION = '"""Doc."""\ndef long():\n' + "    x = 1\n" * FUNCTION_LINES_MAX
LONG_MODULE = '"""Doc."""\n' + "x = 1\n" * MODULE_LINES_MAX

BAD = {
    "a function of 71 lines": (LONG_FUNCTION, "long has 71 lines"),
    "a module of 601 lines": (LONG_MODULE, "601 lines"),
    "no module docstring": ("x = 1\n", "no docstring"),
    "a syntax error": ("def (\n", "does not parse"),
    "a mock by import": ('"""Doc."""\nfrom unittest import mock\n', "a mock"),
    "a mock by module": ('"""Doc."""\nimport unittest.mock\n', "a mock"),
    "a mock by name": ('"""Doc."""\nx = MagicMock()\n', "a mock"),
    "a mock by fixture": ('"""Doc."""\ndef f(mocker): ...\n', "a mock"),
    "noqa without reason": ('"""Doc."""\nx = 1  # noqa: E501\n', "without its reason"),
    "type ignore without reason": ('"""Doc."""\nx = 1  # type: ignore[misc]\n', "without its reason"),
    "pyright ignore without reason": ('"""Doc."""\nx = 1  # pyright: ignore[x]\n', "without its reason"),
    "a promise without issue": ('"""Doc."""\n# TODO: later\n', "without an issue"),
    "a test without sentence": ('"""Doc."""\ndef test_x():\n    assert x\n', "sentence"),
    "a test with a heading": ('"""Doc."""\ndef test_x():\n    """Checks x"""\n    assert x\n', "sentence"),
    "a test that cannot fail": ('"""Doc."""\ndef test_x():\n    """X is."""\n    x()\n', "asserts nothing"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_planted_bad_example_is_found(name: str) -> None:
    """Each bad example is named with its place and what is wrong with it."""
    text, complaint = BAD[name]

    found = code_findings("planted.py", text)

    assert [each for each in found if complaint in each.message]


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: E501 - the address is one word",
        "x = 1  # type: ignore[misc] - the library has no types",
        "# TODO(#12): when the clock can be turned",
        "# the word mock in a comment is none",
    ],
)
def test_a_good_example_passes(line: str) -> None:
    """What gives its reason or its issue is let through."""
    assert code_findings("good.py", GOOD + line + "\n") == []


def test_functions_and_modules_may_reach_their_bound() -> None:
    """The bound itself is still allowed."""
    function = '"""Doc."""\ndef long():\n' + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    module = '"""Doc."""\n' + "x = 1\n" * (MODULE_LINES_MAX - 1)

    assert code_findings("a.py", function) + code_findings("b.py", module) == []
