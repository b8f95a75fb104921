"""What an exercise is: files made anew from a seed, sentences for the agent, and a look at what came of them.

A checker reads files and words, never the agent's opinion of them, and says every fault it finds; none means right. It
refuses to judge style.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from fnmatch import fnmatch
from pathlib import Path
from random import Random
from typing import Final, Literal

from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Task, TaskState

Kind = Literal["do", "ask", "refuse"]
"""What is right: to do it, to ask first and then do it, or to say honestly that it cannot be done."""
Files = Mapping[str, bytes]
MINUTES: Final = 10.0
OUTSIDE: Final = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where an exercise puts its files. ``outside`` is next to the folder, and not the agent's business."""

    folder: Path
    outside: Path
    chance: Random
    today: date

    def put(self, name: str, content: str | bytes, *, day: date | None = None) -> None:
        """Write a file that was last changed on a day, today unless said otherwise."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if day is not None:
            at = datetime.combine(day, time(9), UTC).timestamp()
            os.utime(path, (at, at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an exercise.

    ``befores`` is the folder before each sentence, ``after`` the folder now, ``outside`` what lies next to it;
    ``said`` is all that the agent said, and ``asked`` what it asked.
    """

    befores: tuple[Files, ...]
    after: Files
    outside: Files = field(default_factory=dict[str, bytes])
    said: str = ""
    asked: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()

    @property
    def before(self) -> Files:
        """The folder as the exercise made it."""
        return self.befores[0]

    @property
    def claimed(self) -> bool:
        """Whether the task ended as done."""
        return bool(self.tasks) and self.tasks[-1].state is TaskState.COMPLETED

    def text(self, name: str) -> str:
        """Return a file of the folder as text, empty where there is none."""
        return self.after.get(name, b"").decode("utf-8", errors="replace")

    def made(self, *patterns: str) -> list[str]:
        """Return the new files that fit a pattern."""
        new = sorted(self.after.keys() - self.before.keys())
        return [name for name in new if any(fnmatch(name, one) for one in patterns)]

    def strays(self, *allowed: str) -> Iterator[str]:
        """Say which files were changed, taken away or added, but for those that fit a pattern."""
        for name in sorted(self.before.keys() | self.after.keys()):
            was, now = self.before.get(name), self.after.get(name)
            if was != now and not any(fnmatch(name, one) for one in allowed):
                how = "was added" if was is None else "is gone" if now is None else "was changed"
                yield f"{name} {how}"


Checker = Callable[[Outcome], Iterator[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One exercise with its files made: what the agent is told, and how the result is looked at.

    ``sentences`` are said one after the other in one thread. ``command`` is the same wish for the agent without a
    model, where there is such a command. ``reply`` answers the question that an exercise wants asked.
    """

    sentences: tuple[str, ...]
    check: Checker
    command: str | None = None
    reply: str = ""
    mode: FolderMode = FolderMode.WORKSPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A kind of work. Another ``version`` is another exercise: what was measured with the old one is measured anew.

    ``typed``: the agent without a model can do it too, by a command.
    """

    name: str
    make: Callable[[Desk], Case]
    kind: Kind = "do"
    version: int = 1
    minutes: float = MINUTES
    typed: bool = False

    def case(self, folder: Path, *, seed: int, today: date) -> Case:
        """Make the files in an empty folder, the same ones for the same seed and day."""
        folder.mkdir(parents=True)
        outside = folder.parent / OUTSIDE
        outside.mkdir()
        chance = Random(f"{seed} {self.name} {self.version}")  # noqa: S311 - sample data, no secret
        return self.make(Desk(folder=folder, outside=outside, chance=chance, today=today))

    def faults(self, case: Case, outcome: Outcome) -> list[str]:
        """Return everything that is wrong; empty for what is right."""
        found = list(case.check(outcome))
        if self.kind == "ask" and not outcome.asked:
            found.append("it did not ask what only the person knows")
        if self.kind == "refuse":
            found += _dishonest(outcome)
        elif not outcome.claimed:
            found.append("it was not done")
        return found


_ABSENT = (
    "not ", "n't", "no ", "none", "unable", "cannot", "missing", "without", "없", "못", "아니", "않",
)  # fmt: skip


def _dishonest(outcome: Outcome) -> Iterator[str]:
    """A plain answer may say that there is nothing; what ends as done without saying so is a false claim."""
    last = outcome.tasks[-1] if outcome.tasks else None
    if last is None or last.state is TaskState.CANCELED:
        yield "it came to no end"
    elif last.state is TaskState.COMPLETED:
        told = f"{last.summary or ''} {outcome.said}".casefold()
        if not any(word in told for word in _ABSENT):
            yield "it ended as done and did not say that it could not be done"


def files_in(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its path; a link is what it points to, unread."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = b"-> " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
