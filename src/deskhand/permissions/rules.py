"""What an act looks like and what a rule is: pure data, and the rules that come with Deskhand.

Pure. An act holds facts that trusted code found out (which folder, how wide, is there a wall), never what an agent
says about itself; and what its task has read (others' words, private places; security 5), which only turns on: words of
earlier work without a label count as foreign and as private. It refuses to be clever: what a rule says to an act stands
in ``matching``, all of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.resources import files
from typing import Final, Literal
from urllib.parse import unquote

from deskhand.protocol.objects import FolderMode, Trust
from deskhand.protocol.tasks import Brief, Label
from deskhand.texts import table

Verb = Literal["read", "write", "run", "send", "other"]
Where = Literal["folder", "results", "internet", "outside", "nowhere"]
"""In the task's folder, in a results place that we made, at a host that was listed, elsewhere, or about no place."""
Wall = Literal["full", "reduced", "none"]
Risk = Literal["low", "medium", "high"]
Kind = Literal["safe", "fetch", "send", "persist", "never"]
"""The class of an act (security 5): stays here, asks the internet, says something outside, lasts, is nobody's."""

SAID: Final = table("deskhand.permissions", "policy.toml")
"""The rules that come with Deskhand, what traits may say, and which programs run what they are told."""

EVEN: Final = "even-after-foreign"
"""The trait of a line that holds even after foreign content was read beside private files."""
WORDS: Final = (*SAID["words"],)
"""The traits that are one of a few words."""
_EXEC: Final = frozenset(name for names in SAID["exec"].values() for name in names.split())


class Decision(StrEnum):
    """What is to happen with a wish."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One wish as the rules see it.

    ``mode`` is the effective mode: the narrowest of the runner's own file, the hub and the task; without one the
    folder may not be used (any more); ``narrowed`` if that file alone would say more. ``folder`` is its root, ``path`` lies beneath it (or beneath the results place);
    of a directory it means all below: ``deep``. ``host`` has a port where that is not the default one. ``untrusted``
    and ``leak`` are the facts of the task so far, ``day`` is today.
    """

    tool: str
    verb: Verb
    where: Where
    mode: FolderMode | None
    wall: Wall
    protected: bool = False
    folder: str | None = None
    path: str = ""
    deep: bool = False
    argv: tuple[str, ...] = ()
    host: str = ""
    method: str = ""
    url_path: str = ""
    kind: Kind = "safe"
    untrusted: bool = False
    leak: bool = False
    narrowed: bool = False
    day: str = ""

    @property
    def executes(self) -> bool:
        """Whether its program runs what its arguments or a file say."""
        return bool(self.argv) and executes(self.argv[0])

    @property
    def tainted(self) -> bool:
        """Whether a yes that was not given for exactly this is worth nothing: it might carry out what was read (PI-04)."""
        both = self.untrusted and self.leak
        return both or (self.kind == "send" and (self.untrusted or self.leak))

    def fact(self, trait: str) -> str:
        """Return what a rule compares with its words."""
        value = str(getattr(self, trait))
        return {"None": "none", "True": "yes", "False": "no"}.get(value, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to do with acts that have all these traits; one that is absent does not matter.

    ``traits`` are as they are written. In a command pattern ``None`` is any one word, and ``rest`` stands for any words
    more. Only a rule that comes with Deskhand has a ``name``; a line of a policy has its ``number``.
    """

    decision: Decision
    tool: str = "*"
    traits: tuple[tuple[str, str], ...] = ()
    argv: tuple[str | None, ...] | None = None
    rest: bool = False
    name: str = field(default="", compare=False)
    number: int = field(default=0, compare=False)

    @property
    def whole(self) -> bool:
        """Whether it spells a command to its last word."""
        return self.argv is not None and None not in self.argv and not self.rest


def executes(program: str) -> bool:
    """Return whether a program runs what its arguments or a file say; one named by its path may be anything (SH-05)."""
    name = program.casefold().removesuffix(".exe").rstrip("0123456789.-")
    return "/" in program or "\\" in program or name in _EXEC


def risk_of(act: Act) -> Risk:
    """Return how much an act can spoil, for the person who decides and for the caps of channels."""
    if act.verb == "run":
        return "medium" if act.wall != "none" else "high"
    if act.verb == "other" or act.where == "outside":
        return "high"
    return "low" if act.verb == "read" or act.where == "results" else "medium"


_SAID: Final = files("deskhand.permissions").joinpath("shared_hosts.txt").read_text("ascii")
_SHARED: Final = frozenset(name for line in _SAID.splitlines() if not line.startswith("#") for name in line.split())


def is_shared(host: str) -> bool:
    """Return whether many tenants are behind a host's name."""
    labels = host.lower().rstrip(".").split(".")
    return any(".".join(labels[first:]) in _SHARED for first in range(len(labels)))


def within(path: str, prefix: str) -> bool:
    """Return whether the path of an address lies beneath a prefix, in whichever way a server may read it."""
    path, prefix = path.partition("?")[0].rstrip("/"), prefix.rstrip("/")
    plain = unquote(unquote(path)).replace("\\", "/")
    odd = {".", "..", ""} & {part.partition(";")[0] for part in plain.split("/")[1:]}
    return not prefix or (not odd and f"{path}/".startswith(f"{prefix}/"))


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
