"""The models that a computer has now: looked for again and again, because keys, settings and servers come and go.

It refuses to think with another model than the one that a task names, and to keep anything that the settings no
longer say.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from deskhand.agents.builtin.choosing import Findings, Offer, Wanted
from deskhand.agents.builtin.probing import wake
from deskhand.agents.builtin.serving import Embedded
from deskhand.clock import Clock
from deskhand.errors import DeskhandError
from deskhand.protocol.objects import ModelInfo
from deskhand.protocol.tasks import Brief

LOOK_SECONDS: Final = 30.0
"""How often servers are looked for: whatever else listens there sees it in its log. Settings are seen at once."""


class Supply:
    """What this computer can think with.

    Args:
        wanted: reads the settings.
        look: looks for everything else; blocks for up to a second.
        own: runs the models that were installed here.
    """

    def __init__(
        self,
        *,
        wanted: Callable[[], Wanted],
        look: Callable[[Wanted], Findings],
        own: Embedded,
        clock: Clock,
    ) -> None:
        """Know nothing yet."""
        self._wanted, self._look_for, self.own, self._clock = wanted, look, own, clock
        self._found = Findings()
        self._looked_at: float | None = None
        self._served: dict[str, Offer] = {}

    async def models(self) -> tuple[ModelInfo | None, tuple[str, ...]]:
        """Return the model that thinks unless a task names another, and every one that a task may name."""
        found = await self._look()
        first, names = found.used, tuple(one.name for one in found.offers if one.lacks is None)
        return (None if first is None or first.lacks else first.info), names

    async def ready(self, brief: Brief) -> None:
        """Look again, and start the model of a task if we serve it ourselves.

        Raises:
            DeskhandError: as :meth:`choose`; ``model_busy`` for one that does not start.
        """
        await self._look()
        offer = self._offer(brief)
        if offer.file is not None:
            self._served[offer.name] = await self.own.serve(offer)
        elif offer.name.startswith("ollama:") and offer.context_tokens is None:
            await to_thread(wake, offer)
            self._looked_at = None
            await self._look()

    def choose(self, brief: Brief) -> Offer:
        """Return what a task thinks with: the model that it names, else the computer's own.

        Raises:
            DeskhandError: ``model_unknown``, ``model_key``.
        """
        offer = self._offer(brief)
        return self._served.get(offer.name, offer)

    def _offer(self, brief: Brief) -> Offer:
        first = None if brief.model else self._found.used
        return self._found.named(brief.model or (first.name if first else ""))

    async def _look(self) -> Findings:
        """Look at the settings, and at everything else when they changed or some time has passed."""
        wanted, now = self._found.wanted, self._clock.monotonic()
        with suppress(DeskhandError):  # of a file that somebody is writing just now
            wanted = self._wanted()
        due = self._looked_at is None or now - self._looked_at >= LOOK_SECONDS
        if due or wanted != self._found.wanted:
            self._looked_at = now
            self._found = await to_thread(self._look_for, wanted)
        return self._found
