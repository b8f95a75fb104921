"""A built-in agent for tests: what it thinks with is the stand-in, or whatever server a test names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deskhand.agents.builtin.agent import BuiltInAgent, Offer, Scene
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Brief
from deskhand.secret import Secret
from deskhand.tools.registry import standard_tools, tool_infos
from tests.laptop import inline

NOW = datetime(2026, 1, 2, 8, 30, tzinfo=UTC)
"""A Friday, the day on which a hub in memory lives."""


def thinking(  # noqa: PLR0913 - what a test may say, all by name
    url: str,
    *,
    model: str = "openai-chat:stand-in",
    root: Path | None = None,
    mode: FolderMode = FolderMode.WORKSPACE,
    language: str = "en",
    hear: Callable[[Brief, str | None], None] = lambda _, __: None,
    standin: bool = True,
) -> BuiltInAgent:
    """Return an agent that thinks with the model at this address."""
    choice = Offer(name=model, base_url=url, key=Secret("key", "k"), context_tokens=100_000)
    scene = Scene(now=NOW, computer="laptop", root=None if root is None else str(root), mode=mode)

    async def choose(_: Brief) -> Offer:
        return choice

    return BuiltInAgent(
        choose=choose,
        scene=lambda _: scene,
        tools=tool_infos(standard_tools(offload=inline)),
        offload=inline,
        hear=hear,
        language=language,
        standin=standin,
    )
