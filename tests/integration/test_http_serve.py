"""The rim on a real socket: streams, who is cut, and a quick clean end (AU-05, RL-01, RL-04)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http import app as http_app
from deskhand.hub.http import messages
from deskhand.hub.http.access import uid_of
from deskhand.hub.http.app import Bind, serving
from deskhand.protocol.objects import Role
from tests.rim import Rim, open_rim, thread_op


@asynccontextmanager
async def running(home: Path) -> AsyncGenerator[tuple[Rim, Bind]]:
    async with open_rim(home, on_disk=True) as rim, serving(rim.hub, rim.app) as answering:
        yield rim, answering


def client(answering: Bind, token: str) -> httpx.AsyncClient:
    told = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=answering.url, headers=told, timeout=10)


async def frames(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    frame: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if not line:
            yield frame
            frame = {}
        else:
            name, _, value = line.partition(": ")
            frame[name] = value


async def test_a_stream_gives_the_past_then_what_comes(tmp_path: Path) -> None:
    """First it says which log this is; events carry their seq as id; a heartbeat ends the past; Last-Event-ID wins."""
    async with running(tmp_path) as (rim, answering), client(answering, rim.owner.token) as owner:
        await owner.post("/v1/ops", json={"ops": [thread_op("op-number-1")]})
        told = {"Last-Event-ID": "1"}
        async with owner.stream("GET", "/v1/stream?after=0", headers=told) as answer:
            seen = frames(answer)
            log, past, beat = await anext(seen), await anext(seen), await anext(seen)
            await owner.post("/v1/ops", json={"ops": [thread_op("op-number-2", "Now")]})
            live = await anext(seen)

    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert (answer.headers["X-Accel-Buffering"], answer.headers["Cache-Control"]) == ("no", "no-store, no-transform")
    assert (log["event"], log["id"]) == ("heartbeat", "1")
    assert json.loads(log["data"]) == {"incarnation": "", "head": 2}
    assert (past["event"], past["id"], beat["event"], beat["id"]) == ("event", "2", "heartbeat", "2")
    assert json.loads(live["data"])["body"]["title"] == "Now"
    assert live["id"] == "3"


async def test_a_revoked_device_is_cut_at_once(tmp_path: Path) -> None:
    """The open stream of a removed device ends, and it cannot come back (AU-05)."""
    async with running(tmp_path) as (rim, answering), client(answering, rim.owner.token) as owner:
        device, token = await rim.device(Role.OWNER)
        async with client(answering, token) as phone, phone.stream("GET", "/v1/stream") as answer:
            seen = frames(answer)
            await anext(seen)
            begun = rim.hub.clock.monotonic()
            await owner.delete(f"/v1/devices/{device}")
            rest = [frame async for frame in seen]
            took = rim.hub.clock.monotonic() - begun
            again = await phone.get("/v1/sync")

    assert took < 2
    assert "device.revoked" not in [json.loads(one.get("data", "{}")).get("kind") for one in rest[:-1]]
    assert again.status_code == 401


async def test_too_many_streams_of_one_device_are_refused_with_a_status(tmp_path: Path) -> None:
    """The seventeenth stream is a 429 with a time, not a stream that says nothing (RL-02)."""
    async with running(tmp_path) as (rim, answering), client(answering, rim.owner.token) as owner:
        opened = [await owner.send(owner.build_request("GET", "/v1/stream"), stream=True) for _ in range(17)]
        for answer in opened:
            await answer.aclose()

    assert [one.status_code for one in opened] == [200] * 16 + [429]
    assert "Retry-After" in opened[-1].headers


async def test_a_reader_that_does_not_read_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is gone after the patience is over; nothing is kept for it (RL-04)."""
    monkeypatch.setattr(messages, "STALL_SECONDS_MAX", 0.3)
    async with running(tmp_path) as (rim, answering):
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)  # noqa: FBT003 - the name of the call says it
        await loop.sock_connect(deaf, ("127.0.0.1", answering.port))
        asked = f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{answering.port}\r\nAuthorization: Bearer {rim.owner.token}\r\n\r\n"
        await loop.sock_sendall(deaf, asked.encode())
        async with client(answering, rim.owner.token) as owner, asyncio.timeout(15):
            number = 0
            while number == 0 or rim.hub.streams._listeners:
                number += 1
                ops = [long_message(f"op-deaf-{number}-{part}") for part in range(10)]
                posted = await owner.post("/v1/ops", json={"ops": ops})
                posted.raise_for_status()
        deaf.close()

    assert number > 1


