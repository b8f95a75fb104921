"""Where a task works: the places of an attempt, its folder and where its results go, and what a waiting task may mean.

An attempt's places are opened once and pinned, and the files that came with the message are brought in. It refuses a
folder that is not granted here, and one that is no longer the directory that was granted (FS-10).

What this computer takes a task to mean that waits for a model is suggested from the names and days of what lies where it
may work, never from inside files. Nothing of its folders leaves it but the previews, and nothing is run.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Final, cast

from deskhand import limits
from deskhand.clock import unstamp
from deskhand.core.words.suggesting import Listed, Meaning, meanings
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.evaluate import effective_mode
from deskhand.ports import Entry, FolderAccess, Place
from deskhand.protocol.events import Event, TaskQueued, body_of
from deskhand.protocol.objects import FolderMode, Trust
from deskhand.protocol.ops import Op, TaskSuggest
from deskhand.protocol.tasks import Brief, FileRef, Instructions, Suggestion
from deskhand.runner.ceiling import Granted, Held
from deskhand.runner.gate import Scope
from deskhand.runner.traffic import OpenFolder, Parts
from deskhand.texts import text
from deskhand.tools.reading import entries_of
from deskhand.tools.undo.keeping import Kept
from deskhand.workflow.rows import AttemptRow

INSTRUCTIONS: Final = ("AGENTS.md", "CLAUDE.md")
RESULTS: Final = "Deskhand"
INCOMING: Final = "inbox"
_log = logging.getLogger(__name__)
_NAMES_MAX: Final = 1000


def instructions_of(folder: FolderAccess) -> Instructions | None:
    """Return the text of ``AGENTS.md``, else ``CLAUDE.md``, of a folder: content of that file, never permission."""
    for name in INSTRUCTIONS:
        with suppress(DeskhandError):
            read = folder.read(name, limit=limits.INSTRUCTIONS_BYTES_MAX)
            said = read.decode("utf-8", errors="replace")
            cut = len(said) - limits.INSTRUCTIONS_CHARS_MAX
            marker = f"\n[… {cut} more characters]" if cut > 0 else ""
            return Instructions(name=name, text=said[: limits.INSTRUCTIONS_CHARS_MAX] + marker)
    return None


@dataclass(frozen=True, slots=True)
class Workspaces:
    """Opens workspaces of one runner, as far as the ceiling allows."""

    _parts: Parts
    _taken: dict[Path, str] = field(default_factory=dict[Path, str])

    @contextmanager
    def open(self, attempt: AttemptRow) -> Generator[Scope]:
        """Open the places of an attempt, and give the handles back at the end.

        Raises:
            DeskhandError: ``folder_refused`` when it is not granted here; ``folder_changed``.
        """
        brief = attempt.brief
        with ExitStack() as handles:

            def opened(path: Path) -> OpenFolder:
                kept = self._parts.checkpoints
                folder = kept.open(path, task=brief.task) if kept else self._parts.open_folder(path)
                return handles.enter_context(closing(folder))

            def begins(step: int) -> None:
                if isinstance(results, Kept):
                    results.step = step

            folder = opened(self._granted(brief.folder, brief)) if brief.folder else None
            mode = self._mode(brief)
            results, made = folder, None
            if results is None or mode in (None, FolderMode.READ_ONLY):
                path = Path(attempt.place) if attempt.place else self._free_place(brief)
                path.mkdir(parents=True, exist_ok=True)
                results, made = opened(path), str(path)
            place = Place(
                folder=folder,
                results=results,
                mode=mode or FolderMode.READ_ONLY,
                sandbox=self._parts.sandbox,
                task=brief.task,
            )
            yield Scope(
                place=place,
                folder=brief.folder,
                mode=lambda: self._mode(brief),
                narrowed=lambda now: self._parts.ceiling.mode(brief.folder or "", brief) is not now,
                mixed=lambda: self._mixed(brief),
                made=made,
                begins=begins,
                hold=lambda place, mode: self._hold(brief, place, mode),
            )

    async def bring_in(self, brief: Brief, results: FolderAccess) -> None:
        """Put the files that came with the message beside the results; those that are there already stay.

        Raises:
            DeskhandError: ``conflict`` when bytes are not what the message named; ``hub_unreachable``.
        """
        for file in brief.files:
            path = f"{INCOMING}/{_incoming_name(file)}"
            with suppress(DeskhandError):
                if results.sha256(path) == file.sha256:
                    continue
            data = await _collect(self._parts.link.download_file(file.id), most=file.size)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise DeskhandError(Code.CONFLICT, file.name)
            results.mkdir(INCOMING)
            results.write(path, data)

    def _mode(self, brief: Brief) -> FolderMode | None:
        """Return how wide the folder is now: the narrowest of this machine, the hub, the account and the task.

        Raises:
            DeskhandError: ``folder_refused`` when this computer is not lent to whoever asked (any more).
        """
        if not self._parts.ceiling.lends(brief):
            raise DeskhandError(Code.FOLDER_REFUSED, self._parts.name)
        if brief.folder is None:
            return FolderMode.WORKSPACE
        here = self._parts.ceiling.mode(brief.folder, brief)
        hub = self._parts.journal.narrowed(brief.folder)
        return effective_mode([here, *hub, *([brief.mode] if brief.mode else [])])

    def _mixed(self, brief: Brief) -> bool:
        """Whether others write in the folder, too; where that cannot be read, they may."""
        with suppress(DeskhandError):
            granted = self._parts.ceiling.bind(brief.folder, brief) if brief.folder else None
            return granted is not None and granted.marked == "mixed"
        return True

    def _hold(self, brief: Brief, place: Place, mode: FolderMode | None) -> Place:
        """Return a place where nothing changes any more once less is allowed than ``mode`` (RO-05)."""

        @contextmanager
        def still() -> Generator[None]:
            with self._parts.ceiling.holding():
                now = self._mode(brief)
                if now is None or effective_mode([now, mode]) is not mode:
                    raise DeskhandError(Code.FOLDER_REFUSED, str(now or ""))
                yield

        folder = place.folder and cast("FolderAccess", Held(place.folder, still))
        results = cast("FolderAccess", Held(place.results, still))
        return replace(place, folder=folder, results=results)

    def _granted(self, folder: str, brief: Brief) -> Path:
        """Return the directory of a granted folder, if it is still the one that was meant."""
        granted = self._parts.ceiling.bind(folder, brief)
        if granted is None:
            raise DeskhandError(Code.FOLDER_REFUSED, folder)
        root = Path(granted.root)
        with suppress(OSError):
            if root.stat(follow_symlinks=False).st_ino == granted.inode:
                return root
        raise DeskhandError(Code.FOLDER_CHANGED, granted.label)

    def _free_place(self, brief: Brief) -> Path:
        """Return where the thread's last results lie, else ``Deskhand/<date> <title>``.

        With a number where that name has something in it already; tasks that work at once never share one.
        """
        before = self._parts.journal.place_of(brief.thread, but=brief.task)
        if before and Path(before).is_dir() and self._mine(Path(before), brief):
            return Path(before)
        kept = "".join(one if one.isalnum() or one in " -_" else " " for one in brief.title)
        # A name that every system takes.
        title = " ".join(kept.split())[: limits.TITLE_CHARS_MAX].strip()
        name = f"{brief.created_at[:10]} {title or brief.task}"
        names = chain([name], (f"{name} ({number})" for number in count(2)))
        paths = (self._parts.documents / RESULTS / one for one in names)
        return next(path for path in paths if _free(path) and self._mine(path, brief))

    def _mine(self, path: Path, brief: Brief) -> bool:
        """Take a place for a task, unless another one that is under way has taken it."""
        taker = self._taken.get(path, brief.task)
        attempt = self._parts.journal.latest(taker)
        mine = taker == brief.task or attempt is None or attempt.status != "open"
        if mine:
            self._taken[path] = brief.task
        return mine


@dataclass(frozen=True, slots=True)
class Suggester:
    """Answers for one runner what a waiting task may mean."""

    _parts: Parts

    async def answer(self, event: Event) -> None:
        """Say it, if that is what an event asks; it is not stored as heard before the hub has the answer.

        Raises:
            DeskhandError: ``hub_unreachable``.
        """
        asked = body_of(event) if event.kind == "task.queued" else None
        brief = asked.brief if isinstance(asked, TaskQueued) else None
        if brief is None:
            return
        found: tuple[Suggestion, ...] = ()
        try:
            found = await self._parts.offload(lambda: self._suggestions(brief, event.seq))
        except Exception:  # noqa: BLE001 - a card less must not stop the orders behind it
            _log.warning("suggesting.failed", exc_info=True)
        # Asked again, it is the same answer, however the folder looks by then.
        op = Op(
            op_id=f"suggest-{event.seq}-{event.at}",
            kind="task.suggest",
            thread=brief.thread,
            task=brief.task,
            body=TaskSuggest(suggestions=found).to_json(),
        )
        await self._parts.link.send([op])

    def _suggestions(self, brief: Brief, seq: int) -> tuple[Suggestion, ...]:
        """Return the suggestions for the folder of the task, else for the one that its words fit best."""
        today = unstamp(brief.created_at).astimezone().date()
        seen: list[tuple[list[Meaning], Granted]] = []
        for folder in self._places(brief):
            with suppress(DeskhandError), closing(self._parts.open_folder(Path(folder.root))) as access:
                listing = [*map(_listed, entries_of(access, ".", limit=_NAMES_MAX)[0])]
                found = meanings(brief.text, self._parts.commands, listing, today=today)
                seen.append((found, folder))
        if not seen:
            return ()
        best, where = max(seen, key=lambda one: sum(found.fit for found in one[0]))
        return tuple(self._shown(one, where, brief, f"{seq}-{n}") for n, one in enumerate(best, 1))

    def _places(self, brief: Brief) -> Iterator[Granted]:
        """Yield where the task may work: its folder, or for its owner's free words any that is granted to all."""
        with suppress(DeskhandError):
            if brief.folder:
                granted = self._parts.ceiling.bind(brief.folder, brief)
                yield from [granted] if granted else []
            elif brief.trust is Trust.OWNER:
                yield from (one for one in self._parts.ceiling.entries() if one.for_op is None)

    def _shown(self, found: Meaning, where: Granted, brief: Brief, name: str) -> Suggestion:
        """Return the card: the line, and in the words of who wrote the task what it does and where."""
        language = "ko" if re.search("[가-힣]", brief.text) else "en"
        command = found.command
        summary = command.summary_ko if language == "ko" else command.summary
        asked = [brief.mode] if brief.mode and brief.folder else []
        mode = effective_mode([where.mode, *self._parts.journal.narrowed(where.id), *asked])
        does = "aside" if found.does == "makes" and mode is FolderMode.READ_ONLY else found.does
        place = f"{where.label} ({self._parts.name})"
        said = text(f"suggestion.{does}", language=language, place=place)
        return Suggestion(
            id=name,
            command=found.line,
            preview=f"{summary} {said}".strip(),
            not_honored=found.not_honored,
            runner=self._parts.runner,
            folder=where.id,
        ).bound


def _free(path: Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _incoming_name(file: FileRef) -> str:
    """Return the file's own last name, if it can be one; its id otherwise."""
    name = file.name.replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    plain = name.isprintable() and not name.startswith(("~", "$")) and ":" not in name
    return name if name and plain else file.id


async def _collect(chunks: AsyncIterator[bytes], *, most: int) -> bytes:
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > min(most, limits.ARTIFACT_BYTES_MAX):
            raise DeskhandError(Code.TOO_LARGE)
    return bytes(data)


def _listed(entry: Entry) -> Listed:
    changed = datetime.fromtimestamp(entry.modified_ns / 1e9, UTC).astimezone()
    return Listed(path=entry.path, is_folder=entry.kind == "directory", day=changed.date())
