"""The described interface, driven by cases made from its own description: no 5xx, and nothing for a stranger (AU-01)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from deskhand.hub.http.app import RULES
from deskhand.protocol.objects import Role
from tests.rim import ORIGIN, Rim, open_rim

ENDLESS = {"GET /v1/stream", "GET /v1/sync"}
CASES_PER_OPERATION = 10


@schemathesis.serializer("application/offset+octet-stream")
def as_bytes(_: schemathesis.SerializationContext, value: object) -> bytes:
    """Send what stands for a chunk as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


class Driver:
    """Sends generated cases to one hub in process, as the owner and as nobody."""

    def __init__(self, runner: asyncio.Runner, rim: Rim) -> None:
        self._runner = runner
        self._rim = rim
        self.sent: dict[str, set[int]] = {}

    def send(self, label: str, case: schemathesis.Case[Any], *, as_owner: bool) -> httpx.Response:
        asked = case.as_transport_kwargs(base_url=ORIGIN)
        headers = cast("dict[str, str]", asked.get("headers") or {})
        told = {str(name): str(value) for name, value in headers.items()}
        client = self._rim.local if as_owner else self._rim.client()
        answer = self._runner.run(
            client.request(
                asked["method"],
                asked["url"],
                params=asked.get("params"),
                headers={name: value for name, value in told.items() if value.isascii()},
                content=asked.get("data"),
                json=asked.get("json"),
            )
        )
        self.sent.setdefault(label, set()).add(answer.status_code)
        return answer


@pytest.fixture
def driver(tmp_path: Path) -> Generator[Driver]:
    with asyncio.Runner() as runner:
        opening = open_rim(tmp_path, on_disk=True)
        rim = runner.run(cast("Any", opening.__aenter__()))
        yield Driver(runner, rim)
        runner.run(cast("Any", opening.__aexit__(None, None, None)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One described call and the cases that its description allows."""

    label: str
    cases: SearchStrategy[schemathesis.Case[Any]]


def operations(driver: Driver) -> list[Operation]:
    described = driver._runner.run(driver._rim.client().get("/openapi.json")).json()
    schema: Any = schemathesis.openapi.from_dict(described)
    found: list[Any] = [result.ok() for result in schema.get_all_operations()]
    made = [Operation(label=one.label, cases=one.as_strategy()) for one in found]
    return [one for one in made if one.label not in ENDLESS]


def drive(driver: Driver, operation: Operation, *, as_owner: bool) -> None:
    """Send bounded, reproducible cases of one operation."""

    @settings(
        max_examples=CASES_PER_OPERATION,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=operation.cases)
    def one(case: schemathesis.Case[Any]) -> None:
        answer = driver.send(operation.label, case, as_owner=as_owner)
        assert answer.status_code < 500, answer.text
        if not as_owner and RULES[operation.label].roles:
            assert answer.status_code in {400, 401, 403}, answer.text

    one()


@pytest.mark.timeout(60)
def test_no_case_of_the_description_breaks_the_hub(driver: Driver) -> None:
    """Whatever the description allows, the owner gets an answer or a refusal, never a 5xx."""
    found = operations(driver)

    for operation in found:
        drive(driver, operation, as_owner=True)

    assert len(driver.sent) == len(found) > 25


@pytest.mark.timeout(60)
def test_no_case_of_the_description_opens_a_route_to_a_stranger(driver: Driver) -> None:
    """However a request is shaped, without a credential a closed route stays closed (AU-01)."""
    found = operations(driver)

    for operation in found:
        drive(driver, operation, as_owner=False)

    assert len(driver.sent) == len(found)


def test_what_a_runner_gets_for_stored_bytes_is_what_is_described(driver: Driver) -> None:
    """The description says the status with which the hub takes a blob."""
    runner, rim, data = driver._runner, driver._rim, b"result"
    address = f"/v1/blobs/{hashlib.sha256(data).hexdigest()}"
    _, token = runner.run(rim.device(Role.RUNNER, "runner"))
    client = rim.client(token, **{"Content-Type": "application/octet-stream"})

    stored = runner.run(client.put(address, content=data))
    described = runner.run(client.get("/openapi.json")).json()

    said = described["paths"]["/v1/blobs/{sha256}"]["put"]["responses"]
    assert [code for code in said if code.startswith("2")] == [str(stored.status_code)]
