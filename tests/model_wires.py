"""Servers that speak as each provider of language models does, word for word where it matters, on loopback.

They say what a test tells them to, one answer per request, and note what they were sent and whether the other side
stayed to the end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deskhand.clock import SystemClock

Trouble = Literal["busy", "broken", "overloaded", "denied", "too_long", "unknown"]
Obj = dict[str, Any]
Said = tuple[int, dict[str, str], Obj]
"""An error: status, headers and body."""
TOKENS_IN, TOKENS_OUT = 120, 7
_WHOLE = ("well", "refused", "length")


@dataclass(frozen=True, kw_only=True)
class Says:
    """One answer. Arguments of calls are the text that goes over the wire; ``ends`` is why it ends.

    ``held``: it goes on from its middle when the test says so.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    ends: Literal["well", "refused", "length", "cut", "hangs", "held"] = "well"


Answer = Says | Trouble


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How one provider speaks.

    ``frames`` spells an answer, ``troubles`` the errors as (status, headers, body), ``results`` finds what came of
    the tools in a request, ``offered`` the names of its tools.
    """

    model: str
    base: str
    frames: Callable[[Says], Iterator[Obj | str]]
    troubles: dict[Trouble, Said]
    results: Callable[[Obj], list[str]]
    offered: Callable[[Obj], set[str]]
    path: str = "/{path:path}"


@dataclass(kw_only=True)
class ModelServer:
    """A server that gives its answers in order, the last one again and again."""

    wire: Wire
    answers: list[Answer]
    requests: list[Obj] = field(default_factory=list[Obj])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    left: asyncio.Event = field(default_factory=asyncio.Event)
    streaming: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, request: Request) -> Response:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        said = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(said, str):
            status, headers, body = self.wire.troubles[said]
            return JSONResponse(body, status_code=status, headers=headers)
        return StreamingResponse(self._stream(said), media_type="text/event-stream")

    async def _stream(self, said: Says) -> AsyncIterator[bytes]:
        frames = list(self.wire.frames(said))
        half = len(frames) if said.ends in _WHOLE else len(frames) // 2
        try:
            for frame in frames[:half]:
                yield _spelled(frame)
            self.streaming.set()
            if said.ends == "hangs":
                await asyncio.Event().wait()
            if said.ends == "held":
                await self.go_on.wait()
                for frame in frames[half:]:
                    yield _spelled(frame)
        except asyncio.CancelledError:
            self.left.set()
            raise


def _spelled(frame: Obj | str) -> bytes:
    named = f"event: {frame['type']}\n" if isinstance(frame, dict) and "type" in frame else ""
    body = frame if isinstance(frame, str) else json.dumps(frame)
    return f"{named}data: {body}\n\n".encode()


@asynccontextmanager
async def serving(wire: Wire, *answers: Answer) -> AsyncGenerator[ModelServer]:
    """Run a server that gives these answers."""
    server = ModelServer(wire=wire, answers=list(answers))
    routes = [Route(wire.path, server.answer, methods=["POST"])]
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    listening = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(listening.serve())
        while not listening.started:
            await SystemClock().sleep(0.002)
        port = listening.servers[0].sockets[0].getsockname()[1]
        server.url = f"http://127.0.0.1:{port}{wire.base}"
        try:
            yield server
        finally:
            listening.should_exit = listening.force_exit = True


def _pieces(said: str, size: int = 9) -> list[str]:
    return [said[start : start + size] for start in range(0, len(said), size)]


# --- OpenAI chat, and whatever is compatible with it ---------------------------------------------------------------


def _chat(said: Says) -> Iterator[Obj | str]:
    def chunk(delta: Obj, reason: str | None = None) -> Obj:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    kind = "refusal" if said.ends == "refused" else "content"
    for piece in _pieces(said.text):
        yield chunk({kind: piece})
    for index, (name, arguments) in enumerate(said.calls):
        call: Obj = {"index": index, "id": f"call_{index}", "type": "function"}
        yield chunk({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]})
        for piece in _pieces(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    ended = "tool_calls" if said.calls else "stop"
    yield chunk({}, "length" if said.ends == "length" else ended)
    usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": 0}
    yield {**chunk({}), "choices": [], "usage": usage}
    yield "[DONE]"


def _openai(status: int, code: str, message: str, kind: str = "invalid_request_error", **headers: str) -> Said:
    return (status, headers, {"error": {"message": message, "type": kind, "param": None, "code": code}})


_OPENAI_TROUBLES: dict[Trouble, Said] = {
    "busy": _openai(429, "rate_limit_exceeded", "Rate limit reached", "requests", **{"retry-after": "7"}),
    "broken": _openai(500, "", "The server had an error", "server_error"),
    "overloaded": _openai(503, "", "The engine is currently overloaded", "service_unavailable_error"),
    "denied": _openai(401, "invalid_api_key", "Incorrect API key provided: sk-tes**key"),
    "too_long": _openai(
        400,
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
    ),
    "unknown": _openai(404, "model_not_found", "The model `gpt-x` does not exist"),
}


def _chat_results(asked: Obj) -> list[str]:
    return [str(one["content"]) for one in asked["messages"] if one["role"] == "tool"]


def _chat_offered(asked: Obj) -> set[str]:
    return {tool["function"]["name"] for tool in asked["tools"]}


CHAT = Wire(
    model="openai-chat:gpt-x",
    base="/v1",
    frames=_chat,
    troubles=_OPENAI_TROUBLES,
    results=_chat_results,
    offered=_chat_offered,
)
OLLAMA = Wire(
    model="ollama:qwen9:8b",
    base="/v1",
    frames=_chat,
    troubles={
        **_OPENAI_TROUBLES,
        "unknown": (404, {}, {"error": {"message": "model 'qwen9:8b' not found", "type": "not_found_error"}}),
    },
    results=_chat_results,
    offered=_chat_offered,
)
LLAMA_SERVER = Wire(
    model="openai-chat:local.gguf",
    base="/v1",
    frames=_chat,
    troubles={
        **_OPENAI_TROUBLES,
        "too_long": (
            400,
            {},
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size (4096 tokens), try increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 9001,
                    "n_ctx": 4096,
                }
            },
        ),
    },
    results=_chat_results,
    offered=_chat_offered,
)


# --- OpenAI responses --------------------------------------------------------------------------------------------


def _responses(said: Says) -> Iterator[Obj | str]:
    events = [*_response_text(said), *_response_calls(said)]
    usage = {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT, "total_tokens": 0}
    usage |= {"input_tokens_details": {"cached_tokens": 0}}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}}
    ended = _response("completed", usage=usage)
    if said.ends == "length":
        why = {"reason": "max_output_tokens"}
        ended = _response("incomplete", incomplete_details=why, usage=usage)
    begun = {"type": "response.created", "response": _response("in_progress")}
    last = {"type": f"response.{ended['status']}", "response": ended}
    for number, event in enumerate([begun, *events, last]):
        yield {**event, "sequence_number": number}


def _response(status: str, **more: object) -> Obj:
    whole: Obj = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-x"}
    fixed: Obj = {"output": [], "parallel_tool_calls": True, "tools": [], "tool_choice": "auto"}
    return {**whole, **fixed, "status": status, **more}


def _response_text(said: Says) -> Iterator[Obj]:
    if not said.text:
        return
    item: Obj = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    kind, field_name = ("refusal",) * 2 if said.ends == "refused" else ("output_text", "text")
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for piece in _pieces(said.text):
        yield {"type": f"response.{kind}.delta", "delta": piece, "logprobs": [], **where}
    content: list[Obj] = [{"type": kind, field_name: said.text, "annotations": []}]
    done = {**item, "status": "completed", "content": content}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}


def _response_calls(said: Says) -> Iterator[Obj]:
    for index, (name, arguments) in enumerate(said.calls, start=1):
        item = {"id": f"fc_{index}", "type": "function_call", "call_id": f"call_{index}"}
        item |= {"name": name}
        begun = {**item, "arguments": ""}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        where = {"item_id": f"fc_{index}", "output_index": index}
        for piece in _pieces(arguments):
            yield {"type": "response.function_call_arguments.delta", "delta": piece, **where}
        done = {**item, "arguments": arguments, "status": "completed"}
        yield {"type": "response.output_item.done", "output_index": index, "item": done}


RESPONSES = Wire(
    model="openai-responses:gpt-x",
    base="/v1",
    frames=_responses,
    troubles=_OPENAI_TROUBLES,
    results=lambda asked: [str(one["output"]) for one in asked["input"] if one.get("type") == "function_call_output"],
    offered=lambda asked: {tool["name"] for tool in asked["tools"]},
)


# --- Anthropic ---------------------------------------------------------------------------------------------------


def _anthropic(said: Says) -> Iterator[Obj | str]:
    usage = {"input_tokens": TOKENS_IN, "output_tokens": 1}
    message: Obj = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    index = 0
    if said.text:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        for piece in _pieces(said.text):
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        yield {"type": "content_block_stop", "index": 0}
        index = 1
    for at, (name, arguments) in enumerate(said.calls, start=index):
        block: Obj = {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": {}}
        yield {"type": "content_block_start", "index": at, "content_block": block}
        for piece in _pieces(arguments):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": at, "delta": delta}
        yield {"type": "content_block_stop", "index": at}
    reason = {"refused": "refusal", "length": "max_tokens"}.get(said.ends, "tool_use" if said.calls else "end_turn")
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": TOKENS_OUT},
    }
    yield {"type": "message_stop"}


def _anthropic_trouble(status: int, kind: str, message: str, **headers: str) -> Said:
    return status, headers, {"type": "error", "error": {"type": kind, "message": message}}


def _anthropic_results(asked: Obj) -> list[str]:
    blocks = [
        block
        for one in asked["messages"]
        if one["role"] == "user" and isinstance(one["content"], list)
        for block in one["content"]
        if block["type"] == "tool_result"
    ]
    return [
        block["content"] if isinstance(block["content"], str) else "".join(part["text"] for part in block["content"])
        for block in blocks
    ]


ANTHROPIC = Wire(
    model="anthropic:claude-x",
    base="",
    frames=_anthropic,
    troubles={
        "busy": _anthropic_trouble(429, "rate_limit_error", "Number of requests", **{"retry-after": "7"}),
        "broken": _anthropic_trouble(500, "api_error", "Internal server error"),
        "overloaded": _anthropic_trouble(529, "overloaded_error", "Overloaded"),
        "denied": _anthropic_trouble(401, "authentication_error", "invalid x-api-key"),
        "too_long": _anthropic_trouble(
            400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"
        ),
        "unknown": _anthropic_trouble(404, "not_found_error", "model: claude-x"),
    },
    results=_anthropic_results,
    offered=lambda asked: {tool["name"] for tool in asked["tools"]},
)


# --- Google ------------------------------------------------------------------------------------------------------


def _google(said: Says) -> Iterator[Obj | str]:
    def chunk(parts: list[Obj], **more: object) -> Obj:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **more}
        usage = {"promptTokenCount": TOKENS_IN, "candidatesTokenCount": TOKENS_OUT, "totalTokenCount": 0}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x", "responseId": "r1"}

    for piece in _pieces(said.text):
        yield chunk([{"text": piece}])
    for name, arguments in said.calls:
        try:
            call = {"name": name, "args": json.loads(arguments)}
        except ValueError:
            yield chunk([], finishReason="MALFORMED_FUNCTION_CALL", finishMessage=arguments)
            return
        yield chunk([{"functionCall": call, "thoughtSignature": "c2ln"}])
    reason = {"refused": "SAFETY", "length": "MAX_TOKENS"}.get(said.ends, "STOP")
    yield chunk([], finishReason=reason)


def _google_trouble(code: int, status: str, message: str, *details: Obj) -> Said:
    return (code, {}, {"error": {"code": code, "message": message, "status": status, "details": [*details]}})


def _google_results(asked: Obj) -> list[str]:
    return [
        str(next(iter(part["functionResponse"]["response"].values())))
        for content in asked["contents"]
        for part in content["parts"]
        if "functionResponse" in part
    ]


GOOGLE = Wire(
    model="google:gemini-x",
    base="",
    frames=_google,
    troubles={
        "busy": _google_trouble(
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted",
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"},
        ),
        "broken": _google_trouble(500, "INTERNAL", "An internal error has occurred"),
        "overloaded": _google_trouble(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "denied": _google_trouble(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        ),
        "too_long": _google_trouble(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        ),
        "unknown": _google_trouble(404, "NOT_FOUND", "models/gemini-x is not found for API version v1beta"),
    },
    results=_google_results,
    offered=lambda asked: {one["name"] for tool in asked["tools"] for one in tool["functionDeclarations"]},
)

WIRES = {
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
    "llama-server": LLAMA_SERVER,
    "ollama": OLLAMA,
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
}
