"""What every request must pass before any route sees it, and what every answer carries (pure ASGI).

Host allow-list, no credential in an address, protocol range, foreign origins, packed bodies; then security headers,
request ids and refusals as JSON. It reads no body, knows no route, and never gives a CORS answer.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.messages import HEADERS, refusal
from deskhand.ids import Ids
from deskhand.limits import PROTOCOL, PROTOCOL_OLDEST
from deskhand.secret import TOKEN
from deskhand.texts import LANGUAGES

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
