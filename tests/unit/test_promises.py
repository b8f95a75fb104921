"""Figures that runs leave behind, and the pages that are made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deskhand.testing import promises


def test_a_figure_is_left_only_where_somebody_collects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test run leaves no files about; one that is asked for its figures leaves one for each."""
    monkeypatch.delenv(promises.FIGURES, raising=False)
    promises.note("R1", "0 of 9 lost", runs=3, of="kills")
    monkeypatch.setenv(promises.FIGURES, str(tmp_path / "figures"))

    promises.note("R1", "0 of 9 lost", runs=3, of="kills", failing=["seed 7"])
    promises.note("R1", "0 of 8 lost", runs=3, of="kills", failing=["seed 7"])

    (left,) = [json.loads(path.read_text()) for path in (tmp_path / "figures").iterdir()]
    assert (left["figure"], left["failing"]) == ("0 of 8 lost", ["seed 7"])
    assert left["source"].endswith("test_a_figure_is_left_only_where_somebody_collects")


def test_a_newer_run_replaces_its_older_figure_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the last figure of each run, with what failed in it."""
    monkeypatch.setattr(promises, "KEPT", tmp_path / "promises.json")
    monkeypatch.setenv(promises.FIGURES, str(tmp_path / "figures"))
    for figure, of, failing in (
        ("1 of 9 lost", "kills", ["seed 7"]),
        ("0 of 5 lost", "seeds", []),
        ("0 of 10 lost", "kills", []),
    ):
        promises.note("R1", figure, runs=3, of=of, failing=failing)
        promises.main([str(tmp_path / "figures")])

    page = promises.promises()

    assert "0 of 10 lost" in page
    assert "0 of 5 lost" in page
    assert "seed 7" not in page
    assert "Without a figure so far: R2" in page


def test_nobody_leaves_a_figure_for_what_was_not_promised() -> None:
    """A wrong id is an error of the run, not a row of its own."""
    with pytest.raises(KeyError):
        promises.note("R99", "fine", runs=1, of="runs")


def test_what_survives_is_told_in_whole_sentences() -> None:
    """Every mark names a failure and what it changes; every test that it names exists."""
    rows = list(promises.survivals())

    assert all(when.strip() and then.strip() for when, then, _ in rows)
    assert all((promises.ROOT / shown.partition("::")[0]).is_file() for *_, shown in rows)
