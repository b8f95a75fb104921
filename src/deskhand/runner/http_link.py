"""The ``Link`` port over HTTP: ops by POST, events by a stream that is read line by line.

It refuses to guess after a broken answer: what the hub did with a batch is asked again with the same op ids.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, cast
from urllib.parse import quote, urlsplit

import httpx

from deskhand.errors import Code, DeskhandError
from deskhand.limits import HEARTBEAT_SECONDS, PROTOCOL
from deskhand.ports import Frame
from deskhand.protocol.events import Event
from deskhand.protocol.ops import Op, OpResult
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


class HttpLink:
    """A runner's side of the protocol over HTTP, with the hub's address and this runner's token."""

    def __init__(self, url: str, *, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Deskhand-Protocol": str(PROTOCOL)},
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
        try:
            async with self._client.stream(method, path, **given) as response:  # pyright: ignore[reportArgumentType] - passed on as given
                if response.is_error:
                    with suppress(ValueError, KeyError, TypeError):
                        code = json.loads(await response.aread())["error"]["code"]
                        raise DeskhandError(Code(code))
                    raise DeskhandError(Code.HUB_UNREACHABLE, f"HTTP {response.status_code}")
                yield response
        except httpx.TransportError as error:
            raise DeskhandError(Code.HUB_UNREACHABLE, type(error).__name__) from None


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
