"""What every request must pass before a route sees it (pure ASGI), and bodies in and answers out.

Host allow-list, no credential in an address, protocol range, foreign origins, packed bodies; then security headers,
request ids and refusals as JSON. The walls read no body, know no route, and never give a CORS answer. A body's type, size and time are bounded before anything is parsed (WH-05, WH-06).

Answers are JSON as UTF-8, refusals the one error object in the caller's language. It refuses to guess a type, to unpack
anything, to wait for somebody who stalls, and to send inner detail.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl, unquote

from pydantic_core import to_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from deskhand import limits
from deskhand.clock import Ids
from deskhand.errors import Code, DeskhandError
from deskhand.limits import PROTOCOL, PROTOCOL_OLDEST, STALL_SECONDS_MAX
from deskhand.ports import W
from deskhand.protocol.ops import failure_of
from deskhand.protocol.wire import Wire, strict_json
from deskhand.secret import TOKEN
from deskhand.texts import LANGUAGES, table

ABORT: Final = "deskhand.abort"
"""Key of the scope under which the server leaves the way to drop a connection at once."""
ACKNOWLEDGED: Final = "deskhand.acknowledged"
"""Key of the scope under which it leaves whether the other side's system took all that was sent."""


POLICY: Final[dict[str, dict[str, Any]]] = table("deskhand.hub.http", "policy.toml")
HEADERS: Final[dict[str, dict[str, str]]] = POLICY["headers"]
"""Those of ``every`` answer, of the ``page`` and of a ``file``."""


log = logging.getLogger(__name__)

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")
_ADDRESS = re.compile(r"\[.*\]|[0-9.]+")
_VERSION = re.compile(r"[0-9]{1,5}")
_SECRET_NAMES = re.compile(
    r"access_token|api_?key|auth|authorization|bearer|claim|code|credential|invite|jwt|key|pass"
    r"|password|secret|session|sig|token|x-deskhand-key"
)
_HEADERS = {**HEADERS["every"], "Deskhand-Protocol": str(PROTOCOL)}


class Takes(NamedTuple):
    """The body a route takes, by its exact content type; at most so many bytes."""

    media_type: str
    bytes_max: int


NOTHING: Final = Takes("", 0)
JSON: Final = Takes("application/json", limits.BODY_BYTES_MAX)
CHUNK: Final = Takes("application/offset+octet-stream", limits.UPLOAD_CHUNK_BYTES_MAX)
BYTES: Final = Takes("application/octet-stream", limits.ARTIFACT_BYTES_MAX)
TAKEN: Final[dict[str, Any]] = {"nothing": NOTHING, "chunk": CHUNK, "bytes": BYTES}


def check_body(request: Request, takes: Takes) -> None:
    """Refuse by the headers alone what could not be taken: ``unsupported_type``, ``too_large``, ``invalid``."""
    if takes is not NOTHING:
        kind, _, rest = request.headers.get("content-type", "").lower().partition(";")
        if kind.strip() != takes.media_type or rest.strip() not in {"", "charset=utf-8"}:
            raise DeskhandError(Code.UNSUPPORTED_TYPE, takes.media_type)
    said = request.headers.get("content-length", "0")
    if not (said.isascii() and said.isdigit()):
        raise DeskhandError(Code.INVALID, field="Content-Length")
    if int(said[:20]) > takes.bytes_max:
        raise DeskhandError(Code.TOO_LARGE, f"{takes.bytes_max} bytes")


async def read_json(request: Request, model: type[W]) -> W:
    """Return the body as one object; else ``malformed_json``, ``invalid``, ``too_large``, ``body_timeout``."""
    try:
        async with asyncio.timeout(limits.BODY_SECONDS_MAX):
            parts = [chunk async for chunk in body_chunks(request, takes=JSON)]
    except TimeoutError:
        raise DeskhandError(Code.BODY_TIMEOUT) from None
    return model.from_json(strict_json(b"".join(parts)))


async def body_chunks(request: Request, *, takes: Takes) -> AsyncIterator[bytes]:
    """Yield the body as it comes. A sender that went away ends it: what came is kept by who resumes.

    Raises:
        DeskhandError: ``too_large``; ``body_timeout`` when nothing comes for a while.
    """
    left = takes.bytes_max
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS_MAX):
                chunk = await anext(chunks)
        except (StopAsyncIteration, ClientDisconnect):
            return
        except TimeoutError:
            raise DeskhandError(Code.BODY_TIMEOUT) from None
        left -= len(chunk)
        if left < 0:
            raise DeskhandError(Code.TOO_LARGE, f"{takes.bytes_max} bytes")
        yield chunk


class Answer(Response):
    """A JSON answer: objects of the protocol, plain JSON around them, or bytes that are JSON already."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else to_json(content, exclude_none=True)


class Flow(StreamingResponse):
    """A streaming answer that gives up on a reader who does not read, and always ends its source."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def impatient(message: Message) -> None:
            async with asyncio.timeout(STALL_SECONDS_MAX):
                await send(message)

        try:
            await super().__call__(scope, receive, impatient)
        except TimeoutError:
            abort = cast("Callable[[], None] | None", scope.get(ABORT))
            if abort is not None:
                abort()
        finally:
            await cast("AsyncGenerator[bytes]", self.body_iterator).aclose()


