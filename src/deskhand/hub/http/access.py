"""Who calls: one function turns a request into a caller or a refusal, for every route (AU-01, AU-03).

A bearer token, or a page's two halves: cookie and ``X-Deskhand-Key``; never both kinds on one request. Unknown, revoked
and misused credentials get the same answer. It refuses to compare a secret itself: the store is asked for a hash.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.credentials import bearer_sha256, page_sha256
from deskhand.hub.http.bodies import check_body
from deskhand.hub.http.routes import Rule, Who, rule_of
from deskhand.hub.http.walls import WRITES, refuse_foreign
from deskhand.hub.pairing import Pairing, Peer, UidOf
from deskhand.hub.submitting import Surface
from deskhand.hub.throttle import Throttle
from deskhand.hub.uploads import Uploads
from deskhand.limits import BAD_LOGINS_PER_MINUTE_MAX, REQUESTS_PER_TEN_SECONDS_MAX
from deskhand.protocol.authority import Principal

KEY_HEADER: Final = "x-deskhand-key"
_SECURE_COOKIE: Final = "__Host-dh"
_TEN_SECONDS, _MINUTE = 10.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request, and by what kind of program."""

    principal: Principal
    kind: Literal["page", "cli", "runner", "client"]

    @property
    def surface(self) -> Surface:
        """What the log says about where a message was typed."""
        match self.kind:
            case "page":
                return "page"
            case "cli":
                return "cli"
            case "runner" | "client":
                return "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushDoor:
    """What subscribing needs to know of push: the hub's public key, and which endpoints may be called."""

    public_key: str
    allows: Callable[[str], bool]


class Door:
    """What routes work with, and the one way in.

    Args:
        hub: the core.
        pairing: invitations and claims.
        uid_of: who opened a loopback connection, where the kernel tells.
        push: nothing where this hub sends no pushes.
    """

    def __init__(
        self, hub: Hub, *, pairing: Pairing, uid_of: UidOf, push: PushDoor | None = None
    ) -> None:
        """Begin with nobody known."""
        self.hub = hub
        self.pairing = pairing
        self.push = push
        self.uploads = Uploads(hub.store, hub.blobs, hub.clock, hub.ids)
        self._uid_of = uid_of
        self._bad = Throttle(hub.clock, most=BAD_LOGINS_PER_MINUTE_MAX, seconds=_MINUTE)
        self._busy = Throttle(hub.clock, most=REQUESTS_PER_TEN_SECONDS_MAX, seconds=_TEN_SECONDS)

    async def admit(self, request: Request, rule: Rule) -> Caller | None:
        """Return who calls; nobody on a public route.

        Raises:
            DeskhandError: ``unauthorized``, ``forbidden``, ``two_credentials``, ``origin_refused``,
                ``rate_limited``.
        """
        if rule.who is Who.PUBLIC:
            return None
        caller = await self._known(request)
        self._busy.count(caller.principal.id)
        self._busy.check(caller.principal.id)
        if caller.principal.role not in rule.who.value:
            raise DeskhandError(Code.FORBIDDEN)
        return caller

    def peer(self, request: Request) -> Peer:
        """Return who is at the other end of the connection."""
        client = request.client
        if client is None:
            return Peer(address="unknown")
        server = cast("tuple[str, int] | None", request.scope.get("server"))
        uid = self._uid_of(server, (client.host, client.port)) if server else None
        return Peer(address=client.host, uid=uid)

    async def _known(self, request: Request) -> Caller:
        token_sha256, by_page = _presented(request)
        found = await self.hub.store.credential(token_sha256)
        if found is None or (found.kind == "page") is not by_page:
            # Only wrong ones are slowed down: a stranger must not be able to lock the owner out.
            address = self.peer(request).address
            self._bad.check(address)
            self._bad.count(address)
            raise DeskhandError(Code.UNAUTHORIZED)
        return Caller(principal=found.principal, kind=found.kind)


class GuardedRoute(APIRoute):
    """A route that is in the table of routes, and that nobody passes unjudged."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind the door; an unclassified route cannot even be defined."""
        inner = super().get_route_handler()
        rules = {method: rule_of(method, self.path) for method in self.methods or ()}

        async def guarded(request: Request) -> Response:
            rule = rules[request.method]
            request.state.caller = await door_of(request).admit(request, rule)
            check_body(request, rule.takes)
            return await inner(request)

        return guarded


def door_of(request: Request) -> Door:
    """Return the door of the app that this request is for."""
    return cast("Door", request.app.state.door)


def caller_of(request: Request) -> Caller:
    """Return who calls a route that is not public."""
    caller = cast("Caller | None", request.state.caller)
    if caller is None:
        raise DeskhandError(Code.UNAUTHORIZED)
    return caller


TheDoor = Annotated[Door, Depends(door_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]


def cookie_name(origin: str) -> str:
    """Return the name of the cookie half: cookies have no port, so on plain http the name has it."""
    if origin.startswith("https:"):
        return _SECURE_COOKIE
    _, _, port = origin.removeprefix("http://").rpartition(":")
    return f"dh_{port if port.isdigit() else '80'}"


def cookie_for(origin: str, value: str) -> str:
    """Return the ``Set-Cookie`` line of a page's cookie half."""
    line = f"{cookie_name(origin)}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=34560000"
    return f"{line}; Secure" if origin.startswith("https:") else line


def _presented(request: Request) -> tuple[str, bool]:
    """Return (hash, whether it is a page's)."""
    bearers = request.headers.getlist("authorization")
    origin = str(request.state.origin)
    cookie, key = request.cookies.get(cookie_name(origin)), request.headers.get(KEY_HEADER)
    if len(bearers) > 1 or (bearers and (cookie is not None or key is not None)):
        raise DeskhandError(Code.TWO_CREDENTIALS)
    if bearers:
        scheme, _, token = bearers[0].partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise DeskhandError(Code.UNAUTHORIZED)
        return bearer_sha256(token.strip()), False
    if cookie is None or key is None:
        raise DeskhandError(Code.UNAUTHORIZED)
    refuse_foreign(request.headers, origin)
    if request.method in WRITES and "origin" not in request.headers:
        raise DeskhandError(Code.ORIGIN_REFUSED)
    return page_sha256(cookie=cookie, key=key), True
