"""Time that jumps: an event loop that goes to the next thing to do instead of waiting for it, and processes that die.

Same seed, same order. It refuses to wait in earnest, and reports a world in which nothing will ever happen again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from typing_extensions import override

R = TypeVar("R")
START = datetime(2026, 1, 5, 8, tzinfo=UTC)


class Deadlock(Exception):  # noqa: N818 - the name of what it is
    """Nothing is scheduled: whatever is waited for will never come."""


class _Jump:
    """Stands where a selector stands: there is nothing to watch, so waiting means moving the time."""

    def __init__(self, skip: Callable[[float], None]) -> None:
        self._skip = skip

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise Deadlock
        self._skip(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or waiting; ``errors`` holds what nobody handled."""

    def __init__(self) -> None:
        """Begin at second 0."""
        super().__init__()
        self._ready: deque[asyncio.Handle]
        self._scheduled: list[asyncio.TimerHandle]
        self._now = 0.0
        self._clock_resolution = 1e-6
        self._selector = _Jump(self._skip)
        self.errors: list[str] = []
        self.set_task_factory(_register)
        self.set_exception_handler(self._note)

    @override
    def time(self) -> float:
        """Return the seconds since the beginning of this world."""
        return self._now

    def _skip(self, seconds: float) -> None:
        self._now += seconds

    def _process_events(self, event_list: list[object]) -> None:
        """Do nothing: no files, no events."""

    def _write_to_self(self) -> None:
        """Do nothing: nobody sleeps who would have to be woken."""

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task: object = context.get("task") or context.get("future")
        owner = _OWNERS.get(id(task))
        if owner is None or owner.alive:
            self.errors.append(f"{context['message']}: {context.get('exception')!r}")

    def _call_soon(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.Handle:
        """Take what is to be done next, in a form that can be held."""
        handle = _Soon(callback, args, self, context)
        self._ready.append(handle)
        return handle

    @override
    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Take what is to be done at some time, in a form that can be held."""
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # noqa: SLF001 - as the loop it replaces does it
        return timer

    def release(self, held: list[asyncio.Handle]) -> None:
        """Let what was held happen now, in its order."""
        self._ready.extend(held)


def _held(handle: asyncio.Handle) -> bool:
    """Keep what a frozen process was about to do, and return whether it is frozen."""
    process = handle._context.get(_PROCESS)  # noqa: SLF001 - whose it is, only the context knows
    if process is None or not process.frozen:
        return False
    process.held.append(handle)
    return True


class _Soon(asyncio.Handle):
    @override
    def _run(self) -> None:
        if not _held(self):
            super()._run()


class _Timer(asyncio.TimerHandle):
    @override
    def _run(self) -> None:
        if not _held(self):
            super()._run()


class Process:
    """Whatever dies together: the tasks that are started in it."""

    def __init__(self, name: str, loop: VirtualLoop) -> None:
        """Begin to live."""
        self.name = name
        self.alive = True
        self.frozen = False
        self.held: list[asyncio.Handle] = []
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self._loop = loop

    def spawn(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Run something in this process."""
        context = copy_context()
        context.run(_PROCESS.set, self)
        return self._loop.create_task(work, context=context)

    def kill(self) -> None:
        """End at once: from now on nothing it does has an effect, and its tasks go."""
        self.alive = False
        self.thaw()
        for task in list(self.tasks.values()):
            task.cancel()

    def thaw(self) -> None:
        """Go on where it was frozen."""
        self.frozen = False
        self._loop.release(self.held)
        self.held = []


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
_OWNERS: dict[int, Process] = {}


def _register(
    loop: asyncio.AbstractEventLoop,
    work: Any,  # noqa: ANN401 - the shape of a task factory
    **rest: Any,  # noqa: ANN401 - same
) -> asyncio.Task[Any]:
    """Make a task that belongs to the process in which it is made."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **rest)
    context = rest.get("context")
    process = context.get(_PROCESS) if context else _PROCESS.get()
    if process is not None:
        process.tasks[id(task)] = task
        _OWNERS[id(task)] = process
        task.add_done_callback(_forget)
        if not process.alive:
            task.cancel()
    return task


def _forget(task: asyncio.Task[Any]) -> None:
    owner = _OWNERS[id(task)]
    owner.tasks.pop(id(task), None)
    if not owner.alive and not task.cancelled():
        task.exception()  # a dead process owes nobody an explanation
    if not owner.alive or task.cancelled() or task.exception() is None:
        del _OWNERS[id(task)]


class SimClock:
    """The clock of one machine: everybody's seconds, its own idea of the date."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin on a Monday morning."""
        self._loop = loop
        self.ahead = timedelta()
        self.slept = 0.0

    def now(self) -> datetime:
        """Return what this machine believes the time to be."""
        return START + timedelta(seconds=self._loop.time()) + self.ahead

    def monotonic(self) -> float:
        """Return seconds that never go back, and stand still while the machine sleeps."""
        return self._loop.time() - self.slept

    def elapsed(self) -> float:
        """Return seconds that never go back, and pass while the machine sleeps."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this world."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the clock is where sleeping is done
