"""Values that give somebody a right, and how they are kept out of whatever is written down.

A process knows every :class:`Secret` it ever held, and :func:`mask` covers each of them wherever it turns up: as it is,
in a URL, in JSON, in base64. It refuses to show one in a ``repr``, to pickle or copy it, and to compare it by value; and
to look for what is too short to be told from a word.
"""

from __future__ import annotations

import json
import os
import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Final, NoReturn, TypeVar, cast
from urllib.parse import quote

from typing_extensions import override

CHARS_MIN: Final = 8
TOKEN_PREFIX: Final = "dhs_"  # noqa: S105 - what our own tokens begin with, not one
TOKEN: Final = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{20,}")
_PR_SET_DUMPABLE: Final = 4
_shapes: Final[dict[str, str]] = {}
"""How each value may be spelled -> what stands in its place."""

T = TypeVar("T")


class Secret:
    """A value under its name. Who holds one may pass it on; only :meth:`reveal` gives it away."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        """Take the value, and know it from now on."""
        self.name, self._value = name, value
        if len(value) >= CHARS_MIN:
            _shapes.update(dict.fromkeys(_spellings(value), repr(self)))

    def reveal(self) -> str:
        """Return the value, for the one call that needs it."""
        return self._value

    @override
    def __repr__(self) -> str:
        return f"[secret {self.name}]"

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError(repr(self))


def mask(value: T) -> T:
    """Return a text, a program's output, or JSON with all its texts, with every known secret covered by its name."""
    found: object = value
    if isinstance(value, str):
        found = value
        for shape in sorted(_shapes, key=len, reverse=True):
            if shape in found:
                found = found.replace(shape, _shapes[shape])
        found = TOKEN.sub("[secret]", found)
    elif isinstance(value, dict):
        found = {mask(name): mask(one) for name, one in cast("dict[str, object]", value).items()}
    elif isinstance(value, bytes) and held_in(value):
        found = mask(value.decode("utf-8", "replace")).encode()
    elif isinstance(value, list):
        found = [mask(one) for one in cast("list[object]", value)]
    return cast("T", found)


def held_in(data: bytes) -> list[str]:
    """Return what stands for the known secrets that are in a file."""
    return sorted({known for shape, known in tuple(_shapes.items()) if shape.encode() in data})


def taken(variable: str) -> Secret | None:
    """Take a secret out of the environment, also out of the memory where the system shows it to others."""
    if not (value := os.environ.get(variable)):
        return None
    import ctypes  # noqa: PLC0415 - for programs that stay only

    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    if place := library.getenv(os.fsencode(variable)):
        ctypes.memset(place, 0, len(os.fsencode(value)))
    del os.environ[variable]
    return Secret(variable, value)


def close_to_others() -> None:
    """Make environment and memory unreadable for other processes of the same user, and write no core."""
    import ctypes  # noqa: PLC0415 - for programs that stay only
    import resource  # noqa: PLC0415 - as above

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _spellings(value: str) -> Iterator[str]:
    raw = value.encode()
    yield from (value, quote(value, safe=""), json.dumps(value)[1:-1])
    for before, skipped in enumerate((0, 2, 3)):
        # What base64 makes of it whatever stands before and behind: only the letters that depend on nothing else.
        whole = b64encode(bytes(before) + raw)[skipped : 8 * (before + len(raw)) // 6].decode()
        yield from (whole, whole.replace("+", "-").replace("/", "_"))
