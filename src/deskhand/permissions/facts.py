"""What a task has read (others' words, private places), and what that makes of its next act (security 5).

Pure. Facts only turn on. It refuses to trust what nobody told of: words of earlier work without a label count as
foreign and as private.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final, Literal

from deskhand.permissions.rules import SAID, Act
from deskhand.protocol.objects import Trust
from deskhand.protocol.tasks import Brief, Label

Source = Literal["own", "mine", "mixed", "results", "upload", "web", "connector", "other"]
_UNTOLD: Final = Label(untrusted=("thread",), private=("thread",))


def label_of(source: Source, name: str, *, marked: bool = False) -> Label:
    """Return what reading from a source adds to a task; ``marked``: from a file that came from elsewhere."""
    says = {one for one, sources in SAID["sources"].items() if source in sources.split()}
    foreign = "untrusted" in says or (marked and "marked" in says)
    return Label(untrusted=(name,) * foreign, private=(name,) * ("private" in says))


def together(*labels: Label | None) -> Label:
    """Return all that several labels say."""
    every = [one for one in labels if one]
    return Label(
        untrusted=tuple(sorted({name for one in every for name in one.untrusted})),
        private=tuple(sorted({name for one in every for name in one.private})),
    )


def begun(brief: Brief) -> Label:
    """Return what is known of a task before it does anything: what it follows from, was given and is told."""
    theirs = [one.trust for one in brief.context if one.role == "user"]
    given = [brief.label, *(one.label or _UNTOLD for one in brief.context if one.role != "user")]
    given += [label_of("upload", "upload")] if brief.files else []
    foreign = brief.requester is not None or Trust.UNTRUSTED in theirs
    return together(*given, label_of("other" if foreign else "own", "message"))


def weighed(act: Act, known: Label, *, plain: bool = False, sees: Collection[str] | None = None) -> Act:
    """Return an act with what is known of its task.

    A command was meant to show its folder to the hosts it names. ``plain``: the address was typed by the owner or is a
    link of a page, so it carries nothing. ``sees``: what the destination may see anyway; if that is all, nothing leaves.
    """
    private = {*known.private} - {*(sees or ())} - ({act.folder} if act.verb == "run" else set())
    inside = act.kind == "send" and sees is not None and {*known.private} <= {*sees}
    return replace(
        act,
        kind="safe" if inside else act.kind,
        untrusted=bool(known.untrusted),
        leak=bool(private) and not (plain and act.kind == "fetch"),
    )
