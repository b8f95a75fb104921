"""The broker of one computer: what of its tasks goes to the internet, for our own tools and for commands in their box.

Off until the owner lists hosts; the list is read anew for every request, what is dialled is what was judged, bytes are
counted per task, and each request leaves a line. What the owner keeps for a host is put on here, after every decision,
and taken out of the answer. It refuses a request that brings a credential of its own (NE-03), because that is how a
listed host becomes a stranger's mailbox.

An entry of the owner is ``[METHOD ]host[:port][/path-prefix]``; a credential is an entry and ``Header: text {NAME}``,
with the name of a secret. A host of many tenants without method and path is refused, because that says nothing (NE-04).

The way out of a box is what its programs find as their proxy, for the hosts that one command was permitted. It makes
tunnels, and each is judged anew. Of one only host, port and the name in its TLS greeting can be seen; a greeting for
another name is refused (NE-07), and so is whatever is no TLS, every spelling but the plain one, and hosts that the
command was not permitted, listed or not.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import parse_qsl

from deskhand import limits
from deskhand.clock import Clock, SystemClock
from deskhand.egress import Egress, EgressRequest, EgressResponse, Target, parse_target
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.rules import is_shared, within

EGRESS: Final = "egress.jsonl"
"""Where a runner keeps the lines, in its own directory."""
Listed = Callable[[], Sequence[str]]
_OWN: Final = re.compile(
    r"header .*(auth|token|api-?key|secret).*|header cookie"
    r"|query ((access|auth|api|client|x-amz)?[-_]?(token|key|secret|sig|signature|password|auth))",
    re.IGNORECASE,
)
_ENTRY: Final = re.compile(
    r"(?:(?P<method>CONNECT|DELETE|GET|HEAD|PATCH|POST|PUT) )?"
    r"(?P<where>[^ /?]+?(?P<port>:\d+)?(?P<path>/[^ ?]*)?)"
)
_CREDENTIAL: Final = re.compile(
    r"(?P<entry>.+?) (?P<header>(?!host:)[a-z][a-z0-9-]*): "
    r"(?P<text>[^{}]*\{(?P<secret>[\w.-]+)\}[^{}]*)",
    re.IGNORECASE,
)
SOCKET: Final = "out"
_TLS_GREETING: Final = b"\x16\x03"
_CHUNK_BYTES: Final = 1 << 16


@dataclass(slots=True, kw_only=True)
class Line:
    """What is noted of one request; never its query, headers or bytes."""

    at: str
    task: str
    via: str
    method: str
    host: str = ""
    path: str = ""
    bytes_out: int = 0
    bytes_in: int = 0
    ended: str = "cut off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """See the module.

    Args:
        hosts: the owner's entries, as they are now.
        credentials: what the owner wants sent along, as it is now.
        secret: the secret of a name.
        path: where the lines are kept, the newest of them.
        clock: when something was asked.
        egress: what dials.
    """

    hosts: Listed = tuple
    credentials: Listed = tuple
    secret: Callable[[str], str | None] = lambda _: None
    path: Path | None = None
    clock: Clock = field(default_factory=SystemClock)
    egress: Callable[..., Egress] = Egress
    used: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def lists(self, method: str, target: Target) -> bool:
        """Return whether the owner listed what such a request asks for."""
        return any(admits(said, method, target) for said in self.hosts())

    def expect(self, host: str) -> None:
        """Return if anything of a host is listed.

        Raises:
            DeskhandError: ``address_refused``.
        """
        hosts = (parse_target(f"https://{entry(said)['where']}").entry for said in self.hosts())
        if parse_target(f"https://{host}").entry not in hosts:
            raise DeskhandError(Code.ADDRESS_REFUSED, f"{host} is not in internet.hosts")

    async def send(self, request: EgressRequest, *, task: str) -> EgressResponse:
        """Send a request of a tool that the gate let through.

        Raises:
            DeskhandError: ``address_refused``, ``egress_quota``, what :meth:`Egress.send` raises.
        """
        with self.counting(task, "tool", request.method) as line:
            target = parse_target(request.url)
            way = self.admitted(line, target)
            _refuse_own(target, request.headers)
            along, secrets = self._along(line.method, target)
            self.spend(line, out=len(request.url) + len(str(request.headers)) + len(request.body))
            answer = await way.send(replace(request, headers={**request.headers, **along}))
            self.spend(line, into=len(answer.body) + len(str(answer.headers)))
            line.ended = str(answer.status)
        body, told = answer.body, json.dumps(dict(answer.headers))
        for secret in secrets:
            body, told = body.replace(secret.encode(), b"*"), told.replace(secret, "*")
        return replace(answer, body=body, headers=json.loads(told))

    def admitted(self, line: Line, target: Target, only: Collection[str] | None = None) -> Egress:
        """Return what dials for a request that is listed, of a command to ``only`` the hosts that it was permitted.

        Raises:
            DeskhandError: ``address_refused``.
        """
        line.host, line.path = target.entry, target.path.partition("?")[0]
        if only is not None and not {target.entry, target.authority} & {*only}:
            raise DeskhandError(Code.ADDRESS_REFUSED, f"{target.entry} was not asked for")
        if not self.lists(line.method, target):
            raise DeskhandError(Code.ADDRESS_REFUSED, f"{target.host} is not in internet.hosts")
        listed = map(entry, self.hosts())
        named = (parse_target(f"https://{one['where']}").entry for one in listed if one["port"])
        return self.egress(allowed=frozenset(named))

    @contextmanager
    def counting(self, task: str, via: str, method: str) -> Generator[Line]:
        """Give the line of a request to whoever makes it, and keep it at its end.

        Raises:
            DeskhandError: ``egress_quota``; then nothing is kept any more.
        """
        line = Line(at=self.clock.now().isoformat(), task=task, via=via, method=method[:20])
        self.spend(line, out=limits.EGRESS_REQUEST_BYTES_MIN)
        try:
            yield line
        except DeskhandError as error:
            line.ended = f"{error.code.value} {error.detail}"
            raise
        finally:
            self._keep(line)

    def spend(self, line: Line, *, out: int = 0, into: int = 0) -> None:
        """Count bytes.

        Raises:
            DeskhandError: ``egress_quota`` (NE-10).
        """
        line.bytes_out, line.bytes_in = line.bytes_out + out, line.bytes_in + into
        if not self.used and self.path:
            for one in lines(self.path):
                self._add(one["task"], one["bytes_out"], one["bytes_in"])
        self._add(line.task, out, into)
        if self.over(line.task):
            raise DeskhandError(Code.EGRESS_QUOTA)

    def over(self, task: str) -> bool:
        """Return whether a task has said or heard more than it may."""
        out, into = self.used.get(task, (0, 0))
        return out > limits.EGRESS_TASK_OUT_BYTES_MAX or into > limits.EGRESS_TASK_IN_BYTES_MAX

    def _along(self, method: str, target: Target) -> tuple[dict[str, str], list[str]]:
        """Return the headers that go along to there, and the secrets in them."""
        headers, secrets = dict[str, str](), list[str]()
        for one in map(credential, self.credentials()):
            if admits(one["entry"], method, target):
                secret = self.secret(one["secret"])
                if not secret:
                    raise DeskhandError(Code.UNAVAILABLE, f"there is no secret {one['secret']}")
                headers[one["header"]] = one["text"].replace(f"{{{one['secret']}}}", secret)
                secrets.append(secret)
        return headers, secrets

    def _add(self, task: str, out: int, into: int) -> None:
        before = self.used.get(task, (0, 0))
        self.used[task] = before[0] + out, before[1] + into

    def _keep(self, line: Line) -> None:
        if self.path:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"\n{json.dumps(asdict(line))}")
                full = file.tell() > limits.EGRESS_LOG_BYTES_MAX
            if full:
                self.path.replace(_older(self.path))


def lines(path: Path) -> list[dict[str, Any]]:
    """Return what is known of all requests, in their order, but for a line that a power cut made short."""
    texts = [one.read_text("utf-8") for one in (_older(path), path) if one.is_file()]
    return [json.loads(one) for one in "".join(texts).splitlines() if one.endswith("}")]


def entry(said: str) -> re.Match[str]:
    """Return the parts of an entry; one that names its port may lead to a private address.

    Raises:
        DeskhandError: ``config_invalid`` or ``address_refused``.
    """
    match = _ENTRY.fullmatch(said)
    if match is None:
        raise DeskhandError(Code.CONFIG_INVALID, f"{said[:100]}: host or METHOD host/path")
    host = parse_target(f"https://{match['where']}").host
    if is_shared(host) and not (match["method"] and match["path"]):
        raise DeskhandError(Code.CONFIG_INVALID, f"many share {host}; say GET {host}/WHOSE")
    return match


def credential(said: str) -> re.Match[str]:
    """Return the parts of a credential: entry, header, text and the name of the secret.

    Raises:
        DeskhandError: ``config_invalid`` or ``address_refused``.
    """
    match = _CREDENTIAL.fullmatch(said)
    if match is None:
        raise DeskhandError(Code.CONFIG_INVALID, "host/path Header: text {NAME of a secret}")
    entry(match["entry"])
    return match


def admits(said: str, method: str, target: Target) -> bool:
    """Return whether an entry speaks of such a request; a tunnel is ``CONNECT`` to ``/``."""
    match = entry(said)
    same = parse_target(f"https://{match['where']}").entry == target.entry
    return same and match["method"] in (None, method) and within(target.path, match["path"] or "/")


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
            await self._tunnel(reader, writer)
        except DeskhandError as error:
            status = 502 if error.code.retryable else 403
            writer.write(_answer(status, f"{error.sentence()}\n".encode()))
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            writer.write(_answer(400))  # who cancels is we, at the end
        finally:
            self.busy.discard(me)
            writer.close()

    async def _tunnel(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        method, where, _ = head.partition("\r\n")[0].split(" ")
        if method != "CONNECT":
            raise DeskhandError(Code.ADDRESS_REFUSED, "not https")
        with self.broker.counting(self.task, "command", method) as line:
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


def _older(path: Path) -> Path:
    return path.with_suffix(".old")


def _refuse_own(target: Target, headers: Mapping[str, str]) -> None:
    """Refuse what would speak to a listed host in a stranger's name (NE-03)."""
    asked = parse_qsl(target.path.partition("?")[2], keep_blank_values=True)
    names = [*(f"header {name}" for name in headers), *(f"query {name}" for name, _ in asked)]
    if any(map(_OWN.fullmatch, names)):
        raise DeskhandError(Code.ADDRESS_REFUSED, "it brings a credential of its own")


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


def _answer(status: int, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status} \r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
