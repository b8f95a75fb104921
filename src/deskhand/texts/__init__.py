"""The text catalogue: every sentence a person reads from hub, runner or CLI, by id, in English and Korean.

It refuses to guess: an unknown id is a bug and raises ``KeyError``; an unknown language falls back to English.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

LANGUAGES = ("en", "ko")


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return all sentences of one language, read once from the package."""
    data = files(__name__).joinpath(f"{language}.json").read_text(encoding="utf-8")
    return cast("Mapping[str, str]", json.loads(data))


@cache
def table(package: str, file: str) -> dict[str, Any]:
    """Return what a TOML file of a package holds, read once; the names of its ``[marks]`` stand for their forms.

    A mark may hold those before it.
    """
    told = tomllib.loads(files(package).joinpath(file).read_text(encoding="utf-8"))
    for mark, forms in reversed(told.get("marks", {}).items()):
        told = json.loads(json.dumps(told).replace(mark, json.dumps(f"(?:{'|'.join(forms)})")[1:-1]))
    return told


def text(key: str, *, language: str = "en", **values: object) -> str:
    """Return the sentence ``key`` with ``{name}`` places filled from ``values``.

    Raises:
        KeyError: the id is not in the catalogue, or a place has no value.
    """
    chosen = catalogue(language if language in LANGUAGES else "en")
    return chosen[key].format(**values)


def language_of(*samples: str, default: str) -> str:
    """Return the language to answer in: Korean about what is written in it, else the default."""
    letters = [letter for letter in " ".join(samples) if letter.isalpha()]
    hangul = sum("가" <= letter <= "힣" for letter in letters)
    return "ko" if hangul * 3 > len(letters) else default
