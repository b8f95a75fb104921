"""Reads the head of a GGUF file: how many parameters the model has and how long a context it was made for.

It refuses a file that is none, and heads that claim more than a real one holds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

from deskhand.errors import Code, DeskhandError

_NUMBERS: Final = dict(zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True))
_TEXT, _LIST = 8, 9
_MOST: Final = 4_000_000
"""Of anything that is counted: letters of a text, items of a list, entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf:
    """What is known of a model in a file."""

    parameters: int
    context_tokens: int | None


def read_gguf(path: Path) -> Gguf:
    """Return what the head of a file says.

    Raises:
        DeskhandError: ``model_file`` when it is no GGUF file.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, ValueError, KeyError, RecursionError, struct.error):
        raise DeskhandError(Code.MODEL_FILE, path.name) from None


class _Head:
    """The head of a file, read forward."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def number(self, kind: str) -> int:
        (found,) = struct.unpack(f"<{kind}", self._file.read(struct.calcsize(f"<{kind}")))
        return found

    def count(self) -> int:
        found = self.number("Q")
        if found > _MOST:
            raise ValueError(found)
        return found

    def text(self) -> str:
        return self._file.read(self.count()).decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        if kind == _TEXT:
            return self.text()
        if kind != _LIST:
            return self.number(_NUMBERS[kind])
        inner, items = self.number("I"), self.count()
        if inner in _NUMBERS:
            return self._file.seek(items * struct.calcsize(_NUMBERS[inner]), 1)
        return [self.value(inner) for _ in range(items)]


def _read(file: BinaryIO) -> Gguf:
    head = _Head(file)
    if file.read(4) != b"GGUF" or head.number("I") < 2:  # noqa: PLR2004 - the first with 64-bit counts
        raise ValueError
    tensors, entries, parameters = head.count(), head.count(), 0
    known = {head.text(): head.value(head.number("I")) for _ in range(entries)}
    for _ in range(tensors):
        head.text()
        parameters += prod(head.number("Q") for _ in range(head.number("I") & 0xF))
        file.seek(12, 1)
    context = known.get(f"{known.get('general.architecture')}.context_length")
    tokens = context if isinstance(context, int) else None
    return Gguf(parameters=parameters, context_tokens=tokens)
