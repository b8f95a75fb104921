"""The places an attempt works in: the task's folder, and where its results go.

Opens them once and pins them; brings in the files that came with the message. It refuses a folder that is not
granted here, and one that is no longer the directory that was granted (FS-10).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from deskhand.errors import Code, DeskhandError
from deskhand.limits import ARTIFACT_BYTES_MAX, TITLE_CHARS_MAX
from deskhand.permissions.evaluate import effective_mode
from deskhand.ports import FolderAccess, Link, Place, Sandbox
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Brief, FileRef
from deskhand.runner.ceiling import Ceiling
from deskhand.runner.gate import Scope
from deskhand.workflow.journal import Journal
from deskhand.workflow.rows import AttemptRow

RESULTS: Final = "Deskhand"
INCOMING: Final = "inbox"
_SAME_NAME_MAX: Final = 100


class OpenFolder(FolderAccess, Protocol):
    """A folder handle that somebody has to close."""

    def close(self) -> None:
        """Give the handle back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The open places of one attempt. ``made`` is the directory that was made for its results, if one was."""

    scope: Scope
    made: str | None
    handles: tuple[OpenFolder, ...]

    def close(self) -> None:
        """Give the handles back."""
        for handle in self.handles:
            handle.close()

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the handles back."""
        self.close()


class Workspaces:
    """Opens workspaces.

    Args:
        ceiling: what is granted here.
        journal: how far the hub narrows it.
        documents: where results places are made.
        sandbox: for the commands of every attempt.
        open_folder: opens a handle beneath which everything stays.
        link: brings files that came with a message.
    """

    def __init__(
        self,
        *,
        ceiling: Ceiling,
        journal: Journal,
        documents: Path,
        sandbox: Sandbox,
        open_folder: Callable[[Path], OpenFolder],
        link: Link,
    ) -> None:
        """Keep the parts."""
        self._ceiling = ceiling
        self._journal = journal
        self._documents = documents
        self._sandbox = sandbox
        self._open_folder = open_folder
        self._link = link
        self._taken: dict[Path, str] = {}

    def open(self, attempt: AttemptRow) -> Workspace:
        """Open the places of an attempt.

        Raises:
            DeskhandError: ``folder_refused`` when it is not granted here; ``folder_changed``.
        """
        brief = attempt.brief
        handles: list[OpenFolder] = []
        try:
            folder = self._folder(brief, handles)
            mode = self._mode(brief)
            if folder is not None and mode not in (None, FolderMode.READ_ONLY):
                results, made = folder, None
            else:
                results, made = self._results(attempt, handles)
        except BaseException:
            for handle in handles:
                handle.close()
            raise
        place = Place(
            folder=folder,
            results=results,
            mode=mode or FolderMode.READ_ONLY,
            sandbox=self._sandbox,
        )
        scope = Scope(place=place, folder=brief.folder, mode=lambda: self._mode(brief))
        return Workspace(scope=scope, made=made, handles=tuple(handles))

    async def bring_in(self, brief: Brief, workspace: Workspace) -> None:
        """Put the files that came with the message beside the results; those that are there already stay.

        Raises:
            DeskhandError: ``conflict`` when bytes are not what the message named; ``hub_unreachable``.
        """
        results = workspace.scope.place.results
        for file in brief.files:
            path = f"{INCOMING}/{_incoming_name(file)}"
            if not _is_there(results, path, file):
                data = await _collect(self._link.download_file(file.id), most=file.size)
                if hashlib.sha256(data).hexdigest() != file.sha256:
                    raise DeskhandError(Code.CONFLICT, file.name)
                results.mkdir(INCOMING)
                results.write_from(path, io.BytesIO(data), limit=len(data))

    def _mode(self, brief: Brief) -> FolderMode | None:
        """Return how wide the folder is now: the narrowest of this machine, the hub and the task."""
        if brief.folder is None:
            return None
        op = brief.op_id
        modes = [self._ceiling.mode(brief.folder, task=brief.task, op=op)]
        hub = self._journal.hub_folders()
        if brief.folder in hub:
            modes.append(hub[brief.folder])
        if brief.mode is not None:
            modes.append(brief.mode)
        return effective_mode(modes)

    def _folder(self, brief: Brief, handles: list[OpenFolder]) -> OpenFolder | None:
        if brief.folder is None:
            return None
        granted = self._ceiling.bind(brief.folder, task=brief.task, op=brief.op_id)
        if granted is None:
            raise DeskhandError(Code.FOLDER_REFUSED, brief.folder)
        try:
            now = Path(granted.root).stat(follow_symlinks=False).st_ino
        except OSError as error:
            raise DeskhandError(Code.FOLDER_CHANGED, granted.label) from error
        if now != granted.inode:
            raise DeskhandError(Code.FOLDER_CHANGED, granted.label)
        handle = self._open_folder(Path(granted.root))
        handles.append(handle)
        return handle

    def _results(self, attempt: AttemptRow, handles: list[OpenFolder]) -> tuple[OpenFolder, str]:
        """Open the place we made for this task's results, or make one."""
        path = Path(attempt.place) if attempt.place else self._free_place(attempt.brief)
        path.mkdir(parents=True, exist_ok=True)
        handle = self._open_folder(path)
        handles.append(handle)
        return handle, str(path)

    def _free_place(self, brief: Brief) -> Path:
        """Return ``Deskhand/<date> <title>``, or with a number where that name has something in it already."""
        base = self._documents / RESULTS
        name = f"{brief.created_at[:10]} {_plain(brief.title) or brief.task}"
        for number in range(1, _SAME_NAME_MAX):
            path = base / (name if number == 1 else f"{name} ({number})")
            if self._taken.get(path, brief.task) == brief.task and _empty(path):
                self._taken[path] = brief.task
                return path
        return base / f"{name} {brief.task}"


def _plain(title: str) -> str:
    """Return a title as a directory name that every system takes."""
    kept = "".join(letter if letter.isalnum() or letter in " -_" else " " for letter in title)
    return " ".join(kept.split())[:TITLE_CHARS_MAX].strip()


def _empty(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _incoming_name(file: FileRef) -> str:
    """Return the file's own last name, if it can be one; its id otherwise."""
    name = file.name.replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    plain = name.isprintable() and not name.startswith(("~", "$")) and ":" not in name
    return name if name and plain else file.id


def _is_there(results: FolderAccess, path: str, file: FileRef) -> bool:
    with contextlib.suppress(DeskhandError):
        entry = results.stat(path)
        return entry is not None and results.sha256(path) == file.sha256
    return False


async def _collect(chunks: AsyncIterator[bytes], *, most: int) -> bytes:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > min(most, ARTIFACT_BYTES_MAX):
            raise DeskhandError(Code.TOO_LARGE)
    return bytes(data)
