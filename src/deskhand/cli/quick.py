"""A Typer command that turns plain words into plain values itself.

Typer's own way builds a Pydantic adapter for every parameter, which loads Pydantic: 0.1 to 0.2 s before the command
begins. Texts, numbers and paths, alone or several, need none of it. Everything else is left to Typer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import typer
from typer.core import TyperCommand


class QuickCommand(TyperCommand):
    """A command whose parameters are read without Pydantic where that is the same."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - Typer's own parameters, passed on
        """Look at the parameters once."""
        super().__init__(*given, **named)
        for parameter in self.params:
            reader = _reader(parameter)
            if reader is not None:
                # What Typer builds lazily in the same place on first use.
                parameter._runtime_param = reader  # noqa: SLF001  # pyright: ignore  # noqa: PGH003 - the one seam it has


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
        for bound, wrong in ((self.lowest, -1), (self.highest, 1)):
            if bound is not None and (cast("float", read) - bound) * wrong > 0:
                said = f"{value!r}: {self.lowest or 0:g} … {'' if self.highest is None else f'{self.highest:g}'}"
                raise typer.BadParameter(said.rstrip(), ctx=ctx, param=param)
        return read


_PLAIN: dict[object, Callable[[str], object]] = {str: str, int: int, Path: Path}


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
