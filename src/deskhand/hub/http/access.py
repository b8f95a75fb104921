"""Who calls: one function lets a request in or refuses it, for every route (AU-01, AU-03).

A bearer token, or a page's two halves: cookie and ``X-Deskhand-Key``; never both kinds on one request. Unknown, revoked
and misused credentials get the same answer. On loopback the kernel tells which user of this machine is at the
other end (Linux). It refuses to compare a secret itself: the store is asked for a hash.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, cast

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from deskhand import limits
from deskhand.errors import Code, DeskhandError
from deskhand.hub import app, credentials, submitting
from deskhand.hub.http.messages import ACKNOWLEDGED, WRITES, refuse_foreign
from deskhand.ports import Credential, W
from deskhand.protocol.ops import Op, OpResult, Principal

KEY_HEADER: Final = "x-deskhand-key"
_FORWARDED: Final = frozenset({"forwarded", "via", "x-forwarded-for"})
_TABLES: Final = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
_LOCAL, _REMOTE, _UID = 1, 2, 7
_SECURE_COOKIE: Final = "__Host-dh"
_SURFACES: Final[dict[str, submitting.Surface]] = {"page": "page", "cli": "cli"}


Answering = Callable[..., Coroutine[Any, Any, Response]]
"""What a route leads to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushDoor:
    """What subscribing needs to know of push: the hub's public key, and which endpoints may be called."""

    public_key: str
    allows: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that was let in; without ``credential`` on a public route."""

    door: Door
    hub: app.Hub
    request: Request
    credential: Credential | None = None

    @property
    def me(self) -> Principal:
        """Who calls a route that is not public."""
        if self.credential is None:
            raise DeskhandError(Code.UNAUTHORIZED)
        return self.credential.principal

    @property
    def language(self) -> str:
        """What the answer is written in."""
        return str(self.request.state.language)

    @property
    def address(self) -> str:
        """Where the connection comes from."""
        return self.request.client.host if self.request.client else "unknown"

    @property
    def peer(self) -> credentials.Peer:
        """Who is at the other end of the connection, with the user where the kernel tells."""
        server, client = self.request.scope.get("server"), self.request.client
        uid = uid_of(server, (client.host, client.port)) if server and client else None
        return credentials.Peer(address=self.address, uid=uid)

    def acknowledged(self) -> bool:
        """Whether the caller's system took all that was sent; what stands in between would answer for itself."""
        asked = self.request.scope.get(ACKNOWLEDGED)
        between = not _FORWARDED.isdisjoint(self.request.headers)
        return asked is not None and not between and bool(asked())

    @property
    def surface(self) -> submitting.Surface:
        """What a task of the caller says it came by."""
        return _SURFACES.get(self.credential.kind if self.credential else "", "http")

    async def do(self, op: Op) -> OpResult:
        """Handle one op of the caller; its rejection is the refusal of the whole request."""
        return await self.hub.do(self.me, op, surface=self.surface)

    async def get(self, kind: type[W], name: str) -> W:
        """Return an object that the caller may see; ``not_found`` is the same for unknown and foreign (IS-01)."""
        found = await self.hub.store.get(self.me.account, kind, name, reader=self.me)
        if found is None:
            raise DeskhandError(Code.NOT_FOUND)
        return found

    async def find(self, kind: type[W], *states: str) -> list[W]:
        """Return the account's newest objects in these states (all when none is named)."""
        account = self.me.account
        return await self.hub.store.find(account, kind, states=states, limit=limits.LIST_LIMIT_MAX)


class Door:
    """What routes work with, and the one way in."""

    def __init__(self, hub: app.Hub, *, push: PushDoor, page: Mapping[str, bytes]) -> None:
        """Begin with nobody known; ``page`` are its files."""
        self.hub, self.push, self.page = hub, push, page
        often = limits.BAD_LOGINS_PER_MINUTE_MAX
        self._bad = credentials.Throttle(hub.clock, often, 60, file=hub.tried("logins"))
        self._busy = credentials.Throttle(hub.clock, limits.REQUESTS_PER_TEN_SECONDS_MAX, 10)

    async def admit(self, request: Request, roles: frozenset[str]) -> Call:
        """Let a request in, or refuse it in the one way that tells a stranger nothing; without roles it is public."""
        nobody = Call(door=self, hub=self.hub, request=request)
        if not roles:
            return nobody
        token_sha256, by_page = _presented(request)
        found = await self.hub.store.credential(token_sha256)
        if found is None or (found.kind == "page") is not by_page:
            # Only wrong ones are slowed down: a stranger must not be able to lock the owner out.
            self._bad.check(nobody.address)
            self._bad.count(nobody.address)
            raise DeskhandError(Code.UNAUTHORIZED)
        self._busy.count(found.principal.id)
        self._busy.check(found.principal.id)
        if found.principal.role not in roles:
            raise DeskhandError(Code.FORBIDDEN)
        return replace(nobody, credential=found)


async def _call_of(request: Request) -> Call:
    # A coroutine, because FastAPI sends plain functions through a thread.
    return cast("Call", request.state.call)


TheCall = Annotated[Call, Depends(_call_of)]


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
        return credentials.bearer_sha256(token.strip()), False
    if cookie is None or key is None:
        raise DeskhandError(Code.UNAUTHORIZED)
    refuse_foreign(request.headers, origin)
    if request.method in WRITES and "origin" not in request.headers:
        raise DeskhandError(Code.ORIGIN_REFUSED)
    return credentials.page_sha256(cookie=cookie, key=key), True


def uid_of(server: tuple[str, int], client: tuple[str, int]) -> int | None:
    """Return the uid that owns the client's end of a connection to ``server``, if it is on this machine."""
    try:
        ends = [_in_table(*client), _in_table(*server)]
        version = ipaddress.ip_address(client[0]).version
        rows = _TABLES[version].read_text(encoding="ascii").splitlines()[1:]
    except (ValueError, OSError):
        return None
    found = (one for one in map(str.split, rows) if [one[_LOCAL], one[_REMOTE]] == ends)
    return next((int(one[_UID]) for one in found), None)


def _in_table(address: str, port: int) -> str:
    """Return an end of a connection as the kernel prints it: each 32-bit word in this machine's order."""
    packed = ipaddress.ip_address(address).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
