"""What was kept of the files that a task changed on this computer; brought in only where somebody asks for it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from deskhand.cli.client import home
from deskhand.cli.screen import speak
from deskhand.tools.undo.keeping import CHECKPOINTS, Checkpoints
from deskhand.tools.undo.restoring import Plan


def root_of(task: str) -> str | None:
    """Return the directory in which a task changed something on this computer.

    Raises:
        DeskhandError: ``undo_gone``.
    """
    changes = _kept().of(task).changes()
    return changes[-1].root if changes else None


def changes_of(task: str) -> str | None:
    """Return what a task changed on this computer as a diff; nothing when nothing is known of it here.

    Raises:
        DeskhandError: ``undo_gone``, ``folder_refused`` when the directory is gone.
    """
    root = root_of(task)
    if root is None:
        return None
    with closing(_kept().open(Path(root), task=task)) as folder:
        return Plan(folder, _kept().of(task)).pictured(speak.language, forwards=True)


def _kept() -> Checkpoints:
    return Checkpoints(place=home() / CHECKPOINTS, most=lambda: 0)
