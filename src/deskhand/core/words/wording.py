"""The words that patterns are made of, as data beside the code. It refuses to decide anything with them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from deskhand.texts import table


def data(file: str) -> dict[str, Any]:
    """Return what a file of this folder holds."""
    return table("deskhand.core.words", file)


@cache
def wording(name: str) -> dict[str, Any]:
    """Return a table of ``wording.toml``, its marks filled in; a mark may hold those before it."""
    said = json.dumps(data("wording.toml")[name])
    for mark, forms in reversed(data("wording.toml")["marks"].items()):
        said = said.replace(mark, json.dumps(f"(?:{'|'.join(forms)})")[1:-1])
    return json.loads(said)
