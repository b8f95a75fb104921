"""An agent that also judges, and a task of its that is waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from deskhand.ports import Evidence, Judgement, Move, Spent, Turn
from deskhand.protocol import events as ev
from deskhand.protocol.events import body_of
from deskhand.protocol.tasks import Brief, Check, Task
from deskhand.testing.agents import Obedient
from deskhand.testing.links import MemoryHub
from tests.laptop import Laptop

Judge = Callable[[Brief, Sequence[str], Sequence[Evidence]], tuple[Check, ...]]


@dataclass(slots=True)
class Judged(Obedient):
    """Makes its moves, and judges its results by a function."""

    says: Judge = lambda _, criteria, __: tuple(Check(name=one, passed=True) for one in criteria)
    judged: list[tuple[tuple[str, ...], tuple[Evidence, ...]]] = field(
        default_factory=list[tuple[tuple[str, ...], tuple[Evidence, ...]]]
    )
    thought: Spent | None = None
    briefs: list[Brief] = field(default_factory=list[Brief])

    @override
    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move."""
        self.briefs.append(brief)
        return await Obedient.move(self, brief, history)

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        """Say what the function says."""
        self.judged.append((tuple(criteria), tuple(evidence)))
        return Judgement(checks=self.says(brief, criteria, evidence), spent=self.thought)


def said(hub: MemoryHub, task: str) -> list[str]:
    """Return what was said in a task by its agent or computer."""
    bodies = [body_of(event) for event in hub.account.log if event.task == task]
    return [one.text for one in bodies if isinstance(one, ev.MessagePosted) and one.role != "user"]


async def ended(laptop: Laptop, **how: object) -> Task:
    """Delegate a task in the granted folder and return it at its end."""
    folder = laptop.grant()
    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, **how)  # pyright: ignore[reportArgumentType] - passed on
        return await laptop.finish(task)


class Waiting:
    """An agent whose judging or moving is a coroutine of the test."""

    name = "scripted"

    def __init__(
        self,
        agent: Judged,
        judge: Callable[..., object],
        move: Callable[..., object] | None = None,
        *,
        hears: bool = True,
    ) -> None:
        self._judge, self._move = judge, move or agent.move
        self.hears = hears

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Move as the test says."""
        return await self._move(brief, history)  # type: ignore[misc] - the test's own coroutine

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        """Judge as the test says."""
        return await self._judge(brief, criteria, evidence)  # type: ignore[misc] - the test's own coroutine
