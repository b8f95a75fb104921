"""The stand-in's HTTP side: what an OpenAI-compatible chat server says on the wire, whole or as a stream.

On loopback only, and only the demo and the tests start it. It says in every answer what it is: its model name is the
label that people see, and by which the built-in agent refuses it everywhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Any, Final, Self, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deskhand.clock import SystemClock
from deskhand.protocol.wire import Json, JsonObject
from deskhand.testing.standin.brain import NAME, Answer, Seen, Used, answer, judge, places_in
from deskhand.texts import LANGUAGES, text

_DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)")
_WRITTEN: Final = re.compile(r"(?:written on|작업은) \w+, (\d{4}-\d\d-\d\d)")
_CRITERION: Final = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
_FENCED: Final = re.compile(r"^(`{3,})\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)
_NUMBER: Final = re.compile(r"^\d+: ?", re.MULTILINE)
_PIECE: Final = 12


@dataclass(kw_only=True)
class StandIn:
    """The server; use as ``async with StandIn() as standin``. ``requests`` are the bodies it was sent."""

    think: Callable[[Seen], Answer] = answer
    requests: list[JsonObject] = field(default_factory=list[JsonObject])
    url: str = ""
    _server: uvicorn.Server | None = None
    _running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port of loopback."""
        routes = [Route("/v1/models", self._models), Route("/v1/chat/completions", self._complete, methods=["POST"])]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._running = asyncio.ensure_future(self._server.serve())
        while not self._server.started:
            await SystemClock().sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
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
        said = self._said(asked)
        if not asked.get("stream"):
            return JSONResponse(_whole(said))
        return StreamingResponse(_streamed(said), media_type="text/event-stream")

    def _said(self, asked: JsonObject) -> Answer:
        messages = cast("list[JsonObject]", asked["messages"])
        tools = cast("list[Any]", asked.get("tools") or [])
        if [tool["function"]["name"] for tool in tools] == ["report"]:
            shown = str(messages[-1].get("content"))
            criteria = _CRITERION.findall(shown.partition("\n\n")[0])
            results = [_NUMBER.sub("", hit[1]) for hit in _FENCED.findall(shown)]
            return judge(criteria, results)
        return self.think(seen_in(messages))


def seen_in(messages: Sequence[JsonObject]) -> Seen:
    """Return what a conversation in the wire's form comes to."""
    opening = next((str(one.get("content")) for one in messages if one.get("role") == "user"), "")
    marks = (text("agent.task", language=language) + "\n" for language in LANGUAGES)
    mark = next((mark for mark in marks if mark in opening), "")
    head, _, task = opening.partition(mark) if mark else ("", "", opening)
    when = _WRITTEN.search(head) or _DAY.search(head)
    used = list(_used(messages))
    refused = [one for one in used if one.tool == "finish"]
    return Seen(
        task=task,
        today=date.fromisoformat(when[1]) if when else date.min,
        used=tuple(one for one in used if one.tool != "finish"),
        missing=tuple(place for one in refused for place in places_in(one.result)),
        tries=len(refused),
    )


def _used(messages: Sequence[JsonObject]) -> Iterator[Used]:
    """Yield every call with what came back."""
    calls: dict[str, tuple[str, JsonObject]] = {}
    for one in messages:
        for call in cast("list[Any]", one.get("tool_calls") or []):
            function = call["function"]
            calls[call["id"]] = function["name"], json.loads(function["arguments"] or "{}")
        if one.get("role") == "tool":
            tool, arguments = calls[str(one.get("tool_call_id"))]
            yield Used(tool=tool, arguments=arguments, result=str(one.get("content")))


def _calls(said: Answer) -> list[tuple[JsonObject, str]]:
    """Return each call without its arguments, and these as they go over the wire."""
    return [
        (
            {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name}},
            json.dumps(arguments, ensure_ascii=False),
        )
        for index, (name, arguments) in enumerate(said.calls)
    ]


def _usage(said: Answer) -> JsonObject:
    words = len(said.text.split()) + sum(len(json.dumps(one)) // 4 for _, one in said.calls)
    return {"prompt_tokens": 100, "completion_tokens": words, "total_tokens": 100 + words}


def _reason(said: Answer) -> str:
    return "tool_calls" if said.calls else "stop"


def _whole(said: Answer) -> JsonObject:
    calls: list[Json] = [
        {**call, "function": {**cast("JsonObject", call["function"]), "arguments": arguments}}
        for call, arguments in _calls(said)
    ]
    message: JsonObject = {"role": "assistant", "content": said.text or None}
    message |= {"tool_calls": calls} if calls else {}
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": _reason(said)}
    return {**_frame("chat.completion", choice), "usage": _usage(said)}


def _frame(kind: str, choice: JsonObject) -> JsonObject:
    return {"id": "x", "object": kind, "created": 0, "model": NAME, "choices": [choice]}


async def _streamed(said: Answer) -> AsyncIterator[bytes]:
    """Yield the frames; text and arguments come in pieces, as from a real server."""

    def frame(delta: JsonObject, reason: str | None = None) -> bytes:
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps(_frame('chat.completion.chunk', choice))}\n\n".encode()

    yield frame({"role": "assistant", "content": ""})
    for start in range(0, len(said.text), _PIECE):
        yield frame({"content": said.text[start : start + _PIECE]})
    for call, arguments in _calls(said):
        yield frame({"tool_calls": [call]})
        for start in range(0, len(arguments), _PIECE * 8):
            piece: JsonObject = {"arguments": arguments[start : start + _PIECE * 8]}
            yield frame({"tool_calls": [{"index": call["index"], "function": piece}]})
    yield frame({}, _reason(said))
    usage = {**_frame("chat.completion.chunk", {}), "choices": [], "usage": _usage(said)}
    yield f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode()
