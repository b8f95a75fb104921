"""How the hub answers: JSON as UTF-8, refusals as the one error object, in the caller's language.

It refuses to send inner detail: an unexpected exception becomes ``internal`` with the request's id.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.limits import STALL_SECONDS_MAX
from deskhand.protocol.ops import failure_of
from deskhand.protocol.wire import Wire
from deskhand.texts import LANGUAGES

ABORT: Final = "deskhand.abort"
"""Key of the scope under which the server leaves the way to drop a connection at once."""


class Answer(Response):
    """A JSON answer: an object of the protocol, plain JSON, or bytes that are JSON already."""

    media_type = "application/json"

    @override
    def render(self, content: Any) -> bytes:
        if isinstance(content, bytes):
            return content
        if isinstance(content, Wire):
            return content.model_dump_json(exclude_none=True).encode()
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


class Flow(StreamingResponse):
    """A streaming answer that gives up on a reader who does not read, and always ends its source."""

    def __init__(
        self, source: AsyncGenerator[bytes], *, headers: Mapping[str, str], status_code: int = 200
    ) -> None:
        """Send what ``source`` yields."""
        super().__init__(source, headers=headers, status_code=status_code)
        self._source = source

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def impatient(message: Message) -> None:
            async with asyncio.timeout(STALL_SECONDS_MAX):
                await send(message)

        try:
            async with aclosing(self._source):
                await super().__call__(scope, receive, impatient)
        except TimeoutError:
            abort = cast("Callable[[], None] | None", scope.get(ABORT))
            if abort is not None:
                abort()


def items(found: Sequence[Wire | Mapping[str, object]], *, following: str | None = None) -> Answer:
    """Return one page of a list."""
    rows = [one.to_json() if isinstance(one, Wire) else one for one in found]
    return Answer({"items": rows, "next": following})


def refusal(error: DeskhandError, *, language: str, request_id: str) -> Answer:
    """Return the error object with its status."""
    failure = failure_of(error, language=language, request_id=request_id)
    answer = Answer({"error": failure.to_json()}, status_code=error.fault.status)
    if error.retry_after_seconds is not None or error.fault.status in {429, 503}:
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds or 1)))
    if error.code is Code.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def language_of(accepted: str | None) -> str:
    """Return the first language of ``Accept-Language`` that the catalogue has; order is taken as rank."""
    for part in (accepted or "").split(","):
        wanted = part.partition(";")[0].strip().lower().partition("-")[0]
        if wanted in LANGUAGES:
            return wanted
    return LANGUAGES[0]
