"""What this computer takes a task to mean that waits for a model. Nothing of its folders leaves it but the previews.

It looks at names and days, never into files, and only where the task may work. It refuses to run anything.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deskhand.clock import unstamp
from deskhand.core.words.suggesting import Listed, Meaning, meanings
from deskhand.errors import DeskhandError
from deskhand.permissions.evaluate import effective_mode
from deskhand.ports import Entry
from deskhand.protocol.events import Event, TaskQueued, body_of
from deskhand.protocol.objects import FolderMode, Trust
from deskhand.protocol.ops import Op, TaskSuggest
from deskhand.protocol.tasks import Brief, Suggestion
from deskhand.runner.ceiling import Granted
from deskhand.runner.parts import Parts
from deskhand.texts import text
from deskhand.tools.reading import entries_of

_log = logging.getLogger(__name__)
_NAMES_MAX: Final = 1000


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


def _listed(entry: Entry) -> Listed:
    changed = datetime.fromtimestamp(entry.modified_ns / 1e9, UTC).astimezone()
    return Listed(path=entry.path, is_folder=entry.kind == "directory", day=changed.date())
