"""What the README tells a newcomer to type leads to a finished result; the clone and the packages are ``make walk``'s."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.walk import ROOT, SECONDS_MAX, Lap, Stopwatch, guide, newcomer, table, walk

pytestmark = pytest.mark.timeout(120)
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.needs("chromium")
def test_the_readme_leads_from_its_command_to_a_finished_result_on_a_paired_phone(tmp_path: Path) -> None:
    """Part 5: start, pair a phone of 390 x 844, first finished result, each with its time, by the README alone."""
    watch = Stopwatch()

    walk(ROOT, guide(README), watch, newcomer(tmp_path))

    print(table(watch))  # noqa: T201 - shown with -s, for the report
    assert [lap.step for lap in watch.laps] == ["start, and its questions", "pair the phone", "first finished result"]
    assert watch.complaint == ""


def test_the_readme_names_what_there_is_to_type() -> None:
    """The walk goes by the document: a command of the Makefile, the program in the environment, a task and a folder."""
    said = guide(README)

    assert f"\n{said.setup.removeprefix('make ')}: " in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert said.start == ".venv/bin/deskhand up"
    assert (said.task.split()[0], said.folder) == ("/report", "~/Work")


def test_a_readme_that_no_longer_says_it_is_no_guide() -> None:
    """What is not said cannot be walked."""
    with pytest.raises(ValueError, match="README"):
        guide(README.replace("deskhand up", "deskhand start"))


def test_a_walk_that_is_late_or_broke_off_says_so() -> None:
    """More than three minutes is no success, and neither is a step that failed, with its reason."""
    late, broken = Stopwatch(laps=[Lap(step="make demo", seconds=SECONDS_MAX + 1)]), Stopwatch()

    with pytest.raises(RuntimeError), broken.lap("git clone"):
        raise RuntimeError("no such place")

    assert "FAILED 181.0 s is more than 180 s" in table(late)
    assert "FAILED git clone: no such place" in table(broken)
