"""What starts and stays: ``up hub runner``; and ``completion``. The programs are in ``cli.programs``."""

from __future__ import annotations

import gc
import os
from typing import Annotated, Literal

from deskhand.cli.flags import argument, option
from deskhand.cli.screen import speak
from deskhand.errors import Code, DeskhandError

Port = Annotated[int | None, option("up.port", min=0, max=65535)]
Reach = Annotated[str | None, option("up.reach", metavar="none|lan|URL")]
Name = Annotated[str | None, option("up.name")]
AsRoot = Annotated[bool, option("up.as_root", "--as-root")]


def up(
    *,
    port: Port = None,
    reach: Reach = None,
    no_browser: Annotated[bool, option("up.no_browser", "--no-browser")] = False,
    name: Name = None,
    as_root: AsRoot = False,
) -> int:
    """Start hub and runner in one process."""
    browser = not no_browser
    return _stay("up", "up", port=port, said=reach, browser=browser, name=name, as_root=as_root)


def hub(*, port: Port = None, reach: Reach = None) -> int:
    """Start the hub alone."""
    return _stay("up", "hub", port=port, said=reach)


def runner(
    act: Annotated[Literal["run", "trust"], argument("[run|trust]", "runner.act")] = "run",
    fingerprint: Annotated[str | None, argument("[FINGERPRINT]", "runner.fingerprint")] = None,
    *,
    remove: Annotated[bool, option("runner.remove", "--remove")] = False,
    url: Annotated[str | None, option("runner.url")] = None,
    invite: Annotated[str | None, option("runner.invite")] = None,
    name: Name = None,
    as_root: AsRoot = False,
) -> int:
    """Start a runner for a hub elsewhere, or say whom it trusts."""
    if act == "trust":
        from deskhand.cli.signing import trust_here

        return trust_here(fingerprint, remove=remove)
    return _stay("runner", "runner", url=url, invite=invite, name=name, as_root=as_root)


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], argument("bash|zsh|fish", "completion.shell")],
) -> int:
    """Print the completion script of a shell."""
    from typer._completion_shared import get_completion_script  # the one that makes it

    script = get_completion_script(
        prog_name="deskhand", complete_var="_DESKHAND_COMPLETE", shell=shell
    )
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
