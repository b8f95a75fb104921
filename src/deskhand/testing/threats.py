"""Which test holds which case of the list of threats: read from the tests' own words, so that it cannot be claimed.

A test of Python names ids in its docstring, one of the page in its name. It refuses to leave a case out: one without a
test has to say in `threats.toml` what is missing for it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from deskhand.texts import table

ROOT: Final = Path(__file__).resolve().parents[3]
_SAID = table("deskhand.testing", "threats.toml")
CASES: Final[dict[str, str]] = _SAID["cases"]
"""What happens, and what must come of it, by id."""
WHY_NOT: Final[dict[str, str]] = _SAID["why_not"]
"""What is missing for a test, by id."""
_ID: Final = re.compile(rf"\b(?:{'|'.join(sorted({one[:2] for one in CASES}))})-\d\d\b")
_PAGE_TEST: Final = re.compile(r"^\s*(?:test|it)(?:\.\w+)*\(\s*\"([^\"]+)\"", re.MULTILINE)


def threats() -> str:
    """Return the page: every case, with the tests that hold it or what is missing for one."""
    found = held()
    rows = [f"| {one} | {_cell(said)} | {_by(one, found)} |\n" for one, said in CASES.items()]
    return (
        f"# Threats and their tests\n\n{len(CASES)} cases, {len(found)} of them held by tests that name them. `make test` "
        "runs every one; where a case has none, what is missing for it stands there.\n\n"
        "| id | what happens → what must come of it | held by |\n| --- | --- | --- |\n"
        + "".join(rows)
    )


@cache
def held() -> Mapping[str, Sequence[str]]:
    """Return the tests of each id that one of them names."""
    found: dict[str, list[str]] = defaultdict(list)
    for where, said in _told():
        for one in dict.fromkeys(_ID.findall(said)):
            found[one].append(where)
    return found


def _told() -> Iterator[tuple[str, str]]:
    """Yield every test with what it says that must hold."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "test_" in node.name:
                yield f"{path.relative_to(ROOT)}::{node.name}", ast.get_docstring(node) or ""
    for path in sorted((ROOT / "web/tests").glob("*.test.ts")):
        for said in _PAGE_TEST.findall(path.read_text("utf-8")):
            yield f"{path.relative_to(ROOT)}", said


def _by(one: str, found: Mapping[str, Sequence[str]]) -> str:
    tests = dict.fromkeys(found.get(one, ()))
    return "<br>".join(f"`{test}`" for test in tests) or f"no test: {_cell(WHY_NOT[one])}"


def _cell(said: str) -> str:
    return said.replace("|", "\\|").replace("<", "&lt;")
