"""The way out over real loopback sockets: pinned addresses, no redirects, bounded answers."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from httpcore._backends.auto import AutoBackend
from typing_extensions import override

from deskhand.egress import ANY_PRIVATE, Egress, EgressRequest
from deskhand.errors import Code, DeskhandError
from deskhand.testing.push.service import Answer, FakePushService

GLOBAL = "93.184.216.34"
NAME = "push.example.org"
LOCAL = frozenset({ANY_PRIVATE})


class Flipping:
    """A resolver whose first answer is global and whose every later one is loopback."""

    def __init__(self) -> None:
        """Count the questions."""
        self.asked = 0

    async def __call__(self, _name: str, _port: int) -> Sequence[str]:
        """Answer, and think of another answer for the next time."""
        self.asked += 1
        return [GLOBAL] if self.asked == 1 else ["127.0.0.1"]


class Detour(httpcore.AsyncNetworkBackend):
    """A network on which every address leads to one loopback port; it notes what was dialled."""

    def __init__(self, port: int) -> None:
        """Lead to ``port``."""
        self.dialled: list[tuple[str, int]] = []
        self._port = port
        self._real = AutoBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        return await self._real.connect_tcp("127.0.0.1", self._port, timeout=timeout)


@dataclass
class Site:
    """A TLS server for one name; what it was asked for."""

    port: int
    trust: ssl.SSLContext
    server_names: list[str | None] = field(default_factory=list[str | None])
    requests: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def tls_site(folder: Path, name: str, answer: bytes) -> AsyncGenerator[Site]:
    """Serve ``answer`` to everybody, with a certificate for ``name``."""
    certificate, context = tls_server(folder, name)
    site = Site(port=0, trust=ssl.create_default_context(cadata=certificate))

    def named(_: ssl.SSLObject, server_name: str | None, __: ssl.SSLContext) -> None:
        site.server_names.append(server_name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        await writer.drain()
        writer.close()

    context.sni_callback = named
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


def tls_server(folder: Path, name: str) -> tuple[str, ssl.SSLContext]:
    """Return a self-signed certificate for ``name`` and a server context that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    both = folder / "site.pem"
    both.write_bytes(certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return certificate.decode(), context


def get(url: str, *, seconds: float = 5, limit: int = 1000) -> EgressRequest:
    """Return a request with small bounds."""
    return EgressRequest(method="GET", url=url, seconds_max=seconds, response_bytes_max=limit)


async def test_a_name_that_flips_between_check_and_connect_reaches_the_checked_address(tmp_path: Path) -> None:
    """SS-02: one question to the resolver; the dialled address is the judged one; name in SNI and Host."""
    names = Flipping()
    async with tls_site(tmp_path, NAME, b"HTTP/1.1 204 No Content\r\n\r\n") as site:
        network = Detour(site.port)
        egress = Egress(resolve=names, trust=site.trust, backend=network)

        response = await egress.send(get(f"https://{NAME}/a;c?b=1"))

    assert (response.status, names.asked, network.dialled) == (204, 1, [(GLOBAL, 443)])
    assert site.server_names == [NAME]
    assert site.requests[0].startswith(f"GET /a;c?b=1 HTTP/1.1\r\nHost: {NAME}\r\n")


async def test_a_pinned_address_with_a_foreign_certificate_is_not_talked_to(tmp_path: Path) -> None:
    """SS-02: dialling by address does not weaken the check of the name in the certificate."""
    async with tls_site(tmp_path, "other.example.org", b"") as site:
        egress = Egress(resolve=Flipping(), trust=site.trust, backend=Detour(site.port))

        with pytest.raises(DeskhandError) as caught:
            await egress.send(get(f"https://{NAME}/"))

    assert (caught.value.code, site.requests) == (Code.UNAVAILABLE, [])


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """SS-03: nothing is asked of the place that Location names."""
    async with FakePushService() as service, FakePushService() as inner:
        moved = Answer(status=307, headers={"Location": f"{inner.origin}/secret"})
        service.answer_next(moved)

        response = await Egress(allowed=LOCAL).send(get(f"{service.origin}/a"))

    assert (response.status, response.headers["location"]) == (307, f"{inner.origin}/secret")
    assert (len(service.attempts), inner.attempts) == (1, [])


async def test_a_huge_answer_is_cut_at_the_bound() -> None:
    """SS-07: of a terabyte no more than the bound is read, and the cut is told."""
    async with FakePushService() as service:
        service.answer_next(Answer(status=200, flood=1024**4))

        response = await Egress(allowed=LOCAL).send(get(f"{service.origin}/a"))

    assert (response.status, response.body, response.truncated) == (200, bytes(1000), True)


async def test_a_compressed_answer_is_not_unpacked(tmp_path: Path) -> None:
    """SS-07: a bomb stays as small as it came."""
    bomb = gzip.compress(bytes(500_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    async with tls_site(tmp_path, NAME, head.encode() + bomb) as site:
        egress = Egress(resolve=Flipping(), trust=site.trust, backend=Detour(site.port))

        response = await egress.send(get(f"https://{NAME}/"))

    assert (response.body, response.truncated) == (bomb, False)


async def test_endless_headers_are_a_failure(tmp_path: Path) -> None:
    """SS-07: the head of an answer is bounded too."""
    head = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1024 * 1024
    async with tls_site(tmp_path, NAME, head) as site:
        egress = Egress(resolve=Flipping(), trust=site.trust, backend=Detour(site.port))

        with pytest.raises(DeskhandError) as caught:
            await egress.send(get(f"https://{NAME}/"))

    assert caught.value.code is Code.UNAVAILABLE


async def test_an_address_that_talks_nonsense_is_a_failure_and_not_tried_elsewhere(tmp_path: Path) -> None:
    """Once something was sent no second address is dialled, and the caller learns what any failure is called."""

    async def two_addresses(_name: str, _port: int) -> Sequence[str]:
        return [GLOBAL, "93.184.216.35"]

    async with tls_site(tmp_path, NAME, b"nonsense\r\n\r\n") as site:
        network = Detour(site.port)
        egress = Egress(resolve=two_addresses, trust=site.trust, backend=network)

        with pytest.raises(DeskhandError) as caught:
            await egress.send(get(f"https://{NAME}/"))

    assert (caught.value.code, network.dialled) == (Code.UNAVAILABLE, [(GLOBAL, 443)])


async def test_a_server_that_never_answers_is_given_up() -> None:
    """SS-07: the whole call has one deadline."""
    async with FakePushService() as service:
        service.answer_next(Answer(hang=True))

        with pytest.raises(DeskhandError) as caught:
            await Egress(allowed=LOCAL).send(get(f"{service.origin}/a", seconds=0.5))

    assert (caught.value.code, caught.value.code.retryable) == (Code.TIMEOUT, True)


async def test_a_proxy_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name again, so none is used, whatever the environment says."""
    async with FakePushService() as service, FakePushService() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.origin)

        response = await Egress(allowed=LOCAL).send(get(f"{service.origin}/a"))

    assert (response.status, proxy.attempts) == (404, [])
