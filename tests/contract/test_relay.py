"""The proxy of a command, spoken to as its programs would, by honest ones and by others."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskhand import limits
from deskhand.egress import Egress
from deskhand.egress.broker import Broker, lines
from tests.canary import Canary, Way, answer, canary, way_out
from tests.contract.test_egress_wire import GLOBAL, Flipping, tls_site

NAME = "data.example.org"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def broker_of(site: Canary, *more: str, path: Path | None = None) -> Broker:
    """Return a broker for whom the site is listed."""
    return Broker(hosts=lambda: [site.host, *more], path=path)


def status(heard: bytes) -> int:
    """Return the status of an answer; 0 for none."""
    return int(heard.split(b" ")[1]) if heard else 0


# --- requests --------------------------------------------------------------------------------------------------


async def test_a_listed_host_that_was_not_asked_for_is_not_reached() -> None:
    """NE-01: a yes is for the hosts it named, also where more are listed."""
    async with canary() as site, canary() as other, way_out(broker_of(site, other.host), site.host) as way:
        heard = await way.say(f"CONNECT {other.host} HTTP/1.1\r\n\r\n".encode())

    assert (status(heard), other.heads, other.bodies) == (403, [], [])


async def test_a_host_that_was_asked_for_and_is_no_longer_listed_is_not_reached() -> None:
    """RO-05: the owner's list is read for each request of a running command."""
    listed: list[str] = []
    async with canary() as site, way_out(Broker(hosts=lambda: listed), site.host) as way:
        listed.append(site.host)
        async with tunnel(way, site.host):  # so it was reached
            listed.clear()
            after = await way.say(f"CONNECT {site.host} HTTP/1.1\r\n\r\n".encode())

    assert status(after) == 403


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://HOST/ HTTP/1.1\r\n\r\n",
        b"GET https://HOST/ HTTP/1.1\r\n\r\n",
        b"CONNECT https://HOST HTTP/1.1\r\n\r\n",
        b"CONNECT HOST@evil.example HTTP/1.1\r\n\r\n",
        b"CONNECT user:secret@HOST HTTP/1.1\r\n\r\n",
        b"CONNECT HOST\\@evil.example HTTP/1.1\r\n\r\n",
        b"CONNECT HOST#@evil.example HTTP/1.1\r\n\r\n",
        b"CONNECT 0x7f.1:PORT HTTP/1.1\r\n\r\n",
        b"CONNECT 2130706433:PORT HTTP/1.1\r\n\r\n",
        b"CONNECT 127.1:PORT HTTP/1.1\r\n\r\n",
        b"CONNECT [::ffff:127.0.0.1]:PORT HTTP/1.1\r\n\r\n",
        b"CONNECT 169.254.169.254:443 HTTP/1.1\r\n\r\n",
        b"CONNECT HOST HTTP/1.1 x\r\n\r\n",
        b"CONNECT  HOST HTTP/1.1\r\n\r\n",
        b"\x1b[2J HOST HTTP/1.1\r\n\r\n",
        b"CONNECT HOST/x HTTP/1.1\r\n\r\n",
        b"CONNECT user@HOST HTTP/1.1\r\n\r\n",
        b"CONNECT HOST\x00.evil.example:443 HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:PORT HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n",
        b"CONNECT 0177.0.0.1:PORT HTTP/1.1\r\n\r\n",
        b"CONNECT [::1]:PORT HTTP/1.1\r\n\r\n",
        b"connect HOST HTTP/1.1\r\n\r\n",
        b"\x05\x01\x00\r\n\r\n",
        b"\x16\x03\x01\x00\xff\r\n\r\n",
        b"CONNECT HOST" + b"a" * 20_000,
    ],
)
async def test_no_odd_spelling_is_understood(said: bytes) -> None:
    """NE-05, NE-08: another way to write a host, a port or a request reaches nothing at all."""
    async with canary() as site, way_out(broker_of(site), site.host) as way:
        here = said.replace(b"HOST", site.host.encode()).replace(b"PORT", str(site.port).encode())
        reader, writer = await way.open()
        writer.write(here)
        writer.write_eof()
        async with asyncio.timeout(10):
            heard = await reader.read(-1)
        writer.close()

    assert status(heard) in {400, 403}
    assert (site.heads, site.bodies) == ([], [])


