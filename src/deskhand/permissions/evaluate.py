"""How rules are weighed: deny beats ask beats allow, and silence is a denial.

Pure. It refuses to let order, number or complexity of rules matter: every rule is looked at, always.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deskhand.permissions.rules import DEFAULT, Act, Decision, Rule
from deskhand.protocol.objects import FolderMode, narrower

_WEIGHT: Final = {Decision.ALLOW: 0, Decision.ASK: 1, Decision.DENY: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the rules say, and which of them decided."""

    decision: Decision
    rule: str


def evaluate(rules: Sequence[Rule], act: Act) -> Judgement:
    """Return the heaviest decision among the rules that speak about the act."""
    speaking = [rule for rule in rules if rule.matches(act)]
    if not speaking:
        return Judgement(decision=Decision.DENY, rule=DEFAULT)
    heaviest = max(speaking, key=lambda rule: _WEIGHT[rule.decision])
    return Judgement(decision=heaviest.decision, rule=heaviest.name)


def heaviest_of(judgements: Iterable[Judgement]) -> Judgement:
    """Return the heaviest of several judgements about parts of one wish; none at all is a denial."""
    found = list(judgements)
    if not found:
        return Judgement(decision=Decision.DENY, rule=DEFAULT)
    return max(found, key=lambda judgement: _WEIGHT[judgement.decision])


def effective_mode(modes: Iterable[FolderMode | None]) -> FolderMode | None:
    """Return the narrowest of several modes; one that grants nothing makes it nothing."""
    narrow: FolderMode | None = None
    for mode in modes:
        if mode is None:
            return None
        narrow = mode if narrow is None else narrower(narrow, mode)
    return narrow
