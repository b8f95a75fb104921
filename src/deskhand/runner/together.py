"""Several coroutines at once, as structured concurrency, with the first error as itself.

Refuses to leave anything running: when one fails, the others are cancelled and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast, overload

A = TypeVar("A")
B = TypeVar("B")


@overload
async def together(
    first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], /
) -> tuple[A, B]: ...
@overload
async def together(*works: Coroutine[Any, Any, A]) -> tuple[A, ...]: ...
async def together(*works: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """Return the results in order.

    Raises:
        Exception: the first error of any of them, alone.
    """
    if len(works) == 1:
        return (await works[0],)
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(work) for work in works]
    except BaseExceptionGroup as several:
        raise _first(several) from None
    return tuple(task.result() for task in running)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error inside, however deep."""
    error = several.exceptions[0]
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
