"""Reading a wish's arguments: typed, bounded, and nothing unknown slips by.

Arguments come from a model or a stranger's plan. Every reader names the field it refuses; ``finish`` refuses fields
that nobody read, so that a misspelt option is an error and never a silent default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.ports import FolderAccess, Place
from deskhand.protocol.wire import Json, JsonObject

RESULTS: Final = "results"
"""``"from": "results"`` reads back what the task wrote, instead of the folder it works on."""


class Arguments:
    """The arguments of one call, read field by field."""

    def __init__(self, given: JsonObject) -> None:
        """Keep them; nothing is read yet."""
        self._given: Mapping[str, Json] = given
        self._read: set[str] = set()

    def text(self, field: str, default: str | None = None, *, most: int = 4096) -> str:
        """Return a string.

        Raises:
            DeskhandError: ``invalid``.
        """
        value = self._take(field, default)
        if not isinstance(value, str):
            raise refused(field, "must be text")
        if len(value) > most:
            raise refused(field, f"longer than {most} characters")
        return value

    def integer(self, field: str, default: int | None = None, *, least: int, most: int) -> int:
        """Return a whole number within bounds.

        Raises:
            DeskhandError: ``invalid``.
        """
        value = self._take(field, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise refused(field, "must be a whole number")
        if not least <= value <= most:
            raise refused(field, f"must be from {least} to {most}")
        return value

    def flag(self, field: str, *, default: bool) -> bool:
        """Return true or false.

        Raises:
            DeskhandError: ``invalid``.
        """
        value = self._take(field, default)
        if not isinstance(value, bool):
            raise refused(field, "must be true or false")
        return value

    def choice(self, field: str, choices: Sequence[str], default: str) -> str:
        """Return one of a few words.

        Raises:
            DeskhandError: ``invalid``.
        """
        value = self.text(field, default)
        if value not in choices:
            raise refused(field, f"must be one of {', '.join(choices)}")
        return value

    def texts(self, field: str, *, most: int, item_most: int = 4096) -> tuple[str, ...]:
        """Return a list of at least one string.

        Raises:
            DeskhandError: ``invalid``.
        """
        found: list[str] = []
        for value in self.items(field, most=most):
            if not isinstance(value, str) or len(value) > item_most:
                raise refused(field, f"every item must be text of at most {item_most} characters")
            found.append(value)
        return tuple(found)

    def items(self, field: str, *, most: int, least: int = 1) -> list[Json]:
        """Return a list as it is.

        Raises:
            DeskhandError: ``invalid``.
        """
        value = self._take(field, None)
        if not isinstance(value, list):
            raise refused(field, "must be a list")
        if not least <= len(value) <= most:
            raise refused(field, f"must have from {least} to {most} items")
        return value

    def objects(self, field: str, *, most: int) -> list[JsonObject]:
        """Return a list of objects.

        Raises:
            DeskhandError: ``invalid``.
        """
        found: list[JsonObject] = []
        for value in self.items(field, most=most):
            if not isinstance(value, dict):
                raise refused(field, "every item must be an object")
            found.append(value)
        return found

    def has(self, field: str) -> bool:
        """Return whether the field is there."""
        return self._given.get(field) is not None

    def scalar(self, field: str) -> str | int | None:
        """Return text, a whole number or nothing.

        Raises:
            DeskhandError: ``invalid``.
        """
        self._read.add(field)
        value = self._given.get(field)
        if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
            return value
        raise refused(field, "must be text or a whole number")

    def inner(self, field: str) -> Arguments | None:
        """Return an object's own reader, or nothing when the field is absent.

        Raises:
            DeskhandError: ``invalid``.
        """
        self._read.add(field)
        value = self._given.get(field)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise refused(field, "must be an object")
        return Arguments(value)

    def path(self, field: str = "path", default: str | None = None) -> str:
        """Return a relative path without a trailing slash; what it may name is the handle's to say.

        Raises:
            DeskhandError: ``invalid``.
        """
        value = self.text(field, default)
        return value.rstrip("/") or ("/" if value.startswith("/") else ".")

    def finish(self) -> None:
        """Refuse what nobody read.

        Raises:
            DeskhandError: ``invalid`` with the first unknown field.
        """
        unknown = sorted(set(self._given) - self._read)
        if unknown:
            raise refused(unknown[0], "is not known here")

    def _take(self, field: str, default: Json) -> Json:
        self._read.add(field)
        value = self._given.get(field, default)
        if value is None and default is None:
            raise refused(field, "is missing")
        return default if value is None else value


def refused(field: str, why: str) -> DeskhandError:
    """Return the error for one wrong field."""
    return DeskhandError(Code.INVALID, f"{field} {why}", field=field)


def source(arguments: Arguments, place: Place) -> FolderAccess:
    """Return where to read: the task's folder, or with ``"from": "results"`` where results go.

    Raises:
        DeskhandError: ``folder_unknown`` when the task has no folder.
    """
    if arguments.choice("from", ("folder", RESULTS), "folder") == RESULTS:
        return place.results
    if place.folder is None:
        raise DeskhandError(Code.FOLDER_UNKNOWN, "this task has no folder")
    return place.folder


def shown(arguments: JsonObject, place: Place, *, field: str = "path") -> str:
    """Return the absolute place a reading call is about, for rules and approval."""
    wanted = arguments.get(field)
    rel = wanted if isinstance(wanted, str) else "."
    access = place.results if arguments.get("from") == RESULTS else place.folder
    return rel if access is None else str(access.root / rel)


def shown_result(arguments: JsonObject, place: Place, *, field: str = "path") -> str:
    """Return the absolute place a writing call is about."""
    wanted = arguments.get(field)
    return str(place.results.root / (wanted if isinstance(wanted, str) else "."))
