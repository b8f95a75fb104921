"""The words that patterns are made of, as data beside the code. It refuses to decide anything with them."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, cast


@cache
def wording(name: str) -> dict[str, Any]:
    """Return a table of ``wording.toml``; in its patterns, capitals stand for the patterns of that name."""
    told = tomllib.loads(
        files("deskhand.core.words").joinpath("wording.toml").read_text(encoding="utf-8")
    )
    days, owing = told["days"], told["owing"]
    marks = {
        "MONTH": days["month"],
        **{word.upper(): owing[word] for word in ("name", "title", "korean")},
    }
    for mark in ("full", "day"):
        days[mark] = f"(?:{'|'.join(_filled(days[mark], marks))})"
        marks[mark.upper()] = days[mark]
    return {key: _filled(value, marks) for key, value in told[name].items()}


def _filled(value: Any, marks: dict[str, str]) -> Any:  # noqa: ANN401 - what a TOML file holds
    if isinstance(value, list):
        return [_filled(each, marks) for each in cast("list[Any]", value)]
    if isinstance(value, str):
        for mark, pattern in marks.items():
            value = value.replace(mark, pattern)
    return value
