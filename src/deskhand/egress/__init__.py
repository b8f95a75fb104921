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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar
from urllib.parse import urlsplit

from deskhand import limits
from deskhand.errors import Code, DeskhandError

if TYPE_CHECKING:
    import httpcore

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[str, int], Awaitable[Streams]]
R = TypeVar("R")

ANY_PRIVATE: Final = "*"
"""The entry in ``Egress.allowed`` that admits every private address, for one's own network and for tests."""


_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[!-~]*)?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORT = {"https": 443, "http": 80}
_NAME_CHARS_MAX = 253
_GOOD = (200, 206)


def _networks(spelled: str) -> Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(one) for one in spelled.split()]


# Carrier-grade NAT (100.64) is what private overlay networks use too.
_PRIVATE = _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8 ::1/128 fc00::/7 100.64.0.0/10")
# Inside the range that is otherwise global, but leading somewhere else or nowhere: 6to4's relay and what carries an
# IPv4 address, protocol assignments (Teredo among them), documentation.
_NEVER = _networks("192.88.99.0/24 2002::/16 2001::/23 2001:db8::/32 3fff::/20")
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRequest:
    """One request. URL, headers and body stay out of its ``repr``, because they often hold secrets.

    ``take`` gets the head of a good answer and returns what takes its pieces, however many come.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)
    seconds_max: float = limits.EGRESS_SECONDS_MAX
    response_bytes_max: int = limits.EGRESS_RESPONSE_BYTES_MAX
    take: Callable[[EgressResponse], Callable[[bytes], object]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressResponse:
    """The answer: header names in lower case, body as it came over the wire and cut at the bound."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The parts of a URL, as the one grammar here reads them."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    literal: Address | None

    @property
    def authority(self) -> str:
        """``host`` or ``host:port`` as it stands in ``Host`` and in an origin."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The origin of the URL, with the port where it is not the default one."""
        return f"{self.scheme}://{self.authority}"

    @property
    def entry(self) -> str:
        """``host:port``, the spelling of ``Egress.allowed``."""
        return f"{self.host}:{self.port}"


async def _system_resolve(name: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True, kw_only=True)
class Egress:
    """Sends requests to https on port 443 of global addresses, and to what the owner allowed beyond.

    Args:
        allowed: the owner's explicit entries. ``host:port`` lifts the port rule and admits a private address (there
            plain http too) for that one target; ``ANY_PRIVATE`` admits all private ones.
        resolve: ``(name, port) -> addresses``; called once per request and never for a literal address.
        trust: certificates to believe; the system's and certifi's unless given.
        backend: opens the TCP connections; a test gives one that records.
        dial: opens those whose bytes are not ours to read.
    """

    allowed: frozenset[str] = frozenset()
    resolve: Resolve = _system_resolve
    trust: ssl.SSLContext | None = None
    backend: httpcore.AsyncNetworkBackend | None = None
    dial: Dial = asyncio.open_connection

    async def send(self, request: EgressRequest) -> EgressResponse:
        """Judge, dial what was judged, send, and read a bounded answer. Redirects are answers like any other.

        Raises:
            DeskhandError: ``address_refused`` (nothing was dialled), ``invalid`` (headers), ``timeout`` or
                ``unavailable`` (retryable). No message names more than a rule.
        """
        target = parse_target(request.url)
        if any(name.lower() == "host" for name in request.headers):
            raise _refused("host header")
        exchange = partial(self._exchange, request, target)
        return await self._in_turn(target, request.seconds_max, exchange)

    async def connect(self, target: Target) -> Streams:
        """Judge, and dial what was judged, for bytes that stay their sender's.

        Raises:
            DeskhandError: ``address_refused`` (nothing was dialled), ``timeout`` or ``unavailable`` (retryable).
        """

        async def opened(address: Address) -> Streams | None:
            with contextlib.suppress(OSError):
                return await self.dial(str(address), target.port)
            return None

        return await self._in_turn(target, limits.EGRESS_SECONDS_MAX, opened)

    async def _in_turn(self, target: Target, seconds: float, use: Callable[[Address], Awaitable[R | None]]) -> R:
        """Use the first judged address that can be connected to: a failed connect has sent nothing."""
        try:
            async with asyncio.timeout(seconds):
                for address in await self._judged(target):
                    if (found := await use(address)) is not None:
                        return found
        except TimeoutError as error:
            raise DeskhandError(Code.TIMEOUT) from error
        raise DeskhandError(Code.UNAVAILABLE, "connection failed")

    async def _judged(self, target: Target) -> Sequence[Address]:
        listed = self.allowed & {target.entry, ANY_PRIVATE}
        if not listed:
            # Before asking the resolver anything, so that a refused name is never looked up.
            self._check_global(target)
        addresses: Sequence[Address] = ()
        with contextlib.suppress(OSError, ValueError):
            literal = [target.host] if target.literal else None
            names = literal or await self.resolve(target.host, target.port)
            addresses = [ipaddress.ip_address(name) for name in names]
        if not addresses:
            raise DeskhandError(Code.UNAVAILABLE, "name not found")
        # All are judged together: one bad one spoils the name.
        reaches = {reach_of(address) for address in addresses}
        if reaches != {"private"} or not listed:
            if reaches != {"global"}:
                raise _refused("address")
            self._check_global(target)
        return addresses[: limits.EGRESS_ADDRESSES_MAX]

    def _check_global(self, target: Target) -> None:
        """Refuse what may not even be asked of a global address."""
        if target.scheme != "https":
            raise _refused("not https")
        if target.port != _DEFAULT_PORT["https"] and target.entry not in self.allowed:
            raise _refused("port")

    def _load(self) -> None:
        """Import the client and read the certificates: 0.2 s the first time, so off the event loop."""
        import httpcore  # noqa: PLC0415 - costs start-up time that most runs never need

        # At lower levels it logs headers, and a Location may name a secret resource.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self.trust = self.trust or httpcore.default_ssl_context()

    async def _exchange(self, request: EgressRequest, target: Target, address: Address) -> EgressResponse | None:
        """Return the answer, or nothing where there is no connection."""
        await asyncio.to_thread(self._load)
        import httpcore  # noqa: PLC0415 - loaded now

        # The URL that the client sees holds the address; the name lives on in Host, SNI and certificate.
        scheme, path = target.scheme.encode(), target.path.encode()
        url = httpcore.URL(scheme=scheme, host=str(address).encode(), port=target.port, target=path)
        headers = {"Host": target.authority, "Accept-Encoding": "identity", **request.headers}
        timeout = {"connect": limits.EGRESS_CONNECT_SECONDS_MAX, "read": limits.EGRESS_SECONDS_MAX}
        body, most = bytearray(), request.response_bytes_max
        try:
            async with (
                httpcore.AsyncHTTPConnection(
                    origin=url.origin, ssl_context=self.trust, network_backend=self.backend
                ) as connection,
                connection.stream(
                    request.method,
                    url,
                    headers=list(headers.items()),
                    content=request.body,
                    extensions={"sni_hostname": target.host, "timeout": timeout},
                ) as answer,
            ):
                told = {name.decode("latin-1").lower(): value for name, value in answer.headers}
                headers = {name: value.decode("latin-1") for name, value in told.items()}
                head = EgressResponse(status=answer.status, headers=headers)
                good = request.take if answer.status in _GOOD else None
                write = good(head) if good else body.extend
                async for chunk in answer.aiter_stream():
                    write(chunk)
                    if len(body) > most:
                        break
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            return None
        except httpcore.TimeoutException as error:
            raise DeskhandError(Code.TIMEOUT) from error
        except httpcore.LocalProtocolError as error:
            raise DeskhandError(Code.INVALID, "request headers") from error
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            raise DeskhandError(Code.UNAVAILABLE, "connection failed") from error
        return replace(head, body=bytes(body[:most]), truncated=len(body) > most)


