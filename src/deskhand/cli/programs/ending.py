"""How a program that stays comes to its end: told by a signal, in order, and within seconds whatever hangs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Final, TypeVar

R = TypeVar("R")

ENDING_SECONDS_MAX: Final = 3.0
_INTERRUPTED: Final = 130


async def offload(work: Callable[[], R]) -> R:
    """Run blocking work in a thread."""
    return await asyncio.to_thread(work)


async def until_told_to_end() -> None:
    """Return at SIGTERM or SIGINT; a second one, or dawdling, ends the process at once."""
    # What was loaded so far stays for good; from here on garbage is collected again.
    gc.freeze()
    gc.enable()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        if asked.is_set():
            os._exit(_INTERRUPTED)
        asked.set()
        # Whatever hangs while ending, nobody waits for it longer than was promised.
        loop.call_later(ENDING_SECONDS_MAX, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    await asked.wait()


async def work_until(
    work: Coroutine[None, None, object],
    told: Coroutine[None, None, object],
    *,
    stop: Callable[[], None],
) -> None:
    """Work until told to end, then stop and wait; what ends the work by itself ends all, as itself."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(told)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        stop()
        await working
    finally:
        ending.cancel()
