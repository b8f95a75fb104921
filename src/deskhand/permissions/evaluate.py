"""How rules are weighed: deny beats ask beats allow, and silence is a denial.

Pure. It refuses to let order, number or complexity of rules matter: every rule is looked at, always.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final

from deskhand.permissions.rules import DEFAULT, Act, Decision, Rule
from deskhand.protocol.objects import FolderMode, narrower

_LIGHT_TO_HEAVY: Final = (Decision.ALLOW, Decision.ASK, Decision.DENY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rules say, and which of them decided."""

    decision: Decision
    rule: str


def evaluate(rules: Iterable[Rule], act: Act) -> Judgement:
    """Return the heaviest decision among the rules that speak about the act; silence is a denial."""
    speaking = (rule for rule in rules if rule.matches(act))
    return heaviest_of(Judgement(decision=rule.decision, rule=rule.name) for rule in speaking)


def heaviest_of(judgements: Iterable[Judgement]) -> Judgement:
    """Return the heaviest of several judgements about parts of one wish; none at all is a denial."""
    silence = Judgement(decision=Decision.DENY, rule=DEFAULT)
    return max(judgements, key=lambda one: _LIGHT_TO_HEAVY.index(one.decision), default=silence)


def effective_mode(modes: Iterable[FolderMode | None]) -> FolderMode | None:
    """Return the narrowest of several modes; one that grants nothing makes it nothing."""
    every = [*modes]
    granted = [mode for mode in every if mode is not None]
    return reduce(narrower, granted) if granted and len(granted) == len(every) else None