def parse_target(url: str) -> Target:
    """Read a URL by the strict grammar: ASCII, no user part, no fragment, no backslash, canonical addresses only.

    Raises:
        DeskhandError: ``address_refused``.
    """
    match = _URL.fullmatch(url) if len(url) <= limits.URL_CHARS_MAX else None
    if match is None or set("\\#") & set(url):
        raise _refused("spelling")
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port, literal = int(match["port"] or _DEFAULT_PORT[scheme]), None
    labels = host.split(".")
    try:
        if host.startswith("["):
            literal = ipaddress.IPv6Address(host[1:-1])
        elif _NUMBER.fullmatch(labels[-1]):
            # Decimal, octal, hexadecimal and short spellings all end in a number.
            literal = ipaddress.IPv4Address(host)
    except ValueError:
        raise _refused("spelling") from None
    named = len(host) <= _NAME_CHARS_MAX and all(map(_LABEL.fullmatch, labels))
    if not (literal or named) or not 0 < port < 1 << 16:
        raise _refused("spelling")
    host = str(literal) if literal else host
    return Target(scheme=scheme, host=host, port=port, path=match["path"] or "/", literal=literal)


def reach_of(address: Address) -> Literal["global", "private", "never"]:
    """Say whether an address is global, private (an owner may admit it), or never to be dialled."""
    if any(address in network for network in _PRIVATE):
        return "private"
    if any(address in network for network in _NEVER) or address.is_multicast:
        return "never"
    if isinstance(address, ipaddress.IPv6Address):
        # Outside 2000::/3 live mapped, NAT64, link-local, zero and reserved addresses.
        return "global" if address in _GLOBAL_V6 and address.scope_id is None else "never"
    return "global" if address.is_global else "never"


def is_here(url: str) -> bool:
    """Whether an address leads to this machine, as far as its spelling tells."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return host in {"", "localhost"} or ipaddress.ip_address(host).is_loopback
    return False


def _refused(rule: str) -> DeskhandError:
    """Return a refusal that names the broken rule, and nothing else of the request."""
    return DeskhandError(Code.ADDRESS_REFUSED, rule)
