"""The one way out: an HTTP request whose address was checked, dialled as checked, bounded in bytes and time.

Hub and runner both call out through here (push, webhooks, fetching). A URL is parsed by one strict grammar, its name is
resolved once, every address must be global, and the connection goes to exactly the address that was judged, with the
name kept for ``Host``, SNI and the certificate. It refuses other schemes, unlisted ports, addresses that hide another
one (mapped, NAT64, 6to4, odd spellings), and it never follows a redirect, unpacks a body or obeys a proxy variable: a
caller who wants to follow ``Location`` calls again, and it is judged again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from deskhand.errors import Code, DeskhandError
from deskhand.limits import (
    EGRESS_ADDRESSES_MAX,
    EGRESS_CONNECT_SECONDS_MAX,
    EGRESS_RESPONSE_BYTES_MAX,
    EGRESS_SECONDS_MAX,
    URL_CHARS_MAX,
)

if TYPE_CHECKING:
    import httpcore

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Reach = Literal["global", "private", "never"]

ANY_PRIVATE: Final = "*"
"""The entry in ``EgressRules.allowed`` that admits every private address, for one's own network and for tests."""


class Rule(StrEnum):
    """Which rule a refused request broke: all that is ever said about it."""

    ADDRESS = "address"
    HEADER = "host header"
    PORT = "port"
    SCHEME = "not https"
    SPELLING = "spelling"


_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORT = {"https": 443, "http": 80}
_NAME_CHARS_MAX = 253

