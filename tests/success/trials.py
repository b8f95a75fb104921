"""What the loop adds, in numbers: hundreds of seeded tasks with agents that err in known ways, through the real runner.

Chance hangs on the seed, the trial and the try alone, so a figure is the same on every machine. It refuses to help:
an agent hears what the loop tells it, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from deskhand.errors import DeskhandError
from deskhand.ports import Command, CommandResult, Done, FolderAccess, Move, Turn, Wishes
from deskhand.protocol.tasks import Brief, Budget, Task, Verdict
from deskhand.testing.agents import call, wish
from tests.laptop import Box, Laptop, until

TRIALS: Final = 200
DEFECTS: Final = ("the date", "the sum", "the name", "the source", "the title")
HALF: Final = 0.5
SKILL: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What an agent goes by: chance of this trial and of this try, its last work's defects, what it was told."""

    of_trial: Random
    of_try: Random
    before: Sequence[str] | None
    told: Sequence[str]


Fate = Callable[[View], Sequence[str]]
"""What is wrong with the work of a try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a run of trials goes. ``leak``: how often the check passes wrong work; ``mute``: it says nothing."""

    name: str
    fate: Fate
    tries: int = 3
    leak: float = 0.0
    mute: bool = False
    checked: bool = True
    budget: Budget | None = None
    tasks: int = TRIALS


@dataclass(slots=True, kw_only=True)
class Figures:
    """What came of a run: by verdict and truth, and how many tries and steps it took."""

    ends: Counter[tuple[str, bool]] = field(default_factory=Counter[tuple[str, bool]])
    tries: int = 0
    steps_most: int = 0

    @property
    def right(self) -> int:
        """How many results are truly right."""
        return sum(count for (_, true), count in self.ends.items() if true)

    def of(self, verdict: Verdict, *, right: bool) -> int:
        """Return how many results of this truth got this verdict."""
        return self.ends[verdict.value, right]


class Worker:
    """Writes a file per try with what is wrong in it, one defect a line, and says that it is done."""

    name = "worker"

    def __init__(self, trial: Trial) -> None:
        """Keep how it errs."""
        self._trial = trial

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Write, then claim."""
        ends = [turn for turn in history if isinstance(turn.move, Done)]
        if history and isinstance(history[-1].move, Wishes):
            return Done(summary="All right now.", outputs=(_file(brief.text, len(ends)),))
        of = f"{self._trial.fate.__name__} {brief.text}"
        view = View(
            of_trial=Random(of),
            of_try=Random(f"{of} {len(ends)}"),
            before=_written(history[-2]) if ends else None,
            told="\n".join(r.text for turn in ends[-1:] for r in turn.results).splitlines(),
        )
        content = "\n".join(["result", *self._trial.fate(view)])
        return wish(call("write_file", path=_file(brief.text, len(ends)), content=content))


class Circling:
    """Never comes to an end: always something new to look at."""

    name = "worker"

    def __init__(self, _: Trial) -> None:
        """Nothing to keep."""

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Write a further note."""
        return wish(call("write_file", path=f"{brief.text}-{len(history)}.md", content="x"))


def anew(view: View) -> Sequence[str]:
    """Err on each try with one in two, whatever happened before."""
    return DEFECTS[:1] if view.of_try.random() < HALF else ()


def same(view: View) -> Sequence[str]:
    """Err on all tries or on none: who did not understand the task does not understand it the second time."""
    return DEFECTS[:1] if view.of_trial.random() < HALF else ()


def mending(view: View) -> Sequence[str]:
    """Begin with two defects; mend nine of ten that one was told of, and else a random thing that may be none."""
    if view.before is None:
        return view.of_trial.sample(DEFECTS, 2)
    told = [one for one in view.before if any(one in line for line in view.told)]
    guess = [view.of_try.choice(DEFECTS)]
    mended = [one for one in told if view.of_try.random() < SKILL] if told else guess
    return [one for one in view.before if one not in mended]


def lying(_: View) -> Sequence[str]:
    """Never do it, always claim it."""
    return DEFECTS


async def run(base: Path, trial: Trial, agent: Callable[[Trial], object] = Worker) -> Figures:
    """Let an agent do all trials on one computer, and count how they end."""
    figures = Figures()
    box = Box(does=lambda command, access: _looked(trial, command, access))
    laptop = Laptop(base, [agent(trial)], box=box, tries_max=trial.tries, files={})  # pyright: ignore[reportArgumentType] - an agent by its shape
    folder = laptop.grant()
    async with laptop:
        names = {
            laptop.hub.assign(
                str(number),
                agent="worker",
                thread=f"thr_{number}",
                folder=folder.id,
                checks=(f"check {number}",) if trial.checked else (),
                budget=trial.budget,
            ): str(number)
            for number in range(trial.tasks)
        }
        async with asyncio.timeout(300):
            for name in names:
                await _ended(laptop, name)
        for name, number in names.items():
            _count(figures, laptop.hub.task(name), laptop.files or {}, number)
    return figures


async def _ended(laptop: Laptop, name: str) -> None:
    """Wait for an end; whoever asks for more is told to stop."""

    def over() -> bool:
        task = laptop.hub.task(name)
        for waiting in task.waiting_for:
            laptop.hub.answer(waiting.id, "Stop here")
        return task.final

    while not over():
        with suppress(TimeoutError):
            await until(over)


def _count(figures: Figures, task: Task, files: Mapping[str, bytes], number: str) -> None:
    tries = sum(path.startswith(f"{number}-") for path in files)
    right = files[_file(number, tries - 1)] == b"result"
    figures.ends[(task.verdict or Verdict.NOT_DONE).value, right] += 1
    figures.tries += task.tries
    figures.steps_most = max(figures.steps_most, task.usage.steps)


def _looked(trial: Trial, command: Command, access: FolderAccess) -> CommandResult:
    """Do what the owner's check command does: look at the newest file of the trial."""
    number, tries, text = command.argv[-1].split()[1], 0, ""
    with suppress(DeskhandError):
        while True:
            text = access.read(_file(number, tries), limit=10_000).decode()
            tries += 1
    chance = Random(f"{trial.name} check {number} {tries}")
    passed = text == "result" or chance.random() < trial.leak
    wrong = "" if trial.mute else "\n".join(f"wrong: {one}" for one in text.splitlines()[1:])
    output = b"" if passed else wrong.encode()
    return CommandResult(exit_code=not passed, output=output, truncated=False, timed_out=False)


def _written(turn: Turn) -> Sequence[str]:
    """Return what was wrong in the file that a turn wrote."""
    calls = turn.move.calls if isinstance(turn.move, Wishes) else ()
    return str(calls[0].arguments["content"]).splitlines()[1:] if calls else ()


def _file(number: str, tries: int) -> str:
    return f"{number}-{tries}.md"
