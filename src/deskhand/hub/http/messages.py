"""Bodies in and answers out. A body's type, size and time are bounded before anything is parsed (WH-05, WH-06).

Answers are JSON as UTF-8, refusals the one error object in the caller's language. It refuses to guess a type, to unpack
anything, to wait for somebody who stalls, and to send inner detail.
"""

from __future__ import annotations

import asyncio
import math
import tomllib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple, cast

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from deskhand import limits
from deskhand.errors import Code, DeskhandError
from deskhand.limits import STALL_SECONDS_MAX
from deskhand.ports import W
from deskhand.protocol.ops import failure_of
from deskhand.protocol.wire import Wire, strict_json

ABORT: Final = "deskhand.abort"
"""Key of the scope under which the server leaves the way to drop a connection at once."""
ACKNOWLEDGED: Final = "deskhand.acknowledged"
"""Key of the scope under which it leaves whether the other side's system took all that was sent."""


POLICY: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    files("deskhand.hub.http").joinpath("policy.toml").read_text("utf-8")
)
HEADERS: Final[dict[str, dict[str, str]]] = POLICY["headers"]
"""Those of ``every`` answer, of the ``page`` and of a ``file``."""


class Takes(NamedTuple):
    """The body a route takes, by its exact content type; at most so many bytes."""

    media_type: str
    bytes_max: int


NOTHING: Final = Takes("", 0)
JSON: Final = Takes("application/json", limits.BODY_BYTES_MAX)
CHUNK: Final = Takes("application/offset+octet-stream", limits.UPLOAD_CHUNK_BYTES_MAX)
BYTES: Final = Takes("application/octet-stream", limits.ARTIFACT_BYTES_MAX)


def check_body(request: Request, takes: Takes) -> None:
    """Refuse by the headers alone what could not be taken: ``unsupported_type``, ``too_large``, ``invalid``."""
    if takes is not NOTHING:
        kind, _, rest = request.headers.get("content-type", "").lower().partition(";")
        if kind.strip() != takes.media_type or rest.strip() not in {"", "charset=utf-8"}:
            raise DeskhandError(Code.UNSUPPORTED_TYPE, takes.media_type)
    said = request.headers.get("content-length", "0")
    if not (said.isascii() and said.isdigit()):
        raise DeskhandError(Code.INVALID, field="Content-Length")
    if int(said[:20]) > takes.bytes_max:
        raise DeskhandError(Code.TOO_LARGE, f"{takes.bytes_max} bytes")


async def read_json(request: Request, model: type[W]) -> W:
    """Return the body as one object; else ``malformed_json``, ``invalid``, ``too_large``, ``body_timeout``."""
    try:
        async with asyncio.timeout(limits.BODY_SECONDS_MAX):
            parts = [chunk async for chunk in body_chunks(request, takes=JSON)]
    except TimeoutError:
        raise DeskhandError(Code.BODY_TIMEOUT) from None
    return model.from_json(strict_json(b"".join(parts)))


async def body_chunks(request: Request, *, takes: Takes) -> AsyncIterator[bytes]:
    """Yield the body as it comes. A sender that went away ends it: what came is kept by who resumes.

    Raises:
        DeskhandError: ``too_large``; ``body_timeout`` when nothing comes for a while.
    """
    left = takes.bytes_max
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS_MAX):
                chunk = await anext(chunks)
        except (StopAsyncIteration, ClientDisconnect):
            return
        except TimeoutError:
            raise DeskhandError(Code.BODY_TIMEOUT) from None
        left -= len(chunk)
        if left < 0:
            raise DeskhandError(Code.TOO_LARGE, f"{takes.bytes_max} bytes")
        yield chunk


class Answer(Response):
    """A JSON answer: objects of the protocol, plain JSON around them, or bytes that are JSON already."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else to_json(content, exclude_none=True)


class Flow(StreamingResponse):
    """A streaming answer that gives up on a reader who does not read, and always ends its source."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def impatient(message: Message) -> None:
            async with asyncio.timeout(STALL_SECONDS_MAX):
                await send(message)

        try:
            await super().__call__(scope, receive, impatient)
        except TimeoutError:
            abort = cast("Callable[[], None] | None", scope.get(ABORT))
            if abort is not None:
                abort()
        finally:
            await cast("AsyncGenerator[bytes]", self.body_iterator).aclose()


def items(found: Sequence[Wire | Mapping[str, object]], *, following: str | None = None) -> Answer:
    """Return one page of a list."""
    return Answer({"items": found, "next": following})


def refusal(error: DeskhandError, *, language: str, request_id: str) -> Answer:
    """Return the error object with its status."""
    failure = failure_of(error, language=language, request_id=request_id)
    answer = Answer({"error": failure}, status_code=error.fault.status)
    if error.retry_after_seconds is not None or error.fault.status in {429, 503}:
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds or 1)))
    if error.code is Code.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if error.code is Code.METHOD_REFUSED:
        answer.headers["Allow"] = error.detail
    return answer
