"""A Typer command that turns plain words into plain values itself.

Typer's own way builds a Pydantic adapter for every parameter, which loads Pydantic: 0.1 to 0.2 s before the command
begins. Texts, numbers and paths, alone or several, need none of it. Everything else is left to Typer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: object) -> object:
        """Mark for the type checker only; the real one is slow to load."""
        return method


class QuickCommand(TyperCommand):
    """A command whose parameters are read without Pydantic where that is the same."""

    @override
    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own objects
        """Return the parameters, ``--help`` too, each with a reader of ours where there is one."""
        return _quick(super().get_params(ctx))


class QuickGroup(TyperGroup):
    """A group of such commands; the program itself is one, listed panel by panel however they were added."""

    panels: tuple[str, ...] = ()

    @override
    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own objects
        """Return the parameters, ``--help`` too, each with a reader of ours where there is one."""
        return _quick(super().get_params(ctx))

    @override
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer's own object
        """Return the names in the order of their panels."""

        def place(name: str) -> int:
            panel = getattr(self.commands[name], "rich_help_panel", None)
            return self.panels.index(panel) if panel in self.panels else len(self.panels)

        return sorted(super().list_commands(ctx), key=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Turns what was typed for one parameter into its value."""

    convert: Callable[[str], object]
    several: bool
    lowest: float | None
    highest: float | None

    def coerce(self, value: object, param: Any, ctx: Any) -> object:  # noqa: ANN401 - Typer's own objects
        """Return the value, or say what is wrong with it.

        Raises:
            typer.BadParameter: it is none.
        """
        if value is None:
            return () if self.several else None
        if self.several:
            return [self._one(one, param, ctx) for one in cast("list[object]", value)]
        return self._one(value, param, ctx)

    def _one(self, value: object, param: Any, ctx: Any) -> object:  # noqa: ANN401 - Typer's own objects
        try:
            read = self.convert(cast("str", value))
        except ValueError:
            raise typer.BadParameter(f"{value!r}: 0 1 2 …", ctx=ctx, param=param) from None
        low, high = self.lowest, self.highest
        number = cast("float", read)
        if (low is not None and number < low) or (high is not None and number > high):
            said = f"{value!r}: {low or 0:g} … {'' if high is None else f'{high:g}'}"
            raise typer.BadParameter(said.rstrip(), ctx=ctx, param=param)
        return read


_PLAIN: dict[object, Callable[[str], object]] = {str: str, int: int, Path: Path, bool: bool}
"""``bool``: only for a flag that was not given; a given one is a truth value already."""


def _quick(parameters: Any) -> Any:  # noqa: ANN401 - Typer's own objects
    for parameter in parameters:
        reader = _reader(parameter)
        if reader is not None:
            # Where Typer would put what it builds on first use.
            parameter._runtime_param = reader  # noqa: SLF001 - the one seam there is
    return parameters


def _reader(parameter: Any) -> Reader | None:  # noqa: ANN401 - Typer's own object
    """Return how to read a parameter, or nothing where Typer must."""
    described = getattr(parameter, "type_descriptor", None)
    annotation = getattr(described, "annotation", None)
    several = get_origin(annotation) is list
    convert = _PLAIN.get(get_args(annotation)[0] if several else annotation)
    if convert is None or not hasattr(parameter, "_runtime_param"):
        return None
    info = described.parameter_info  # pyright: ignore - no public type
    return Reader(convert=convert, several=several, lowest=info.min, highest=info.max)
