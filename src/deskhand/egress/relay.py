"""The way out of a box: what its programs find as their proxy, for the hosts that one command was permitted.

It speaks CONNECT and plain HTTP to the broker, which judges every request anew. Of a tunnel only host, port and the
name in its TLS greeting can be seen; a greeting for another name is refused (NE-07), and so is whatever is no TLS. It
refuses every spelling but the plain one, and hosts that the command was not permitted, listed or not.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deskhand import limits
from deskhand.egress import EgressRequest, Target, parse_target
from deskhand.egress.broker import Broker
from deskhand.errors import Code, DeskhandError

SOCKET: Final = "out"
_TLS_GREETING: Final = b"\x16\x03"
_CHUNK_BYTES: Final = 1 << 16
_HOP: Final = re.compile(
    r"(proxy-)?connection|content-length|expect|host|keep-alive|proxy-.*|te|trailer|upgrade|transfer-encoding"
)


@asynccontextmanager
async def opened(broker: Broker, hosts: Collection[str], *, task: str) -> AsyncGenerator[Path]:
    """Hold a directory with the socket in it over which one command hands out what it wants answered."""
    relay = _Relay(broker=broker, task=task, hosts=hosts)
    with TemporaryDirectory(prefix="deskhand-") as private, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as handed:
        place = Path(private, "net")
        place.mkdir()  # noqa: ASYNC240 - in memory mostly, and once for a command
        handed.bind(str(place / SOCKET))
        for path, mode in ((place, 0o755), (place / SOCKET, 0o666)):
            path.chmod(mode)  # commands of a root runner have a uid of their own
        answering = asyncio.ensure_future(relay.answer(handed))
        try:
            yield place
        finally:
            relay.hosts = ()  # for who came and was not heard yet
            ends = answering, *relay.busy
            for one in ends:
                one.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


@dataclass(slots=True, kw_only=True)
class _Relay:
    """The connections of one command."""

    broker: Broker
    task: str
    hosts: Collection[str]
    busy: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def answer(self, handed: socket.socket) -> None:
        """Answer who comes to the socket that is handed out of the box before the command begins."""
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(handed, came.set)
        try:
            await came.wait()
        finally:
            loop.remove_reader(handed)
        listening = socket.socket(fileno=socket.recv_fds(handed, 1, 1)[1][0])
        most = limits.EGRESS_HEAD_BYTES_MAX
        async with await asyncio.start_server(self._serve, sock=listening, limit=most) as server:
            await server.serve_forever()

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        me = asyncio.current_task()
        if me is None or len(self.busy) >= limits.EGRESS_TUNNELS_MAX:
            return writer.close()
        self.busy.add(me)
        try:
            await self._one(reader, writer)
        except DeskhandError as error:
            status = 502 if error.code.retryable else 403
            writer.write(_answer(status, f"{error.sentence()}\n".encode()))
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            writer.write(_answer(400))  # who cancels is we, at the end
        finally:
            self.busy.discard(me)
            writer.close()

    async def _one(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        first, *rest = head[:-4].split("\r\n")
        method, where, _ = first.split(" ")
        if method == "CONNECT":
            return await self._tunnel(where, reader, writer)
        parts = (one.partition(":") for one in rest)
        headers = {name.lower(): said.strip() for name, _, said in parts}
        size = int(headers.get("content-length", "0"))
        if "transfer-encoding" in headers or size > limits.EGRESS_RESPONSE_BYTES_MAX:
            raise ValueError
        kept = {name: said for name, said in headers.items() if not _HOP.fullmatch(name)}
        body = await reader.readexactly(size)
        request = EgressRequest(method=method, url=where, headers=kept, body=body)
        answer = await self.broker.send(request, task=self.task, only=self.hosts)
        if answer.truncated:
            raise DeskhandError(Code.TOO_LARGE)
        return writer.write(_answer(answer.status, answer.body, answer.headers))

    async def _tunnel(self, where: str, reader: Reader, writer: Writer) -> None:
        with self.broker.counting(self.task, "command", "CONNECT") as line:
            target = parse_target(f"https://{where}")
            if where.lower() != target.entry:
                raise DeskhandError(Code.ADDRESS_REFUSED, "spelling")
            there, out = await self.broker.admitted(line, target, self.hosts).connect(target)
            try:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                greeting, spend = await _greeting(reader, target), self.broker.spend
                spend(line, out=len(greeting))
                out.write(greeting)
                line.ended = "closed"
                forth = _pour(reader, out, lambda size: spend(line, out=size))
                back = _pour(there, writer, lambda size: spend(line, into=size))
                await asyncio.gather(forth, back, return_exceptions=True)
            finally:
                out.close()


async def _pour(source: Reader, sink: Writer, count: Callable[[int], None]) -> None:
    """Carry bytes to their end; what breaks on one way ends the other too."""
    try:
        while some := await source.read(_CHUNK_BYTES):
            count(len(some))
            sink.write(some)
            await sink.drain()
        sink.write_eof()
    except BaseException:
        sink.transport.abort()
        raise


async def _greeting(reader: Reader, target: Target) -> bytes:
    """Return the first TLS record, if it greets the host that the tunnel is for (NE-07).

    It is read by the library that most servers read it with.
    """
    greeting, names = await reader.readexactly(5), list[str | None]()
    if greeting.startswith(_TLS_GREETING):
        greeting += await reader.readexactly(int.from_bytes(greeting[3:]))
    context, incoming = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.MemoryBIO()
    context.sni_callback = lambda _, name, __: names.append(name)
    incoming.write(greeting)
    with suppress(ssl.SSLError, ValueError):
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    if [name and name.lower() for name in names] != [None if target.literal else target.host]:
        raise DeskhandError(Code.ADDRESS_REFUSED, "what was sent greets another name")
    return greeting


def _answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    kept = {name: said for name, said in (headers or {}).items() if not _HOP.fullmatch(name)}
    kept |= {"content-length": str(len(body)), "connection": "close"}
    told = "".join(f"{name}: {said}\r\n" for name, said in kept.items())
    return f"HTTP/1.1 {status} \r\n{told}\r\n".encode("latin-1") + body
