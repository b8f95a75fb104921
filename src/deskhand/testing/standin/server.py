"""The stand-in's HTTP side: what an OpenAI-compatible chat server says on the wire, whole or as a stream.

On loopback only. It can be told to misbehave as real servers do (busy, broken, silent, cut off, malformed), so that
the built-in agent meets each over real HTTP. It refuses to be chosen as a model outside the demo and the tests: only
those start it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Any, Literal, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deskhand.clock import SystemClock
from deskhand.protocol.wire import JsonObject
from deskhand.testing.standin.brain import NAME, Answer, Done, Seen, answer, places_in

Mood = Literal["well", "busy", "broken", "silent", "cut", "malformed", "empty", "too_long", "denied"]
"""How the next answers come: ``well``, or as a server that has this trouble."""

_TODAY = re.compile(r"(\d{4}-\d\d-\d\d)")
_TASK = ("The task:\n", "작업:\n")
_PIECE = 12


@dataclass(kw_only=True)
class StandIn:
    """The server; use as ``async with StandIn() as standin``. ``moods`` are used up one per request."""

    think: Callable[[Seen], Answer] = answer
    moods: list[Mood] = field(default_factory=list[Mood])
    requests: list[JsonObject] = field(default_factory=list[JsonObject])
    url: str = ""
    _server: uvicorn.Server | None = None
    _running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port of loopback."""
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=0, log_level="warning", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._running = asyncio.ensure_future(self._server.serve())
        while not self._server.started:
            await SystemClock().sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        if self._server is not None and self._running is not None:
            self._server.should_exit = self._server.force_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "stand-in", "object": "model"}]})

    async def _complete(self, request: Request) -> Response:
        asked = cast("JsonObject", await request.json())
        self.requests.append(asked)
        mood = self.moods.pop(0) if self.moods else "well"
        refusal = _refused(mood)
        if refusal is not None:
            return refusal
        said = Answer() if mood == "empty" else self.think(seen_in(_messages(asked)))
        if not asked.get("stream"):
            return JSONResponse(_whole(said))
        return StreamingResponse(_streamed(said, mood), media_type="text/event-stream")


def seen_in(messages: Sequence[JsonObject]) -> Seen:
    """Return what a conversation in the wire's form comes to."""
    opening = next((str(one.get("content")) for one in messages if one.get("role") == "user"), "")
    head, _, task = next(
        (opening.partition(mark) for mark in _TASK if mark in opening), ("", "", opening)
    )
    when = _TODAY.search(head)
    calls: dict[str, tuple[str, JsonObject]] = {}
    done: list[Done] = []
    missing: tuple[str, ...] = ()
    tries = 0
    for one in messages:
        for call in cast("list[Any]", one.get("tool_calls") or []):
            function = call["function"]
            calls[call["id"]] = function["name"], json.loads(function["arguments"] or "{}")
        if one.get("role") == "tool":
            tool, arguments = calls[str(one.get("tool_call_id"))]
            result = str(one.get("content"))
            if tool == "finish":
                missing, tries = (*missing, *places_in(result)), tries + 1
            else:
                done.append(Done(tool=tool, arguments=arguments, result=result))
    today = date.fromisoformat(when.group(1)) if when else date.min
    return Seen(task=task, today=today, done=tuple(done), missing=missing, tries=tries)


def _messages(asked: JsonObject) -> list[JsonObject]:
    return cast("list[JsonObject]", asked["messages"])


def _refused(mood: Mood) -> Response | None:
    """Return the answer of a server that does not answer the question."""
    errors: dict[Mood, tuple[int, str, str]] = {
        "busy": (429, "rate_limit_exceeded", "slow down"),
        "broken": (500, "server_error", "an error"),
        "denied": (401, "invalid_api_key", "wrong key"),
        "too_long": (400, "context_length_exceeded", "maximum context length is 10 tokens"),
    }
    if mood not in errors:
        return None
    status, code, message = errors[mood]
    headers = {"Retry-After": "1"} if mood == "busy" else {}
    body = {"error": {"message": message, "type": code, "code": code}}
    return JSONResponse(body, status_code=status, headers=headers)


def _calls(said: Answer) -> list[JsonObject]:
    return [
        {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for index, (name, arguments) in enumerate(said.calls)
    ]


def _usage(said: Answer) -> JsonObject:
    words = len(said.text.split()) + sum(len(json.dumps(one)) // 4 for _, one in said.calls)
    return {"prompt_tokens": 100, "completion_tokens": words, "total_tokens": 100 + words}


def _reason(said: Answer) -> str:
    return "tool_calls" if said.calls else "stop"


def _whole(said: Answer) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": said.text or None}
    if said.calls:
        message["tool_calls"] = [*_calls(said)]
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": _reason(said)}
    return _frame("chat.completion", choice) | {"usage": _usage(said)}


def _frame(kind: str, choice: JsonObject) -> JsonObject:
    return {"id": "x", "object": kind, "created": 0, "model": NAME, "choices": [choice]}


async def _streamed(said: Answer, mood: Mood) -> AsyncIterator[bytes]:
    """Yield the frames; a call's arguments come in pieces, as from a real server."""

    def frame(delta: JsonObject, reason: str | None = None) -> bytes:
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps(_frame('chat.completion.chunk', choice))}\n\n".encode()

    yield frame({"role": "assistant", "content": ""})
    if mood == "silent":
        await asyncio.Event().wait()
    for start in range(0, len(said.text), _PIECE):
        yield frame({"content": said.text[start : start + _PIECE]})
    if mood == "cut":
        return
    for call in _calls(said):
        function = cast("dict[str, str]", call["function"])
        whole = function["arguments"] if mood != "malformed" else function["arguments"][:-1]
        yield frame({"tool_calls": [{**call, "function": {**function, "arguments": ""}}]})
        for start in range(0, len(whole), _PIECE * 8):
            piece = {"arguments": whole[start : start + _PIECE * 8]}
            yield frame({"tool_calls": [{"index": call["index"], "function": piece}]})
    yield frame({}, _reason(said))
    usage = _frame("chat.completion.chunk", {}) | {"choices": [], "usage": _usage(said)}
    yield f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode()
