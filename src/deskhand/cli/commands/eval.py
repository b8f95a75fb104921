"""``eval``: measures a model, or the commands without one, on work that was made for it.

It is loaded and run only when asked for. It refuses to begin with a model that does not answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from deskhand.cli.screen import Obj, speak

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

    from deskhand.cli import minds
    from deskhand.evals.evaluate import REPORT, Plan, evaluate
    from deskhand.evals.running import Record

    def tell(number: int, count: int, one: Record) -> None:
        speak.note(f"{number}/{count} {one.line}", "good" if one.right else "bad")

    plan = Plan(tasks=tasks, runs=runs, seed=seed, place=out.absolute(), tell=tell)
    row: Obj = minds.tried(model) if agent == "builtin" else {"name": None, "label": None}
    name = f"{row['name'] or agent}{speak.label(row['label'])}"
    if row["name"]:
        speak.note(minds.judged(row)[1])
    found = asyncio.run(evaluate(plan, name, model=row["name"], think=minds.agent_alone))
    lines = speak.say("eval.figures", **found.shown).splitlines()
    return speak.answer({**found.to_json(), "report": str(plan.place / REPORT)}, *lines)
