"""The models that a computer has now: looked for again and again, because keys, settings and servers come and go.

Those that were installed here run one at a time, each in its own process, started when it is needed: a crash of it or
its hunger for memory is not the runner's. It refuses to think with another model than the one that a task names, to
keep anything that the settings no longer say, and to hand a model any key but its own, which is new each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from deskhand.agents.builtin.choosing import Findings, Offer, Wanted
from deskhand.agents.builtin.probing import wake
from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids
from deskhand.protocol.objects import ModelInfo
from deskhand.protocol.tasks import Brief

LOOK_SECONDS: Final = 30.0
"""How often servers are looked for: whatever else listens there sees it in its log. Settings are seen at once."""


CONTEXT_TOKENS: Final = 16_384
"""What a model of our own gets at most unless the settings say otherwise: more takes memory for each token."""
START_SECONDS: Final = 300.0
_PROGRAM: Final = (sys.executable, "-m", "deskhand.agents.builtin.embedded")


class Embedded:
    """The one model of our own that runs now."""

    def __init__(self, ids: Ids) -> None:
        """Run none yet."""
        self._ids = ids
        self._alone = asyncio.Lock()
        self._process: Process | None = None
        self._runs: tuple[Offer, Offer] | None = None

    async def serve(self, offer: Offer) -> Offer:
        """Return where a model answers, started anew if it does not run (any more).

        Raises:
            DeskhandError: ``model_file`` for one that cannot be loaded; ``model_busy`` when that takes too long.
        """
        async with self._alone:
            alive = self._process is not None and self._process.returncode is None
            if self._runs is None or self._runs[0] != offer or not alive:
                await self._end()
                self._runs = (offer, await self._start(offer))
            return self._runs[1]

    async def close(self) -> None:
        """End what runs."""
        async with self._alone:
            await self._end()

    async def _start(self, offer: Offer) -> Offer:
        key, name = self._ids.secret(32), offer.name.partition(":")[2]
        context = offer.context_tokens or CONTEXT_TOKENS
        order = {"file": offer.file, "name": name, "key": key, "context_tokens": context}
        # Nothing of our own surroundings, which hold keys: only what finds libraries and folders.
        kept = {one: os.environ[one] for one in ("PATH", "HOME", "LANG") if one in os.environ}
        process = self._process = await asyncio.create_subprocess_exec(
            *_PROGRAM, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=kept
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for
        process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            async with asyncio.timeout(START_SECONDS):
                address = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            await self._end()
            raise DeskhandError(Code.MODEL_BUSY, offer.name) from None
        if not address:
            raise DeskhandError(Code.MODEL_FILE, offer.name)
        return replace(offer, base_url=f"{address}/v1", key=key, context_tokens=context)

    async def _end(self) -> None:
        process, self._process, self._runs = self._process, None, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


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
            await asyncio.to_thread(wake, offer)
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
            self._found = await asyncio.to_thread(self._look_for, wanted)
        return self._found
