"""Bugs on purpose: each takes one promise out of the product in a life, to see whether the judge notices.

A harness that passes with one of these planted proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from deskhand.runner.attempt import Kit
from deskhand.store.engine import ThreadWriter
from tests.kills.seams import replaced
from tests.mutants import MUTANTS

_ENTERED: list[AbstractContextManager[None]] = []
"""Never left: the process that holds them ends by a kill."""


def answers_before_commit() -> None:
    """Whoever writes is told that it is safe before it is."""
    commit: Callable[..., None] = vars(ThreadWriter)["_commit"]

    def early(self: Any, batch: Any) -> None:  # noqa: ANN401 - a private class of the store
        for job in batch:
            work = job.work

            def hasty(connection: object, job: Any = job, work: Any = work) -> object:  # noqa: ANN401 - as given
                job.result = work(connection)
                job.future.get_loop().call_soon_threadsafe(_acknowledge, job)
                return job.result

            job.work = hasty
        commit(self, batch)

    replaced(ThreadWriter, "_commit", early)


def _acknowledge(job: Any) -> None:  # noqa: ANN401 - a private class of the store
    if not job.future.done():
        job.future.set_result(job.result)


def cancels_in_silence() -> None:
    """Nobody hears what a cancellation cut off."""

    async def silent(_: object) -> None:
        await asyncio.sleep(0)  # noqa: TID251 - it stands for something that writes

    replaced(Kit, "tell_of_doubt", silent)


def _mutant(name: str) -> Callable[[], None]:
    def plant() -> None:
        entered = MUTANTS[name]()
        entered.__enter__()
        _ENTERED.append(entered)

    return plant


BUGS: Final[Mapping[str, Callable[[], None]]] = {
    "answers_before_commit": answers_before_commit,
    "cancels_in_silence": cancels_in_silence,
    **{name: _mutant(name) for name in ("acts_before_intent", "repeats_unknown", "uses_a_yes_twice", "forgets_ops")},
}
