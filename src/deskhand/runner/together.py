"""Several awaitables at once, as structured concurrency, with the first error as itself.

Refuses to leave anything running: when one fails, the others are cancelled and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, cast, overload

A = TypeVar("A")
B = TypeVar("B")


@overload
async def together(first: Awaitable[A], second: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def together(*works: Awaitable[A]) -> tuple[A, ...]: ...
async def together(*works: Awaitable[Any]) -> tuple[Any, ...]:
    """Return the results in order.

    Raises:
        Exception: the first error of any of them, alone.
    """
    if len(works) == 1:
        return (await works[0],)
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_awaited(work)) for work in works]
    except BaseExceptionGroup as several:
        raise _first(several) from None
    return tuple(task.result() for task in running)


async def _awaited(work: Awaitable[A]) -> A:
    return await work


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error inside, however deep."""
    error = several.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
