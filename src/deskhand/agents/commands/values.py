"""Reading what tools return, and showing names and sizes; anything of another type reads as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from deskhand.protocol.wire import Json, JsonObject


def named(path: str) -> str:
    """Return a file's name for a person's eyes, whatever is in it (AP-09)."""
    seen = (each if each.isprintable() else f"\\x{ord(each):02x}" for each in path)
    return f"`{''.join(seen).replace('`', chr(39))}`"


def sized(count: int) -> str:
    """Return how large something is: ``812 B``, ``3.2 MB``."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count} B"


def objects(value: Mapping[str, Json], name: str) -> list[JsonObject]:
    """Return the objects of a list in a tool's value; anything else is left out."""
    found = value.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(value: Mapping[str, Json], name: str) -> list[str]:
    """Return the strings of a list in a tool's value."""
    found = value.get(name)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def number(value: Mapping[str, Json], name: str) -> int:
    """Return a whole number of a tool's value, 0 when it is not there."""
    found = value.get(name)
    return found if isinstance(found, int) else 0


def words(value: Mapping[str, Json], name: str) -> str:
    """Return a string of a tool's value, empty when it is not there."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def ending_of(path: str) -> str:
    """Return what a name ends in, without the dot; a name that begins with its only dot has no ending."""
    return PurePosixPath(path).suffix[1:].casefold()


def stem_of(path: str) -> str:
    """Return a name without its folder and its ending."""
    return PurePosixPath(path).stem


def plain(path: str) -> str:
    """Return a path as tools say it: without ``.`` and doubled or trailing slashes."""
    return str(PurePosixPath(path))
