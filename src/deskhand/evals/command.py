"""``deskhand eval``: measures a model, or the commands without one, on work that was made for it.

A command like any other, laid out where they are; what it needs is loaded only when it is asked for. It refuses to
begin with a model that does not answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from deskhand.cli.screen import Obj, speak
from deskhand.clock import SystemClock

if TYPE_CHECKING:
    from deskhand.evals.running import Record
    from deskhand.ports import Agent, ToolInfo

_OUT: Final = Path("deskhand-eval")


def eval(  # noqa: A001 - the command is called so
    *,
    tasks: str = "*",
    runs: int = 3,
    seed: int = 1,
    model: str | None = None,
    agent: Literal["builtin", "commands"] = "builtin",
    out: Path = _OUT,
) -> int:
    """Measure."""
    import asyncio

    from deskhand.cli import abilities
    from deskhand.evals.evaluate import REPORT, Plan, evaluate

    def tell(number: int, count: int, one: Record) -> None:
        speak.note(f"{number}/{count} {one.line}", "good" if one.right else "bad")

    plan = Plan(tasks=tasks, runs=runs, seed=seed, place=out.absolute(), tell=tell)
    row: Obj = abilities.tried(model) if agent == "builtin" else {"name": None, "label": None}
    name = f"{row['name'] or agent}{speak.label(row['label'])}"
    if row["name"]:
        speak.note(abilities.judged(row)[1])
    found = asyncio.run(evaluate(plan, name, model=row["name"], think=_think))
    lines = speak.say("eval.figures", **found.shown).splitlines()
    return speak.answer({**found.to_json(), "report": str(plan.place / REPORT)}, *lines)


@asynccontextmanager
async def _think(home: Path, tools: tuple[ToolInfo, ...]) -> AsyncGenerator[Agent]:
    """Hold the built-in agent as a computer with this home has it."""
    from deskhand.cli.abilities import builtin_agent

    held = builtin_agent(home, computer="eval", language="en", tools=tools, clock=SystemClock())
    async with held as (agent, _):
        yield agent
