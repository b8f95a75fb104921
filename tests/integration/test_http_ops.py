"""Writing and reading over HTTP: ops, tasks, lists, settings, pushes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from deskhand.limits import OPS_PER_BATCH_MAX
from deskhand.protocol.objects import Role
from deskhand.protocol.ops import Principal
from tests.rim import Rim, code_of, open_rim, thread_op


@pytest.fixture
async def rim(tmp_path: Path) -> AsyncGenerator[Rim]:
    async with open_rim(tmp_path) as opened:
        yield opened


async def post(rim: Rim, *ops: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await rim.local.post("/v1/ops", json={"ops": list(ops)})
    return answer.json()["results"]


async def test_a_repeated_op_has_its_first_result(rim: Rim) -> None:
    """The same op twice is one effect; the same id with another body is refused."""
    (first,) = await post(rim, thread_op())

    (again,) = await post(rim, thread_op())
    (other,) = await post(rim, thread_op(title="Another"))

    assert (first["status"], again["status"]) == ("ok", "duplicate")
    assert (again["id"], again["seq"]) == (first["id"], first["seq"])
    assert other["error"]["code"] == "op_conflict"


async def test_each_op_of_a_batch_stands_alone(rim: Rim) -> None:
    """A rejected op does not take the others with it."""
    results = await post(
        rim, thread_op("op-batch-1"), {"op_id": "op-batch-2", "kind": "no.such"}, thread_op("op-batch-3")
    )

    assert [one["status"] for one in results] == ["ok", "rejected", "ok"]


async def test_a_certificate_is_passed_on_only_for_devices_and_computers_that_there_are(rim: Rim) -> None:
    """The hub does not weigh it; to one computer or to all, and of nobody that is unknown or elsewhere (IS-01)."""
    word = {"device": rim.owner.device, "fingerprint": "0f", "statement": "{}", "signature": "x"}
    bodies = [word, word | {"device": "dev_none"}, word | {"runner": "run_none"}]

    results = await post(
        rim,
        *(
            {"op_id": f"op-certify-{number}", "kind": "device.certify", "body": body}
            for number, body in enumerate(bodies)
        ),
    )
    page = await rim.hub.store.events(
        Principal(account=rim.owner.account, id="run_any", role=Role.RUNNER), after=0, limit=100
    )

    codes = [one.get("error", {}).get("code") for one in results]
    assert codes == [None, "not_found", "not_found"]
    assert [one.kind for one in page.events] == ["device.certified"]


async def test_a_batch_is_bounded(rim: Rim) -> None:
    """A hundred ops at once, not one more."""
    ops = [thread_op(f"op-many-{number}") for number in range(OPS_PER_BATCH_MAX + 1)]

    answer = await rim.local.post("/v1/ops", json={"ops": ops})

    assert (answer.status_code, code_of(answer)) == (400, "invalid")


async def test_a_task_posted_twice_with_one_key_is_one_task(rim: Rim) -> None:
    """201 with the task, then 200 with the same task."""
    told = {"Idempotency-Key": "k1"}

    first = await rim.local.post("/v1/tasks", json={"text": "tidy up"}, headers=told)
    again = await rim.local.post("/v1/tasks", json={"text": "tidy up"}, headers=told)
    other = await rim.local.post("/v1/tasks", json={"text": "something else"}, headers=told)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["origin"]["surface"] == "cli"


async def test_a_rejected_task_is_the_refusal_of_the_call(rim: Rim) -> None:
    """A viewer gets 403 with one sentence, not 201 with an error inside."""
    _, token = await rim.device(Role.MEMBER)

    answer = await rim.client(token, **{"Accept-Language": "ko"}).post(
        "/v1/tasks", json={"text": "x", "checks": ["rm -rf /"]}
    )

    assert (answer.status_code, code_of(answer)) == (403, "forbidden")
    assert answer.json()["error"]["message"].startswith("이 작업을 할 권한이 없습니다.")


async def test_lists_page_by_their_cursor(rim: Rim) -> None:
    """``next`` leads through all, newest first, each once."""
    for number in range(5):
        await post(rim, thread_op(f"op-thread-{number}", title=str(number)))

    first = (await rim.local.get("/v1/threads?limit=2")).json()
    second = (await rim.local.get(f"/v1/threads?limit=2&before={first['next']}")).json()
    third = (await rim.local.get(f"/v1/threads?limit=2&before={second['next']}")).json()

    titles = [one["title"] for page in (first, second, third) for one in page["items"]]
    assert titles == ["4", "3", "2", "1", "0"]
    assert third["next"] is None


@pytest.mark.parametrize(
    "address",
    ["/v1/threads?limit=501", "/v1/threads?limit=0", "/v1/sync?after=-1", "/v1/sync?wait=26", "/v1/tasks?limit=x"],
)
async def test_a_wrong_parameter_is_named(rim: Rim, address: str) -> None:
    """400 names the field that is out of its bounds."""
    answer = await rim.local.get(address)

    assert (answer.status_code, code_of(answer)) == (400, "invalid")
    assert answer.json()["error"]["field"] in address


async def test_sync_returns_what_a_stream_would(rim: Rim) -> None:
    """Events after the cursor, the new cursor, and whether there is more."""
    (made,) = await post(rim, thread_op())

    page = (await rim.local.get(f"/v1/sync?after={made['seq'] - 1}")).json()
    nothing = (await rim.local.get(f"/v1/sync?after={page['next']}")).json()

    assert [one["kind"] for one in page["events"]] == ["thread.created"]
    assert (page["next"], page["more"]) == (made["seq"], False)
    assert (nothing["events"], nothing["next"]) == ([], made["seq"])


async def test_a_conversation_is_read_backwards(rim: Rim) -> None:
    """The newest events of a thread, oldest first, and the seq to go on before."""
    task = (await rim.local.post("/v1/tasks", json={"text": "hello"})).json()

    newest = (await rim.local.get(f"/v1/threads/{task['thread']}/events?limit=1")).json()
    before = (await rim.local.get(f"/v1/threads/{task['thread']}/events?before={newest['next']}")).json()

    assert newest["items"][0]["seq"] == int(newest["next"])
    assert all(one["seq"] < int(newest["next"]) for one in before["items"])


async def test_every_setting_is_listed_with_its_default(rim: Rim) -> None:
    """What was never changed shows its default; what was, its value."""
    op = {"op_id": "op-setting-1", "kind": "settings.put", "body": {"name": "lease_seconds", "value": 60}}
    await post(rim, op)

    rows = {one["id"]: one for one in (await rim.local.get("/v1/settings")).json()["items"]}

    assert (rows["lease_seconds"]["value"], rows["lease_seconds"]["default"]) == (60, 30)
    assert rows["language"]["value"] == "en"
    assert "hub.bind" not in rows


@pytest.mark.parametrize(
    "path",
    ["snapshot", "approvals?open=1", "questions?open=1", "runners", "folders", "deliveries", "devices", "commands"],
)
async def test_every_list_answers_a_new_account(rim: Rim, path: str) -> None:
    """An empty account has empty lists, not errors."""
    answer = await rim.local.get(f"/v1/{path}")

    assert answer.status_code == 200


async def test_a_push_goes_to_a_known_service_and_has_a_fate(rim: Rim) -> None:
    """Other endpoints are refused; a trial is a row among the deliveries, and the owner's terminal tries every one."""
    client = rim.client()
    device = await rim.page(client)
    keys = {"p256dh": "BPoint", "auth": "secret"}

    none = await client.post("/v1/push/test")
    inward = await client.post("/v1/push/subscriptions", json={"endpoint": "http://169.254.169.254/", "keys": keys})
    known = await client.post("/v1/push/subscriptions", json={"endpoint": "https://push.example/abc", "keys": keys})
    tried = await client.post("/v1/push/test")
    rows = (await client.get("/v1/deliveries")).json()["items"]
    typed = await rim.local.post("/v1/push/test")

    assert (none.status_code, inward.status_code, known.status_code) == (409, 403, 201)
    assert [row["id"] for row in rows] == tried.json()["deliveries"]
    assert (rows[0]["class"], rows[0]["device"]) == ("test", device)
    assert (typed.status_code, len(typed.json()["deliveries"])) == (202, 1)
    assert "push.example" not in str(rows)


async def test_the_probes_need_no_credential(rim: Rim) -> None:
    """A supervisor and a client of another version can ask."""
    health, version = await rim.client().get("/healthz"), await rim.client().get("/v1/version")

    assert (health.json(), version.json()["protocol"]) == ({"ok": True}, 1)
