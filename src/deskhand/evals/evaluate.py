"""``deskhand eval``, whole: what is still to be run is run, each run is kept at once, and the report is written anew.

It refuses to run again what is known already.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from deskhand.agents.commands.agent import CommandAgent
from deskhand.clock import Clock, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.evals.exercise import Exercise
from deskhand.evals.exercises import files, notes, papers, tables, traps
from deskhand.evals.figures import Figures, figures_of
from deskhand.evals.ledger import open_ledger
from deskhand.evals.report import page
from deskhand.evals.running import FOLDER, HOME, Record, Run, Subject, measure, offload
from deskhand.ports import Agent, ToolInfo
from deskhand.sandbox.walls import choose_sandbox
from deskhand.texts import text
from deskhand.tools.registry import standard_tools, tool_infos

Thinking = Callable[[Path, tuple[ToolInfo, ...]], AbstractAsyncContextManager[Agent]]
EXERCISES: Final[tuple[Exercise, ...]] = (
    *notes.EXERCISES,
    *tables.EXERCISES,
    *files.EXERCISES,
    *papers.EXERCISES,
    *traps.EXERCISES,
)
REPORT: Final = "report.html"
NOW: Final = "now"
"""Where the run that is under way has its home and its folder."""
_SAID_CHARS: Final = 200
WRONG: Final = "wrong"
"""Where the folders of runs that went wrong are kept, to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be run, where the results go, and who is told of each run: which it is, of how many, what came."""

    tasks: str
    runs: int
    seed: int
    place: Path
    tell: Callable[[int, int, Record], None]


def chosen(pattern: str, *, typed: bool) -> list[Exercise]:
    """Return the exercises that fit a pattern, or one of several with commas; for commands, those that have one.

    Raises:
        DeskhandError: ``not_found`` when none fits.
    """
    patterns = [one.strip() for one in pattern.split(",")]
    found = [one for one in EXERCISES if any(fnmatch(one.name, each) for each in patterns) and (one.typed or not typed)]
    if not found:
        raise DeskhandError(Code.NOT_FOUND, pattern, field="--tasks")
    return found


async def evaluate(plan: Plan, name: str, *, model: str | None, think: Thinking) -> Figures:
    """Run what is missing and return the figures of everything that was asked for.

    Args:
        plan: what is to be run.
        name: what the report calls it.
        model: what the built-in agent thinks with; the agent without a model when there is none.
        think: makes the built-in agent.

    Raises:
        DeskhandError: ``not_found``, ``conflict`` while another program measures there; ``model_busy`` when the
            model never answered; what stands in the way.
        OSError: the place cannot be used.
    """
    clock = SystemClock()
    runs = _runs(plan, typed=model is None)
    with open_ledger(plan.place) as ledger:
        async with _subject(name, plan.place, model=model, think=think, clock=clock) as subject:
            for number, run in enumerate(runs, start=1):
                record = ledger.records.get(run.key(name))
                if record is None:
                    record = await measure(run, subject, plan.place / NOW, clock=clock)
                    if model and _unheard(record):
                        raise DeskhandError(Code.MODEL_BUSY, record.said[-_SAID_CHARS:])
                    _keep_wrong(plan.place, record)
                    ledger.add(record)
                    report = page(ledger.records.values())
                    (plan.place / REPORT).write_text(report, encoding="utf-8")
                plan.tell(number, len(runs), record)
        shutil.rmtree(plan.place / NOW, ignore_errors=True)
        return figures_of(name, [ledger.records[run.key(name)] for run in runs])


@asynccontextmanager
async def _subject(
    name: str, place: Path, *, model: str | None, think: Thinking, clock: Clock
) -> AsyncGenerator[Subject]:
    """Hold what is measured, with everything that a computer has."""
    tools = standard_tools(offload=offload, clock=clock)
    sandbox = await choose_sandbox(place / "sandbox", clock=clock, offload=offload)
    if model is None:
        typist = CommandAgent(offload=offload)
        commands = typist.commands
        yield Subject(name=name, agent=typist, tools=tools, sandbox=sandbox, commands=commands)
        return
    async with think(place / NOW / HOME, tool_infos(tools)) as agent:
        yield Subject(name=name, agent=agent, model=model, tools=tools, sandbox=sandbox)


def _runs(plan: Plan, *, typed: bool) -> Sequence[Run]:
    """Return every run: all exercises once, then all of them again."""
    found = chosen(plan.tasks, typed=typed)
    return [Run(exercise=one, seed=plan.seed, number=n) for n in range(plan.runs) for one in found]


def _unheard(record: Record) -> bool:
    """Return whether nothing came from the model; that it is too small, or will not, is its own result."""
    own = (text(f"error.{code}") for code in (Code.MODEL_CONTEXT, Code.MODEL_REFUSED))
    heard = record.model or record.steps or record.tokens
    return not heard and not any(one in record.said for one in own)


def _keep_wrong(place: Path, record: Record) -> None:
    """Keep the folder of a run that went wrong, in the place of an earlier one."""
    subject = re.sub(r"[^\w.-]", "-", record.subject)
    kept = place / WRONG / subject / f"{record.exercise}.{record.seed}.{record.run + 1}"
    shutil.rmtree(kept, ignore_errors=True)
    if not record.right:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(place / NOW / FOLDER, kept)
