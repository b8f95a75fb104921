"""A server on loopback that notes every request, and a command's end of the way out without a box around it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from deskhand.egress.broker import SOCKET, Broker, opened


@dataclass(slots=True, kw_only=True)
class Canary:
    """What a server was asked; ``answers`` are whole answers by path, and there is one for every other path."""

    port: int = 0
    answers: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    heads: list[str] = field(default_factory=list[str])
    bodies: list[bytes] = field(default_factory=list[bytes])

    @property
    def host(self) -> str:
        """Return it as the owner lists it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"http://{self.host}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note a request and answer it."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError as error:
            self.bodies.append(error.partial)
            return writer.close()
        self.heads.append(head)
        sizes = [line[15:] for line in head.lower().splitlines() if line.startswith("content-length:")]
        self.bodies.append(await reader.readexactly(int(sizes[0]) if sizes else 0))
        known = self.answers.get(head.split()[1].partition("?")[0])
        writer.write(known or answer(b"tweet"))
        await writer.drain()
        return writer.close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def canary(
    answers: Mapping[str, bytes] | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Canary]:
    """Serve on a free port of loopback."""
    site = Canary(answers=answers or {})
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


@dataclass(slots=True, kw_only=True)
class Way:
    """The proxy that a command would find."""

    port: int

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, said: bytes) -> bytes:
        """Say something and return all that is answered."""
        reader, writer = await self.open()
        writer.write(said)
        async with asyncio.timeout(10):
            heard = await reader.read(-1)
        writer.close()
        return heard


@asynccontextmanager
async def way_out(broker: Broker, *hosts: str, task: str = "tsk_1") -> AsyncGenerator[Way]:
    """Hand out a listening socket as the program in the box does."""
    async with opened(broker, hosts, task=task) as place:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.connect(str(place / SOCKET))
            socket.send_fds(out, [b"1"], [server.fileno()])
            port = server.getsockname()[1]
        yield Way(port=port)
