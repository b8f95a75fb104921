"""What was promised, what was measured, and which test holds which case of the list of threats: three pages.

    DESKHAND_FIGURES=DIR pytest ...                 # tests and long runs leave their figures in DIR
    python -m deskhand.testing.promises DIR         # take them into docs/reference/promises.json

`promises.md` is written from those figures, `what-survives.md` from the tests' own marks and `threats.md` from their own
words, by `make docs`. It refuses to round a failing run away: what failed stands beside the figure until a later run
replaces it; and to leave a case out: one without a test has to say in `threats.toml` what is missing for it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, cast

from deskhand.clock import SystemClock
from deskhand.texts import table

ROOT: Final = Path(__file__).resolve().parents[3]
KEPT: Final = ROOT / "docs" / "reference" / "promises.json"
FIGURES: Final = "DESKHAND_FIGURES"
"""Names the directory in which figures are left; without it nothing is."""

PROMISES: Final[dict[str, str]] = table("deskhand.testing", "promises.toml")
"""The promises that have a figure, by their ids in the list of threats."""

_SAID = table("deskhand.testing", "threats.toml")
CASES: Final[dict[str, str]] = _SAID["cases"]
"""What happens, and what must come of it, by id."""
WHY_NOT: Final[dict[str, str]] = _SAID["why_not"]
"""What is missing for a test, by id."""
_ID: Final = re.compile(rf"\b(?:{'|'.join(sorted({one[:2] for one in CASES}))})-\d\d\b")
_PAGE_TEST: Final = re.compile(r"^\s*(?:test|it)(?:\.\w+)*\(\s*\"([^\"]+)\"", re.MULTILINE)


def note(promise: str, figure: str, *, runs: int, of: str, failing: Sequence[object] = ()) -> None:
    """Leave a figure behind, if somebody collects them.

    Args:
        promise: an id of ``PROMISES``.
        figure: one sentence with the numbers.
        runs: how many runs it comes from.
        of: what a run is: kills, seeds, power cuts.
        failing: which of them failed, by what plays them again.

    Raises:
        KeyError: nobody promised that.
    """
    place = os.environ.get(FIGURES)
    source = _source()
    told = {
        "promise": promise,
        "promised": PROMISES[promise],
        "figure": figure,
        "runs": runs,
        "of": of,
        "failing": [str(one) for one in failing],
        "date": SystemClock().now().date().isoformat(),
        "source": source,
    }
    if place:
        name = hashlib.sha256(f"{promise} {of} {source}".encode()).hexdigest()[:16]
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")


def promises() -> str:
    """Return the page of the promises with what was measured last."""
    rows = [_row(told) for told in _kept()]
    missing = [name for name in PROMISES if name not in {str(told["promise"]) for told in _kept()}]
    return (
        "# Promises and figures\n\nEach figure was left behind by the run beside it, on the day that it names, on two "
        "cores of a virtual machine.\n`make test` measures small numbers, `make kills`, `make power-cuts` and "
        "`make nightly` large ones through the same code;\n`make promises` measures anew and writes this page.\n\n"
        "`make nightly` plays a million simulated tasks: at the 47 to 52 tasks per second of processor time that were\n"
        "measured it needs about three hours on two free cores. What was played so far stands beside `deskhand.testing.seeds`.\n\n"
        "| id | promise | measured | runs | failing | day | by |\n| --- | --- | --- | --- | --- | --- | --- |\n"
        + "".join(rows)
        + (f"\nWithout a figure so far: {', '.join(missing)}.\n" if missing else "")
    )


def what_survives() -> str:
    """Return the page that says what a failure changes, from the marks of the tests that show it."""
    rows = sorted(survivals())
    return (
        "# What survives\n\nWhat may go wrong, what happens then, and the test that shows it.\n\n"
        "| when | then | shown by |\n| --- | --- | --- |\n"
        + "".join(f"| {_plain(when)} | {_plain(then)}. | `{shown}` |\n" for when, then, shown in rows)
    )


def survivals() -> Iterator[tuple[str, str, str]]:
    """Yield (failure, what happens, test) of every test that carries the mark ``survives``."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark.survives" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from (
                    (when, then, f"{path.relative_to(ROOT)}::{node.name}") for when, then in _marks(node.decorator_list)
                )


def threats() -> str:
    """Return the page: every case, with the tests that hold it or what is missing for one."""
    found = held()
    rows = [f"| {one} | {_escaped(said)} | {_by(one, found)} |\n" for one, said in CASES.items()]
    return (
        f"# Threats and their tests\n\n{len(CASES)} cases, {len(found)} of them held by tests that name them. `make test` "
        "runs every one; where a case has none, what is missing for it stands there.\n\n"
        "| id | what happens → what must come of it | held by |\n| --- | --- | --- |\n" + "".join(rows)
    )


@cache
def held() -> Mapping[str, Sequence[str]]:
    """Return the tests of each id that one of them names."""
    found: dict[str, list[str]] = defaultdict(list)
    for where, said in _told():
        for one in dict.fromkeys(_ID.findall(said)):
            found[one].append(where)
    return found


def main(arguments: Sequence[str]) -> int:
    """Take the figures of a directory into the kept ones; a newer one of the same run replaces the older."""
    kept = {_identity(told): told for told in _kept()}
    for path in sorted(Path(arguments[0]).glob("*.json")):
        told = cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
        kept[_identity(told)] = told
    text = json.dumps([kept[name] for name in sorted(kept)], indent=1, ensure_ascii=False)
    KEPT.write_text(text + "\n", encoding="utf-8")
    return 0


def _identity(told: dict[str, object]) -> tuple[int, str, str]:
    return int(str(told["promise"])[1:]), str(told["of"]), str(told["source"])


def _kept() -> list[dict[str, object]]:
    if not KEPT.exists():
        return []
    return cast("list[dict[str, object]]", json.loads(KEPT.read_text(encoding="utf-8")))


def _row(told: dict[str, object]) -> str:
    failing = ", ".join(cast("list[str]", told["failing"])) or "none"
    runs = f"{told['runs']:,} {told['of']}"
    cells = (told["promise"], told["promised"], told["figure"], runs, failing, told["date"])
    return f"| {' | '.join(str(cell) for cell in cells)} | `{told['source']}` |\n"


def _plain(said: str) -> str:
    return said.strip().rstrip(".")


def _marks(decorators: Iterable[ast.expr]) -> Iterator[tuple[str, str]]:
    for one in decorators:
        if isinstance(one, ast.Call) and ast.unparse(one.func).endswith("mark.survives"):
            when, then = (ast.literal_eval(argument) for argument in one.args)
            yield str(when), str(then)


def _source() -> str:
    """Return what runs: a test, or the module that was started."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].partition("[")[0]
    started = getattr(sys.modules["__main__"].__spec__, "name", "python")
    return test or f"python -m {str(started).removesuffix('.__main__')}"


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
    return "<br>".join(f"`{test}`" for test in tests) or f"no test: {_escaped(WHY_NOT[one])}"


def _escaped(said: str) -> str:
    return said.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
