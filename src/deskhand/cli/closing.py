"""What a program that stays does before it holds a secret: it closes itself to others, and learns to keep quiet.

Keys in its environment are taken out of it before any child starts. Those of providers go into the safe of a computer
that works; a hub alone keeps none. It refuses to let a name, a header or a known secret write a line of its own into
what is logged.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from typing_extensions import override

from deskhand.agents.builtin.agent import KEY_VARIABLE, PROVIDERS
from deskhand.cli.screen import plain, speak
from deskhand.cli.values import setting
from deskhand.secret import Secret, close_to_others, mask, taken
from deskhand.store.private import Safe

HELD: Final[dict[str, Secret]] = {}
"""Keys that this process was started with, by their variables."""
_PROVIDERS: Final = {name for one in PROVIDERS.values() for name in one.variables}
_OTHERS: Final = (KEY_VARIABLE, "DESKHAND_TOKEN", "OPENAI_LOG", "ANTHROPIC_LOG")
"""A key for anybody, a way in that is of no use here, and what would have a client tell all that it sends."""


def close_up() -> None:
    """Make this process fit to hold secrets, and take those it was started with.

    Raises:
        DeskhandError: ``config_invalid``.
    """
    close_to_others()
    lines = logging.StreamHandler()
    lines.setFormatter(Lines())
    logging.basicConfig(handlers=[lines])  # of warnings and worse, from clients of others too
    named = str(setting("model.api_key_env").value)
    found = {name: taken(name) for name in {named, *_OTHERS, *_PROVIDERS}}
    HELD.update({name: secret for name, secret in found.items() if secret})


def keep_keys(home: Path) -> None:
    """Put keys of providers into the safe, and say so once.

    Raises:
        DeskhandError: ``home_unsafe``, ``disk_full``.
    """
    safe = Safe(home)
    for name in HELD.keys() & _PROVIDERS:
        value, kept = HELD[name].reveal(), safe.read(name)
        if kept is None or kept.reveal() != value:
            safe.put(name, value)
            speak.note(speak.say("secret.moved", name=name))


class Lines(logging.Formatter):
    """Each record begins a line, and nothing that is in it begins another (SE-06)."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return "\n  ".join(plain(line) for line in mask(super().format(record)).splitlines())
