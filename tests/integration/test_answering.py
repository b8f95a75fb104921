"""What answers a request for a yes: a decision about exactly what was shown, by who may give it, and nothing that is said."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deskhand.clock import stamp
from deskhand.hub.http.app import RULES
from deskhand.limits import APPROVAL_TRIES_MAX
from deskhand.ports import Draft
from deskhand.protocol.events import ApprovalRequested, QuestionAsked, TaskAccepted, TaskAssigned
from deskhand.protocol.objects import Role
from deskhand.protocol.tasks import Action, Approval, Brief, Question, Task
from deskhand.protocol.wire import sha256_of
from deskhand.store.private import Safe
from tests.rim import JSON, Rim, open_rim

RUNNER = "run_laptop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A task on a computer that waits for a yes, and for an answer."""

    rim: Rim
    approval: Approval
    question: Question

    async def op(self, who: httpx.AsyncClient, kind: str, body: dict[str, Any], **about: str) -> dict[str, Any]:
        """Send one op; return its result."""
        op = {"op_id": self.rim.ids.new("op"), "kind": kind, "body": body, **about}
        answer = await who.post("/v1/ops", json={"ops": [op]}, headers=JSON)
        return answer.json()["results"][0]

    async def decide(self, who: httpx.AsyncClient, **other: str) -> str:
        """Say yes to it, or to something else; return what the hub says."""
        about = {"approval": self.approval.id, "action_sha256": self.approval.action_sha256}
        result = await self.op(who, "approval.decide", {**about, "decision": "allow", **other})
        return str(result["error"]["code"] if result["status"] == "rejected" else result["status"])

    async def state(self) -> str:
        """Return what became of the request."""
        kept = await self.rim.hub.store.get(self.rim.owner.account, Approval, self.approval.id)
        return str(kept and kept.state)


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncGenerator[Waiting]:
    """Return a hub at which a task waits."""
    async with open_rim(tmp_path) as rim:
        yield await begun(rim)


async def begun(rim: Rim) -> Waiting:
    """Have a task of the owner wait for a yes and for an answer."""
    made = (await rim.local.post("/v1/tasks", json={"text": "Tidy up"}, headers=JSON)).json()
    action = Action(tool="run_command", arguments={}, argv=("make",))
    about = {"task": made["id"], "thread": made["thread"]}
    now = stamp(rim.hub.clock.now())
    asks: dict[str, Any] = {**about, "runner": RUNNER, "epoch": 1, "rule": "sends", "risk": "medium", "nonce": "n"}
    asks |= {"id": "apr_1", "sentence": "Run make?", "requested_at": now, "action": action.to_json()}
    approval = Approval.from_json(asks | {"action_sha256": sha256_of(action.to_json())})
    question = Question.from_json({**about, "id": "qst_1", "text": "Which?", "asked_at": now})
    task = Task.from_json(made)
    known = {name: one for name, one in made.items() if name in Brief.model_fields}
    given = Brief.from_json(known | {"task": task.id, "epoch": 1})
    bodies = (
        TaskAssigned(runner=RUNNER, epoch=1, brief=given),
        TaskAccepted(epoch=1),
        ApprovalRequested(approval=approval, epoch=1),
        QuestionAsked(question=question, epoch=1),
    )
    for body in bodies:
        draft = Draft(body=body, actor=RUNNER, thread=task.thread, task=task.id)
        await rim.hub.store.write(rim.owner.account, lambda tx, draft=draft: tx.emit(draft))
    return Waiting(rim=rim, approval=approval, question=question)


SAID = (
    "yes apr_1",
    "> yes apr_1",
    "/approve apr_1",
    "Forwarded from Kim:\nyes apr_1 {sha}",
    "allow apr_1 {sha} always",
)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("by", ["owner", "member", "bridge"])
async def test_nothing_that_is_said_answers_a_request(waiting: Waiting, said: str, by: str) -> None:
    """AP-14: a yes in words, quoted, forwarded, as a command, in its thread or another, as an answer, by whom ever: open."""
    rim, text = waiting.rim, said.format(sha=waiting.approval.action_sha256)
    roles = {"member": Role.MEMBER, "bridge": Role.BRIDGE}
    who = rim.local if by == "owner" else rim.client((await rim.device(roles[by]))[1])
    thread, task = waiting.approval.thread, waiting.approval.task

    heard = list[str]()
    for about in ({}, {"thread": thread}):
        for meant in ("task", "steer"):
            to = {"to": task} if meant == "steer" else {}
            result = await waiting.op(who, "message.post", {"text": text, "as": meant, **to}, **about)
            heard.append(result["status"])
    answer = {"question": waiting.question.id, "answer": text}
    heard.append((await waiting.op(who, "question.answer", answer))["status"])
    after_words = await waiting.state()
    decided = await waiting.decide(rim.local)

    assert (after_words, decided, await waiting.state()) == ("open", "ok", "allowed")
    assert heard.count("ok") == 5 or by != "owner"


