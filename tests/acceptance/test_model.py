"""``deskhand model`` from end to end: real processes, a real home, models on loopback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from deskhand.testing.standin.brain import Answer, Seen
from deskhand.testing.standin.server import StandIn
from tests.desk import Desk, Said, make_desk, running_up
from tests.model_wires import CHAT, serving

pytestmark = pytest.mark.timeout(180)

CANARY = "sk-canary-5b1d90"
STAND_IN = {"DESKHAND_STAND_IN": "1"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """``deskhand up`` without any model."""
    found = make_desk(tmp_path_factory.mktemp("desk"))
    with running_up(found, **STAND_IN):
        yield found


@pytest.fixture
async def standin() -> AsyncGenerator[StandIn]:
    async with StandIn() as found:
        yield found


async def typed(desk: Desk, *arguments: str, **more: str) -> Said:
    """Type a command while this process serves a model."""
    return await asyncio.to_thread(lambda: desk.run(*arguments, extra=STAND_IN | more))


async def advertised(desk: Desk) -> Any:  # noqa: ANN401 - as the hub says it
    return (await typed(desk, "runners", "list", "--json")).json["items"][0]


def obedient(seen: Seen) -> Answer:
    """Call the tool that the test of a model asks for."""
    number = int("".join(letter for letter in seen.task if letter.isdigit()))
    return Answer(calls=(("keep_number", {"number": number}),))


def talkative(_: Seen) -> Answer:
    return Answer(text="I would rather talk.")


async def test_without_a_model_it_is_said_where_one_was_looked_for(desk: Desk) -> None:
    """Nothing is found, every place is named, and the way to add one is there; in Korean too."""
    await typed(desk, "model", "set", "auto")

    plain = await typed(desk, "model", "list")
    korean = await typed(desk, "model", "list", DESKHAND_LANGUAGE="ko")
    found = (await typed(desk, "model", "list", "--json")).json

    assert "Model: none found. Works with /commands now. Add one: deskhand model set" in plain.out
    assert "API keys none · Ollama no · LM Studio no · llama-server no" in plain.err
    assert "모델: 없음" in korean.out
    assert (found["items"], found["running"]) == ([], {"model": None})
    assert (await advertised(desk))["agents"] == ["commands"]


async def test_a_model_is_taken_live_and_its_key_is_kept_by_nobody_who_should_not(desk: Desk, standin: StandIn) -> None:
    """SE-01, A-03: set, used by a running Deskhand without a restart, on the card; the key only sealed."""
    flags = ("--base-url", standin.url, "--api-key-env", "MY_KEY", "--context", "50000")
    chosen = await typed(desk, "model", "set", "stand-in", *flags, MY_KEY=CANARY)
    folder = ("--folder", str(desk.folder))
    task = await typed(desk, "do", "Summarise the notes and save it", "--json", *folder)
    listed = await typed(desk, "model", "list", "--json")
    status = await typed(desk, "status")
    runner = await advertised(desk)
    gone = await typed(desk, "model", "set", "none")
    after = await advertised(desk)

    assert "The running Deskhand uses it now." in chosen.err
    assert runner["model"] == {"name": "stand-in", "source": "config", "label": "stand_in", "context_tokens": 50000}
    assert "stand-in (a scripted program, not a language model)" in status.out
    assert (task.json["state"], task.json["agent"]) == ("completed", "builtin")
    assert task.json["model_used"] == "stand-in (a scripted program, not a language model)"
    assert (gone.status, after["agents"], after.get("model")) == (0, ["commands"], None)
    said = [chosen, task, listed, status, gone]
    assert not any(CANARY in one.out + one.err for one in said)
    assert _holders(desk.home) == []
    assert desk.run("secret", "list").out.startswith("vapid  ")
    assert "MY_KEY" in desk.run("secret", "list").out


def _holders(place: Path) -> list[Path]:
    """Return the files that hold the key."""
    files = (path for path in place.rglob("*") if path.is_file())
    return [path for path in files if CANARY.encode() in path.read_bytes()]


async def test_a_key_never_gets_into_a_backup(desk: Desk, tmp_path: Path) -> None:
    """SE-01: what is copied away can be read by others one day."""
    desk.run("secret", "set", "MY_KEY", text=CANARY)

    made = await typed(desk, "backup", str(tmp_path / "backup"))

    assert made.status == 0, made.err
    assert _holders(tmp_path) == []


async def test_a_task_that_names_a_model_which_is_not_here_fails_with_the_cure(desk: Desk, standin: StandIn) -> None:
    """Never a silent other model: the one that is set is not asked."""
    await typed(desk, "model", "set", "stand-in", "--base-url", standin.url)
    asked = len(standin.requests)

    task = await typed(
        desk, "do", "Summarise the notes", "--json", "--model", "ollama:llama9",
        "--folder", str(desk.folder),
    )  # fmt: skip

    assert (task.status, task.json["state"], task.json["verdict"]) == (3, "failed", "not_done")
    assert "There is no such model here. (ollama:llama9" in task.json["not_done_because"][0]
    assert len(standin.requests) == asked


async def test_a_good_model_is_measured(desk: Desk, standin: StandIn) -> None:
    """One real tool call, streamed, through the agent's own path; figures and context are told."""
    standin.think = obedient
    await typed(desk, "model", "set", "stand-in", "--base-url", standin.url, "--context", "32000")

    said = await typed(desk, "model", "test")
    row = (await typed(desk, "model", "test", "--json")).json

    assert said.status == 0, said.err
    assert "called a tool as asked · first token" in said.out
    assert (row["ok"], row["context_tokens"]) == (True, 32000)
    assert 0 <= row["first_s"] <= row["total_s"]


