"""Who may call what: the table of routes, credentials, and what a stranger learns (AU, PA-08)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import APIRouter
from typing_extensions import override

from deskhand.clock import SystemClock
from deskhand.errors import DeskhandError
from deskhand.hub.credentials import Throttle
from deskhand.hub.http.app import RULES, GuardedRoute
from deskhand.limits import BAD_LOGINS_PER_MINUTE_MAX, CODE_TRIES_MAX, INVITE_SECONDS
from deskhand.protocol.objects import Role, Thread
from deskhand.protocol.signing import new_key
from deskhand.store.private import Safe
from tests.rim import JSON, TUS, Rim, code_of, open_rim, thread_op


@pytest.fixture
async def rim(tmp_path: Path) -> AsyncGenerator[Rim]:
    async with open_rim(tmp_path) as opened:
        yield opened


CLOSED = sorted(name for name, rule in RULES.items() if rule.roles)


@pytest.mark.parametrize("route", CLOSED)
async def test_a_route_without_a_credential_is_closed(rim: Rim, route: str) -> None:
    """Every route that is not public answers 401 without a credential, and gives no data (AU-01)."""
    method, _, path = route.partition(" ")
    client = rim.client()

    answer = await client.request(method, path.replace("{", "x").replace("}", ""), headers=TUS)

    assert answer.status_code == 401
    assert method == "HEAD" or set(answer.json()) == {"error"}


def test_an_unclassified_route_cannot_be_built() -> None:
    """A route that is in no row of the table fails where it is defined (AU-01)."""
    router = APIRouter(route_class=GuardedRoute)

    with pytest.raises(LookupError, match="/v1/backdoor"):
        router.get("/v1/backdoor")(lambda: None)


@pytest.mark.parametrize("token", ["undefined", "null", "dhs_" + "A" * 43, "", "a" * 5000, "\x7f", "dhs_sample"])
async def test_unknown_tokens_get_one_answer(rim: Rim, token: str) -> None:
    """Samples, nothing and garbage are all simply unknown (AU-02, AU-07)."""
    answer = await rim.client().get("/v1/tasks", headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, code_of(answer)) == (401, "unauthorized")


async def test_a_revoked_token_answers_as_an_unknown_one(rim: Rim) -> None:
    """After DELETE the next call is 401, the same as for a token that never was (AU-05, PA-07)."""
    device, token = await rim.device(Role.OWNER)
    before = await rim.client(token).get("/v1/tasks")

    gone = await rim.local.delete(f"/v1/devices/{device}")
    revoked = await rim.client(token).get("/v1/tasks")
    unknown = await rim.client("dhs_" + "B" * 43).get("/v1/tasks")

    assert (before.status_code, gone.status_code) == (200, 204)
    assert _without_id(revoked.json()) == _without_id(unknown.json())


async def test_a_page_needs_both_halves(rim: Rim) -> None:
    """The cookie alone (another port has it) and the key alone (script has it) are nothing."""
    client = rim.client()
    await rim.page(client)
    both = await client.get("/v1/tasks")
    key = client.headers.pop("X-Deskhand-Key")

    cookie_only = await client.get("/v1/tasks")
    key_only = await rim.client(**{"X-Deskhand-Key": key}).get("/v1/tasks")
    as_bearer = await rim.client(key).get("/v1/tasks")

    assert both.status_code == 200
    assert {cookie_only.status_code, key_only.status_code, as_bearer.status_code} == {401}


async def test_the_cookie_half_is_out_of_reach_of_scripts(rim: Rim) -> None:
    """HttpOnly, SameSite=Strict, and the port in its name on plain loopback."""
    client = rim.client()
    await rim.page(client)

    names = list(client.cookies.keys())

    assert names == ["dh_3375"]


async def test_two_credentials_on_one_request_are_refused(rim: Rim) -> None:
    """A bearer beside a page's halves is ambiguous, so neither counts."""
    client = rim.client()
    await rim.page(client)

    answer = await client.get("/v1/tasks", headers={"Authorization": f"Bearer {rim.owner.token}"})

    assert (answer.status_code, code_of(answer)) == (400, "two_credentials")


