"""The rules that come with Deskhand, as data: what an act looks like, and what each rule says to it.

Pure. A rule looks at facts that trusted code found out (which folder, how wide, is there a wall), never at what an
agent says about itself. It refuses to be clever: a rule matches or it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from deskhand.protocol.objects import FolderMode

Verb = Literal["read", "write", "run", "send", "other"]
Where = Literal["folder", "results", "internet", "outside", "nowhere"]
"""In the task's folder, in a results place that we made, at a host that was listed, elsewhere, or about no place."""
Wall = Literal["full", "reduced", "none"]
Risk = Literal["low", "medium", "high"]


class Decision(StrEnum):
    """What is to happen with a wish."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One wish as the rules see it.

    ``mode`` is the effective mode: the narrowest of the runner's own file, the hub and the task; without one the
    folder may not be used (any more).
    """

    tool: str
    verb: Verb
    where: Where
    mode: FolderMode | None
    wall: Wall
    protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to do with acts that have all these traits; a trait that is ``None`` does not matter."""

    name: str
    decision: Decision
    tools: frozenset[str] | None = None
    verbs: frozenset[Verb] | None = None
    wheres: frozenset[Where] | None = None
    modes: frozenset[FolderMode | None] | None = None
    walls: frozenset[Wall] | None = None
    protected: bool | None = None

    def matches(self, act: Act) -> bool:
        """Return whether the rule speaks about this act."""
        return (
            (self.tools is None or act.tool in self.tools)
            and (self.verbs is None or act.verb in self.verbs)
            and (self.wheres is None or act.where in self.wheres)
            and (self.modes is None or act.mode in self.modes)
            and (self.walls is None or act.wall in self.walls)
            and (self.protected is None or act.protected is self.protected)
        )


DEFAULT: Final = "default"
"""The name that is given when no rule speaks: deny."""

_CHANGES: Final[frozenset[Verb]] = frozenset({"write", "run"})
_INSIDE: Final[frozenset[Where]] = frozenset({"folder", "results"})
_WIDE: Final[frozenset[FolderMode | None]] = frozenset({FolderMode.WORKSPACE, FolderMode.TRUSTED})
_WALLED: Final[frozenset[Wall]] = frozenset({"full", "reduced"})

_SENDS: Final[frozenset[Verb]] = frozenset({"send"})
_LISTED: Final[frozenset[Where]] = frozenset({"internet"})

BUILT_IN: Final[tuple[Rule, ...]] = (
    Rule(
        name="internet_off",
        decision=Decision.DENY,
        verbs=_SENDS,
        wheres=frozenset({"outside"}),
    ),
    Rule(name="outside", decision=Decision.DENY, wheres=frozenset({"outside"})),
    Rule(
        name="protected",
        decision=Decision.DENY,
        verbs=frozenset({"write"}),
        protected=True,
    ),
    Rule(
        name="not_granted",
        decision=Decision.DENY,
        wheres=frozenset({"folder"}),
        modes=frozenset({None}),
    ),
    Rule(
        name="read_only",
        decision=Decision.DENY,
        verbs=_CHANGES,
        wheres=frozenset({"folder"}),
        modes=frozenset({FolderMode.READ_ONLY}),
    ),
    Rule(
        name="ask_first",
        decision=Decision.ASK,
        verbs=_CHANGES,
        wheres=frozenset({"folder"}),
        modes=frozenset({FolderMode.ASK}),
    ),
    Rule(
        name="no_sandbox",
        decision=Decision.ASK,
        verbs=frozenset({"run"}),
        wheres=_INSIDE,
        walls=frozenset({"none"}),
    ),
    Rule(
        name="internet_asks",
        decision=Decision.ASK,
        verbs=_SENDS,
        wheres=_LISTED,
        modes=frozenset({None, *FolderMode} - {FolderMode.TRUSTED}),
    ),
    Rule(
        name="internet",
        decision=Decision.ALLOW,
        verbs=_SENDS,
        wheres=_LISTED,
        modes=frozenset({FolderMode.TRUSTED}),
    ),
    Rule(
        name="read",
        decision=Decision.ALLOW,
        verbs=frozenset({"read"}),
        wheres=frozenset[Where]({*_INSIDE, "nowhere"}),
    ),
    Rule(
        name="own_results",
        decision=Decision.ALLOW,
        verbs=frozenset({"write"}),
        wheres=frozenset({"results"}),
    ),
    Rule(
        name="workspace",
        decision=Decision.ALLOW,
        verbs=frozenset({"write"}),
        wheres=frozenset({"folder"}),
        modes=_WIDE,
    ),
    Rule(
        name="sandboxed_in_folder",
        decision=Decision.ALLOW,
        verbs=frozenset({"run"}),
        wheres=frozenset({"folder"}),
        modes=_WIDE,
        walls=_WALLED,
    ),
    Rule(
        name="sandboxed_in_results",
        decision=Decision.ALLOW,
        verbs=frozenset({"run"}),
        wheres=frozenset({"results"}),
        walls=_WALLED,
    ),
)
"""Deny beats ask beats allow, whatever the order; what no rule speaks about is denied."""


def risk_of(act: Act) -> Risk:
    """Return how much an act can spoil, for the person who decides and for the caps of channels."""
    if act.verb == "run":
        return "medium" if act.wall != "none" else "high"
    if act.verb == "other" or act.where == "outside":
        return "high"
    return "low" if act.verb == "read" or act.where == "results" else "medium"
