"""Tools that change files, through the folder's handle only: write, edit, move, throw away, make a directory.

Changes go to the results place. Without ``replace`` an existing file stays, the same bytes again are done already, and
nothing is ever deleted: what is thrown away lies in the folder's trash. What a crash cut off is looked for, not guessed.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from itertools import islice
from typing import Final, cast

from deskhand.clock import Clock, stamp
from deskhand.errors import Code, DeskhandError
from deskhand.ports import FolderAccess, Place, ToolResult
from deskhand.protocol import wishes
from deskhand.protocol.wire import Json, JsonObject
from deskhand.tools.builtin import ok
from deskhand.tools.reading import TRASH, read_decoded

_COMPARED_LINES_MAX: Final = 5_000
_SHOWN_LINES_MAX: Final = 400


def write_file(wish: wishes.WriteFile, place: Place) -> ToolResult:
    """Write a text file in UTF-8."""
    data = wish.content.encode("utf-8", errors="replace")
    return write_once(place.results, wish.path, data, replace=wish.replace)


def shown_write(wish: wishes.WriteFile, place: Place) -> str | None:
    """Return what a write would change in the file that is there; nothing for a new one, which is shown whole."""
    if place.results.stat(wish.path) is None:
        return None
    return difference(read_decoded(place.results, wish.path)[0].text, wish.content)


def edit_file(wish: wishes.EditFile, place: Place) -> ToolResult:
    """Replace one passage; one that was replaced already is done.

    Raises:
        DeskhandError: ``invalid`` when the passage does not stand there once, or the file's encoding cannot hold the
            new one; ``conflict`` when the file changed meanwhile.
    """
    decoded, digest = read_decoded(place.results, wish.path)
    after = _edited(wish, decoded.text)
    if after == decoded.text:
        return ok({"path": wish.path, "sha256": digest}, f"{wish.path} stands so already")
    try:
        same, data = (said.encode(decoded.encoding) for said in (decoded.text, after))
    except UnicodeEncodeError as error:
        letter = error.object[error.start]
        detail = f"the file is in {decoded.encoding}, which has no {letter!r}"
        raise DeskhandError(Code.INVALID, detail, field="new") from None
    if hashlib.sha256(same).hexdigest() != digest:
        detail = f"{wish.path} cannot be changed in one place only; write it whole"
        raise DeskhandError(Code.UNSUPPORTED_TYPE, detail)
    place.results.write(wish.path, data, expect=digest)
    value: JsonObject = {"path": wish.path, "sha256": hashlib.sha256(data).hexdigest()}
    return ok(value, f"changed {wish.path}:\n{difference(decoded.text, after)}")


def shown_edit(wish: wishes.EditFile, place: Place) -> str | None:
    """Return what an edit would change."""
    text = read_decoded(place.results, wish.path)[0].text
    return difference(text, _edited(wish, text))


def make_directory(wish: wishes.MakeDirectory, place: Place) -> ToolResult:
    """Make a directory and its parents."""
    place.results.mkdir(wish.path)
    return ok({"path": wish.path}, f"made {wish.path}/")


def move_file(wish: wishes.MoveFile, place: Place) -> ToolResult:
    """Move to a free name."""
    return _moved(place.results, wish.path, wish.to)


def moved_before(wish: wishes.MoveFile, place: Place) -> ToolResult | None:
    """Say what came of a move that a crash cut off: it is done, or it is done now; else nobody can tell."""
    here, there = (place.results.stat(path) is not None for path in (wish.path, wish.to))
    return None if here is there else _moved(place.results, wish.path, wish.to, again=True)


def move_files(wish: wishes.MoveFiles, place: Place, *, again: bool = False) -> ToolResult:
    """Move each to its free name and return the hash of each; what cannot be moved stays and is said.

    ``again``: a crash cut it off, so what is gone from its place and lies in the other was moved then.

    Raises:
        DeskhandError: ``invalid`` when a name stands twice, so that an order would matter.
    """
    if len({*wish.paths, *wish.to}) != 2 * len(wish.paths) or len(wish.paths) != len(wish.to):
        detail = "each name stands once, as many here as there"
        raise DeskhandError(Code.INVALID, detail, field="to")
    access, moved, failed, changes = place.results, list[Json](), list[Json](), list[Json]()
    with access.together():
        for path, to in zip(wish.paths, wish.to, strict=True):
            try:
                digest = access.sha256(to if again and access.stat(path) is None else path)
                told = _moved(access, path, to, again=again)
            except DeskhandError as error:
                failed.append({"path": path, "why": error.sentence()})
                continue
            moved.append({"path": path, "to": to, "sha256": digest})
            changes += cast("list[Json]", told.value["changes"])
    text = f"moved {len(moved)} of {len(wish.paths)} files"
    return ok({"moved": moved, "failed": failed, "changes": changes}, text)


class Trash:
    """The trash of a folder: a directory a day in which everything keeps its path."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def trash_file(self, wish: wishes.TrashFile, place: Place) -> ToolResult:
        """Move a file or directory into the trash, beside what lies there under its name."""
        day = f"{TRASH}/{stamp(self._clock.now())[:10]}"
        to, again = f"{day}/{wish.path}", 2
        while place.results.stat(to) is not None:
            to, again = f"{day}/{again}/{wish.path}", again + 1
        return _moved(place.results, wish.path, to)

    def trashed_before(self, wish: wishes.TrashFile, place: Place) -> ToolResult:
        """Say what came of it after a crash: what is gone was thrown away, what is there is so now."""
        if place.results.stat(wish.path) is None:
            return _moved(place.results, wish.path, f"{TRASH}/", again=True)
        return self.trash_file(wish, place)


