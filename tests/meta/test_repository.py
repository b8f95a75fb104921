"""The rules of the house, asked of every file that is or would be committed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

import pytest

from tests.meta import code_rules, data_rules, machine, tree_rules
from tests.meta.findings import ROOT, Finding, files, python_sources, texts

COMMENTED = (".ts", ".svelte", ".css", ".sh", "Makefile", ".toml", ".yml", ".yaml")
CATALOGUES = ("src/deskhand/texts", "web/src/texts")
LOCKS = {"runtime": (), "dev": ("dev", "postgres", "power")}


def listed(findings: Iterable[Finding]) -> str:
    """Put findings one on a line, so that a failing test prints a list to work through."""
    return "\n".join(finding.shown() for finding in sorted(findings))


def test_every_python_file_keeps_the_rules_of_form() -> None:
    """Functions and modules are short, exemptions are argued, tests can fail, no mock is used."""
    found = [each for path, text in python_sources().items() for each in code_rules.code_findings(path, text)]

    assert listed(found) == ""


def test_no_part_grows_past_its_line_budget() -> None:
    """The whole stays small enough for one person to read."""
    assert listed(tree_rules.budget_findings(python_sources())) == ""


def test_every_file_is_named_after_what_it_holds() -> None:
    """No file is a drawer for odds and ends."""
    assert listed(tree_rules.name_findings(files())) == ""


def test_no_folder_is_crowded() -> None:
    """The modules of one folder can be seen at once."""
    assert listed(tree_rules.crowd_findings(files())) == ""


def test_no_package_is_an_empty_room() -> None:
    """No file is created before it has a body."""
    assert listed(tree_rules.empty_room_findings(python_sources())) == ""


def test_components_adapters_and_decisions_stay_short() -> None:
    """Each kind of file has its own bound."""
    assert listed(tree_rules.size_findings(texts())) == ""


def test_everything_left_for_later_has_an_issue() -> None:
    """A promise in a comment names where it is remembered."""
    assert listed(tree_rules.promise_findings(texts(ending=COMMENTED))) == ""


def test_every_decision_record_has_all_its_parts() -> None:
    """A decision says what it was chosen from and what would reopen it."""
    records = texts(below=("docs/decisions/0",))

    found = [each for path, text in records.items() for each in tree_rules.decision_findings(path, text)]

    assert records
    assert listed(found) == ""


def test_no_file_tells_about_the_machine_it_was_written_on() -> None:
    """Neither an index's host name nor a folder of this machine stands in a committed file."""
    traces = machine.index_hosts() + machine.folders()

    assert listed(tree_rules.trace_findings(texts(), traces)) == ""


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_covers_what_is_declared(lock: str) -> None:
    """Every declared dependency is pinned by hash, in the range that was declared."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared: list[str] = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in LOCKS[lock]:
        declared += project["project"]["optional-dependencies"][extra]
    path = f"requirements/{lock}.txt"

    found = data_rules.lock_findings(path, (ROOT / path).read_text(), declared)

    assert listed(found) == ""


def test_tests_run_on_the_same_versions_as_the_product() -> None:
    """The lock of the tools holds every pin of the lock of the product."""
    runtime = data_rules.pins((ROOT / "requirements" / "runtime.txt").read_text())
    tools = data_rules.pins((ROOT / "requirements" / "dev.txt").read_text())

    assert {name: tools.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("folder", [each for each in CATALOGUES if (ROOT / each / "en.json").is_file()])
def test_both_languages_say_the_same_things(folder: str) -> None:
    """English and Korean have the same sentences with the same places to fill."""
    english, korean = ((ROOT / folder / f"{name}.json").read_text(encoding="utf-8") for name in ("en", "ko"))

    assert listed(data_rules.catalogue_findings(folder, english, korean)) == ""


def test_the_changelog_has_its_headings_on_top() -> None:
    """What is not released yet comes first, with Protocol and Migrations among its headings."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    releases = [line for line in lines if line.startswith("## ")]

    assert releases[0] == "## [Unreleased]"
    assert {"### Added", "### Protocol", "### Migrations"} <= set(lines)
