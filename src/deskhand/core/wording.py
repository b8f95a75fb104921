"""The words that patterns are made of, as data beside the code. It refuses to decide anything with them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from deskhand.texts import table


@cache
def wording(name: str) -> dict[str, Any]:
    """Return a table of ``wording.toml``, its marks filled in; a mark may hold those before it."""
    words = table("deskhand.core.words", "wording.toml")
    said = json.dumps(words[name])
    for mark, forms in reversed(words["marks"].items()):
        said = said.replace(mark, json.dumps(f"(?:{'|'.join(forms)})")[1:-1])
    return json.loads(said)
