"""What starts and stays: ``up hub runner``; and ``completion``. The programs themselves are in ``cli.up`` and so on."""

from __future__ import annotations

import gc
import os
from typing import Annotated

import typer

from deskhand.cli.flags import command, t
from deskhand.cli.follow import EXIT_DONE
from deskhand.cli.screen import screen
from deskhand.errors import Code, DeskhandError

Port = Annotated[int | None, typer.Option(min=0, max=65535, help=t("up.port"))]
AsRoot = Annotated[bool, typer.Option("--as-root", help=t("up.as_root"))]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for function in (up, hub, runner):
        command(app, function.__name__, panel="start")(function)


def up(
    *,
    port: Port = None,
    reach: Annotated[str | None, typer.Option(metavar="none|lan|URL", help=t("up.reach"))] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help=t("up.no_browser"))] = False,
    name: Annotated[str | None, typer.Option(help=t("up.name"))] = None,
    as_root: AsRoot = False,
) -> int:
    """Start hub and runner in one process."""
    _refuse_root(said=as_root)
    _load_quickly()
    from deskhand.cli.programs.up import run_up

    return run_up(port=port, reach=reach, browser=not no_browser, name=name, as_root=as_root)


def hub(
    *,
    port: Port = None,
    reach: Annotated[str | None, typer.Option(metavar="none|lan|URL", help=t("up.reach"))] = None,
) -> int:
    """Start the hub alone."""
    _load_quickly()
    from deskhand.cli.programs.hub import run_hub

    return run_hub(port=port, reach=reach)


def runner(
    *,
    url: Annotated[str | None, typer.Option(help=t("runner.url"))] = None,
    invite: Annotated[str | None, typer.Option(help=t("runner.invite"))] = None,
    name: Annotated[str | None, typer.Option(help=t("up.name"))] = None,
    as_root: AsRoot = False,
) -> int:
    """Start a runner for a hub elsewhere."""
    _refuse_root(said=as_root)
    _load_quickly()
    from deskhand.cli.programs.runner import run_runner

    return run_runner(url=url, invite=invite, name=name, as_root=as_root)


def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help=t("completion.shell"))],
) -> int:
    """Print the completion script of a shell."""
    from typer._completion_shared import get_completion_script  # the one that makes it

    if shell not in {"bash", "zsh", "fish"}:
        raise typer.BadParameter("bash | zsh | fish")
    script = get_completion_script(
        prog_name="deskhand", complete_var="_DESKHAND_COMPLETE", shell=shell
    )
    if screen().json:
        screen().result({"shell": shell, "script": script})
    else:
        screen().out(script)
    return EXIT_DONE


def _refuse_root(*, said: bool) -> None:
    """Refuse before anything is loaded or written; the runner asks again itself."""
    if os.name == "posix" and os.geteuid() == 0 and not said:
        raise DeskhandError(Code.ROOT_REFUSED)


def _load_quickly() -> None:
    """Do not look for garbage while loading makes none (a fifth of the time; ``ending`` turns it on again).

    Nor for Pydantic's plugins: whatever else is installed has no business in this process.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    gc.disable()
