"""Tools that change the results place: write, make a directory, move. Never outside it, never through a link.

``write_file`` replaces only when the wish says so; the same bytes again are done already, so a crash between intent
and result repeats it safely. A move has no such proof and is told as unknown.
"""

from __future__ import annotations

import hashlib
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Effect, FolderAccess, Offload, Place, ToolResult
from deskhand.protocol.wire import JsonObject
from deskhand.tools.arguments import Arguments, shown_result

WRITE_CHARS_MAX: Final = 1_000_000


class WriteFile:
    """``write_file {path, content, replace?}``: a text file in UTF-8; without ``replace`` an existing one stays."""

    name = "write_file"
    effect: Effect = "idempotent"
    writes = True

    def __init__(self, *, offload: Offload) -> None:
        """Keep the road for slow work."""
        self._offload = offload

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the file."""
        return shown_result(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Write it.

        Raises:
            DeskhandError: ``invalid``, ``conflict``, ``path_refused``, ``protected_name``, ``disk_full``.
        """
        given = Arguments(arguments)
        path, content = given.path(), given.text("content", most=WRITE_CHARS_MAX)
        replace = given.flag("replace", default=False)
        given.finish()
        data = content.encode("utf-8", errors="replace")
        value = await self._offload(lambda: write_once(place.results, path, data, replace=replace))
        return ToolResult(outcome="ok", value=value, text=f"wrote {path}, {len(data)} bytes")


class MakeDirectory:
    """``make_directory {path}``: with its parents; one that exists is fine."""

    name = "make_directory"
    effect: Effect = "idempotent"
    writes = True

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return the directory."""
        return shown_result(arguments, place)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Make it.

        Raises:
            DeskhandError: ``invalid``, ``conflict``, ``path_refused``, ``protected_name``.
        """
        given = Arguments(arguments)
        path = given.path()
        given.finish()
        place.results.mkdir(path)
        return ToolResult(outcome="ok", value={"path": path}, text=f"made {path}/")


class MoveFile:
    """``move_file {path, to}``: to a name that is free, within the results place."""

    name = "move_file"
    effect: Effect = "unknown"
    writes = True

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return where it goes."""
        return shown_result(arguments, place, field="to")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Move it.

        Raises:
            DeskhandError: ``invalid``, ``not_found``, ``conflict``, ``path_refused``, ``protected_name``.
        """
        given = Arguments(arguments)
        path, to = given.path(), given.path("to")
        given.finish()
        place.results.move(path, to)
        return ToolResult(
            outcome="ok", value={"path": path, "to": to}, text=f"moved {path} to {to}"
        )


def write_once(access: FolderAccess, path: str, data: bytes, *, replace: bool) -> JsonObject:
    """Write bytes; the same bytes already there are done, other bytes stay unless ``replace``.

    Raises:
        DeskhandError: ``conflict`` and what writing raises.
    """
    digest = hashlib.sha256(data).hexdigest()
    there = access.stat(path)
    same = there is not None and there.kind == "file" and access.sha256(path) == digest
    if not same:
        if there is not None and not replace:
            raise DeskhandError(Code.CONFLICT, f"{path} exists already")
        parent = path.rpartition("/")[0]
        if parent:
            access.mkdir(parent)
        access.write(path, data, expect=None if replace else "")
    return {"path": path, "size": len(data), "sha256": digest}
