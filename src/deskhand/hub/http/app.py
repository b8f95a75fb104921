"""The hub's HTTP app, and running it under uvicorn: walls outside, and inside every route in one table (AU-01).

``policy.toml`` is the table: what answers, who may call, what body. A route that is not in it cannot be built. Roles inside a route (own or foreign) are decided by
``protocol.ops`` and by the reading itself; the table is the outer door.

It has one socket, bounded connections, a quick and clean end. It listens on loopback unless told otherwise in so many
words (AU-02), writes no access log, and ends the hub's own streams before it waits for anything else. Connections that
send no request, or read no answer, are dropped.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import resource
import socket
import termios
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import h11
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.http import access, files, messages, routes
from deskhand.limits import HEADER_SECONDS_MAX, SHUTDOWN_SECONDS_MAX
from deskhand.protocol import objects, requests, tasks, wire

PAGE: Final = Path(__file__).parent.parent / "page"
_METHOD_NOT_ALLOWED: Final = 405
_ANY_PATH: Final = "/{path:path}"
_UNDESCRIBED: Final = frozenset({"/openapi.json", "/", _ANY_PATH})


class Rule(NamedTuple):
    """One row of the table. ``roles`` are who may call; ``body`` is the shape of a JSON body, or the bytes it takes."""

    answering: access.Answering
    roles: frozenset[str]
    body: type[wire.Wire] | messages.Takes
    status: int


def _rule(*, answers: str, who: str, takes: str = "nothing", status: int = 200) -> Rule:
    """Return what a row of the table means; a word that means nothing fails where the program starts."""
    place, name, *about = answers.split()
    answering = _PLACES[place][name]
    if about:
        answering = answering(_SHAPES[about[0]], *about[1:])
    return Rule(answering, frozenset(messages.POLICY["who"][who]), _SHAPES[takes], status)


_PLACES: Final = {"routes": vars(routes), "files": vars(files)}
_SHAPES: Final = {**messages.TAKEN, **vars(objects), **vars(tasks), **vars(requests)}
RULES: Final = {name: _rule(**row) for name, row in messages.POLICY["routes"].items()}


class GuardedRoute(APIRoute):
    """A route that is in the table, and that nobody passes unjudged."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind the door; an unclassified route cannot even be defined."""
        inner = super().get_route_handler()
        [rule] = [RULES[f"{method} {self.path}"] for method in self.methods or ()]
        takes = messages.JSON if isinstance(rule.body, type) else rule.body

        async def guarded(request: Request) -> Response:
            door = cast("access.Door", request.app.state.door)
            request.state.call = await door.admit(request, rule.roles)
            messages.check_body(request, takes)
            return await inner(request)

        return guarded


def create_app(hub: Hub, *, push: access.PushDoor, page_folder: Path = PAGE) -> FastAPI:
    """Return the app for a started hub, with the routes of the table and no others (AU-01)."""
    app = FastAPI(title="Deskhand", version="1", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.door = access.Door(hub, push=push, page=files.load_page(page_folder))
    for name, rule in RULES.items():
        method, _, path = name.partition(" ")
        route = GuardedRoute(
            path,
            rule.answering,
            methods=[method],
            status_code=rule.status,
            response_class=messages.Flow if rule.answering is routes.stream else JSONResponse,
            openapi_extra=_described(rule.body),
            include_in_schema=path not in _UNDESCRIBED,
        )
        app.router.routes.append(route)
    app.add_exception_handler(HTTPException, _refused_by_routing)
    app.add_exception_handler(RequestValidationError, _refused_by_validation)
    app.add_middleware(messages.Walls, names=messages.Names(hub.names), ids=hub.ids)
    return app


def _described(body: type[wire.Wire] | messages.Takes) -> dict[str, Any] | None:
    """Return how OpenAPI describes a body, without references out of it."""
    if body is messages.NOTHING:
        return None
    schema: dict[str, Any] = {"type": "string", "format": "binary"}
    if isinstance(body, type):
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
    media_type = messages.JSON.media_type if isinstance(body, type) else body.media_type
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


async def _refused_by_routing(request: Request, error: Exception) -> Response:
    routes = [one for one in request.app.routes if one.path_regex.match(request.url.path)]
    methods = {method for one in routes if one.path != _ANY_PATH for method in one.methods}
    if methods and cast("HTTPException", error).status_code == _METHOD_NOT_ALLOWED:
        raise DeskhandError(Code.METHOD_REFUSED, ", ".join(sorted(methods))) from None
    raise DeskhandError(Code.NOT_FOUND) from None


async def _refused_by_validation(_: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    raise DeskhandError(Code.INVALID, str(first["msg"]), field=field or None) from None


# --- running it


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
        scope[messages.ABORT] = self.transport.abort
        scope[messages.ACKNOWLEDGED] = self._acknowledged
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
