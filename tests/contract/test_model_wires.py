"""The built-in agent over every provider's wire: what it understands, what it makes of trouble, and what it leaves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest

from deskhand.agents.builtin.agent import BuiltInAgent, Offer, Scene
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Done, Evidence, GiveUp, ToolCall, ToolInfo, ToolResult, Turn, Wishes
from deskhand.protocol.objects import Origin, Trust
from deskhand.protocol.tasks import Brief
from deskhand.secret import Secret
from tests.model_wires import CHAT, TOKENS_IN, TOKENS_OUT, WIRES, Answer, ModelServer, Says, Trouble, Wire, serving

R = TypeVar("R")
BRIEF = Brief(
    task="tsk_1",
    thread="thr_1",
    epoch=1,
    title="Notes",
    text="Sum up the notes",
    agent="builtin",
    origin=Origin(surface="cli"),
    trust=Trust.OWNER,
    created_at="2026-11-23T08:00:00.000Z",
)
SCENE = Scene(now=datetime(2026, 11, 23, 9, tzinfo=UTC), computer="laptop")
TOOLS = tuple(
    ToolInfo(
        name=name,
        description=f"{name} a file",
        schema={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    )
    for name in ("read_file", "write_file")
)
EVIDENCE = Evidence(name="sum.md", text="It is 12 in all.")
FINISH = Says(calls=(("finish", '{"summary": "Done.", "outputs": ["a.md"]}'),))


async def _inline(work: Callable[[], R]) -> R:
    return work()


@dataclass(kw_only=True)
class Talk:
    """An agent and the server that it talks to."""

    agent: BuiltInAgent
    server: ModelServer
    heard: list[str | None] = field(default_factory=list[str | None])


@asynccontextmanager
async def talking(
    wire: Wire, *answers: Answer, silent_seconds: float = 10, context: int = 100_000
) -> AsyncGenerator[Talk]:
    """Give an agent a server with these answers."""
    heard: list[str | None] = []
    async with serving(wire, *answers) as server:
        choice = Offer(name=wire.model, base_url=server.url, key=Secret("key", "sk-secret-key"), context_tokens=context)

        async def choose(_: Brief) -> Offer:
            return choice

        agent = BuiltInAgent(
            choose=choose,
            scene=lambda _: SCENE,
            tools=TOOLS,
            offload=_inline,
            hear=lambda _, piece: heard.append(piece),
            silent_seconds=silent_seconds,
        )
        try:
            yield Talk(agent=agent, server=server, heard=heard)
        finally:
            await agent.close()


async def _refused(asked: Awaitable[object]) -> DeskhandError:
    with pytest.raises(DeskhandError) as caught:
        await asked
    return caught.value


def _turn(size: int) -> Turn:
    call = ToolCall(tool="read_file", arguments={"path": "a.md"}, title="read")
    result = ToolResult(outcome="ok", value={}, text="x" * size)
    return Turn(move=Wishes(calls=(call,)), results=(result,))


every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


@every_wire
async def test_text_is_heard_as_it_comes_and_calls_come_in_order(wire: Wire) -> None:
    """Text in pieces, two calls of one answer in their order, and what it cost (A-01)."""
    said = Says(
        text="I look at both notes.", calls=(("read_file", '{"path": "a.md"}'), ("write_file", '{"path": "b.md"}'))
    )

    async with talking(wire, said) as talk:
        move = await talk.agent.move(BRIEF, [])

    assert isinstance(move, Wishes)
    assert [(call.tool, call.arguments) for call in move.calls] == [
        ("read_file", {"path": "a.md"}),
        ("write_file", {"path": "b.md"}),
    ]
    assert move.say == "I look at both notes."
    assert talk.heard[0] is None
    assert "".join(filter(None, talk.heard)) == "I look at both notes."
    assert len(talk.heard) > 2
    assert move.spent is not None
    assert (move.spent.input_tokens, move.spent.output_tokens) == (TOKENS_IN, TOKENS_OUT)


@every_wire
async def test_results_go_back_with_their_calls(wire: Wire) -> None:
    """Each result stands in the next request, in order, one that failed as what it is (A-01)."""
    calls = tuple(ToolCall(tool="read_file", arguments={"path": path}, title="read") for path in ("a", "b"))
    results = (
        ToolResult(outcome="ok", value={}, text="first file"),
        ToolResult(outcome="error", value={}, text="there is no b"),
    )

    async with talking(wire, FINISH) as talk:
        move = await talk.agent.move(BRIEF, [Turn(move=Wishes(calls=calls), results=results)])

    assert isinstance(move, Done)
    assert move.outputs == ("a.md",)
    sent = talk.server.requests[0]
    assert wire.results(sent) == ["first file", "[error] there is no b"]
    assert {"read_file", "write_file", "finish", "ask_person", "give_up", "set_plan"} == (wire.offered(sent))


@every_wire
@pytest.mark.parametrize(
    ("trouble", "code", "retryable"),
    [
        ("busy", Code.MODEL_BUSY, True),
        ("broken", Code.MODEL_BUSY, True),
        ("overloaded", Code.MODEL_BUSY, True),
        ("denied", Code.MODEL_KEY, False),
        ("unknown", Code.MODEL_UNKNOWN, False),
    ],
)
async def test_trouble_of_a_server_is_said_by_its_code(
    wire: Wire, trouble: Trouble, code: Code, *, retryable: bool
) -> None:
    """Each trouble becomes one code that says whether waiting helps; the library does not retry; no key is said."""
    async with talking(wire, trouble) as talk:
        error = await _refused(talk.agent.move(BRIEF, []))

    assert (error.code, error.code.retryable) == (code, retryable)
    assert len(talk.server.requests) == 1
    assert "secret" not in f"{error}{error.detail}"
    assert error.retry_after_seconds == (7 if trouble == "busy" else None)


@every_wire
async def test_a_conversation_too_long_is_folded_and_sent_again(wire: Wire) -> None:
    """A guess of tokens was wrong: half is sent, then a quarter, and the work goes on (A-01)."""
    history = [_turn(20_000) for _ in range(12)]

    async with talking(wire, "too_long", "too_long", FINISH) as talk:
        move = await talk.agent.move(BRIEF, history)

    assert isinstance(move, Done)
    first, second, third = (len(str(sent)) for sent in talk.server.requests)
    assert first > 1.5 * second
    assert second > 1.5 * third


@every_wire
async def test_a_model_too_small_for_its_task_is_said(wire: Wire) -> None:
    """When even a quarter is too long, the person is told so."""
    async with talking(wire, "too_long") as talk:
        error = await _refused(talk.agent.move(BRIEF, []))

    assert error.code is Code.MODEL_CONTEXT
    assert not error.code.retryable
    assert len(talk.server.requests) == 3


@every_wire
async def test_a_refusal_ends_honestly(wire: Wire) -> None:
    """A model or filter that refuses is not asked again, and the task ends as given up."""
    async with talking(wire, Says(text="I cannot help with that.", ends="refused")) as talk:
        move = await talk.agent.move(BRIEF, [])

    assert isinstance(move, GiveUp)
    assert move.reasons[0] == "The model refused to work on this."
    assert len(talk.server.requests) == 1


@every_wire
async def test_half_an_answer_is_none(wire: Wire) -> None:
    """A stream that breaks off is tried again later, not believed."""
    said = Says(text="All files are deleted as you wished, namely " * 3, ends="cut")

    async with talking(wire, said) as talk:
        error = await _refused(talk.agent.move(BRIEF, []))

    assert error.code is Code.MODEL_BUSY


@every_wire
async def test_malformed_arguments_do_not_end_the_work(wire: Wire) -> None:
    """A call whose arguments are no JSON becomes a wish that its tool refuses by name, or is asked for again."""
    async with talking(wire, Says(calls=(("read_file", '{"path": "a.md'),)), FINISH) as talk:
        move = await talk.agent.move(BRIEF, [])

    if isinstance(move, Wishes):
        assert move.calls[0].arguments == {"malformed": '{"path": "a.md'}
    else:
        assert isinstance(move, Done)  # this provider does not hand on what was malformed
        assert len(talk.server.requests) == 2


@every_wire
async def test_a_tool_that_does_not_exist_is_wished_for_all_the_same(wire: Wire) -> None:
    """The gate answers with the names that there are; the agent hides nothing from it."""
    async with talking(wire, Says(calls=(("send_mail", '{"to": "x"}'),))) as talk:
        move = await talk.agent.move(BRIEF, [])

    assert isinstance(move, Wishes)
    assert move.calls[0].tool == "send_mail"


@every_wire
async def test_an_empty_answer_is_nudged_twice_then_said(wire: Wire) -> None:
    """A model that says nothing is asked twice more; then the task ends honestly, with what it cost."""
    async with talking(wire, Says()) as talk:
        move = await talk.agent.move(BRIEF, [])

    assert isinstance(move, GiveUp)
    assert move.reasons == ("The model gave no whole answer, three times.",)
    assert len(talk.server.requests) == 3
    assert move.spent is not None
    assert move.spent.output_tokens == 3 * TOKENS_OUT


@every_wire
async def test_an_answer_cut_at_its_length_is_asked_for_again(wire: Wire) -> None:
    """What a model said before it was cut off stays in the conversation, and the next answer counts."""
    async with talking(wire, Says(text="The first of many", ends="length"), FINISH) as talk:
        move = await talk.agent.move(BRIEF, [])

    assert isinstance(move, Done)
    assert "The first of many" in str(talk.server.requests[1])


@every_wire
async def test_a_model_that_goes_silent_is_left(wire: Wire) -> None:
    """A server that hangs is told apart from one that thinks, and its connection is closed."""
    said = Says(text="Let me think about this for a while.", ends="hangs")

    async with talking(wire, said, silent_seconds=1) as talk:
        error = await _refused(talk.agent.move(BRIEF, []))
        await asyncio.wait_for(talk.server.left.wait(), timeout=10)

    assert error.code is Code.MODEL_BUSY


@every_wire
async def test_a_cancelled_move_closes_its_connection(wire: Wire) -> None:
    """Stopping a task ends the request at once: the provider is not left writing (A-10)."""
    said = Says(text="A very long story about everything.", ends="hangs")

    async with talking(wire, said) as talk, asyncio.timeout(15):
        move = asyncio.ensure_future(talk.agent.move(BRIEF, []))
        await talk.server.streaming.wait()
        move.cancel()
        with pytest.raises(asyncio.CancelledError):
            await move
        await asyncio.wait_for(talk.server.left.wait(), timeout=10)

    assert talk.server.left.is_set()


@every_wire
async def test_a_server_that_is_away_is_waited_for(wire: Wire) -> None:
    """Nobody listens: that passes by itself."""
    async with talking(wire, FINISH) as talk:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            talk.server.url = f"http://127.0.0.1:{taken.getsockname()[1]}{wire.base}"
            choice = Offer(name=wire.model, base_url=talk.server.url, key=Secret("key", "k"))

            async def choose(_: Brief) -> Offer:
                return choice

            agent = BuiltInAgent(choose=choose, scene=lambda _: SCENE, tools=(), offload=_inline)
            error = await _refused(agent.move(BRIEF, []))

    assert (error.code, error.code.retryable) == (Code.MODEL_BUSY, True)


@every_wire
async def test_a_verifier_is_forced_to_report(wire: Wire) -> None:
    """Judging is one call of one tool; its criteria and results are all it is sent."""
    report = '{"judgements": [{"criterion": 1, "quote": "in all", "reason": "Said.", "passed": true}]}'

    async with talking(wire, Says(calls=(("report", report),))) as talk:
        checks = (await talk.agent.judge(BRIEF, ["It says the sum"], [EVIDENCE])).checks

    assert [(check.name, check.passed, check.ran_by) for check in checks] == [("It says the sum", True, "verifier")]
    assert wire.offered(talk.server.requests[0]) == {"report"}
    assert BRIEF.text not in str(talk.server.requests[0])


async def test_one_connection_serves_many_moves() -> None:
    """Providers are opened once: making one anew for each move costs 30 ms and never gives memory back."""
    async with talking(CHAT, FINISH) as talk:
        for _ in range(3):
            await talk.agent.move(BRIEF, [])

    assert len({header["host"] for header in talk.server.headers}) == 1
    assert all(header["authorization"] == "Bearer sk-secret-key" for header in talk.server.headers)


async def test_a_cloud_models_name_at_an_address_of_ones_own_has_no_price() -> None:
    """A local server may call its model what it likes: the cloud's list says nothing of what that costs."""

    def frames(said: Says) -> Iterator[dict[str, Any] | str]:
        for one in CHAT.frames(said):
            yield one if isinstance(one, str) else {**one, "model": "gpt-4o"}

    called = replace(CHAT, frames=frames)

    async with talking(called, FINISH) as talk:
        move = await talk.agent.move(BRIEF, [])

    assert move.spent is not None
    assert (move.spent.model, move.spent.usd) == ("gpt-4o", None)
