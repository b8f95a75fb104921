"""An account in memory: the facts a decision reads and a log to append to, for unit tests and as a model.

It folds with the product's own fold and refuses what it cannot know: credentials, blobs, other accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from deskhand.core.drafting import Decision, Draft, W
from deskhand.core.folding import ERASED, Key, fold, hanging, touched
from deskhand.protocol.events import KIND_OF, Event
from deskhand.protocol.wire import Wire


class MemoryAccount:
    """Facts of one account, changed only by emitting drafts."""

    def __init__(self, *, now: str = "2026-01-02T03:04:05.000Z") -> None:
        """Begin an empty log."""
        self.now = now
        self.log: list[Event] = []
        self._objects: dict[Key, Wire] = {}

    def get(self, kind: type[W], name: str) -> W | None:
        """Return one object of the account."""
        return cast("W | None", self._objects.get((kind, name)))

    def find(self, kind: type[W], *, states: Sequence[str] = (), limit: int = 500) -> list[W]:
        """Return the objects of one kind in these states, oldest first."""
        found = [cast("W", one) for (of, _), one in self._objects.items() if of is kind]
        fitting = [one for one in found if not states or getattr(one, "state", None) in states]
        return sorted(fitting, key=lambda one: str(getattr(one, "id", "")))[:limit]

    def emit(self, draft: Draft) -> Event:
        """Append an event and fold it."""
        event = Event(
            seq=len(self.log) + 1,
            kind=KIND_OF[type(draft.body)],
            at=self.now,
            actor=draft.actor,
            thread=draft.thread,
            task=draft.task,
            body=draft.body.to_json(),
        )
        self.apply(event)
        return event

    def apply(self, event: Event) -> None:
        """Fold an event that somebody else numbered."""
        self.log.append(event)
        if event.kind == ERASED:
            for key in hanging(self._objects, event.thread or ""):
                del self._objects[key]
        for key in touched(event):
            after = fold(key, self._objects.get(key), event)
            if after is not None:
                self._objects[key] = after

    def put(self, thing: Wire) -> None:
        """Take an object as it is, as a device takes it from a snapshot."""
        self._objects[type(thing), str(getattr(thing, "id", ""))] = thing

    def take(self, decision: Decision) -> Decision:
        """Emit everything a decision says and return it."""
        for draft in decision.drafts:
            self.emit(draft)
        return decision

    @property
    def objects(self) -> dict[Key, Wire]:
        """Return every object, by kind and id."""
        return dict(self._objects)
