"""Reads the head of a GGUF file: how many parameters the model has and how long a context it was made for.

It refuses a file that is none, and heads that claim more than a real one holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from deskhand.errors import Code, DeskhandError

_NUMBERS: Final = {
    kind: Struct(f"<{code}")
    for kind, code in zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True)
}
_TEXT, _LIST = 8, 9
_U32, _U64 = Struct("<I"), Struct("<Q")
_ENTRIES_MAX: Final = 65_536
_CHARS_MAX: Final = 4 * 1024**2
_ITEMS_MAX: Final = 2_000_000


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
    except (OSError, ValueError, KeyError, RecursionError):
        raise DeskhandError(Code.MODEL_FILE, path.name) from None


def _read(file: BinaryIO) -> Gguf:
    if _taken(file, 4) != b"GGUF" or _number(file, _U32) < 2:  # noqa: PLR2004 - the first with 64-bit counts
        raise ValueError
    tensors, entries = _count(file, _ENTRIES_MAX), _count(file, _ENTRIES_MAX)
    known: dict[str, object] = {}
    for _ in range(entries):
        name = _text(file)
        known[name] = _value(file, _number(file, _U32))
    parameters = 0
    for _ in range(tensors):
        _text(file)
        parameters += prod(_number(file, _U64) for _ in range(_number(file, _U32) & 0xF))
        _taken(file, 12)
    context = known.get(f"{known.get('general.architecture')}.context_length")
    return Gguf(parameters=parameters, context_tokens=context if isinstance(context, int) else None)


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _TEXT:
        return _text(file)
    if kind != _LIST:
        return _number(file, _NUMBERS[kind])
    inner, count = _number(file, _U32), _count(file, _ITEMS_MAX)
    if inner in _NUMBERS:
        return _taken(file, _NUMBERS[inner].size * count) and None
    for _ in range(count):
        _value(file, inner)
    return None


def _text(file: BinaryIO) -> str:
    return _taken(file, _count(file, _CHARS_MAX)).decode("utf-8", "replace")


def _count(file: BinaryIO, most: int) -> int:
    count = _number(file, _U64)
    if count > most:
        raise ValueError
    return count


def _number(file: BinaryIO, kind: Struct) -> int:
    (found,) = kind.unpack(_taken(file, kind.size))
    return found


def _taken(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError
    return data
