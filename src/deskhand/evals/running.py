"""One run of one exercise: a hub and a runner of its own, the real agent, tools and sandbox, and what came of it.

Nothing is left of an earlier run when one begins. It refuses to know whether a result is right: the exercise does.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar, cast

from deskhand.clock import Clock
from deskhand.evals.exercise import OUTSIDE, Case, Exercise, Files, Outcome, files_in
from deskhand.evals.person import Person
from deskhand.ports import Agent, Sandbox, Tool
from deskhand.protocol.objects import CommandInfo
from deskhand.protocol.tasks import Task
from deskhand.protocol.wire import JsonObject
from deskhand.runner.ceiling import grant_folder
from deskhand.testing.household import household

R = TypeVar("R")
HOME: Final = "home"
FOLDER: Final = "Work"
COMMANDS: Final = "commands"
_SAID_CHARS: Final = 4000


async def offload(work: Callable[[], R]) -> R:
    """Run blocking work beside the loop."""
    return await asyncio.to_thread(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: an agent, the model it is told to think with, and the tools of the computer it works on.

    ``name`` is what the report calls it. The agent's home is ``HOME`` in the place of the runs.
    """

    name: str
    agent: Agent
    tools: Mapping[str, Tool]
    sandbox: Sandbox
    model: str | None = None
    commands: tuple[CommandInfo, ...] = ()

    def told(self, case: Case) -> tuple[str, ...]:
        """Return what it is told: sentences, or the one command for the agent that knows nothing else."""
        return (case.command or "",) if self.agent.name == COMMANDS else case.sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Which run: the same exercise and seed give the same files on one day, however often it is run."""

    exercise: Exercise
    seed: int
    number: int

    def key(self, subject: str) -> tuple[object, ...]:
        """Return what makes a subject's run this one and no other."""
        return (subject, self.exercise.name, self.exercise.version, self.seed, self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of one run; all that the figures and the report are made of."""

    subject: str
    exercise: str
    version: int
    kind: str
    seed: int
    run: int
    day: str
    right: bool
    faults: tuple[str, ...]
    state: str
    verdict: str | None
    asked: tuple[str, ...]
    allowed: int
    denied: int
    model: str | None
    steps: int
    tokens: int
    money: str | None
    seconds: float
    sentences: tuple[str, ...]
    said: str

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it this run and no other."""
        return (self.subject, self.exercise, self.version, self.seed, self.run)

    @property
    def false_done(self) -> bool:
        """Whether it was called done and is not."""
        return self.state == "completed" and not self.right

    @property
    def line(self) -> str:
        """The run in a line, with the first thing that is wrong."""
        said = f"{'✓' if self.right else '✗'} {self.exercise} {self.seconds:.1f} s"
        return f"{said}  {self.faults[0]}" if self.faults else said

    def to_json(self) -> JsonObject:
        """Return it as it is written down."""
        return cast("JsonObject", asdict(self))

    @classmethod
    def from_json(cls, data: JsonObject) -> Record:
        """Read it.

        Raises:
            TypeError: it is none of this build.
        """
        lists = {name: tuple(cast("list[str]", data[name])) for name in ("faults", "asked", "sentences")}
        return cls(**cast("dict[str, str]", data | lists))  # pyright: ignore[reportArgumentType] - we wrote it


async def measure(run: Run, subject: Subject, place: Path, *, clock: Clock) -> Record:
    """Let an agent do an exercise once, and look at what came of it.

    Raises:
        DeskhandError: what stands in the way of trying.
        OSError: the place cannot be used.
    """
    folder = place / FOLDER
    await offload(lambda: shutil.rmtree(place, ignore_errors=True))
    today = _today(clock)
    case = run.exercise.case(folder, seed=run.seed, today=today)
    grant_folder(place / HOME, folder, mode=case.mode)
    befores: list[Files] = []
    tasks: list[Task] = []
    async with household(
        place,
        agents={subject.agent.name: subject.agent},
        tools=subject.tools,
        sandbox=subject.sandbox,
        commands=subject.commands,
    ) as house:
        person = Person(
            house=house,
            case=case,
            root=folder,
            wall=subject.sandbox.info.level,
            agent=subject.agent.name,
            model=subject.model,
            clock=clock,
        )
        await person.arrive()
        for sentence in subject.told(case):
            befores.append(files_in(folder))
            tasks.append(await person.delegate(sentence, within=run.exercise.minutes * 60))
            if person.asked_by(tasks[-1]):
                tasks.append(await person.delegate(case.reply, within=run.exercise.minutes * 60))
            if person.overran:
                break
    if _today(clock) != today and not person.overran:
        return await measure(run, subject, place, clock=clock)  # "yesterday" was another day
    outcome = Outcome(
        befores=tuple(befores),
        after=files_in(folder),
        outside=files_in(place / OUTSIDE),
        said="\n".join(person.said),
        asked=tuple(person.asked),
        tasks=tuple(tasks),
    )
    return _record(run, subject, case, outcome, person=person, today=today)


def _record(run: Run, subject: Subject, case: Case, outcome: Outcome, *, person: Person, today: date) -> Record:
    faults = run.exercise.faults(case, outcome)
    faults += ["the time was over"] if person.overran else []
    last, used = outcome.tasks[-1], [task.usage for task in outcome.tasks]
    tokens = sum(one.input_tokens + one.output_tokens for one in used)
    money = sum(Decimal(one.money.amount) for one in used if one.money)
    known = all(one.money for one in used) or not tokens
    return Record(
        subject=subject.name,
        exercise=run.exercise.name,
        version=run.exercise.version,
        kind=run.exercise.kind,
        seed=run.seed,
        run=run.number,
        day=today.isoformat(),
        right=not faults,
        faults=tuple(faults),
        state=last.state.value,
        verdict=last.verdict.value if last.verdict else None,
        asked=outcome.asked,
        allowed=person.allowed,
        denied=person.denied,
        model=last.model_used,
        steps=sum(one.steps for one in used),
        tokens=tokens,
        money=str(money) if known else None,
        seconds=round(person.seconds, 1),
        sentences=subject.told(case),
        said=outcome.said[:_SAID_CHARS],
    )


def _today(clock: Clock) -> date:
    return clock.now().astimezone().date()
