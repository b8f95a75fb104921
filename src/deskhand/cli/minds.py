"""What this computer can think with: the settings, the keys that were kept, and what is found by looking.

A key is in the environment or in one file that only its user can read. It refuses to put a key anywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from deskhand.agents.builtin.choosing import Findings, Wanted
from deskhand.agents.builtin.mind import Mind, Scene
from deskhand.agents.builtin.probing import look
from deskhand.agents.builtin.serving import Embedded
from deskhand.agents.builtin.supply import SuppliedAgent, Supply
from deskhand.cli.home import home, private
from deskhand.cli.programs.ending import offload
from deskhand.cli.values import setting
from deskhand.clock import Clock
from deskhand.errors import DeskhandError
from deskhand.ids import Ids
from deskhand.ports import ToolInfo
from deskhand.protocol.tasks import Brief
from deskhand.runner.ceiling import Ceiling

KEYS_FILE: Final = "model-keys.json"
STAND_IN_VARIABLE: Final = "DESKHAND_STAND_IN"
"""Lets a scripted program pass for a model; the demo and the tests set it."""


def wanted() -> Wanted:
    """Return what the settings say of models now.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    name, url, variable, tokens = (
        setting(f"model.{one}").value
        for one in ("name", "base_url", "api_key_env", "context_tokens")
    )
    return Wanted(
        name=str(name),
        base_url=str(url),
        key_variable=str(variable),
        context_tokens=cast("int", tokens),
    )


def found(said: Wanted) -> Findings:
    """Look for everything."""
    return look(said, environment={**(private(home() / KEYS_FILE) or {}), **os.environ})


def steadily(read: Callable[[], Wanted]) -> Callable[[], Wanted]:
    """Return the reader, which goes by what was said last while the file cannot be understood: somebody edits it."""
    last = Wanted()

    def again() -> Wanted:
        nonlocal last
        with suppress(DeskhandError):
            last = read()
        return last

    return again


def builtin_agent(
    path: Path, *, computer: str, language: str, tools: tuple[ToolInfo, ...], clock: Clock
) -> tuple[SuppliedAgent, Supply]:
    """Return the built-in agent of this computer, and what it thinks with."""
    own = Embedded(Ids(clock))
    supply = Supply(wanted=steadily(wanted), look=found, own=own, clock=clock, offload=offload)
    ceiling = Ceiling(path)

    def scene(brief: Brief) -> Scene:
        here = (one for one in ceiling.entries() if one.id == brief.folder)
        root = next((one.root for one in here), None)
        return Scene(now=clock.now().astimezone(), computer=computer, root=root, mode=brief.mode)

    mind = Mind(
        choose=supply.choose,
        scene=scene,
        tools=tools,
        offload=offload,
        language=language,
        standin=os.environ.get(STAND_IN_VARIABLE) == "1",
    )
    return SuppliedAgent(supply, mind), supply