_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, which private overlay networks use too
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
# Inside the range that is otherwise global, but leading somewhere else or nowhere.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.88.99.0/24",  # relay for 6to4
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",  # documentation
    )
)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRules:
    """What may be called beyond https on port 443 of a global address.

    ``ports`` are allowed for every host. ``allowed`` are the owner's explicit entries: ``host:port`` lifts the port rule
    and admits a private address (there plain http too) for that one target; ``ANY_PRIVATE`` admits all private ones.
    """

    ports: frozenset[int] = frozenset({443})
    allowed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRequest:
    """One request. URL, headers and body stay out of its ``repr``, because they often hold secrets."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)
    seconds_max: float = EGRESS_SECONDS_MAX
    response_bytes_max: int = EGRESS_RESPONSE_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressResponse:
    """The answer: header names in lower case, body as it came over the wire and cut at the bound."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The parts of a URL, as the one grammar here reads them."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)

    @property
    def authority(self) -> str:
        """Return ``host`` or ``host:port`` as it stands in ``Host`` and in an origin."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Return the origin of the URL, with the port where it is not the default one."""
        return f"{self.scheme}://{self.authority}"

    @property
    def entry(self) -> str:
        """Return ``host:port``, the spelling of ``EgressRules.allowed``."""
        return f"{self.host}:{self.port}"

    @property
    def literal(self) -> Address | None:
        """Return the address if the host is one, else nothing."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host)
        return None


class Egress:
    """Sends requests under one set of rules.

    Args:
        rules: what is allowed beyond the default.
        resolve: ``(name, port) -> addresses``; called once per request and never for a literal address.
        trust: certificates to believe; the system's and certifi's unless given.
        backend: opens the TCP connections; a test gives one that records.
    """

    def __init__(
        self,
        *,
        rules: EgressRules | None = None,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
        backend: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        """Keep the parts; nothing is imported or opened yet."""
        self._rules = rules or EgressRules()
        self._resolve = resolve or system_resolve
        self._trust = trust
        self._backend = backend

    async def send(self, request: EgressRequest) -> EgressResponse:
        """Judge, dial what was judged, send, and read a bounded answer. Redirects are answers like any other.

        Raises:
            DeskhandError: ``address_refused`` (nothing was dialled), ``invalid`` (headers), ``timeout`` or
                ``unavailable`` (retryable). No message names more than a rule.
        """
        target = parse_target(request.url)
        if any(name.lower() == "host" for name in request.headers):
            raise _refused(Rule.HEADER)
        try:
            async with asyncio.timeout(request.seconds_max):
                addresses = await self._judged(target)
                await asyncio.to_thread(self._load)
                return await self._dial_in_turn(target, addresses, request)
        except TimeoutError as error:
            raise DeskhandError(Code.TIMEOUT) from error

    async def _judged(self, target: Target) -> tuple[Address, ...]:
        _check_scheme(target, self._rules)
        literal = target.literal
        if literal is not None:
            addresses: tuple[Address, ...] = (literal,)
        else:
            try:
                names = await self._resolve(target.host, target.port)
                addresses = tuple(ipaddress.ip_address(name) for name in names)
            except (OSError, ValueError, UnicodeError) as error:
                raise DeskhandError(Code.UNAVAILABLE, "name not found") from error
        if not addresses:
            raise DeskhandError(Code.UNAVAILABLE, "name not found")
        _check_addresses(target, addresses, self._rules)
        return addresses[:EGRESS_ADDRESSES_MAX]

    def _load(self) -> None:
        """Import the client and read the certificates: 0.2 s the first time, so off the event loop."""
        import httpcore  # noqa: PLC0415 - costs start-up time that most runs never need

        # At lower levels it logs headers, and a Location may name a secret resource.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        if self._trust is None:
            self._trust = httpcore.default_ssl_context()

    async def _dial_in_turn(
        self, target: Target, addresses: Sequence[Address], request: EgressRequest
    ) -> EgressResponse:
        import httpcore  # noqa: PLC0415 - loaded by _load

        for address in addresses[:-1]:
            # A failed connect has sent nothing, so the next judged address may be tried.
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._exchange(target, address, request)
        try:
            return await self._exchange(target, addresses[-1], request)
        except httpcore.TimeoutException as error:
            raise DeskhandError(Code.TIMEOUT) from error
        except httpcore.LocalProtocolError as error:
            raise DeskhandError(Code.INVALID, "request headers") from error
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            raise DeskhandError(Code.UNAVAILABLE, "connection failed") from error

    async def _exchange(
        self, target: Target, address: Address, request: EgressRequest
    ) -> EgressResponse:
        import httpcore  # noqa: PLC0415 - loaded by _load

        # The URL that the client sees holds the address; the name lives on in Host, SNI and certificate.
        url = httpcore.URL(
            scheme=target.scheme.encode(),
            host=str(address).encode(),
            port=target.port,
            target=target.path.encode(),
        )
        connection = httpcore.AsyncHTTPConnection(
            origin=url.origin, ssl_context=self._trust, network_backend=self._backend
        )
        try:
            async with connection.stream(
                request.method,
                url,
                headers={
                    "Host": target.authority,
                    "Accept-Encoding": "identity",
                    **request.headers,
                },
                content=request.body,
                extensions={
                    "sni_hostname": target.host,
                    "timeout": {"connect": EGRESS_CONNECT_SECONDS_MAX},
                },
            ) as answer:
                return await _bounded(
                    answer.status, answer.headers, answer.aiter_stream(), request.response_bytes_max
                )
        finally:
            await connection.aclose()


async def system_resolve(name: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of ``name``.

    Raises:
        OSError: the name has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def parse_target(url: str) -> Target:
    """Read a URL by the strict grammar: ASCII, no user part, no fragment, no backslash, canonical addresses only.

    Raises:
        DeskhandError: ``address_refused``.
    """
    match = _URL.fullmatch(url) if len(url) <= URL_CHARS_MAX else None
    if match is None or set("\\#") & set(url):
        raise _refused(Rule.SPELLING)
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORT[scheme])
    host = _canonical_host(match["host"].lower())
    if host is None or not 0 < port < 1 << 16:
        raise _refused(Rule.SPELLING)
    return Target(scheme=scheme, host=host, port=port, path=match["path"] or "/")


def reach_of(address: Address) -> Reach:
    """Say whether an address is global, private (an owner may admit it), or never to be dialled."""
    if any(address in network for network in _PRIVATE):
        return "private"
    if any(address in network for network in _NEVER) or address.is_multicast:
        return "never"
    if isinstance(address, ipaddress.IPv6Address):
        # Outside 2000::/3 live mapped, NAT64, link-local, zero and reserved addresses.
        return "global" if address in _GLOBAL_V6 and address.scope_id is None else "never"
    return "global" if address.is_global else "never"


def _canonical_host(host: str) -> str | None:
    if host.startswith("["):
        with contextlib.suppress(ValueError):
            return str(ipaddress.IPv6Address(host[1:-1]))
        return None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # Decimal, octal, hexadecimal and short spellings all end in a number; one spelling is accepted.
        with contextlib.suppress(ValueError):
            return str(ipaddress.IPv4Address(host))
        return None
    named = len(host) <= _NAME_CHARS_MAX and all(_LABEL.fullmatch(label) for label in labels)
    return host if named else None


def _check_scheme(target: Target, rules: EgressRules) -> None:
    """Refuse before asking the resolver anything, so that a refused name is never looked up."""
    excepted = target.entry in rules.allowed or ANY_PRIVATE in rules.allowed
    if excepted:
        return
    if target.scheme != "https":
        raise _refused(Rule.SCHEME)
    if target.port not in rules.ports:
        raise _refused(Rule.PORT)


def _check_addresses(target: Target, addresses: Sequence[Address], rules: EgressRules) -> None:
    """Judge all addresses together: one bad one spoils the name."""
    kinds = {reach_of(address) for address in addresses}
    listed = target.entry in rules.allowed
    if kinds == {"private"} and (listed or ANY_PRIVATE in rules.allowed):
        return
    if kinds != {"global"}:
        raise _refused(Rule.ADDRESS)
    if target.scheme != "https":
        raise _refused(Rule.SCHEME)
    if target.port not in rules.ports and not listed:
        raise _refused(Rule.PORT)


async def _bounded(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    chunks: AsyncIterator[bytes],
    bytes_max: int,
) -> EgressResponse:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            break
    return EgressResponse(
        status=status,
        headers={
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers
        },
        body=bytes(body[:bytes_max]),
        truncated=len(body) > bytes_max,
    )


def _refused(rule: Rule) -> DeskhandError:
    return DeskhandError(Code.ADDRESS_REFUSED, rule.value)
