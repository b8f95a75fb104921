"""What this process remembers of an account's objects between writes, valid for exactly one hash of its log.

Projections are a fold of the log, so the same last hash means the same objects, whoever else writes. It refuses to
remember what no event changes, and forgets an account that grew large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deskhand.core.folding import Key
from deskhand.protocol.wire import Wire

OBJECTS_MAX = 2000
ACCOUNTS_MAX = 256

Listing = tuple[type[Wire], tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class Known:
    """Objects by key, absent ones too, and complete listings by kind and states."""

    hash: str
    objects: dict[Key, Wire | None] = field(default_factory=dict[Key, Wire | None])
    listings: dict[Listing, dict[str, Wire]] = field(default_factory=dict[Listing, dict[str, Wire]])

    def absorb(self, after: str, changed: Mapping[Key, Wire | None]) -> None:
        """Move on to the hash ``after``, at which these objects changed."""
        self.hash = after
        self.objects.update(changed)
        for (kind, states), found in self.listings.items():
            amend(found, kind, changed, states=states)

    @property
    def size(self) -> int:
        """How many objects are held that no listing needs."""
        return len(self.objects) - sum(len(found) for found in self.listings.values())


def amend(
    found: dict[str, Wire],
    kind: type[Wire],
    changed: Mapping[Key, Wire | None],
    *,
    states: Sequence[str],
) -> None:
    """Bring a listing of a kind in these states (all when empty) up to what changed."""
    for (of_kind, name), thing in changed.items():
        if of_kind is kind:
            found.pop(name, None)
            state: Any = getattr(thing, "state", None)
            if thing is not None and (not states or state in states):
                found[name] = thing


class Memory:
    """What is known of the accounts that wrote lately."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def of(self, account: str, stored: str) -> Known:
        """Return what is known of the account at this hash; nothing when its log moved meanwhile."""
        known = self._known.get(account)
        if known is None or known.hash != stored or known.size > OBJECTS_MAX:
            known = Known(hash=stored)
            if len(self._known) >= ACCOUNTS_MAX:
                self._known.clear()
            self._known[account] = known
        return known