async def test_a_proxy_of_the_environment_gets_nothing_of_a_model_on_this_computer(
    desk: Desk, standin: StandIn
) -> None:
    """What is said to a model here stays here, and works behind a proxy that cannot reach this computer."""
    standin.think = obedient
    await typed(desk, "model", "set", "stand-in", "--base-url", standin.url)
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")

    said = await typed(desk, "model", "test", **proxy)

    assert said.status == 0, said.err


async def test_what_is_wrong_with_a_model_is_said_with_its_cure(desk: Desk, standin: StandIn) -> None:
    """One that calls no tool, a short context, a refused key, a server that is not there."""
    await typed(desk, "model", "set", "stand-in", "--base-url", standin.url, "--context", "8000")
    standin.think = talkative
    talks = await typed(desk, "model", "test")
    async with serving(CHAT, "denied") as server:
        denied = await typed(desk, "model", "test", DESKHAND_MODEL_BASE_URL=server.url)
    nobody = await typed(desk, "model", "test", DESKHAND_MODEL_BASE_URL="http://127.0.0.1:9/v1")
    outside = await asyncio.to_thread(lambda: desk.run("model", "test"))

    assert talks.status == 3
    assert "did not call the tool" in talks.out
    assert "context is 8,000 tokens" in talks.out
    assert (denied.status, "missing or refused" in denied.err) == (1, True)
    assert (nobody.status, "does not answer" in nobody.err) == (1, True)
    assert (outside.status, "no such model" in outside.err) == (1, True)


async def test_doctor_says_how_the_model_does(desk: Desk, standin: StandIn) -> None:
    """G-04: it tries: one tool call, unless that is not wanted, and every way out of the sandbox; root is a red line."""
    standin.think = obedient
    await typed(desk, "model", "set", "stand-in", "--base-url", standin.url, "--context", "32000")
    asked = len(standin.requests)

    tried = await typed(desk, "doctor")
    looked = await typed(desk, "doctor", "--no-model", "--json")

    as_root = os.geteuid() == 0
    assert tried.status == (1 if as_root else 0), tried.out + tried.err
    assert "called a tool as asked" in tried.out
    assert len(standin.requests) == asked + 1
    rows = {row["check"]: row["state"] for row in looked.json["items"]}
    assert rows.pop("user") == ("bad" if as_root else "good")
    ways = [state for name, state in rows.items() if name.startswith("out.")]
    assert rows.pop("sandbox") == "ask" or len(ways) >= 18
    about_the_machine = {rows.pop(name) for name in ("sudo", "bwrap", "handles", "hub_trust") if name in rows}
    assert about_the_machine <= {"good", "ask"}
    assert set(rows.values()) == {"good"}
    assert {"hub", "runner", "secrets", "model"} <= set(rows)


async def test_a_thread_keeps_its_model(desk: Desk, standin: StandIn) -> None:
    """The task's own wins over the thread's, the thread's over the computer's."""
    await typed(desk, "model", "set", "stand-in", "--base-url", standin.url)
    first = (await typed(desk, "do", "Summarise the notes", "--json")).json
    set_ = await typed(desk, "threads", "model", first["thread"], "ollama:llama9")

    second = (await typed(desk, "do", "Again", "--thread", first["thread"], "--json")).json
    third = await typed(desk, "do", "Summarise the notes", "--thread", first["thread"], "--model", "stand-in", "--json")
    cleared = await typed(desk, "threads", "model", first["thread"], "auto")
    fourth = (await typed(desk, "do", "Again", "--thread", first["thread"], "--json")).json

    assert (set_.status, cleared.status, cleared.err) == (0, 0, "")
    assert (second["model"], second["state"]) == ("ollama:llama9", "failed")
    assert third.json["model"] == "stand-in"
    assert fourth.get("model") is None
