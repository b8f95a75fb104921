"""The rules that come with Deskhand, as data: what an act looks like, and what each rule says to it.

Pure. A rule looks at facts that trusted code found out (which folder, how wide, is there a wall), never at what an
agent says about itself. It refuses to be clever: a rule matches or it does not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from deskhand.protocol.objects import FolderMode

Verb = Literal["read", "write", "run", "send", "other"]
Where = Literal["folder", "results", "internet", "outside", "nowhere"]
"""In the task's folder, in a results place that we made, at a host that was listed, elsewhere, or about no place."""
Wall = Literal["full", "reduced", "none"]
Risk = Literal["low", "medium", "high"]
Kind = Literal["safe", "fetch", "send", "persist", "never"]
"""The class of an act (security 5): stays here, asks the internet, says something outside, lasts, is nobody's."""


class Decision(StrEnum):
    """What is to happen with a wish."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One wish as the rules see it.

    ``mode`` is the effective mode: the narrowest of the runner's own file, the hub and the task; without one the
    folder may not be used (any more). ``folder`` is its root, ``path`` lies beneath it (or beneath the results place),
    ``host`` has a port where that is not the default one. ``untrusted`` and ``leak`` are the facts of the task so far.
    """

    tool: str
    verb: Verb
    where: Where
    mode: FolderMode | None
    wall: Wall
    protected: bool = False
    folder: str | None = None
    path: str = ""
    argv: tuple[str, ...] = ()
    host: str = ""
    method: str = ""
    url_path: str = ""
    kind: Kind = "safe"
    untrusted: bool = False
    leak: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with acts that have all these traits; a trait that is ``None`` does not matter."""

    name: str
    decision: Decision
    verbs: Collection[Verb] | None = None
    wheres: Collection[Where] | None = None
    modes: Collection[FolderMode | None] | None = None
    walls: Collection[Wall] | None = None
    protected: bool | None = None

    def matches(self, act: Act) -> bool:
        """Return whether the rule speaks about this act."""
        return (
            (self.verbs is None or act.verb in self.verbs)
            and (self.wheres is None or act.where in self.wheres)
            and (self.modes is None or act.mode in self.modes)
            and (self.walls is None or act.wall in self.walls)
            and (self.protected is None or act.protected is self.protected)
        )


DEFAULT: Final = "default"
"""The name that is given when no rule speaks: deny."""

_CHANGES: Final = ("write", "run")
_WIDE: Final = (FolderMode.WORKSPACE, FolderMode.TRUSTED)
_LESS: Final = (None, FolderMode.READ_ONLY, FolderMode.ASK, FolderMode.WORKSPACE)
_WALLED: Final = ("full", "reduced")
_ALLOW, _ASK, _DENY = Decision.ALLOW, Decision.ASK, Decision.DENY

BUILT_IN: Final[tuple[Rule, ...]] = (
    Rule("internet_off", _DENY, verbs=("send",), wheres=("outside",)),
    Rule("outside", _DENY, wheres=("outside",)),
    Rule("protected", _DENY, verbs=("write",), protected=True),
    Rule("not_granted", _DENY, wheres=("folder",), modes=(None,)),
    Rule("read_only", _DENY, verbs=_CHANGES, wheres=("folder",), modes=(FolderMode.READ_ONLY,)),
    Rule("ask_first", _ASK, verbs=_CHANGES, wheres=("folder",), modes=(FolderMode.ASK,)),
    Rule("no_sandbox", _ASK, verbs=("run",), wheres=("folder", "results"), walls=("none",)),
    Rule("internet_asks", _ASK, verbs=("send",), wheres=("internet",), modes=_LESS),
    Rule("internet", _ALLOW, verbs=("send",), wheres=("internet",), modes=(FolderMode.TRUSTED,)),
    Rule("read", _ALLOW, verbs=("read",), wheres=("folder", "results", "nowhere")),
    Rule("own_results", _ALLOW, verbs=("write",), wheres=("results",)),
    Rule("workspace", _ALLOW, verbs=("write",), wheres=("folder",), modes=_WIDE),
    Rule("sandboxed_in_folder", _ALLOW, ("run",), ("folder",), modes=_WIDE, walls=_WALLED),
    Rule("sandboxed_in_results", _ALLOW, verbs=("run",), wheres=("results",), walls=_WALLED),
)
"""Deny beats ask beats allow, whatever the order; what no rule speaks about is denied."""


def risk_of(act: Act) -> Risk:
    """Return how much an act can spoil, for the person who decides and for the caps of channels."""
    if act.verb == "run":
        return "medium" if act.wall != "none" else "high"
    if act.verb == "other" or act.where == "outside":
        return "high"
    return "low" if act.verb == "read" or act.where == "results" else "medium"
