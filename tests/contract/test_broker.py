"""The broker over real sockets: listed by the owner now, counted, written down, with what the owner keeps for a host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from deskhand import limits
from deskhand.egress import EgressRequest, EgressResponse
from deskhand.egress.broker import Broker, lines
from deskhand.errors import Code, DeskhandError
from tests.canary import Canary, answer, canary

SECRET = "tokn-1f0e9d8c"


def broker_of(site: Canary, *entries: str, path: Path | None = None) -> Broker:
    """Return a broker for whom the site is listed, or what a test lists."""
    return Broker(hosts=lambda: entries or (site.host,), path=path)


async def get(
    broker: Broker, url: str, *, task: str = "tsk_1", headers: Mapping[str, str] | None = None
) -> EgressResponse:
    """Ask as a tool does."""
    request = EgressRequest(method="GET", url=url, headers=headers or {})
    return await broker.send(request, task=task)


def size_of(folder: Path) -> int:
    """Return how much is in a directory."""
    return sum(path.stat().st_size for path in folder.iterdir())


async def refused(broker: Broker, url: str, headers: Mapping[str, str] | None = None) -> Code:
    """Return why a request was refused."""
    with pytest.raises(DeskhandError) as caught:
        await get(broker, url, headers=headers)
    return caught.value.code


async def test_nothing_is_asked_until_a_host_is_listed_and_nothing_after_it_is_taken_out() -> None:
    """RO-05: the list is read anew for every request."""
    listed: list[str] = []
    broker = Broker(hosts=lambda: listed)
    async with canary() as site:
        before = await refused(broker, site.url)
        listed.append(site.host)
        answered = await get(broker, site.url)
        listed.clear()
        after = await refused(broker, site.url)

    assert (before, answered.status, after) == (Code.ADDRESS_REFUSED, 200, Code.ADDRESS_REFUSED)
    assert len(site.heads) == 1


@pytest.mark.parametrize("listed", ["127.0.0.1", "localhost", "GET 127.0.0.1/"])
async def test_a_private_address_needs_an_entry_with_its_port(listed: str) -> None:
    """NE-08: loopback, and with it the hub's port, is never reached by an entry for the host alone."""
    async with canary() as site:
        code = await refused(broker_of(site, listed), site.url)

    assert (code, site.heads) == (Code.ADDRESS_REFUSED, [])


async def test_method_and_path_of_an_entry_are_held() -> None:
    """NE-04: another path of the same host is not asked for."""
    async with canary() as site:
        broker = broker_of(site, f"GET {site.host}/mine")

        answered = await get(broker, f"{site.url}/mine/a")
        codes = [await refused(broker, site.url + path) for path in ("/yours", "/mine/../yours")]

    assert (answered.status, codes) == (200, [Code.ADDRESS_REFUSED] * 2)
    assert len(site.heads) == 1


# --- credentials -----------------------------------------------------------------------------------------------


def keeping(site: Canary, *hosts: str, at: str = "/v1") -> Broker:
    """Return a broker that has a credential for a part of a site."""
    return Broker(
        hosts=lambda: hosts or (site.host,),
        credentials=lambda: [f"{site.host}{at} Authorization: Bearer {{example}}"],
        secret={"example": SECRET}.get,
    )


async def test_what_the_owner_keeps_for_a_host_goes_along_and_comes_not_back() -> None:
    """SE-01, NE-03: it is put on after every decision, and a host that repeats it tells the agent nothing."""
    repeated = answer(f"you said {SECRET}".encode(), f"X-You-Said: {SECRET}")
    async with canary({"/v1/a": repeated}) as site:
        answered = await get(keeping(site), f"{site.url}/v1/a")

    assert f"Authorization: Bearer {SECRET}" in site.heads[0]
    assert SECRET not in answered.body.decode() + json.dumps(dict(answered.headers))


async def test_a_credential_goes_to_its_own_path_and_host_only() -> None:
    """NE-06: neither another path of its host nor another host gets it."""
    async with canary() as site, canary() as other:
        broker = keeping(site, site.host, other.host)

        await get(broker, f"{site.url}/v2/a")
        await get(broker, f"{other.url}/v1/a")

    assert not any("authorization" in head.lower() for head in (*site.heads, *other.heads))


