"""The network of a world: a ``Link`` that is slow, loses, repeats, overtakes, and is cut, as a seed says.

What the hub does for a request is done in the hub's process, so it survives its caller and dies with the hub. It
refuses to lose anything quietly: whoever waits is told ``hub_unreachable``, as over HTTP.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Participant
from deskhand.ports import Frame
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.wire import JsonObject
from deskhand.testing.world.hub import House, chunked

R = TypeVar("R")
_GIVE_UP_SECONDS = 10.0
_ROOM_FRAMES = 8
FAULTS = ("lost_before", "lost_after", "late", "repeated", "hung_up", "cut", "slow")
"""What may happen to a request or a stream; see ``FaultyLink``."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """How bad it is: chances per request or frame, and which links are cut off now."""

    rng: Random
    latency: float = 0.3
    lost_before: float = 0.0
    lost_after: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    hung_up: float = 0.0
    cut: float = 0.0
    slow: float = 0.0
    apart: dict[str, bool] = field(default_factory=dict[str, bool])
    seen: Counter[str] = field(default_factory=Counter[str])

    def strikes(self, what: str) -> bool:
        """Return whether this goes wrong now, and count it."""
        chance: float = getattr(self, what)
        hit = chance > 0 and self.rng.random() < chance
        self.seen[what] += hit
        return hit

    def calm(self) -> None:
        """Let everything work from now on."""
        for what in FAULTS:
            setattr(self, what, 0.0)
        self.apart.clear()


class FaultyLink:
    """One participant's road to the hub."""

    def __init__(self, house: House, participant: str, weather: Weather, clock: Clock) -> None:
        """Speak for ``participant`` in this weather."""
        self._house = house
        self._who = participant
        self._weather = weather
        self._clock = clock

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results; in between, everything may happen."""
        return await self._ask(lambda hub: hub.send(ops))

    async def stream(self, *, after: int) -> AsyncGenerator[Frame]:
        """Yield frames until the road breaks; a frame may come twice, and slowly."""
        await self._go()
        pipe = _Pipe()
        pump = self._house.serve(self._who, lambda hub: _pump(hub, pipe, after=after))
        if pump is None:
            raise DeskhandError(Code.HUB_UNREACHABLE)
        pump.add_done_callback(pipe.end)
        try:
            while (frame := await pipe.get()) is not None:
                await self._go(self._weather.latency / 10)
                yield frame
                if self._weather.strikes("repeated"):
                    yield frame
                if self._weather.strikes("slow"):
                    await self._clock.sleep(self._weather.rng.uniform(5, 60))
                if self._weather.strikes("cut"):
                    break
        finally:
            pump.cancel()
        raise pipe.error

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes on the hub."""
        chunks = [chunk async for chunk in data]
        await self._ask(lambda hub: hub.upload_blob(chunked(chunks), sha256=sha256, size=size))

    async def snapshot(self) -> JsonObject:
        """Return where a device starts from."""
        return await self._ask(lambda _: self._house.snapshot(self._who))

    async def upload_file(self, data: bytes) -> str:
        """Send a file to be named in a message; return its id."""
        return await self._ask(lambda _: self._house.upload(self._who, data))

    async def download_file(self, file: str) -> AsyncGenerator[bytes]:
        """Yield the bytes of a file that came with a message."""

        async def collect(hub: Participant) -> list[bytes]:
            async with aclosing(hub.download_file(file)) as chunks:
                return [chunk async for chunk in chunks]

        for chunk in await self._ask(collect):
            yield chunk

    async def _ask(self, work: Callable[[Participant], Awaitable[R]]) -> R:
        weather = self._weather
        await self._go()
        if weather.strikes("lost_before"):
            await self._give_up()
        if weather.strikes("late"):
            self._later(work)
            await self._give_up()
        if weather.strikes("repeated"):
            self._later(work)
        answer = self._house.ask(self._who, work)
        if weather.strikes("hung_up"):
            for _ in range(weather.rng.randint(0, 12)):
                await self._clock.sleep(0)
            answer.cancel()
            await self._give_up()
        result = await answer
        if weather.strikes("lost_after"):
            await self._give_up()
        await self._go()
        return result

    def _later(self, work: Callable[[Participant], Awaitable[R]]) -> None:
        """Let a request arrive at some other time, with nobody waiting for its answer."""
        after = self._weather.rng.uniform(0, 30)
        asyncio.get_running_loop().call_later(after, self._arrive, work)

    def _arrive(self, work: Callable[[Participant], Awaitable[object]]) -> None:
        answer = self._house.ask(self._who, work)
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _go(self, seconds: float | None = None) -> None:
        """Travel one way, if there is a way."""
        most = self._weather.latency if seconds is None else seconds
        await self._clock.sleep(self._weather.rng.uniform(0, most))
        if self._weather.apart.get(self._who):
            await self._give_up()

    async def _give_up(self) -> None:
        await self._clock.sleep(_GIVE_UP_SECONDS)
        raise DeskhandError(Code.HUB_UNREACHABLE)


class _Pipe:
    """A connection that holds a few frames: who does not read lets the hub wait."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_ROOM_FRAMES)
        self.error = DeskhandError(Code.HUB_UNREACHABLE)

    async def put(self, frame: Frame) -> None:
        await self._room.acquire()
        self._frames.put_nowait(frame)

    async def get(self) -> Frame | None:
        frame = await self._frames.get()
        self._room.release()
        return frame

    def end(self, pump: asyncio.Task[None]) -> None:
        why = None if pump.cancelled() else pump.exception()
        self.error = why if isinstance(why, DeskhandError) else self.error
        self._frames.put_nowait(None)


async def _pump(hub: Participant, pipe: _Pipe, *, after: int) -> None:
    async with aclosing(hub.stream(after=after)) as frames:
        async for frame in frames:
            await pipe.put(frame)
