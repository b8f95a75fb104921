"""What lets a command begin at once: plain words become plain values without Pydantic.

Typer's own way builds a Pydantic adapter for every parameter, which loads Pydantic: 0.1 to 0.2 s before the command
begins. Texts, numbers, paths and words of a list, alone or several, need none of it. Everything else is left to Typer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

import typer
from typer import core
from typer._coercion import (  # the one seam there is
    RuntimeParam,
    TypeDescriptor,
    build_runtime_param,
)
from typing_extensions import override


@dataclass(frozen=True)
class Plain(RuntimeParam):
    """Turns what was typed for one parameter into its value."""

    convert: Callable[[str], Any]
    takes: str

    @override
    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value or values.

        Raises:
            typer.BadParameter: it is none.
        """
        if isinstance(value, list | tuple):
            return [self._coerce_value(one, param, ctx) for one in cast("list[str]", value)]
        try:
            read = self.convert(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r}: {self.takes}", ctx=ctx, param=param) from None
        low, high = self.parameter_info.min, self.parameter_info.max
        if (low is not None and read < low) or (high is not None and read > high):
            said = f"{value!r}: {low or 0:g} … {'' if high is None else f'{high:g}'}"
            raise typer.BadParameter(said.rstrip(), ctx=ctx, param=param)
        return read


_PLAIN: dict[object, Callable[[str], object]] = {str: str, int: int, Path: Path, bool: bool}
"""``bool``: only for a flag that was not given; a given one is a truth value already."""


def _runtime_param(described: TypeDescriptor) -> RuntimeParam:
    """Return how to read a parameter: ours where that is the same, else Typer's."""
    kind, info = described.annotation, described.parameter_info
    words: tuple[str, ...] = get_args(kind) if get_origin(kind) is Literal else ()

    def word(said: str) -> str:
        return words[words.index(said)]

    one = get_args(kind)[0] if described.is_list else kind
    convert = word if words else _PLAIN.get(one)
    if convert is None:
        return build_runtime_param(described)
    takes = " | ".join(words) or "0 1 2 …"
    return Plain(annotation=kind, parameter_info=info, convert=convert, takes=takes)


setattr(core, "build_runtime_param", _runtime_param)  # noqa: B010 - where Typer looks it up


class PanelGroup(core.TyperGroup):
    """A group whose commands are listed panel by panel, however they were added."""

    panels: tuple[str, ...] = ()

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of their panels."""

        def place(name: str) -> int:
            panel = getattr(self.commands[name], "rich_help_panel", None)
            return self.panels.index(panel) if panel in self.panels else len(self.panels)

        return sorted(super().list_commands(ctx), key=place)
