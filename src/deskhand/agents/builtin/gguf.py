"""Reads the head of a GGUF file: how many parameters the model has and how long a context it was made for.

It refuses a file that is none, and heads that claim more than a real one holds.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

from deskhand.errors import Code, DeskhandError

_NUMBERS: Final = dict(zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True))
_TEXT, _LIST = 8, 9
_MOST: Final = 4_000_000
"""Of anything that is counted: letters of a text, items of a list, entries."""


def read_gguf(path: Path) -> tuple[int, int | None]:
    """Return how many parameters the model of a file has, and its context length where the file tells.

    Raises:
        DeskhandError: ``model_file`` when it is no GGUF file.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, ValueError, KeyError, RecursionError, struct.error):
        raise DeskhandError(Code.MODEL_FILE, path.name) from None


def _read(file: BinaryIO) -> tuple[int, int | None]:
    def number(kind: str) -> int:
        (found,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))
        return found

    def count() -> int:
        if (found := number("Q")) > _MOST:
            raise ValueError(found)
        return found

    def value(kind: int) -> object:
        if kind == _TEXT:
            return file.read(count()).decode("utf-8", "replace")
        if kind != _LIST:
            return number(_NUMBERS[kind])
        inner, items = number("I"), count()
        if inner in _NUMBERS:
            return file.seek(items * struct.calcsize(_NUMBERS[inner]), 1)
        return [value(inner) for _ in range(items)]

    if file.read(4) != b"GGUF" or number("I") < 2:  # noqa: PLR2004 - the first with 64-bit counts
        raise ValueError
    tensors, entries, parameters = count(), count(), 0
    known = {value(_TEXT): value(number("I")) for _ in range(entries)}
    for _ in range(tensors):
        value(_TEXT)
        parameters += prod(number("Q") for _ in range(number("I") & 0xF))
        file.seek(12, 1)
    context = known.get(f"{known.get('general.architecture')}.context_length")
    return parameters, context if isinstance(context, int) else None