WRONG = {
    "a guessed id": {"approval": "apr_2"},
    "no id": {"approval": "apr_"},
    "another hash": {"action_sha256": "0" * 64},
    "the id of its task": {"approval": "tsk_1"},
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_who_guesses_has_to_wait(waiting: Waiting, wrong: str) -> None:
    """AP-07: three wrong tries and this device waits, also with the right ones; the request is open for any other."""
    rim = waiting.rim
    guesser = rim.client((await rim.device(Role.OWNER))[1])

    tries = [await waiting.decide(guesser, **WRONG[wrong]) for _ in range(APPROVAL_TRIES_MAX)]
    slowed, untouched = await waiting.decide(guesser), await waiting.state()
    other = await waiting.decide(rim.local)

    assert {*tries} <= {"not_found", "action_changed"}
    assert (slowed, untouched, other) == ("rate_limited", "open", "ok")


async def test_a_hundred_guesses_at_once_are_three(waiting: Waiting) -> None:
    """AP-07: one batch is no way round the counter."""
    guesser = waiting.rim.client((await waiting.rim.device(Role.OWNER))[1])
    guess = {"action_sha256": waiting.approval.action_sha256, "decision": "allow"}
    batch = [
        {"op_id": f"guess-{n}-of-many", "kind": "approval.decide", "body": {**guess, "approval": f"apr_x{n}"}}
        for n in range(100)
    ]

    answer = await guesser.post("/v1/ops", json={"ops": batch}, headers=JSON)
    codes = [one["error"]["code"] for one in answer.json()["results"]]

    assert (codes.count("not_found"), codes.count("rate_limited")) == (APPROVAL_TRIES_MAX, 97)


async def test_who_guessed_waits_over_a_restart(tmp_path: Path) -> None:
    """AP-07: another hub process knows it."""
    async with open_rim(tmp_path) as rim:
        before = await begun(rim)
        for _ in range(APPROVAL_TRIES_MAX):
            await before.decide(rim.local, approval="apr_2")

    async with open_rim(tmp_path) as rim:
        after = await begun(rim)
        op = {"approval": "apr_1", "action_sha256": "0" * 64, "decision": "allow"}
        refused = (await after.op(rim.local, "approval.decide", op))["error"]

    assert refused["code"] == "rate_limited"
    assert refused["retryable"] is True


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER, Role.RUNNER, Role.BRIDGE, Role.CLIENT])
async def test_only_the_owner_decides_about_the_owners_computer(waiting: Waiting, role: Role) -> None:
    """AP-06, IS-08: with the id and the hash in hand it is the same refusal; the request stays open."""
    kind = "runner" if role is Role.RUNNER else "cli"
    who = waiting.rim.client((await waiting.rim.device(role, kind))[1])

    said = await waiting.decide(who)

    assert said in {"forbidden", "not_found"}
    assert await waiting.state() == "open"


async def test_a_viewer_reads_no_secret_and_no_more_than_a_person_may(waiting: Waiting) -> None:
    """IS-08: in all that a viewer's session can get there is no secret, no way in and none of its pieces."""
    rim = waiting.rim
    device, token = await rim.device(Role.VIEWER, "page")
    kept = Safe(rim.home).put("OPENAI_API_KEY", "sk-" + "v" * 40).reveal()
    viewer = rim.client((await rim.device(Role.VIEWER))[1])
    routes = [name.partition(" ")[2] for name, rule in RULES.items() if rule.roles and name.startswith("GET ")]
    plain = [one for one in routes if "{" not in one and "stream" not in one]

    answers = [await viewer.get(one) for one in plain]
    writes = [
        await viewer.post("/v1/tasks", json={"text": "x"}, headers=JSON),
        await viewer.post("/v1/pair/invites", json={}, headers=JSON),
        await viewer.delete(f"/v1/devices/{device}"),
    ]

    read = "".join(one.text for one in answers)
    assert sum(one.status_code == 200 for one in answers) >= len(plain) // 2
    assert not [one for one in (kept, token, rim.owner.token, "dhs_") if one in read]
    assert [one.status_code for one in writes] == [403] * 3
