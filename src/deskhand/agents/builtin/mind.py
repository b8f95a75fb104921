"""What the built-in agent is given: which model a task gets, where it works, and what it may wish for.

Values only, and light: a process holds them from its start. It refuses to import anything that talks to a model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from deskhand.agents.builtin.choosing import Offer
from deskhand.ports import Offload, ToolInfo
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Brief

SILENT_SECONDS: Final = 120.0
"""How long a model may say nothing, at its start or in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a task works. ``now`` is at the person's place; ``root`` and ``mode`` are what this computer grants."""

    now: datetime
    computer: str
    root: str | None = None
    mode: FolderMode | None = None


async def _nothing(_: Brief) -> None:
    """Look at nothing: what is there does not change."""


@dataclass(kw_only=True, eq=False)
class Mind:
    """What the agent thinks with.

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

    choose: Callable[[Brief], Offer]
    scene: Callable[[Brief], Scene]
    tools: tuple[ToolInfo, ...]
    offload: Offload
    hear: Callable[[Brief, str | None], None] = lambda _, __: None
    language: str = "en"
    standin: bool = False
    silent_seconds: float = SILENT_SECONDS
    ready: Callable[[Brief], Awaitable[None]] = _nothing
