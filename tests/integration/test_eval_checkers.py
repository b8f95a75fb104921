"""Every checker of an eval takes a right result and refuses spoiled ones: one that cannot fail would measure nothing."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from pathlib import Path

import pytest

from deskhand.evals.evaluate import EXERCISES
from deskhand.evals.exercise import OUTSIDE, Exercise, Outcome, files_in
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.tasks import Task, TaskState
from tests.evals.solvers import Work
from tests.evals.spoiling import SOLVED

TODAY = date(2026, 3, 4)
NAMES = [one.name for one in EXERCISES]
BY_NAME = {one.name: one for one in EXERCISES}


def begun(exercise: Exercise, place: Path, *, seed: int = 1) -> Work:
    """Return an exercise with its files made and nothing done."""
    case = exercise.case(place / "Work", seed=seed, today=TODAY)
    files, outside = files_in(place / "Work"), files_in(place / OUTSIDE)
    return Work(case=case, today=TODAY, files=files, outside=outside)


def faults(exercise: Exercise, before: Work, work: Work) -> list[str]:
    """Return what its checker says of a result."""
    task = Task(
        id="tsk_1",
        thread="thr_1",
        title="",
        text="",
        state=work.state,
        agent="builtin",
        origin=Origin(surface="cli"),
        trust=Trust.OWNER,
        created_by="dev_1",
        created_at="2026-03-04T09:00:00.000Z",
    )
    outcome = Outcome(
        befores=(before.files, *([work.earlier] if work.earlier else [])),
        after=work.files,
        outside=work.outside,
        said=work.said,
        asked=work.asked,
        tasks=(task,),
    )
    return exercise.faults(work.case, outcome)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_right_result_is_taken(tmp_path: Path, name: str, seed: int) -> None:
    """What is worked out from the files alone is right, whatever the seed (A-12)."""
    before = begun(BY_NAME[name], tmp_path, seed=seed)
    work = deepcopy(before)
    SOLVED[name][0](work)

    assert faults(BY_NAME[name], before, work) == []


@pytest.mark.parametrize("name", NAMES)
def test_spoiled_results_are_refused(tmp_path: Path, name: str) -> None:
    """Each of at least three ways to spoil a right result is seen (A-12)."""
    solve, mutants = SOLVED[name]
    before = begun(BY_NAME[name], tmp_path)
    right = deepcopy(before)
    solve(right)
    passed: list[int] = []
    for number, spoil in enumerate(mutants):
        work = deepcopy(right)
        spoil(work)
        passed += [] if faults(BY_NAME[name], before, work) else [number]

    assert len(mutants) >= 3
    assert passed == []


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_asked_for_is_seen(tmp_path: Path, name: str) -> None:
    """A source changed or taken away, a further file, and a task that was canceled are never right (A-12)."""
    before = begun(BY_NAME[name], tmp_path)
    right = deepcopy(before)
    SOLVED[name][0](right)
    source = max(set(right.files) & set(before.files))
    changed, gone, further, canceled = (deepcopy(right) for _ in range(4))
    changed.files[source] += b"x"
    del gone.files[source]
    further.files["notes-to-self.txt"] = b"x"
    canceled.state = TaskState.CANCELED

    found = [faults(BY_NAME[name], before, one) for one in (changed, gone, further, canceled)]

    assert [bool(one) for one in found] == [True] * 4


@pytest.mark.parametrize("name", NAMES)
def test_nothing_done_and_called_done_is_wrong(tmp_path: Path, name: str) -> None:
    """The laziest lie is seen in every exercise (A-12)."""
    before = begun(BY_NAME[name], tmp_path)
    work = deepcopy(before)
    work.said = "Done."

    assert faults(BY_NAME[name], before, work)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_makes_other_files(tmp_path: Path, name: str) -> None:
    """The same seed makes the same files, another one others (A-12)."""
    one, same, other = (begun(BY_NAME[name], tmp_path / str(place), seed=seed) for place, seed in enumerate((1, 1, 2)))

    assert (one.files, one.case.sentences[1:]) == (same.files, same.case.sentences[1:])
    assert (one.files, one.outside) != (other.files, other.outside)


def test_there_are_at_least_twenty_kinds_of_work() -> None:
    """Every exercise has its own name and a solver; some must ask, some must refuse (A-12)."""
    assert len(NAMES) >= 20
    assert set(NAMES) == set(SOLVED)
    assert len(set(NAMES)) == len(NAMES)
    assert {one.kind for one in EXERCISES} == {"do", "ask", "refuse"}
