"""What was promised and what was measured: figures that runs leave behind, and the two pages made of them.

    DESKHAND_FIGURES=DIR pytest ...                 # tests and long runs leave their figures in DIR
    python -m deskhand.testing.promises DIR         # take them into docs/reference/promises.json

`promises.md` is written from those figures, `what-survives.md` from the tests' own marks, both by `make docs`. It
refuses to round a failing run away: what failed stands beside the figure until a later run replaces it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
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
        + "".join(
            f"| {_plain(when)} | {_plain(then)}. | `{shown}` |\n" for when, then, shown in rows
        )
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
                    (when, then, f"{path.relative_to(ROOT)}::{node.name}")
                    for when, then in _marks(node.decorator_list)
                )


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
