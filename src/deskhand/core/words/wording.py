"""The words that patterns are made of, as data beside the code. It refuses to decide anything with them."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def data(file: str) -> dict[str, Any]:
    """Return what a file of this folder holds."""
    return tomllib.loads(files("deskhand.core.words").joinpath(file).read_text(encoding="utf-8"))


@cache
def wording(name: str) -> dict[str, Any]:
    """Return a table of ``wording.toml``, its marks filled in; a mark may hold those before it."""
    table = json.dumps(data("wording.toml")[name])
    for mark, forms in reversed(data("wording.toml")["marks"].items()):
        table = table.replace(mark, json.dumps(f"(?:{'|'.join(forms)})")[1:-1])
    return json.loads(table)
