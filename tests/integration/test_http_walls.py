"""What no request gets past: foreign hosts and origins, odd bodies, other protocols (OR, WH-05, WH-06)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx
import pytest

from deskhand.hub.http import messages
from deskhand.hub.http.messages import Names
from deskhand.limits import BODY_BYTES_MAX
from tests.rim import JSON, ORIGIN, Rim, code_of, open_rim, thread_op

QUOTED = "what somebody sent"


@pytest.fixture
async def rim(tmp_path: Path) -> AsyncGenerator[Rim]:
    async with open_rim(tmp_path) as opened:
        yield opened


@pytest.fixture
async def page(rim: Rim) -> httpx.AsyncClient:
    client = rim.client()
    await rim.page(client)
    return client


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "127.0.0.1:3375@evil",
        "0x7f000001",
        "xn--localhst-9za",
        "",
    ],
)
async def test_a_foreign_host_is_turned_away(rim: Rim, host: str) -> None:
    """A name that resolves to loopback is still not the hub's name (OR-02, OR-07)."""
    answer = await rim.local.get("/v1/tasks", headers={"Host": host})

    assert (answer.status_code, code_of(answer)) == (421, "host_refused")


async def test_configured_names_are_answered_under_their_scheme() -> None:
    """A bare name is https, a bare address is plain, an origin says it itself."""
    names = Names(("laptop.example.ts.net", "192.168.1.5", "http://box:81"))

    assert names.origin("laptop.example.ts.net") == "https://laptop.example.ts.net"
    assert names.origin("192.168.1.5:3375") == "http://192.168.1.5:3375"
    assert names.origin("box:81") == "http://box:81"
    assert names.origin("laptop.example") is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://127.0.0.1:9999",
        "http://evil.example",
        "https://127.0.0.1:3375",
        ORIGIN + ".",
        "http://localhost:3375",
    ],
)
async def test_a_foreign_origin_cannot_write(page: httpx.AsyncClient, origin: str) -> None:
    """Another port of the same host is another origin, even with cookie and key (OR-03, OR-07)."""
    answer = await page.post("/v1/ops", json={"ops": [thread_op()]}, headers={"Origin": origin})

    assert (answer.status_code, code_of(answer)) == (403, "origin_refused")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_page_that_does_not_say_its_origin_cannot_write(page: httpx.AsyncClient) -> None:
    """A cookie-authenticated write without Origin is refused, a read is not (OR-03)."""
    del page.headers["Origin"]

    written = await page.post("/v1/ops", json={"ops": [thread_op()]})
    read = await page.get("/v1/tasks")

    assert (written.status_code, read.status_code) == (403, 200)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_a_browser_that_says_the_request_is_foreign_is_believed(page: httpx.AsyncClient, site: str) -> None:
    """Sec-Fetch-Site other than same-origin ends a page's request, reading too."""
    answer = await page.get("/v1/tasks", headers={"Sec-Fetch-Site": site})

    assert (answer.status_code, code_of(answer)) == (403, "origin_refused")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json; charset=utf-7",
        "",
    ],
)
async def test_only_the_exact_content_type_is_read(rim: Rim, kind: str) -> None:
    """A simple cross-site form or text cannot carry an op (OR-04)."""
    answer = await rim.local.post("/v1/ops", content=b'{"ops":[]}', headers={"Content-Type": kind})

    assert (answer.status_code, code_of(answer)) == (415, "unsupported_type")


async def test_a_packed_body_is_not_unpacked(rim: Rim) -> None:
    """A compressed bomb is refused by its header (OR-08)."""
    answer = await rim.local.post("/v1/ops", content=b"\x1f\x8b", headers={**JSON, "Content-Encoding": "gzip"})

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b'{"ops":[],"ops":[]}',
        b'{"ops":NaN}',
        b'{"ops":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"ops":123456789012345678901234567890}',
        b'{"ops":"\\ud800"}',
        b"\xff\xfe",
        b"",
        b"[",
    ],
    ids=["duplicate", "nan", "deep", "huge", "surrogate", "bytes", "empty", "cut"],
)
async def test_json_that_parsers_disagree_about_is_refused(rim: Rim, body: bytes) -> None:
    """NaN, duplicate keys, depth, huge integers, lone surrogates: 400 before anything is read from it (WH-06)."""
    answer = await rim.local.post("/v1/ops", content=body, headers=JSON)

    assert (answer.status_code, code_of(answer)) == (400, "malformed_json")


