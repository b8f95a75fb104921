"""The page of figures: which trials there are, and how they are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deskhand.protocol.tasks import Budget, Verdict
from tests.success.trials import Circling, Figures, Trial, Worker, anew, lying, mending, run, same

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "loop.md"
BUDGET: Final = 20
ENDLESS_TASKS: Final = 20
LEAK: Final = 0.05

RUNS: Final = (
    Trial(name="one try, errors anew each time (p = 0.5)", fate=anew, tries=1),
    Trial(name="three tries, errors anew each time (p = 0.5)", fate=anew),
    Trial(name="three tries, the same mistake on every try (p = 0.5)", fate=same),
    Trial(name="three tries, a check that passes 5 % of wrong work", fate=anew, leak=LEAK),
    Trial(name="an agent that mends what it is told", fate=mending),
    Trial(name="the same agent, told only that it is wrong", fate=mending, mute=True),
    Trial(name="the liar, with a check", fate=lying),
    Trial(name="the liar, without a check", fate=lying, checked=False),
    Trial(
        name=f"the one that never ends, {BUDGET} steps allowed",
        fate=lying,
        budget=Budget(steps=BUDGET),
        tasks=ENDLESS_TASKS,
    ),
)
ENDLESS: Final = RUNS[-1]


async def figures_of(base: Path) -> dict[Trial, Figures]:
    """Run everything."""
    found: dict[Trial, Figures] = {}
    for number, trial in enumerate(RUNS):
        place = base / str(number)
        place.mkdir()
        found[trial] = await run(place, trial, Circling if trial is ENDLESS else Worker)
    return found


def page_of(found: Mapping[Trial, Figures]) -> str:
    """Return the page."""
    rows = "".join(_row(trial, figures) for trial, figures in found.items())
    return (
        "# What the loop adds\n\n"
        "Written by `python -m tests.success`; `tests/scenario/test_success_loop.py` holds it current. "
        "Each line is so many seeded tasks through the real runner, journal, gate and tools, with scripted agents "
        "that err in known ways and know nothing but what the loop tells them. *Right* is what the file truly "
        "holds, looked up by the test and known to nobody else.\n\n"
        "| agent and check | right | verified of right | verified of wrong | not done | tries | most steps |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        f"{rows}\n"
        "With one try half of the work is right; with three tries and independent errors 1 - 0.5³ = 87.5 % is "
        "expected. Tries cannot help against a mistake that is always the same; there the loop's worth is that "
        "nothing of it is called verified. A check that passes wrong work lets it through at its own rate, on each try "
        "anew: three chances to be wrong. `verified` is as good as the check, and never better.\n"
    )


def _row(trial: Trial, figures: Figures) -> str:
    wrong = trial.tasks - figures.right
    verified = figures.of(Verdict.VERIFIED, right=True)
    leaked = figures.of(Verdict.VERIFIED, right=False)
    not_done = sum(figures.of(Verdict.NOT_DONE, right=right) for right in (True, False))
    cells = (
        trial.name,
        f"{figures.right} of {trial.tasks}",
        f"{verified} of {figures.right}",
        f"{leaked} of {wrong}",
        not_done,
        figures.tries,
        figures.steps_most,
    )
    return "| " + " | ".join(map(str, cells)) + " |\n"
