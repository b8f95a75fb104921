"""The words that patterns are made of, as data beside the code. It refuses to decide anything with them."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, cast

_MARK = re.compile("MONTH|FULL|DAY|NAME|TITLE|KOREAN")


@cache
def data(file: str) -> dict[str, Any]:
    """Return what a file of this folder holds."""
    return tomllib.loads(files("deskhand.core.words").joinpath(file).read_text(encoding="utf-8"))


@cache
def wording(name: str) -> dict[str, Any]:
    """Return a table of ``wording.toml``, its marks filled in."""
    marks: dict[str, str] = {}
    for mark, forms in data("wording.toml")["marks"].items():
        marks[mark] = f"(?:{'|'.join(_filled(forms, marks))})"
    return _filled(data("wording.toml")[name], marks)


def _filled(value: Any, marks: dict[str, str]) -> Any:  # noqa: ANN401 - what a TOML file holds
    if isinstance(value, dict):
        return {key: _filled(each, marks) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_filled(each, marks) for each in cast("list[Any]", value)]
    return _MARK.sub(lambda hit: marks[hit[0]], value) if isinstance(value, str) else value