async def test_a_body_that_says_it_is_huge_is_not_read(rim: Rim) -> None:
    """Content-Length beyond the bound is refused by the header alone (WH-05)."""
    answer = await rim.local.post("/v1/ops", content=b"x" * (BODY_BYTES_MAX + 1), headers=JSON)

    assert (answer.status_code, code_of(answer)) == (413, "too_large")


async def test_an_endless_body_ends_at_the_bound(rim: Rim) -> None:
    """Without a length the bytes are counted as they come (WH-05)."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    answer = await rim.local.post("/v1/ops", content=endless(), headers=JSON)

    assert (answer.status_code, code_of(answer)) == (413, "too_large")
    assert sent < 2 * BODY_BYTES_MAX


async def test_a_body_that_stalls_is_given_up(rim: Rim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that says nothing for a while gets 408 (WH-05)."""
    monkeypatch.setattr(messages, "STALL_SECONDS_MAX", 0.05)
    clock = rim.hub.clock

    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        await clock.sleep(30)

    answer = await rim.local.post("/v1/ops", content=stalling(), headers=JSON)

    assert (answer.status_code, code_of(answer)) == (408, "body_timeout")


@pytest.mark.parametrize(("said", "status"), [("1", 200), ("0", 426), ("2", 426), ("x", 400), ("9" * 50, 400)])
async def test_another_protocol_is_told_to_upgrade(rim: Rim, said: str, status: int) -> None:
    """Outside the range of versions a client gets 426, not a surprise."""
    answer = await rim.local.get("/v1/tasks", headers={"Deskhand-Protocol": said})

    assert answer.status_code == status


async def test_a_preflight_gets_no_permission(rim: Rim) -> None:
    """There is no CORS answer at all (OR-07)."""
    told = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}

    answer = await rim.client().options("/v1/ops", headers=told)

    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_wrong_method_says_the_right_ones(rim: Rim) -> None:
    """405 names what the address understands."""
    answer = await rim.local.put("/v1/tasks")

    assert (answer.status_code, code_of(answer)) == (405, "method_refused")
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("path", ["/", "/v1/tasks", "/nothing", "/healthz", "/openapi.json"])
async def test_every_answer_is_dressed(rim: Rim, path: str) -> None:
    """No sniffing, no referrer, no framing, no reading from other origins, on refusals too (OR-06)."""
    answer = await rim.client().get(path)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_crash_inside_shows_an_id_and_nothing_else(
    rim: Rim, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is ``internal`` with the request's id; its message stays out of answer and log."""

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError(QUOTED.upper())

    monkeypatch.setattr(rim.hub, "snapshot", crash)

    answer = await rim.local.get("/v1/snapshot")

    assert (answer.status_code, code_of(answer)) == (500, "internal")
    assert answer.json()["error"]["request_id"] in caplog.text
    assert QUOTED.upper() not in answer.text + caplog.text


async def test_the_built_page_is_served_under_its_own_policy(tmp_path: Path) -> None:
    """Hashed files are kept for ever, the start page never; all go out packed to whoever takes them so."""
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>app")
    (page / "sw.js").write_text("self.skipWaiting()")
    (page / "assets" / "app-Dx81hGq_.js").write_text("1")
    async with open_rim(tmp_path, page=page) as rim:
        client = rim.client()

        index, asset = await client.get("/"), await client.get("/assets/app-Dx81hGq_.js")
        worker = await client.get("/sw.js")
        plain = await client.get("/sw.js", headers={"Accept-Encoding": "identity"})
        walked = await client.get("/assets/%2e%2e/%2e%2e/owner.json")

    assert (index.headers["Content-Security-Policy"], index.headers["Cache-Control"]) == (
        messages.HEADERS["page"]["Content-Security-Policy"],
        "no-store",
    )
    assert "immutable" in asset.headers["Cache-Control"]
    assert worker.headers["Content-Type"].startswith("text/javascript")
    assert (worker.headers["Content-Encoding"], worker.text) == ("gzip", plain.text)
    assert "Content-Encoding" not in plain.headers
    assert walked.status_code == 404


async def test_without_a_page_the_hub_says_how_to_build_it(rim: Rim) -> None:
    """A checkout without the built page answers with one plain sentence."""
    answer = await rim.client(**{"Accept-Language": "en"}).get("/")

    assert (answer.status_code, "make web" in answer.text) == (200, True)
