"""Reading a wish's arguments: typed, bounded, and nothing unknown slips by.

Arguments come from a model or a stranger's plan. Every reader names the field it refuses; ``finish`` refuses fields
that nobody read, so that a misspelt option is an error and never a silent default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from deskhand.errors import Code, DeskhandError
from deskhand.ports import FolderAccess, Place
from deskhand.protocol.wire import Json

C = TypeVar("C", bound=str)

RESULTS: Final = "results"
"""``"from": "results"`` reads back what the task wrote, instead of the folder it works on."""


class Arguments:
    """The arguments of one call, or an object in them, read field by field.

    A field without a default must be there. Every reader raises ``invalid`` with the name of its field.
    """

    def __init__(self, given: Mapping[str, Json]) -> None:
        """Keep them; nothing is read yet."""
        self._given = given
        self._read: set[str] = set()
        self._inner: list[Arguments] = []

    def raw(self, field: str) -> Json:
        """Return a field as it is, or nothing."""
        self._read.add(field)
        return self._given.get(field)

    def text(self, field: str, default: str | None = None, *, most: int = 4096) -> str:
        """Return a string of at most so many characters."""
        value = self._there(field, default)
        if not isinstance(value, str):
            raise refused(field, "must be text")
        if len(value) > most:
            raise refused(field, f"longer than {most} characters")
        return value

    def integer(self, field: str, default: int | None = None, *, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self._there(field, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise refused(field, "must be a whole number")
        if not least <= value <= most:
            raise refused(field, f"must be from {least} to {most}")
        return value

    def flag(self, field: str, *, default: bool = False) -> bool:
        """Return true or false."""
        value = self._there(field, default)
        if not isinstance(value, bool):
            raise refused(field, "must be true or false")
        return value

    def choice(self, field: str, choices: Sequence[C], default: C) -> C:
        """Return one of a few words."""
        value = self._there(field, default)
        for choice in choices:
            if value == choice:
                return choice
        raise refused(field, f"must be one of {', '.join(choices)}")

    def items(self, field: str, *, most: int, default: list[Json] | None = None) -> list[Json]:
        """Return a list of at least one thing, of whatever kind."""
        value = self._there(field, default)
        if not isinstance(value, list):
            raise refused(field, "must be a list")
        if not (0 if value == default else 1) <= len(value) <= most:
            raise refused(field, f"must have from 1 to {most} items")
        return value

    def texts(self, field: str, *, most: int, item_most: int = 4096) -> tuple[str, ...]:
        """Return a list of at least one string."""
        items = self.items(field, most=most)
        found = tuple(item for item in items if isinstance(item, str) and len(item) <= item_most)
        if len(found) < len(items):
            raise refused(field, f"every item must be text of at most {item_most} characters")
        return found

    def objects(self, field: str, *, most: int) -> list[Arguments]:
        """Return readers of a list of at least one object."""
        return [self.reader(field, item) for item in self.items(field, most=most)]

    def object(self, field: str) -> Arguments | None:
        """Return a reader of an object, or nothing when the field is absent."""
        value = self.raw(field)
        return None if value is None else self.reader(field, value)

    def reader(self, field: str, value: Json) -> Arguments:
        """Return a reader of an object that stands somewhere in a field; ``finish`` is for it too."""
        if not isinstance(value, dict):
            raise refused(field, "must be an object")
        self._inner.append(Arguments(value))
        return self._inner[-1]

    def path(self, field: str = "path", default: str | None = None) -> str:
        """Return a relative path without a trailing slash; what it may name is the handle's to say."""
        value = self.text(field, default)
        return value.rstrip("/") or ("/" if value.startswith("/") else ".")

    def source(self, place: Place) -> FolderAccess:
        """Return where to read: the task's folder, or with ``"from": "results"`` where results go.

        Raises:
            DeskhandError: ``folder_unknown`` when the task has no folder.
        """
        if self.choice("from", ("folder", RESULTS), "folder") == RESULTS:
            return place.results
        if place.folder is None:
            raise DeskhandError(Code.FOLDER_UNKNOWN, "this task has no folder")
        return place.folder

    def finish(self) -> None:
        """Refuse what nobody read, here and in the objects inside."""
        unknown = sorted(set(self._given) - self._read)
        if unknown:
            raise refused(unknown[0], "is not known here")
        for inner in self._inner:
            inner.finish()

    def _there(self, field: str, default: Json) -> Json:
        value = self.raw(field)
        if value is None and default is None:
            raise refused(field, "is missing")
        return default if value is None else value


def refused(field: str, why: str) -> DeskhandError:
    """Return the error for one wrong field."""
    return DeskhandError(Code.INVALID, f"{field} {why}", field=field)
