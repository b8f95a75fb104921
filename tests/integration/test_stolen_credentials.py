"""What a credential in other hands is worth, and that nothing speaks a protocol beside the routes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.rim import ORIGIN, Rim, open_rim


@pytest.fixture
async def rim(tmp_path: Path) -> AsyncGenerator[Rim]:
    async with open_rim(tmp_path) as opened:
        yield opened


def _with(rim: Rim, cookie_of: httpx.AsyncClient | None, key_of: httpx.AsyncClient | None) -> httpx.AsyncClient:
    client = rim.client(Origin=ORIGIN)
    if cookie_of is not None:
        client.cookies = cookie_of.cookies
    if key_of is not None:
        client.headers["X-Deskhand-Key"] = key_of.headers["X-Deskhand-Key"]
    return client


async def test_half_a_session_or_two_halves_of_different_ones_let_nobody_in(rim: Rim) -> None:
    """AU-06, PA-06: a cookie copied to another browser is worth nothing without the key that stays in the first one."""
    mine, other = rim.client(), rim.client()
    await rim.page(mine)
    await rim.page(other)

    answers = [
        (await _with(rim, cookie, key).get("/v1/tasks")).status_code
        for cookie, key in ((mine, mine), (mine, None), (None, mine), (mine, other), (other, mine))
    ]

    assert answers == [200, 401, 401, 401, 401]


@pytest.mark.parametrize("path", ["/", "/v1/stream", "/v1/ops", "/v1/ws", "/ws"])
@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example"])
async def test_no_web_socket_is_ever_accepted(rim: Rim, path: str, origin: str) -> None:
    """OR-01: there is none, so an upgrade is closed before it is one, whoever asks for it."""
    headers = [(b"host", b"127.0.0.1:3375"), (b"origin", origin.encode())]
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": path,
        "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": headers, "subprotocols": [],
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 3375), "extensions": {},
    }  # fmt: skip
    said: list[str] = []

    async def hear() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def tell(message: dict[str, object]) -> None:
        said.append(str(message["type"]))

    await rim.app(scope, hear, tell)  # pyright: ignore[reportArgumentType] - a scope is any mapping

    assert said == ["websocket.close"]
