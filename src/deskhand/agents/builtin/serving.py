"""Runs the models that were installed here: one at a time, each in its own process, started when it is needed.

A crash of it or its hunger for memory is not the runner's. It refuses to hand it any key but its own, which is new
each time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import replace
from typing import Final

from deskhand.agents.builtin.choosing import Offer
from deskhand.errors import Code, DeskhandError
from deskhand.ids import Ids

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