def items(found: Sequence[Wire | Mapping[str, object]], *, following: str | None = None) -> Answer:
    """Return one page of a list."""
    return Answer({"items": found, "next": following})


def refusal(error: DeskhandError, *, language: str, request_id: str) -> Answer:
    """Return the error object with its status."""
    failure = failure_of(error, language=language, request_id=request_id)
    answer = Answer({"error": failure}, status_code=error.code.status)
    if error.retry_after_seconds is not None or error.code.status in {429, 503}:
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds or 1)))
    if error.code is Code.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if error.code is Code.METHOD_REFUSED:
        answer.headers["Allow"] = error.detail
    return answer


class Names:
    """Under which names the hub answers, each with its scheme: loopback, and what was configured.

    That is an origin, or a bare name, which is https; a bare address is plain.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Take what was configured."""
        self._schemes: dict[str, str] = {}
        for entry in (*_LOOPBACK, *entries):
            scheme, _, host = entry.strip().lower().rpartition("://")
            if parts := _HOST.fullmatch(host):
                usual = "http" if _ADDRESS.fullmatch(parts["name"]) else "https"
                self._schemes[parts["name"]] = scheme or usual

    def origin(self, host: str) -> str | None:
        """Return the origin that a page of this hub has under the ``Host`` of a request, or nothing."""
        parts = _HOST.fullmatch(host.lower())
        scheme = self._schemes.get(parts["name"]) if parts else None
        if parts is None or scheme is None:
            return None
        usual = {"https": "443", "http": "80"}[scheme]
        port = "" if parts["port"] in {None, usual} else f":{parts['port']}"
        return f"{scheme}://{parts['name']}{port}"


class Walls:
    """The outermost layer of the app; ``ids`` numbers the requests."""

    def __init__(self, app: ASGIApp, *, names: Names, ids: Ids) -> None:
        """Stand around ``app``."""
        self._app, self._names = app, names
        self._numbers = (f"{ids.new('rq')}_{count}" for count in itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request, pass it in, and dress what comes out."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = next(self._numbers)
        language = state["language"] = _language_of(headers.get("accept-language", ""))
        started = False

        async def dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                told = MutableHeaders(raw=list(message.get("headers", ())))
                for name, value in _HEADERS.items():
                    told.setdefault(name, value)
                told["X-Request-Id"] = request_id
                message["headers"] = told.raw
            await send(message)

        try:
            state["origin"] = self._judge(scope, headers)
            await self._app(scope, receive, dressed)
        except Exception as error:
            # Whatever it is, the caller gets an id and nobody a stack of ours.
            if not isinstance(error, DeskhandError):
                # Without the message: it may quote what somebody sent.
                where = (RuntimeError, RuntimeError(type(error).__name__), error.__traceback__)
                log.exception("request.failed %s", request_id, exc_info=where)
                error = DeskhandError(Code.INTERNAL)
            if not started:
                answer = refusal(error, language=language, request_id=request_id)
                await answer(scope, receive, dressed)

    def _judge(self, scope: Scope, headers: Headers) -> str:
        """Return the request's own origin, or refuse it."""
        hosts = headers.getlist("host")
        origin = self._names.origin(hosts[0]) if len(hosts) == 1 else None
        if origin is None:
            raise DeskhandError(Code.HOST_REFUSED)
        _refuse_secret_in_address(scope)
        said = headers.get("deskhand-protocol", str(PROTOCOL))
        if not _VERSION.fullmatch(said):
            raise DeskhandError(Code.INVALID, field="Deskhand-Protocol")
        if not PROTOCOL_OLDEST <= int(said) <= PROTOCOL:
            raise DeskhandError(Code.UPGRADE_REQUIRED, f"{PROTOCOL_OLDEST} to {PROTOCOL}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise DeskhandError(Code.UNSUPPORTED_TYPE, "content-encoding")
        if scope["method"] in WRITES:
            refuse_foreign(headers, origin)
        return origin


def refuse_foreign(headers: Headers, origin: str) -> None:
    """Refuse what a page of another origin sent: ``origin_refused`` (OR-03, OR-04, OR-07)."""
    foreign = any(one != origin for one in headers.getlist("origin"))
    if foreign or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise DeskhandError(Code.ORIGIN_REFUSED)


def _refuse_secret_in_address(scope: Scope) -> None:
    query = scope.get("query_string", b"").decode("latin-1")
    names = (name.lower() for name, _ in parse_qsl(query, keep_blank_values=True))
    told = TOKEN.search(unquote(query)) or TOKEN.search(scope["path"])
    if told or any(_SECRET_NAMES.fullmatch(name) for name in names):
        raise DeskhandError(Code.CREDENTIAL_IN_QUERY)


def _language_of(accepted: str) -> str:
    """Return the first language of ``Accept-Language`` that the catalogue has; order is taken as rank."""
    parts = accepted.lower().split(",")
    wanted = (part.partition(";")[0].partition("-")[0].strip() for part in parts)
    return next((language for language in wanted if language in LANGUAGES), LANGUAGES[0])
