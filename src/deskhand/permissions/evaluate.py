"""How rules are weighed: walls first, then the owner's lines, then what comes with Deskhand; accounts only narrow.

Pure. Within a layer deny beats ask beats allow, and silence of all is a denial. It refuses to let order, number or
complexity of rules matter: every rule is looked at, always.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final

from deskhand.permissions.lines import built_in, show
from deskhand.permissions.matching import decides
from deskhand.permissions.rules import Act, Decision, Rule
from deskhand.protocol.objects import FolderMode, narrower

_LIGHT_TO_HEAVY: Final = (Decision.ALLOW, Decision.ASK, Decision.DENY)

WALLS: Final = built_in("walls")
"""Denials that no line lifts."""
FREE: Final = built_in("free")
"""What holds where no line of the owner speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rules say, and which of them decided: by its name, or a line of a policy with its number and text."""

    decision: Decision
    rule: str
    number: int = 0
    line: str = ""


SILENCE: Final = Judgement(decision=Decision.DENY, rule="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What was written down: the ``lines`` of this computer's file and those of the account.

    ``broken`` says where one of both could not be read. Then nothing happens but reading, as far as what could be
    read of them lets it.
    """

    lines: tuple[Rule, ...] = ()
    account: tuple[Rule, ...] = ()
    broken: str = ""


def judge(act: Act, policy: Policy) -> Judgement:
    """Return what is to happen with an act."""
    if wall := weigh(WALLS, act):
        return wall
    if policy.broken and act.verb != "read":
        return Judgement(decision=Decision.DENY, rule="broken", line=policy.broken)
    own = weigh(policy.lines, act, "policy")
    # A denial that might be reached only narrows what would be without it.
    base = None if own and own.rule == "policy" else weigh(FREE, act) or SILENCE
    return heaviest_of(filter(None, [own, base, weigh(policy.account, act, "account")]))


def weigh(rules: Iterable[Rule], act: Act, name: str = "") -> Judgement | None:
    """Return the heaviest decision among the rules that speak about an act; nothing where none does."""
    found = list[Judgement]()
    for rule in rules:
        decision = decides(rule, act)
        if decision is not None:
            called = rule.name or (name if decision is rule.decision else f"{name}_reach")
            line = "" if rule.name else show(rule)
            found.append(Judgement(decision=decision, rule=called, number=rule.number, line=line))
    return heaviest_of(found) if found else None


def heaviest_of(judgements: Iterable[Judgement]) -> Judgement:
    """Return the heaviest of several judgements about parts of one wish; none at all is a denial."""
    return max(judgements, key=lambda one: _LIGHT_TO_HEAVY.index(one.decision), default=SILENCE)


def effective_mode(modes: Iterable[FolderMode | None]) -> FolderMode | None:
    """Return the narrowest of several modes; one that grants nothing makes it nothing."""
    every = [*modes]
    granted = [mode for mode in every if mode is not None]
    return reduce(narrower, granted) if granted and len(granted) == len(every) else None
