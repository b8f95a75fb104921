"""A computer and the hub it was paired with: nothing of ours goes to whatever else answers at that address (PA-09)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.app import Bind, serving
from deskhand.protocol import signing
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Op
from deskhand.runner.http_link import HttpLink, Pinned
from tests.rim import open_rim
from tests.tailnet import certify

HERE = x509.IPAddress(ip_address("127.0.0.1"))
TOKEN = "dhs_" + "T" * 43
WISH = Op(op_id="op_00000001", kind="presence.note", body={"state": "up"})
OURS, THEIRS = signing.new_key(), signing.new_key()


def mark_of(pem: str) -> str:
    """Return the fingerprint of a hub's key."""
    return signing.fingerprint_of(signing.sign(signing.HUB, {}, pem).key or "")


def proof(pem: str, nonce: str) -> bytes:
    """Return what a hub with this key says of itself."""
    return json.dumps({"hub": signing.sign(signing.HUB, {"nonce": nonce}, pem).to_json()}).encode()


async def closed(link: HttpLink) -> None:
    """Have a link end with the test: in a computer it ends with the process."""
    await link._client.aclose()  # nobody else ends it


@dataclass(slots=True)
class Linked:
    """A computer's link, and what it told whoever sits there."""

    url: str
    transport: httpx.AsyncBaseTransport | None = None
    told: list[DeskhandError] = field(default_factory=list[DeskhandError])

    def link(self, token: str = TOKEN) -> HttpLink:
        """Return it, pinned to our hub."""
        ids = Ids(SystemClock())
        pinned = Pinned(hub=mark_of(OURS), nonce=lambda: ids.secret(16), tell=self.told.append)
        return HttpLink(self.url, token=token, pinned=pinned, transport=self.transport)

    async def refused(self) -> list[str]:
        """Try everything that a computer says to its hub; return why each was refused."""
        link, found = self.link(), list[str]()

        async def pieces() -> AsyncGenerator[bytes]:
            yield b"private"

        async def streams() -> None:
            async for _ in link.stream(after=0):
                pass

        async def brings() -> None:
            async for _ in link.download_file("fil_1"):
                pass

        tries: Sequence[Callable[[], Awaitable[object]]] = (
            lambda: link.send([WISH]),
            streams,
            lambda: link.upload_blob(pieces(), sha256="0" * 64, size=7),
            brings,
        )
        for one in tries:
            with pytest.raises(DeskhandError) as refused:
                await one()
            found.append(refused.value.code.value)
        await closed(link)
        return found


@dataclass(slots=True)
class Stranger:
    """What answers instead: it hears all bytes, and says of itself what it likes."""

    says: Callable[[str], bytes]
    heard: bytes = b""
    open: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.open.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard += head
            nonce = head.split(b"nonce=")[1].split(b" ")[0].decode() if b"nonce=" in head else ""
            answer = self.says(nonce)
            if not answer.startswith(b"HTTP"):
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer)
            writer.write(answer)
            await writer.drain()
            writer.close()

    async def end(self) -> None:
        """Break off whatever is still open."""
        for one in self.open:
            one.transport.abort()
            with suppress(OSError):
                await one.wait_closed()


@asynccontextmanager
async def answering(says: Callable[[str], bytes], secure: ssl.SSLContext | None = None) -> AsyncGenerator[Stranger]:
    """Have a stranger answer at a port of this machine; ``says`` gets the nonce."""
    stranger = Stranger(says)
    server = await asyncio.start_server(stranger.serve, "127.0.0.1", 0, ssl=secure)
    stranger.url = f"{'https' if secure else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stranger
    finally:
        server.close()
        await stranger.end()


