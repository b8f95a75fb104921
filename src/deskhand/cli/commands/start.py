"""What starts and stays: ``up hub runner``; and ``completion``. The programs are in ``cli.programs``."""

from __future__ import annotations

import gc
import os
from typing import Literal

from deskhand.cli.screen import speak
from deskhand.errors import Code, DeskhandError


def up(
    *,
    port: int | None = None,
    reach: str | None = None,
    no_browser: bool = False,
    name: str | None = None,
    as_root: bool = False,
) -> int:
    """Start hub and runner in one process."""
    return _stay("up", "up", port=port, said=reach, browser=not no_browser, name=name, as_root=as_root)


def hub(*, port: int | None = None, reach: str | None = None) -> int:
    """Start the hub alone."""
    return _stay("up", "hub", port=port, said=reach)


def runner(
    act: Literal["run", "trust"] = "run",
    fingerprint: str | None = None,
    *,
    remove: bool = False,
    url: str | None = None,
    invite: str | None = None,
    name: str | None = None,
    as_root: bool = False,
) -> int:
    """Start a runner for a hub elsewhere, or say whom it trusts."""
    if act == "trust":
        from deskhand.cli.signing import trust_here

        return trust_here(fingerprint, remove=remove)
    return _stay("runner", "runner", url=url, invite=invite, name=name, as_root=as_root)


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print the completion script of a shell."""
    from typer._completion_shared import get_completion_script  # the one that makes it

    script = get_completion_script(prog_name="deskhand", complete_var="_DESKHAND_COMPLETE", shell=shell)
    return speak.answer({"shell": shell, "script": script}, script)


def _stay(module: str, program: str, **said: object) -> int:
    """Load the one program that is wanted and run it until it is told to end."""
    import asyncio
    from importlib import import_module

    # Refused before anything is loaded or written; the runner asks again itself.
    if os.name == "posix" and os.geteuid() == 0 and not said.get("as_root", True):
        raise DeskhandError(Code.ROOT_REFUSED)
    # No garbage is looked for while loading makes none (a fifth of the time; ``ending`` turns it on again),
    # nor Pydantic's plugins: whatever else is installed has no business in this process.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    gc.disable()
    run = getattr(import_module(f"deskhand.cli.programs.{module}"), f"run_{program}")
    return asyncio.run(run(**said))
