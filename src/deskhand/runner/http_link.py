"""The ``Link`` port over HTTP: ops by POST, events by a stream that is read line by line.

It refuses to guess after a broken answer: what the hub did with a batch is asked again with the same op ids. It follows
no redirect, and sends nothing to what is not the hub that this computer was paired with.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import quote, urlsplit

import httpx

from deskhand.errors import Code, DeskhandError
from deskhand.limits import HEARTBEAT_SECONDS, PROTOCOL
from deskhand.ports import Frame
from deskhand.protocol.events import Event
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.signing import hub_of
from deskhand.protocol.wire import JsonObject, strict_json

_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3.0
"""Short: a try made while the network was away must not hold up the next one, and ops may be sent again."""
_STREAM_SECONDS: Final = 3 * HEARTBEAT_SECONDS
"""Without three heartbeats in a row the line is dead, whatever TCP believes."""
_LINE_CHARS_MAX: Final = 8 * 1024**2
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are never spoken to through a proxy of the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """The hub that this computer was paired with, by its fingerprint; none is pinned by an empty one.

    ``nonce`` makes what it has to sign anew each time; ``tell`` hears once that it is another one that answers.
    """

    hub: str = ""
    nonce: Callable[[], str] = str
    tell: Callable[[DeskhandError], object] = str


class HttpLink:
    """A runner's side of the protocol over HTTP, with the hub's address and this runner's token."""

    def __init__(
        self, url: str, *, token: str, pinned: Pinned = Pinned(), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._pinned, self._told = pinned, False
        self._token = {"Authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Deskhand-Protocol": str(PROTOCOL)},
            timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS),
            transport=transport,
            trust_env=urlsplit(url).hostname not in _LOCAL,
        )

    async def send(self, ops: Sequence[Op]) -> list[OpResult]:
        """Send ops and return their results, in order.

        Raises:
            DeskhandError: ``hub_unreachable`` (nothing is known), ``unauthorized``, ``upgrade_required``.
        """
        body = {"ops": [op.to_json() for op in ops]}
        patience = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
        async with self._answer("POST", "/v1/ops", json=body, timeout=patience) as response:
            said = strict_json(await response.aread())
        results = said.get("results") if isinstance(said, dict) else None
        if not isinstance(results, list) or len(results) != len(ops):
            raise DeskhandError(Code.HUB_UNREACHABLE, "not a hub's answer")
        return [OpResult.from_json(result) for result in results]

    async def stream(self, *, after: int) -> AsyncGenerator[Frame]:
        """Yield frames after a cursor until the link breaks.

        Raises:
            DeskhandError: ``hub_unreachable``, ``unauthorized``, ``upgrade_required``.
        """
        patience = httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS, read=_STREAM_SECONDS)
        async with self._answer("GET", f"/v1/stream?after={after}", timeout=patience) as response:
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                if len(line) > _LINE_CHARS_MAX:
                    raise DeskhandError(Code.TOO_LARGE, "a frame of the stream")
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                    continue
                frame = _frame(fields)
                fields = {}
                if frame is not None:
                    yield frame

    async def upload_blob(self, data: AsyncIterator[bytes], *, sha256: str, size: int) -> None:
        """Store bytes on the hub before an event names them; again is nothing."""
        path = f"/v1/blobs/{sha256}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        async with self._answer("PUT", path, content=data, headers=headers) as response:
            await response.aread()

    async def download_file(self, file: str) -> AsyncGenerator[bytes]:
        """Yield the bytes of an upload that came with a message of an assigned task."""
        path = f"/v1/files/{quote(file, safe='')}/content"
        async with self._answer("GET", path) as response:
            async for chunk in response.aiter_bytes():
                yield chunk

    @asynccontextmanager
    async def _answer(self, method: str, path: str, **given: object) -> AsyncGenerator[httpx.Response]:
        """Send a request; an answer that is not a yes becomes what it says."""
        given["headers"] = {**self._token, **cast("dict[str, str]", given.get("headers") or {})}
        seen = {"trace": self._recognise}
        try:
            async with self._client.stream(method, path, extensions=seen, **given) as response:  # pyright: ignore[reportArgumentType] - passed on as given
                if not response.is_success:
                    with suppress(ValueError, KeyError, TypeError):
                        code = json.loads(await response.aread())["error"]["code"]
                        raise DeskhandError(Code(code))
                    raise DeskhandError(Code.HUB_UNREACHABLE, f"HTTP {response.status_code}")
                self._told = False
                yield response
        except httpx.TransportError as error:
            raise self._absence(error) from None

    async def _recognise(self, happens: str, _: object) -> None:
        """Have whoever answers prove who they are, before a connection is made that carries our token (PA-09)."""
        if happens != "connection.connect_tcp.started" or not self._pinned.hub:
            return
        nonce = self._pinned.nonce()
        answer = await self._client.get("/v1/version", params={"nonce": nonce})
        if answer.is_server_error:  # of what stands before a hub that is away
            raise DeskhandError(Code.HUB_UNREACHABLE, f"HTTP {answer.status_code}")
        mark = ""
        with suppress(DeskhandError):
            said = strict_json(answer.content)
            mark = hub_of(said.get("hub"), nonce) if isinstance(said, dict) else ""
        if mark != self._pinned.hub:
            raise self._absence()

    def _absence(self, error: BaseException | None = None) -> DeskhandError:
        """Return what it means that nothing came: nobody is there, or without an error or certificate somebody else.

        Of that whoever is at this computer is told once.
        """
        cause = error
        while cause and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        if error and not cause:
            return DeskhandError(Code.HUB_UNREACHABLE, type(error).__name__)
        other = DeskhandError(Code.HUB_CHANGED, f"certificate: {cause.verify_message}" if cause else "")
        if not self._told:
            self._pinned.tell(other)
        self._told = True
        return other


def _frame(fields: dict[str, str]) -> Frame | None:
    """Return the frame of one block of the stream; a kind this build does not know is passed over."""
    number = fields.get("id", "")
    seq = int(number) if number.isdigit() else None
    data = cast("JsonObject", strict_json((fields.get("data") or "{}").encode()))
    match fields.get("event"):
        case "event":
            return Frame(kind="event", seq=seq, event=Event.from_json(data))
        case "watch" | "reset" | "heartbeat" as kind:
            return Frame(kind=kind, seq=seq, data=data)
        case _:
            return None