async def test_a_connection_that_asks_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a header for ever does not hold a connection (RL-01)."""
    monkeypatch.setattr(http_app, "HEADER_SECONDS_MAX", 0.2)
    async with running(tmp_path) as (_, answering):
        reader, writer = await asyncio.open_connection("127.0.0.1", answering.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: 127")

        with pytest.raises(ConnectionError):
            await _until_closed(reader)
        writer.close()


async def test_silent_connections_do_not_crowd_out_a_device(tmp_path: Path) -> None:
    """Beyond a number of silent connections the oldest go; a paired device is answered (RL-01)."""
    async with running(tmp_path) as (rim, answering), client(answering, rim.owner.token) as owner:
        silent = [await asyncio.open_connection("127.0.0.1", answering.port) for _ in range(600)]

        answer = await owner.get("/v1/tasks")
        with pytest.raises(ConnectionError):
            await _until_closed(silent[0][0])
        for _, writer in silent:
            writer.close()
        await asyncio.gather(*(one.wait_closed() for _, one in silent), return_exceptions=True)

    assert answer.status_code == 200


async def test_stopping_ends_open_streams_quickly(tmp_path: Path) -> None:
    """Streams are ended by us, so that the end does not wait for anybody."""
    async with open_rim(tmp_path, on_disk=True) as rim:
        clock = rim.hub.clock
        async with serving(rim.hub, rim.app) as answering, client(answering, rim.owner.token) as owner:
            opened = [await owner.send(owner.build_request("GET", "/v1/stream"), stream=True) for _ in range(5)]
            begun = clock.monotonic()
        took = clock.monotonic() - begun

    assert [one.status_code for one in opened] == [200] * 5
    assert took < 3


async def test_sigterm_ends_a_process_with_open_streams(tmp_path: Path) -> None:
    """A supervisor's SIGTERM is obeyed within three seconds, with exit code 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    told = {"Authorization": f"Bearer {ready['token']}"}
    async with httpx.AsyncClient(headers=told) as owner, owner.stream("GET", f"{ready['url']}/v1/stream") as answer:
        await anext(answer.aiter_lines())
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            code = await process.wait()

    assert code == 0


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The second hub on a port says so instead of dying of an OSError."""
    async with running(tmp_path) as (_, answering):
        with pytest.raises(DeskhandError) as refused:
            http_app.bind(Bind(port=answering.port))

    assert refused.value.code is Code.PORT_TAKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - the point of the test
def test_only_loopback_is_bound_unless_the_owner_says_otherwise(host: str) -> None:
    """Nobody is exposed by default or by accident (AU-02)."""
    with pytest.raises(DeskhandError) as refused:
        http_app.bind(Bind(host=host))

    assert refused.value.code is Code.CONFIG_INVALID


async def test_the_kernel_says_whose_connection_it_is(tmp_path: Path) -> None:
    """The uid of the other end of a loopback connection is ours when we opened it."""
    async with running(tmp_path) as (_, answering):
        _, writer = await asyncio.open_connection("127.0.0.1", answering.port)
        ours: tuple[str, int] = writer.get_extra_info("sockname")

        found = uid_of(("127.0.0.1", answering.port), ours)
        nobodys = uid_of(("127.0.0.1", answering.port), ("127.0.0.1", 1))
        writer.close()

    assert (found, nobodys) == (os.getuid(), None)


def long_message(op_id: str) -> dict[str, object]:
    return {"op_id": op_id, "kind": "message.post", "body": {"text": "x" * 90_000}}


async def _until_closed(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(5):
        if not await reader.read():
            raise ConnectionResetError


_PROGRAM = """
import asyncio, json, signal, sys
from pathlib import Path
from deskhand.hub.http.app import serving
from tests.rim import open_rim

async def main():
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with (
        open_rim(Path(sys.argv[1]), on_disk=True) as rim,
        serving(rim.hub, rim.app) as answering,
    ):
        print(json.dumps({"url": answering.url, "token": rim.owner.token}), flush=True)
        await asked.wait()

asyncio.run(main())
"""
