"""The built-in agent: thinks with a language model, and judges with it from a fresh start.

It keeps nothing between moves: the history is the conversation. What talks to models is brought in when it is first
needed, off the loop, because that takes a second: a process holds the agent from its start. It refuses to run a tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deskhand.agents.builtin.choosing import Mind
from deskhand.ports import Evidence, Judgement, Move, Turn
from deskhand.protocol.tasks import Brief

if TYPE_CHECKING:
    from deskhand.agents.builtin.thinking import Thinker


@dataclass(kw_only=True, eq=False)
class BuiltInAgent(Mind):
    """Thinks with a language model; also a verifier."""

    name = "builtin"
    _thinker: Thinker | None = field(default=None, init=False)

    async def warm(self) -> Thinker:
        """Return what talks to models, brought in when it is first needed; before the first move, so that it is not slow."""
        if self._thinker is None:
            thinker = await self.offload(lambda: _thinker(self))
            self._thinker = self._thinker or thinker
        return self._thinker

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: ``model_busy`` (try again, perhaps after a while), ``model_key``, ``model_unknown``,
                ``model_context`` when even the folded history does not fit, ``model_refused``.
        """
        await self.ready(brief)
        return await (await self.warm()).move(brief, history)

    async def judge(
        self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]
    ) -> Judgement:
        """Return one check for each criterion that could be judged from the evidence alone.

        Raises:
            DeskhandError: as for a move.
        """
        await self.ready(brief)
        return await (await self.warm()).judge(brief, criteria, evidence)

    async def close(self) -> None:
        """Close the connections to models."""
        if self._thinker is not None:
            await self._thinker.close()


def _thinker(mind: Mind) -> Thinker:
    from deskhand.agents.builtin.thinking import Thinker  # noqa: PLC0415 - only when it is needed

    return Thinker(mind)