class Noting:
    """A network without an end that notes what is dialled."""

    def __init__(self) -> None:
        """Start with nothing dialled."""
        self.dialled: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Streams:
        """Note it, and answer nothing."""
        self.dialled.append((host, port))
        raise OSError

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        """Say that every name is at one address."""
        del name, port
        return [GLOBAL]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.from_regex(
        r"[a-zA-Z0-9.:@\\/#%\[\]\x00\x09\x7f-]{0,12}data\.example\.org[a-zA-Z0-9.:@\\/#%\x00-]{0,12}", fullmatch=True
    )
)
def test_what_is_dialled_is_what_was_permitted(where: str) -> None:
    """NE-05: of whatever is written around a permitted name nothing but that name on its port is dialled."""
    network = Noting()

    async def ask() -> None:
        broker = Broker(hosts=lambda: [NAME], egress=partial(Egress, resolve=network.resolve, dial=network))
        async with way_out(broker, NAME) as way:
            reader, writer = await way.open()
            writer.write(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode("latin-1"))
            writer.write_eof()
            await reader.read(-1)
            writer.close()

    asyncio.run(ask())

    assert network.dialled == ([(GLOBAL, 443)] if where.lower() == f"{NAME}:443" else [])


# --- tunnels ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tunnel(way: Way, where: str) -> AsyncGenerator[Streams]:
    """Hold a tunnel that was opened."""
    reader, writer = await way.open()
    writer.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert status(head) == 200
    try:
        yield reader, writer
    finally:
        writer.close()


async def greeted(way: Way, where: str, name: str | None, trust: ssl.SSLContext) -> bytes:
    """Return what is answered inside TLS by who is greeted by a name; nothing when it never comes to that."""
    trust.check_hostname = False
    async with tunnel(way, where) as (reader, writer):
        try:
            await writer.start_tls(trust, server_hostname=name or "")
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(10):
                return await reader.read(-1)
        except (OSError, ssl.SSLError):
            return b""


def over(port: int, names: Flipping) -> partial[Egress]:
    """Return what dials one port of loopback whatever the address, and learns addresses of ``names``."""

    async def dial(host: str, _: int) -> Streams:
        assert host == GLOBAL
        return await asyncio.open_connection("127.0.0.1", port)

    return partial(Egress, resolve=names, dial=dial)


OK = answer(b"inside")


async def test_a_tunnel_leads_to_the_address_that_was_judged(tmp_path: Path) -> None:
    """SS-02, NE-07: one question to the resolver, whatever it would say next; the greeting names the host."""
    names = Flipping()
    async with tls_site(tmp_path, NAME, OK) as site:
        broker = Broker(hosts=lambda: [NAME], egress=over(site.port, names), path=tmp_path / "egress")
        async with way_out(broker, NAME) as way:
            heard = await greeted(way, f"{NAME}:443", NAME, site.trust)

    (line,) = lines(tmp_path / "egress")
    assert heard.endswith(b"inside")
    assert (names.asked, site.server_names) == (1, [NAME])
    assert (line["method"], line["host"], line["ended"]) == ("CONNECT", f"{NAME}:443", "closed")
    assert line["bytes_out"] > 500
    assert line["bytes_in"] > len(OK)


