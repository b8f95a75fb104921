"""The built-in agent: thinks with a language model, and judges with it from a fresh start.

It keeps nothing between moves: the history is the conversation. What talks to models is brought in when it is first
needed, off the loop, because that takes a second: a process holds the agent from its start. It refuses to run a tool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from deskhand.agents.builtin.choosing import Offer, Scene
from deskhand.ports import Evidence, Judgement, Move, Offload, ToolInfo, Turn
from deskhand.protocol.tasks import Brief


async def _nothing(_: Brief) -> None:
    """Look at nothing: what is there does not change."""


@dataclass(kw_only=True, eq=False)
class BuiltInAgent:
    """Thinks with a language model; also a verifier.

    Args:
        ready: looks at what there is to choose from, before each move.
        choose: the model of a task, asked for each move.
        scene: where a task works, asked for each move.
        tools: what it may wish for.
        offload: brings the model's libraries in, which takes a second.
        hear: gets each piece of text as the model of a task says it; nothing when it begins anew.
        language: of what it is told and of what it says about itself.
        standin: whether a scripted program may pass for a model; for the demo and the tests alone.
        silent_seconds: how long a model may say nothing.
    """

    name = "builtin"
    choose: Callable[[Brief], Offer]
    scene: Callable[[Brief], Scene]
    tools: tuple[ToolInfo, ...]
    offload: Offload
    hear: Callable[[Brief, str | None], None] = lambda _, __: None
    language: str = "en"
    standin: bool = False
    silent_seconds: float = 120.0
    ready: Callable[[Brief], Awaitable[None]] = _nothing
    _thinker: Any = field(default=None, init=False)  # its types would bring it in

    async def warm(self) -> Any:  # noqa: ANN401 - as above
        """Return what talks to models, brought in when it is first needed; before the first move, so that it is not slow."""
        if self._thinker is None:
            thinking = await self.offload(lambda: import_module("deskhand.agents.builtin.thinking"))
            self._thinker = self._thinker or thinking.Thinker(self)
        return self._thinker

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move.

        Raises:
            DeskhandError: ``model_busy`` (try again, perhaps after a while), ``model_key``, ``model_unknown``,
                ``model_context`` when even the folded history does not fit, ``model_refused``.
        """
        await self.ready(brief)
        return await (await self.warm()).move(brief, history)

    async def judge(self, brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
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
