"""`make test`: the checks, the web tests and every pytest folder, then what ran for real here.

The last line is the plain sum "N passed, N failed", in which each check counts as one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import steps

sys.path.insert(0, str(steps.ROOT))

from tests import needs, ran

ONE_BY_ONE = ("acceptance",)
"""Folders whose tests start whole programs and a browser: two at once would fight over the cores."""

NIGHTLY = ("nightly",)
NO_TESTS = 5
REPORTS = steps.ROOT / ".cache" / "test"


@dataclasses.dataclass(slots=True, kw_only=True)
class Sum:
    """What all runs together came to."""

    counts: Counter[str] = dataclasses.field(default_factory=Counter[str])
    ran: Counter[str] = dataclasses.field(default_factory=Counter[str])
    left_out: Counter[str] = dataclasses.field(default_factory=Counter[str])

    def add_step(self, outcome: steps.Outcome) -> None:
        """Count a check or the web tests as one."""
        if not outcome.passed:
            self.counts["failed"] += 1
        elif outcome.left_out:
            self.counts["skipped"] += 1
        else:
            self.counts["passed"] += 1

    def add_report(self, report: Path, *, exit_code: int) -> None:
        """Count a pytest run; one that broke off or failed without naming a test counts as one."""
        before = self.counts["failed"]
        if report.is_file():
            figures = json.loads(report.read_text())
            counts = Counter[str](figures["counts"])
            self.counts["passed"] += counts["passed"]
            self.counts["failed"] += counts["failed"] + counts["error"] + counts["xpassed"]
            self.counts["skipped"] += counts["skipped"] + counts["xfailed"]
            self.ran.update(figures["ran"])
            self.left_out.update(figures["left_out"])
        if exit_code not in (0, NO_TESTS) and self.counts["failed"] == before:
            self.counts["failed"] += 1


def main() -> int:
    """Run everything, also after something failed; answer whether all passed."""
    began = time.monotonic()
    subprocess.run([steps.ROOT / "scripts" / "provision"], check=False)
    total = Sum()
    for step in steps.checks():
        total.add_step(steps.carry_out(step))
    web = steps.web(steps.WEB_CHECKS + steps.WEB_TESTS)
    for outcome in web:
        total.add_step(outcome)
    run_pytest(total, "side-by-side", folders(one_by_one=False), "-n", "2", "--dist", "loadfile")
    run_pytest(total, "one-by-one", folders(one_by_one=True))
    print_table(total, web)
    print(f" {time.monotonic() - began:.0f} s in all")
    counts = total.counts
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


def folders(*, one_by_one: bool) -> list[Path]:
    """List the test folders that hold tests, by how they are to be run."""
    found = [each for each in sorted((steps.ROOT / "tests").iterdir()) if each.is_dir()]
    holding = [each for each in found if any(each.rglob("test_*.py")) and each.name not in NIGHTLY]
    return [each for each in holding if (each.name in ONE_BY_ONE) == one_by_one]


def run_pytest(total: Sum, name: str, tested: list[Path], *options: str) -> None:
    """Run pytest over some folders with its output shown, and add its figures."""
    if not tested:
        return
    REPORTS.mkdir(parents=True, exist_ok=True)
    report = REPORTS / f"{name}.json"
    report.unlink(missing_ok=True)
    step = steps.pytest_step(name, tested, *options)
    environment = {**os.environ, ran.REPORT_VARIABLE: str(report)}
    print(f"\n {name}: {', '.join(folder.name for folder in tested)}", flush=True)
    done = subprocess.run(step.command, cwd=step.folder, env=environment, stdin=subprocess.DEVNULL, check=False)
    total.add_report(report, exit_code=done.returncode)


def print_table(total: Sum, web: list[steps.Outcome]) -> None:
    """Say what ran with the real thing, and why not where it did not."""
    print("\nWhat ran for real here")
    probes = {name: needs.probe(name) for name in needs.NEEDS}
    lines = ran.table(total.ran, total.left_out, probes)
    width = max(len(need.label) for need in needs.NEEDS.values())
    lines.append(f"{'Web tests':<{width}}  {web_fate(web)}")
    for line in lines:
        print(f"  {line}")


def web_fate(web: list[steps.Outcome]) -> str:
    """Put the outcome of the web tests into words."""
    tests = [each for each in web if each.name in {f"web {name}" for name in steps.WEB_TESTS}]
    if not tests:
        return "not asked   there is no web app with tests here"
    if tests[0].left_out:
        return f"not found   {tests[0].left_out}"
    word = "ran" if tests[0].passed else "failed"
    return f"{word:<10}  on Node, {tests[0].seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