def write_once(access: FolderAccess, path: str, data: bytes, *, replace: bool) -> ToolResult:
    """Write bytes; the same bytes already there are done, other bytes stay unless ``replace``.

    Raises:
        DeskhandError: ``conflict`` and what writing raises.
    """
    digest = hashlib.sha256(data).hexdigest()
    there = access.stat(path)
    if there is None or there.kind != "file" or access.sha256(path) != digest:
        if there is not None and not replace:
            detail = f'{path} exists already; "replace": true replaces it'
            raise DeskhandError(Code.CONFLICT, detail)
        access.mkdir(path.rpartition("/")[0])
        access.write(path, data, expect=None if replace else "")
    value: JsonObject = {"path": path, "size": len(data), "sha256": digest}
    return ok(value, f"wrote {path}, {len(data)} bytes")


def _edited(wish: wishes.EditFile, text: str) -> str:
    """Return the text with the passage replaced; as it is where that was done before."""
    end = "\r\n" if "\r\n" in text else "\n"
    old, new = (end.join(re.split(r"\r\n|\n", part)) for part in (wish.old, wish.new))
    # One that is part of what this very edit put there was replaced before.
    passed = f"{re.escape(new)}|" * (old in new)
    found = re.finditer(f"{passed}(?=({re.escape(old)}))", text)
    places = [*islice((at.start() for at in found if at[1]), 1_000)]
    if not places and new and new in text:
        return text
    if len(places) != 1:
        lines = ", ".join(str(text.count("\n", 0, at) + 1) for at in places[:10])
        cure = "copy the passage exactly, without the numbers before lines, and so much around it that it is only one"
        told = [f"it stands there {len(places)} times", lines and f"at lines {lines}", cure]
        raise DeskhandError(Code.INVALID, "; ".join(filter(None, told)), field="old")
    return text[: places[0]] + new + text[places[0] + len(old) :]


def difference(before: str, after: str) -> str | None:
    """Return the lines that differ as a unified diff; nothing where that is too long to be read or made."""
    sides = before.splitlines(), after.splitlines()
    if max(map(len, sides)) > _COMPARED_LINES_MAX:
        return None
    lines = list(difflib.unified_diff(*sides, lineterm="", n=2))[2:]
    more = len(lines) - _SHOWN_LINES_MAX
    return "\n".join([*lines[:_SHOWN_LINES_MAX], *[f"[… {more:,} more lines]"] * (more > 0)])


def _moved(access: FolderAccess, path: str, to: str, *, again: bool = False) -> ToolResult:
    """Move; ``again``: what is gone from its place and lies in the other was moved before."""
    if access.stat(path) is not None:
        access.mkdir(to.rpartition("/")[0])
        access.move(path, to)
    elif not again or access.stat(to) is None:
        raise DeskhandError(Code.NOT_FOUND, path)
    changes: list[JsonObject] = [{"path": path, "kind": "deleted"}]
    if not to.startswith(TRASH):
        changes.append({"path": to, "kind": "created"})
    return ok({"path": path, "to": to, "changes": [*changes]}, f"moved {path} to {to}")
