"""How commands are declared: help and examples from the catalogue, and the flags that several commands share.

Five flags hold everywhere and may stand anywhere before ``--``: ``main`` takes them out before parsing.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal, get_args

import typer

from deskhand.cli.home import home
from deskhand.cli.quick import PanelGroup
from deskhand.cli.screen import speak
from deskhand.errors import Code, DeskhandError
from deskhand.texts import LANGUAGES

Group = Literal["start", "tasks", "setup", "operate"]

EVERYWHERE: Final = ("--json", "--quiet", "--verbose", "--no-input", "--no-color")
Mode = Literal["read-only", "ask", "workspace", "trusted"]
MODES: Final = get_args(Mode)
_DURATIONS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def spoken_language() -> str:
    """Return the language of this run: ``DESKHAND_LANGUAGE``, else ``config.toml``, else the system's."""
    kept: object = None
    with suppress(OSError, ValueError):  # whoever needs the file says what is wrong with it
        kept = tomllib.loads((home() / "config.toml").read_text(encoding="utf-8")).get("language")
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    system = next((said for name in names if (said := os.environ.get(name))), "")[:2]
    said = (os.environ.get("DESKHAND_LANGUAGE"), kept, system)
    return str(next((one for one in said if one in LANGUAGES), LANGUAGES[0]))


speak.language = spoken_language()
t: Final = speak.say
"""Help is made while the program is loaded."""


PanelGroup.panels = tuple(t(f"panel.{one}") for one in get_args(Group))


def typer_app(name: str, *, said: str) -> typer.Typer:
    """Return a program or a named group of commands."""
    return typer.Typer(
        name=name,
        cls=PanelGroup,
        help=said,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
    )


def argument(metavar: str, key: str, **more: Any) -> Any:  # noqa: ANN401 - as Typer's own
    """Return what an argument is to Typer; ``key`` names its help."""
    return typer.Argument(metavar=metavar, help=t(key), **more)


def option(key: str, *names: str, **more: Any) -> Any:  # noqa: ANN401 - as Typer's own
    """Return what a flag is to Typer; ``key`` names its help."""
    return typer.Option(*names, help=t(key), **more)


def add_group(
    app: typer.Typer, name: str, found: dict[str, Callable[..., int]], *, panel: Group = "setup"
) -> None:
    """Add a named group of commands, such as ``devices``."""
    made = typer_app(name, said=t(f"{name}.help"))
    for word, function in found.items():
        _add(made, f"{name} {word}", function)
    app.add_typer(made, rich_help_panel=t(f"panel.{panel}"))


def add_commands(app: typer.Typer, panel: Group, *functions: Callable[..., int]) -> None:
    """Add commands that are called as their functions are."""
    for function in functions:
        _add(app, function.__name__, function, panel=panel)


def _add(app: typer.Typer, path: str, run: Callable[..., int], *, panel: str | None = None) -> None:
    """Make a function the command ``path``; its last word is its name."""
    key = path.replace(" ", ".")
    made = app.command(
        path.rpartition(" ")[2],
        help=t(f"{key}.help"),
        epilog=_epilog(t(f"{key}.examples")),
        rich_help_panel=t(f"panel.{panel}") if panel else None,
    )
    made(run)


def seconds(said: str) -> float:
    """Return a duration such as ``90``, ``90s``, ``10m``, ``2h``, ``1d`` in seconds.

    Raises:
        typer.BadParameter: it is none of these.
    """
    number, unit = (said[:-1], said[-1]) if said[-1:] in _DURATIONS else (said, "s")
    try:
        value = float(number) * _DURATIONS[unit]
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise typer.BadParameter(t("flag.duration"))
    return value


def from_stdin(said: str) -> str:
    """Return a text, read from stdin where ``-`` stands for it.

    Raises:
        DeskhandError: ``invalid`` when there is nothing to say.
    """
    read = sys.stdin.read() if said == "-" else said
    if not read.strip():
        raise DeskhandError(Code.INVALID, t("flag.empty_text"), field="TEXT")
    return read.strip("\n") if said == "-" else read


def _epilog(examples: str) -> str:
    lines = [f"  {line}" for line in examples.splitlines()]
    shown = [line.replace("[", r"\[") for line in (*lines, t("everywhere"))]
    return "\n\n".join([f"[bold]{t('examples')}[/bold]", *shown])
