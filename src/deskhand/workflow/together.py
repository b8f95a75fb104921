"""Several coroutines at once, as structured concurrency, with the first error as itself.

Refuses to leave anything running: when one fails, the others are cancelled and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


async def together(*works: Coroutine[Any, Any, R]) -> list[R]:
    """Return the results in order.

    Raises:
        Exception: the first error of any of them, alone.
    """
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(work) for work in works]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in running]
