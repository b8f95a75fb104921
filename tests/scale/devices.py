"""Many devices at once, as light as they can be: the gap first, then the stream, and the page's own waits in between.

They speak bare HTTP/1.0, because the test shares its cores with the hub it measures; a device believes nothing but the
numbers that it was sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from deskhand.clock import SystemClock

BACKOFF_SECONDS = (0.3, 1.0, 2.5, 5.0, 10.0, 20.0)
"""What the page waits after a failure, before its spread of up to a quarter."""


class GoneError(Exception):
    """The hub did not answer, or said no."""


@dataclass(kw_only=True)
class Device:
    """One device of an account, at ``port`` of this machine."""

    token: str
    port: int
    cursor: int = 0
    live: bool = False
    seen: list[int] = field(default_factory=list[int])
    random: Random = field(default_factory=Random)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Follow the log until cancelled, through every end of the hub."""
        failures = 0
        while True:
            with suppress(OSError, GoneError, asyncio.IncompleteReadError, ValueError):
                await self.fill()
                async for frame in self._stream():
                    failures = 0
                    self.live = True
                    self._take(frame)
            self.live = False
            step = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            failures += 1
            await SystemClock().sleep(step * (1 + self.random.random() / 4))

    async def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Return the JSON of a path."""
        async with self._asked(method, path, body) as answer:
            return cast("dict[str, Any]", json.loads(await answer.read()))

    async def ops(self, *wishes: dict[str, Any]) -> list[dict[str, Any]]:
        """Send ops and return their results."""
        return (await self.call("POST", "/v1/ops", {"ops": wishes}))["results"]

    async def fill(self) -> None:
        """Fetch what happened since the cursor."""
        more = True
        while more:
            page = await self.call("GET", f"/v1/sync?after={self.cursor}&limit=500")
            self.seen += [event["seq"] for event in page["events"]]
            self.cursor, more = page["next"], page["more"]

    async def _stream(self) -> AsyncGenerator[dict[str, str]]:
        async with self._asked("GET", f"/v1/stream?after={self.cursor}") as answer:
            frame: dict[str, str] = {}
            while True:
                line = (await answer.readline()).decode()
                if not line:
                    return
                name, _, value = line.rstrip("\r\n").partition(": ")
                if name:
                    frame[name] = value
                elif "event" in frame:
                    yield frame
                    frame = {}

    def _take(self, frame: dict[str, str]) -> None:
        seq = int(frame.get("id", self.cursor))
        if frame["event"] == "event" and seq > self.cursor:
            self.seen.append(seq)
        self.cursor = max(self.cursor, seq)
        self.moved.set()

    @asynccontextmanager
    async def _asked(self, method: str, path: str, body: object = None) -> AsyncGenerator[asyncio.StreamReader]:
        """Send a request on a connection of its own and give what follows the head of its answer."""
        data = b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        try:
            head = (
                f"{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\n\r\n"
            )
            writer.write(head.encode() + data)
            said = await reader.readuntil(b"\r\n\r\n")
            if said.split(b" ", 2)[1] != b"200":
                raise GoneError(said.split(b"\r\n", 1)[0])
            yield reader
        finally:
            writer.close()
