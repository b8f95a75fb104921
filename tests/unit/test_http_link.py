"""The runner's link over HTTP: what comes back is understood, or refused as what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.protocol.ops import Op
from deskhand.runner.http_link import HttpLink

EVENT = '{"seq":7,"kind":"task.paused","at":"2026-11-23T00:00:00.000Z","actor":"dev_1","body":{}}'
WISH = Op(op_id="op_00000001", kind="task.pause", task="tsk_1")


class Answering(httpx.AsyncBaseTransport):
    """A hub that gives one answer, or none."""

    def __init__(self, status: int, body: str, *, broken: bool = False) -> None:
        self.status = status
        self.body = body
        self.broken = broken
        self.asked: list[httpx.Request] = []

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.broken:
            raise httpx.ConnectError("refused")
        return httpx.Response(self.status, content=self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Break the answer anywhere: a stream has no respect for lines."""
        data = self.body.encode()
        for start in range(0, len(data), 5):
            yield data[start : start + 5]


def link(hub: Answering) -> HttpLink:
    return HttpLink("http://127.0.0.1:1", token="dhs_x", transport=hub)


async def test_a_stream_becomes_frames() -> None:
    """Events carry their seq, heartbeats move the cursor, unknown kinds and comments are passed over."""
    hub = Answering(
        200,
        f"id: 7\nevent: event\ndata: {EVENT}\n\n: hello\n\nevent: novelty\ndata: {{}}\n\n"
        "id: 9\nevent: heartbeat\ndata: {}\n\n",
    )

    frames = [frame async for frame in link(hub).stream(after=6)]

    assert [(one.kind, one.seq, one.event and one.event.kind) for one in frames] == [
        ("event", 7, "task.paused"),
        ("heartbeat", 9, None),
    ]
    assert str(hub.asked[0].url).endswith("/v1/stream?after=6")


async def test_a_frame_without_data_is_whole() -> None:
    """A reset has nothing to say but its name."""
    hub = Answering(200, "id: 3\nevent: reset\n\n")

    frames = [frame async for frame in link(hub).stream(after=6)]

    assert [(one.kind, one.seq, one.data) for one in frames] == [("reset", 3, {})]


@pytest.mark.parametrize(
    ("hub", "code"),
    [
        (Answering(401, '{"error":{"code":"unauthorized"}}'), Code.UNAUTHORIZED),
        (Answering(426, '{"error":{"code":"upgrade_required"}}'), Code.UPGRADE_REQUIRED),
        (Answering(502, "<h1>Bad gateway</h1>"), Code.HUB_UNREACHABLE),
        (Answering(200, '{"results":[]}'), Code.HUB_UNREACHABLE),
        (Answering(0, "", broken=True), Code.HUB_UNREACHABLE),
    ],
)
async def test_what_is_no_answer_is_refused_as_what_it_is(hub: Answering, code: Code) -> None:
    """A runner waits for a hub that is away and stops for one that does not want it."""
    with pytest.raises(DeskhandError) as refused:
        await link(hub).send([WISH])

    assert refused.value.code is code