async def test_without_its_secret_nothing_is_sent() -> None:
    """NE-03: a request that would go out nameless is not made."""
    async with canary() as site:
        broker = Broker(hosts=lambda: [site.host], credentials=lambda: [f"{site.host}/ X-Key: {{missing}}"])

        code = await refused(broker, site.url)

    assert (code, site.heads) == (Code.UNAVAILABLE, [])


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer theirs"}, ""),
        ({"authorization": "Basic eA=="}, ""),
        ({"Cookie": "a=b"}, ""),
        ({"X-Api-Key": "theirs"}, ""),
        ({"Private-Token": "theirs"}, ""),
        ({}, "?api_key=theirs"),
        ({}, "?a=b&access_token=theirs"),
        ({}, "?%61pi%5fkey=theirs"),
        ({}, "?X-Amz-Signature=theirs"),
        ({}, "?key="),
    ],
)
async def test_a_request_with_a_credential_of_its_own_is_refused(headers: dict[str, str], query: str) -> None:
    """NE-03: a listed host is not spoken to in a stranger's name."""
    async with canary() as site:
        code = await refused(broker_of(site), f"{site.url}/upload{query}", headers)

    assert (code, site.heads) == (Code.ADDRESS_REFUSED, [])


# --- counted and written down ----------------------------------------------------------------------------------


async def test_every_request_leaves_one_line_without_query_headers_or_bytes(tmp_path: Path) -> None:
    """SE-01: one can read where a task went; nothing secret is in it, and nobody else may read it."""
    async with canary() as site:
        broker = broker_of(site, path=tmp_path / "egress")
        await get(broker, f"{site.url}/a?private=1", headers={"X-Note": "private"})
        await refused(broker, "https://evil.example/b?private=2")
        await refused(broker, "https://user:private@evil.example/")

    told = lines(tmp_path / "egress")
    file = tmp_path / "egress"
    assert [(one["host"], one["path"], one["ended"].split()[0]) for one in told] == [
        (site.host, "/a", "200"),
        ("evil.example:443", "/b", "address_refused"),
        ("", "", "address_refused"),
    ]
    assert "private" not in file.read_text("utf-8")
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("size", [0, 100_000])
async def test_a_task_that_says_too_much_is_stopped_and_stays_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """NE-10: requests and their bytes count, also after a restart; another task is not touched."""
    monkeypatch.setattr(limits, "EGRESS_TASK_OUT_BYTES_MAX", 20_000)
    async with canary() as site:
        broker = broker_of(site, path=tmp_path / "egress")
        request = EgressRequest(method="POST", url=site.url, body=b"x" * size)
        codes: list[Code] = []
        while not codes:
            try:
                await broker.send(request, task="tsk_1")
            except DeskhandError as error:
                codes.append(error.code)
        asked = len(site.heads)
        restarted = broker_of(site, path=tmp_path / "egress")
        codes.append(await refused(restarted, site.url))
        other = await get(restarted, site.url, task="tsk_2")

    assert codes == [Code.EGRESS_QUOTA] * 2
    assert asked <= (0 if size else 20_000 // limits.EGRESS_REQUEST_BYTES_MIN)
    assert (len(site.heads), other.status) == (asked + 1, 200)


async def test_a_task_that_hears_too_much_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """NE-10: what comes in counts as well."""
    monkeypatch.setattr(limits, "EGRESS_TASK_IN_BYTES_MAX", 50_000)
    async with canary({"/": answer(b"x" * 30_000)}) as site:
        broker = broker_of(site)
        await get(broker, f"{site.url}/")

        code = await refused(broker, f"{site.url}/")

    assert code is Code.EGRESS_QUOTA
    assert broker.over("tsk_1")


async def test_the_lines_have_an_end_and_a_cut_one_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full file makes room, the newest lines stay, and what a power cut left of one is no line."""
    monkeypatch.setattr(limits, "EGRESS_LOG_BYTES_MAX", 2_000)
    async with canary() as site:
        broker = broker_of(site, path=tmp_path / "egress.jsonl")
        for number in range(40):
            await get(broker, f"{site.url}/{number}")
        with (tmp_path / "egress.jsonl").open("a") as file:
            file.write('\n{"at": "2026-11-23T00:00:00", "task"')
        await get(broker, f"{site.url}/last")

    told = [one["path"] for one in lines(tmp_path / "egress.jsonl")]
    assert told[-3:] == ["/38", "/39", "/last"]
    assert len(told) > 5
    assert size_of(tmp_path) < 2 * 2_500
