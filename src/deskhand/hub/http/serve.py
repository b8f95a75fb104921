"""Running the app under uvicorn: one socket, bounded connections, a quick and clean end.

It listens on loopback unless told otherwise in so many words (AU-02), writes no access log, and ends the hub's own
streams before it waits for anything else. Connections that send no request, or read no answer, are dropped.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import resource
import socket
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.http.messages import ABORT, ACKNOWLEDGED
from deskhand.limits import HEADER_SECONDS_MAX, SHUTDOWN_SECONDS_MAX

_NOTHING_LEFT: Final = bytes(4)
_BACKLOG: Final = 1024
_OPEN_FILES: Final = 8192
_SILENT_MAX: Final = 512
_KEEP_ALIVE_SECONDS: Final = 60
_START_SECONDS: Final = 0.005
_HEADER_BYTES_MAX: Final = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Where to listen, or where a hub listens. ``exposed`` is the owner's word that other machines may reach it."""

    host: str = "127.0.0.1"
    port: int = 0
    exposed: bool = False

    @property
    def url(self) -> str:
        """Its address on this machine."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"


def bind(where: Bind) -> socket.socket:
    """Return a bound socket; port 0 picks a free one.

    An address that other machines reach is ``config_invalid`` unless ``exposed``; else ``port_taken`` may come.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if where.host == "localhost" else where.host)
    except ValueError:
        raise DeskhandError(Code.CONFIG_INVALID, f"{where.host} is no address") from None
    if not (address.is_loopback or where.exposed):
        raise DeskhandError(Code.CONFIG_INVALID, f"{where.host} is reached by other machines")
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
    try:
        found = socket.create_server((str(address), where.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise DeskhandError(Code.PORT_TAKEN, f"{where.port}: {error.strerror}") from None
    # Connections take it over; without it each answer waits 40 ms for an acknowledgement.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.setblocking(False)  # noqa: FBT003 - the name of the call says it
    return found


@asynccontextmanager
async def serving(hub: Hub, app: ASGIApp, *, where: Bind = Bind()) -> AsyncGenerator[Bind]:
    """Answer until the block ends; then end streams, finish requests, close. Refusals are those of ``bind``."""
    _make_room()
    listener = bind(where)
    server = uvicorn.Server(_config(app))
    # Without its own signal handlers: the process has other things to end.
    serve = server._serve  # noqa: SLF001 - the part of ``serve`` below them  # pyright: ignore[reportPrivateUsage]
    running = asyncio.ensure_future(serve([listener]))
    try:
        while not (server.started or running.done()):
            await hub.clock.sleep(_START_SECONDS)
        yield replace(where, port=int(listener.getsockname()[1]))
    finally:
        hub.streams.close()
        server.should_exit = True
        await running


def all_acknowledged(connection: socket.socket) -> bool:
    """Whether the system at the other end took every byte; no, where this system does not say."""
    try:
        return fcntl.ioctl(connection, termios.TIOCOUTQ, _NOTHING_LEFT) == _NOTHING_LEFT
    except (OSError, ValueError):
        return False


def _make_room() -> None:
    """Take as many open files as we want and this user may have; many systems begin at 1,024, and a stream is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if resource.RLIM_INFINITY != soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _config(app: ASGIApp) -> uvicorn.Config:
    silent: dict[_Connection, None] = {}
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(_Connection, silent=silent)),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
        h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
    )


class _Connection(H11Protocol):
    """One connection: headers must come soon, and a route may drop it.

    ``silent`` holds those that have not sent a request yet; beyond a number the oldest goes (RL-01).
    """

    def __init__(self, *args: Any, silent: dict[_Connection, None], **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._silent = silent
        self._patience: asyncio.TimerHandle | None = None
        self._inner = cast("ASGIApp", self.app)
        self.app = self._with_abort

    async def _with_abort(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ABORT] = self.transport.abort
        scope[ACKNOWLEDGED] = self._acknowledged
        await self._inner(scope, receive, send)

    def _acknowledged(self) -> bool:
        """Whether the other side's system took all that was sent, if this one can tell."""
        return not self.transport.get_write_buffer_size() and all_acknowledged(self.transport.get_extra_info("socket"))

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._silent[self] = None
        self._watch()
        if len(self._silent) > _SILENT_MAX:
            oldest = next(iter(self._silent))
            oldest.calm()
            oldest.transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self.calm()
        elif self._patience is None:
            self._watch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.calm()
        super().connection_lost(exc)

    def calm(self) -> None:
        """Wait for nothing any more."""
        self._silent.pop(self, None)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _watch(self) -> None:
        self._patience = self.loop.call_later(HEADER_SECONDS_MAX, self.transport.abort)