@pytest.mark.parametrize(
    "address", ["/v1/tasks?token={token}", "/v1/tasks?q={token}", "/v1/tasks/{token}", "/?access_token=x"]
)
async def test_a_token_in_an_address_is_refused_and_not_logged(
    rim: Rim, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands in an address ends in logs and histories (AU-03)."""
    caplog.set_level(logging.DEBUG, logger="deskhand")

    answer = await rim.client().get(address.format(token=rim.owner.token))

    assert (answer.status_code, code_of(answer)) == (400, "credential_in_query")
    assert rim.owner.token not in answer.text
    assert not [
        one for one in caplog.records if rim.owner.token in one.getMessage() and one.name.startswith("deskhand")
    ]


async def test_many_bad_logins_are_slowed_down_and_the_owner_is_not(rim: Rim) -> None:
    """A stranger gets 429 with a time; a good token from the same address still works (AU-08)."""
    stranger = rim.client("dhs_" + "C" * 43)
    for _ in range(BAD_LOGINS_PER_MINUTE_MAX):
        await stranger.get("/v1/tasks")

    slowed = await stranger.get("/v1/tasks")
    owner = await rim.local.get("/v1/tasks")

    assert (slowed.status_code, owner.status_code) == (429, 200)
    assert int(slowed.headers["Retry-After"]) > 0


async def test_who_was_slowed_down_stays_so_over_a_restart(tmp_path: Path) -> None:
    """100 bad logins, and of codes five: another hub process refuses at once, lets the owner in, and ends it in time (AU-08)."""
    async with open_rim(tmp_path) as rim:
        for _ in range(100):
            await rim.client("dhs_" + "C" * 43).get("/v1/tasks")
        for _ in range(CODE_TRIES_MAX):
            await rim.client().post("/v1/pair", json={"code": "12", "name": "x"})

    async with open_rim(tmp_path) as rim:
        login = await rim.client("dhs_" + "C" * 43).get("/v1/tasks")
        code = await rim.client().post("/v1/pair", json={"code": "12", "name": "x"})
        owner = await rim.local.get("/v1/tasks")

    assert (login.status_code, code.status_code, owner.status_code) == (429, 429, 200)
    assert 0 < int(login.headers["Retry-After"]) <= 60
    assert 60 < int(code.headers["Retry-After"]) <= INVITE_SECONDS


@dataclass(slots=True)
class StillClock(SystemClock):
    """A clock that somebody else moves."""

    at: datetime = datetime(2026, 1, 5, tzinfo=UTC)

    @override
    def now(self) -> datetime:
        """Return where it was put."""
        return self.at

    @override
    def monotonic(self) -> float:
        """Return how long this process runs: it has just begun."""
        return 5.0


@pytest.mark.parametrize("moved", [-86400.0, 0.0, 30.0, 61.0])
def test_a_kept_refusal_lasts_no_longer_than_its_window(tmp_path: Path, moved: float) -> None:
    """Whatever the clock did meanwhile: set back it lasts one window more, and what is over is over (AU-08)."""
    clock = StillClock()
    first = Throttle(clock, most=2, seconds=60, file=tmp_path / "tried.json")
    for _ in range(2):
        first.count("10.0.0.1")
    clock.at += timedelta(seconds=moved)

    again = Throttle(clock, most=2, seconds=60, file=tmp_path / "tried.json")
    left = 0.0
    try:
        again.check("10.0.0.1")
    except DeskhandError as refused:
        left = refused.retry_after_seconds or 0.0

    assert left == pytest.approx({-86400.0: 60.0, 0.0: 60.0, 30.0: 30.0, 61.0: 0.0}[moved])


@pytest.mark.parametrize("route", CLOSED)
async def test_what_opens_something_else_opens_no_route(rim: Rim, route: str) -> None:
    """AU-10: keys of models, bots and webhooks, the key of pushes and half a session are 401 wherever somebody acts."""
    safe, page = Safe(rim.home), rim.client()
    kept = {"OPENAI_API_KEY": "sk-" + "m" * 40, "BOT": "123456:" + "b" * 35, "WEBHOOK": "w" * 32, "vapid": new_key()}
    values = [safe.put(name, value).reveal() for name, value in kept.items()]
    await rim.page(page)
    values += [page.headers["X-Deskhand-Key"], next(iter(page.cookies.values()))]
    method, _, path = route.partition(" ")

    strangers = [rim.client(value.replace("\n", "")) for value in values]
    statuses = [(await one.request(method, path, headers=TUS)).status_code for one in strangers]

    assert statuses == [401] * 6


@pytest.mark.parametrize("route", ["GET /v1/tasks", "POST /v1/tasks", "GET /v1/devices", "POST /v1/uploads"])
async def test_a_runner_token_is_nothing_on_a_persons_route(rim: Rim, route: str) -> None:
    """A runner may not read or assign as a person (PA-08)."""
    _, token = await rim.device(Role.RUNNER, "runner")
    method, _, path = route.partition(" ")

    answer = await rim.client(token).request(method, path, headers=JSON)

    assert (answer.status_code, code_of(answer)) == (403, "forbidden")


async def test_a_persons_token_is_nothing_on_a_runners_route(rim: Rim) -> None:
    """Not even the owner may store blobs as a runner does (PA-08)."""
    answer = await rim.local.put(
        f"/v1/blobs/{'0' * 64}", content=b"", headers={"Content-Type": "application/octet-stream"}
    )

    assert (answer.status_code, code_of(answer)) == (403, "forbidden")


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER, Role.CLIENT, Role.BRIDGE])
async def test_only_the_owner_makes_invitations_and_removes_devices(rim: Rim, role: Role) -> None:
    """Nobody mints more than they hold (PA-04)."""
    _, token = await rim.device(role)
    client = rim.client(token)

    made = await client.post("/v1/pair/invites", json={})
    removed = await client.delete(f"/v1/devices/{rim.owner.device}")

    assert (made.status_code, removed.status_code) == (403, 403)


async def test_a_client_sees_its_own_tasks_only(rim: Rim) -> None:
    """Somebody else's task and one that never was are the same 404 to an integration (IS-01)."""
    _, token = await rim.device(Role.CLIENT, "client")
    mine, theirs = rim.client(token), rim.local
    own = (await mine.post("/v1/tasks", json={"text": "mine"})).json()
    other = (await theirs.post("/v1/tasks", json={"text": "theirs"})).json()

    listed = (await mine.get("/v1/tasks")).json()["items"]
    foreign = await mine.get(f"/v1/tasks/{other['id']}")
    unknown = await mine.get("/v1/tasks/tsk_none")

    assert [one["id"] for one in listed] == [own["id"]]
    assert foreign.status_code == unknown.status_code == 404
    assert _without_id(foreign.json()) == _without_id(unknown.json())


async def test_another_account_is_not_there(rim: Rim) -> None:
    """An id of another account is unknown, whatever one holds in one's own (IS-01)."""
    made = await rim.local.post("/v1/ops", json={"ops": [thread_op()]})
    thread = made.json()["results"][0]["id"]
    await rim.hub.store.create_account("acc_other")

    found = await rim.hub.store.get("acc_other", Thread, thread)

    assert found is None


async def test_refusals_speak_the_callers_language(rim: Rim) -> None:
    """The same refusal in Korean where Korean is asked for, with the id of the request."""
    answer = await rim.client(**{"Accept-Language": "ko-KR,ko;q=0.9"}).get("/v1/tasks")

    error = answer.json()["error"]

    assert error["message"] == "허브가 이 기기를 알지 못합니다."
    assert error["request_id"] == answer.headers["X-Request-Id"]


def _without_id(body: dict[str, dict[str, object]]) -> dict[str, object]:
    return {key: value for key, value in body["error"].items() if key != "request_id"}