OTHERS: dict[str, Callable[[str], bytes]] = {
    "another hub": lambda nonce: proof(THEIRS, nonce),
    "our hub, some time ago": lambda _: proof(OURS, "heard-before"),
    "another hub with our key beside it": lambda nonce: json.dumps(
        {"hub": {**json.loads(proof(THEIRS, nonce))["hub"], "key": json.loads(proof(OURS, nonce))["hub"]["key"]}}
    ).encode(),
    "a hub that signs nothing": lambda _: b'{"version":"1"}',
    "a page of some network": lambda _: b"<h1>Welcome</h1>",
    "a list": lambda _: b"[]",
    "not found": lambda _: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "somewhere else": lambda _: b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("other", OTHERS)
async def test_what_is_not_our_hub_hears_nothing_of_ours(other: str) -> None:
    """PA-09: whoever answers there, neither token nor a byte of work is sent; the person is told once, with the cure."""
    async with answering(OTHERS[other]) as stranger:
        computer = Linked(stranger.url)
        why = await computer.refused()

    assert why == ["hub_changed"] * 4
    assert b"dhs_" not in stranger.heard
    assert b"private" not in stranger.heard
    assert b"Authorization" not in stranger.heard
    assert computer.told
    assert "pair again" in computer.told[0].cure()


async def test_a_hub_that_is_away_behind_something_is_only_away() -> None:
    """PA-09: a proxy that says 502 is no other hub: it is tried again, and nobody is alarmed."""
    away = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    async with answering(lambda _: away) as stranger:
        computer = Linked(stranger.url)
        why = await computer.refused()

    assert why == ["hub_unreachable"] * 4
    assert (computer.told, b"dhs_" in stranger.heard) == ([], False)


async def test_our_hub_is_known_again_and_another_at_its_address_is_not(tmp_path: Path) -> None:
    """PA-09: the same link works, stops when another hub has the address, and works when ours is back."""
    ids = Ids(SystemClock())
    async with open_rim(tmp_path) as rim:
        rim.hub.prove = lambda nonce: signing.sign(signing.HUB, {"nonce": nonce}, OURS).to_json()
        _, token = await rim.device(Role.RUNNER, "runner")
        async with serving(rim.hub, rim.app) as at:
            computer = Linked(at.url)
            link = computer.link(token)
            before = await link.send([WISH.but(op_id=ids.new("op"))])
        server = await asyncio.start_server((stranger := Stranger(OTHERS["another hub"])).serve, "127.0.0.1", at.port)
        async with server:
            with pytest.raises(DeskhandError) as refused:
                await link.send([WISH.but(op_id=ids.new("op"))])
        await stranger.end()
        async with serving(rim.hub, rim.app, where=Bind(port=at.port)):
            after = await link.send([WISH.but(op_id=ids.new("op"))])
            await closed(link)

    assert [one.status for one in (*before, *after)] == ["ok", "ok"]
    assert refused.value.code is Code.HUB_CHANGED
    assert (b"dhs_" in stranger.heard, len(computer.told)) == (False, 1)


async def test_a_redirect_is_not_followed_and_secure_stays_secure(tmp_path: Path) -> None:
    """PA-09: our hub's own redirect, to another host or from https to http, leads nowhere: no downgrade."""
    certificate, key = certify(tmp_path, HERE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    known = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=str(certificate)))

    async with answering(lambda _: b"{}") as plain:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {plain.url}/v1/ops\r\nContent-Length: 0\r\n\r\n".encode()
        async with answering(lambda nonce: proof(OURS, nonce) if nonce else moved, context) as ours:
            why = await Linked(ours.url, known).refused()

    assert why == ["hub_unreachable"] * 4
    assert b"dhs_" in ours.heard
    assert plain.heard == b""


async def test_another_certificate_stops_it(tmp_path: Path) -> None:
    """PA-09: what nobody vouches for is not spoken to, and the reason names the certificate."""
    certificate, key = certify(tmp_path, HERE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async with answering(lambda nonce: proof(OURS, nonce), context) as stranger:
        computer = Linked(stranger.url)
        why = await computer.refused()

    assert why == ["hub_changed"] * 4
    assert (stranger.heard, len(computer.told)) == (b"", 1)
    assert "certificate: self-signed certificate" in computer.told[0].sentence()


async def test_a_secure_address_that_answers_in_the_clear_hears_nothing() -> None:
    """PA-09: https is never left for http."""
    async with answering(lambda nonce: proof(OURS, nonce)) as stranger:
        why = await Linked(stranger.url.replace("http:", "https:")).refused()

    assert why == ["hub_unreachable"] * 4
    assert b"dhs_" not in stranger.heard