@pytest.mark.parametrize("name", ["evil.example", f"{NAME}.evil.example", None])
async def test_a_greeting_for_another_name_goes_nowhere(tmp_path: Path, name: str | None) -> None:
    """NE-07: where the tunnel leads and who is greeted in it are one, or not a byte of it is passed on."""
    async with tls_site(tmp_path, NAME, OK) as site:
        broker = Broker(hosts=lambda: [NAME], egress=over(site.port, Flipping()), path=tmp_path / "egress")
        async with way_out(broker, NAME) as way:
            heard = await greeted(way, f"{NAME}:443", name, site.trust)

    (line,) = lines(tmp_path / "egress")
    assert (heard, site.requests, site.server_names) == (b"", [], [])
    assert line["ended"].startswith("address_refused")


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xffhello",
        b"\x17\x03\x03\x00\x05hello",
        b"",
    ],
)
async def test_a_tunnel_is_for_tls_only(said: bytes) -> None:
    """NE-07: what cannot be seen to greet the host is not passed on."""
    async with canary() as site, way_out(broker_of(site), site.host) as way, tunnel(way, site.host) as (reader, writer):
        writer.write(said)
        writer.write_eof()
        async with asyncio.timeout(10):
            await reader.read(-1)

    assert (site.heads, site.bodies) in [([], []), ([], [b""])]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1"])
async def test_a_name_that_leads_inside_has_no_tunnel(address: str) -> None:
    """NE-08, SS-01: a listed name does not make a private address reachable."""

    async def inside(_: str, __: int) -> Sequence[str]:
        return [address]

    broker = Broker(hosts=lambda: [NAME], egress=partial(Egress, resolve=inside))
    async with way_out(broker, NAME) as way:
        heard = await way.say(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())

    assert status(heard) == 403


@asynccontextmanager
async def swallowing() -> AsyncGenerator[tuple[int, list[int]]]:
    """Serve whoever comes by counting what is said."""
    got: list[int] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(65_536):
                got.append(len(some))
        finally:
            writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got


def hello() -> bytes:
    """Return a greeting for the listed name."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    greeting = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        greeting.do_handshake()
    return outgoing.read()


async def _say_in_tunnel(way: Way, more: bytes) -> None:
    async with tunnel(way, f"{NAME}:443") as (reader, writer):
        writer.write(hello() + more)
        writer.write_eof()
        async with asyncio.timeout(10):
            await reader.read(-1)


async def test_every_byte_that_goes_out_is_counted() -> None:
    """NE-10: the greeting too, which has room for words."""
    async with swallowing() as (port, got):
        broker = Broker(hosts=lambda: [NAME], egress=over(port, Flipping()))
        async with way_out(broker, NAME) as way:
            await _say_in_tunnel(way, b"x" * 5_000)

    assert broker.used["tsk_1"][0] == sum(got) + limits.EGRESS_REQUEST_BYTES_MIN
    assert sum(got) > 5_200


async def test_a_tunnel_ends_where_the_task_has_said_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """NE-10: bytes inside TLS count like any, and afterwards nothing goes out any more."""
    monkeypatch.setattr(limits, "EGRESS_TASK_OUT_BYTES_MAX", 100_000)
    async with swallowing() as (port, got):
        broker = Broker(hosts=lambda: [NAME], egress=over(port, Flipping()))
        async with way_out(broker, NAME) as way:
            await _say_in_tunnel(way, b"x" * 1_000_000)
            later = await way.say(f"CONNECT {NAME}:443 HTTP/1.1\r\n\r\n".encode())

    assert sum(got) <= 100_000
    assert broker.over("tsk_1")
    assert status(later) == 403


async def test_when_the_command_is_over_its_connections_are(tmp_path: Path) -> None:
    """Nothing of a command goes on talking, and every connection of it is written down."""
    async with canary() as site:
        broker = broker_of(site, path=tmp_path / "egress")
        async with way_out(broker, site.host) as way, tunnel(way, site.host):
            reader, writer = await way.open()
        async with asyncio.timeout(10):
            heard = await reader.read(-1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await way.open()

    assert status(heard) in {0, 400}
    assert len(lines(tmp_path / "egress")) == 1
