"""The network between two real processes, in the hands of a test: a small TCP proxy that can be told to misbehave."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from deskhand.clock import SystemClock

How = Literal["fine", "slow", "silent", "reset", "refused"]
"""``silent``: connections stand, new ones open, and nothing passes; ``reset``: all are broken off, new ones too."""
_SLOW_SECONDS = 0.3


@dataclass(slots=True, kw_only=True)
class Wire:
    """What connects at ``port`` is passed on to the hub, as well as the wire is."""

    target: int
    port: int = 0
    how: How = "fine"
    fine: asyncio.Event = field(default_factory=asyncio.Event)
    _open: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    def become(self, how: How) -> None:
        """Change how the wire is. What was silent stays dead: a network that comes back brings no lost packets."""
        self.how = how
        if how == "reset":
            for writer in self._open:
                _reset(writer)
        self.fine.set() if how in ("fine", "slow") else self.fine.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        if self.how == "reset":
            _reset(writer)
            return
        if self.how == "silent":
            await self.fine.wait()
            _reset(writer)
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._open += [writer, back]
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        for one in (writer, back):
            one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.how == "slow":
                await SystemClock().sleep(_SLOW_SECONDS)
            if self.how == "silent":
                await self.fine.wait()
                _reset(writer)
                return
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def wire(target: int) -> AsyncGenerator[Wire]:
    """Open a wire to a port of this machine."""
    made = Wire(target=target)
    made.become("fine")
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.become("reset")
        server.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, so that the other side is told at once."""
    there = writer.get_extra_info("socket")
    if there is not None:
        with suppress(OSError):
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
