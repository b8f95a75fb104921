"""Leave out what this machine cannot run, and say at the end what ran with the real thing.

A test marked `needs(name)` whose tool does not work here is skipped with the reason printed; with
`CI=true` it fails instead, because there nothing may be left out quietly.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from tests.needs import NEEDS, Probe, probe

REPORT_VARIABLE = "DESKHAND_TEST_REPORT"
"""Where `make test` wants figures written; it then prints one table for all its runs."""

PROPERTY = "needs"
COUNTED = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


class RealThings:
    """A pytest plugin: acts on `needs`, keeps the tally, prints or writes it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start with nothing seen."""
        self._environment = environment
        self._ran: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip, or with CI=true fail, a test whose tools do not work here."""
        names = named_needs(item)
        item.user_properties += [(PROPERTY, name) for name in names]
        for name in names:
            found = probe(name)
            if not found.works:
                leave_out(f"{NEEDS[name].label} not found: {found.detail}", self._environment)

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: at its call, or at the set-up that left it out.

        Under xdist the workers hand their reports to the first process, which prints.
        """
        names = [str(value) for key, value in report.user_properties if key == PROPERTY]
        if report.when == "call":
            self._ran.update(names)
        elif report.when == "setup" and not report.passed:
            self._left_out.update(names)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table above pytest's own closing line, or write the figures for `make test`."""
        target = self._environment.get(REPORT_VARIABLE)
        if target:
            Path(target).write_text(json.dumps(self._figures(terminalreporter)))
        elif self._ran or self._left_out:
            terminalreporter.section("what ran for real here")
            for line in table(self._ran, self._left_out, {name: probe(name) for name in NEEDS}):
                terminalreporter.line(line)

    def _figures(self, reporter: pytest.TerminalReporter) -> dict[str, dict[str, int]]:
        counts = {name: len(reporter.stats.get(name, [])) for name in COUNTED}
        return {"counts": counts, "ran": dict(self._ran), "left_out": dict(self._left_out)}


def named_needs(item: pytest.Item) -> list[str]:
    """Read what a test says it needs; an unknown name is an error of the test."""
    names = [cast("str", name) for mark in item.iter_markers("needs") for name in mark.args]
    unknown = [name for name in names if name not in NEEDS]
    if unknown:
        message = f"{item.nodeid} needs {unknown[0]!r}; known: {', '.join(NEEDS)}"
        raise pytest.UsageError(message)
    return names


def leave_out(reason: str, environment: Mapping[str, str]) -> None:
    """Skip the running test, or fail it where a missing tool is a failure."""
    if environment.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def table(ran: Mapping[str, int], left_out: Mapping[str, int], probes: Mapping[str, Probe]) -> list[str]:
    """Say for each need whether tests ran with the real thing, and why not where they did not."""
    width = max(len(need.label) for need in NEEDS.values())
    return [
        f"{need.label:<{width}}  {fate(ran.get(name, 0), left_out.get(name, 0), probes[name])}"
        for name, need in NEEDS.items()
    ]


def fate(ran: int, left_out: int, found: Probe) -> str:
    """Put one need's outcome into words."""
    if left_out and ran:
        return f"ran         {ran} tests ({found.detail}); {left_out} left out with another tool"
    if left_out:
        word = "not found" if not found.works else "left out"
        return f"{word:<10}  {left_out} tests: {found.detail}"
    if ran:
        return f"ran         {ran} tests ({found.detail})"
    return "not asked   no test of this run needed it"


def plugin() -> RealThings:
    """Make the plugin for this process."""
    return RealThings(os.environ)
