"""Reading a request's body: its type, its size and its time are bounded before anything is parsed (WH-05, WH-06).

It refuses to guess a type, to unpack anything, and to wait for a sender that stalls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.routes import Takes
from deskhand.limits import (
    ARTIFACT_BYTES_MAX,
    BODY_BYTES_MAX,
    BODY_SECONDS_MAX,
    STALL_SECONDS_MAX,
    UPLOAD_CHUNK_BYTES_MAX,
)
from deskhand.protocol.wire import Wire, strict_json

W = TypeVar("W", bound=Wire)

_BYTES_MAX = {
    Takes.NOTHING: 0,
    Takes.JSON: BODY_BYTES_MAX,
    Takes.CHUNK: UPLOAD_CHUNK_BYTES_MAX,
    Takes.BYTES: ARTIFACT_BYTES_MAX,
}


def check_body(request: Request, takes: Takes) -> None:
    """Refuse by the headers alone what could not be taken.

    Raises:
        DeskhandError: ``unsupported_type``, ``too_large``, ``invalid``.
    """
    if takes is not Takes.NOTHING:
        kind, _, rest = request.headers.get("content-type", "").partition(";")
        if kind.strip().lower() != takes.value or rest.strip().lower() not in {"", "charset=utf-8"}:
            raise DeskhandError(Code.UNSUPPORTED_TYPE, takes.value)
    said = request.headers.get("content-length", "0")
    if not (said.isascii() and said.isdigit()):
        raise DeskhandError(Code.INVALID, field="Content-Length")
    if int(said[:20]) > _BYTES_MAX[takes]:
        raise DeskhandError(Code.TOO_LARGE, f"{_BYTES_MAX[takes]} bytes")


async def read_json(request: Request, model: type[W]) -> W:
    """Return the body as one object.

    Raises:
        DeskhandError: ``malformed_json``, ``invalid``, ``too_large``, ``body_timeout``.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            parts = [chunk async for chunk in body_chunks(request, takes=Takes.JSON)]
    except TimeoutError:
        raise DeskhandError(Code.BODY_TIMEOUT) from None
    return model.from_json(strict_json(b"".join(parts)))


async def body_chunks(request: Request, *, takes: Takes) -> AsyncIterator[bytes]:
    """Yield the body as it comes. A sender that went away ends it: what came is kept by who resumes.

    Raises:
        DeskhandError: ``too_large``; ``body_timeout`` when nothing comes for a while.
    """
    left = _BYTES_MAX[takes]
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
            raise DeskhandError(Code.TOO_LARGE, f"{_BYTES_MAX[takes]} bytes")
        yield chunk


def described(model: type[Wire]) -> dict[str, Any]:
    """Return how OpenAPI describes a JSON body of this shape, without references out of it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return _body_of(Takes.JSON, schema)


def raw_body(takes: Takes) -> dict[str, Any]:
    """Return how OpenAPI describes a body of bytes."""
    return _body_of(takes, {"type": "string", "format": "binary"})


def _body_of(takes: Takes, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {takes.value: {"schema": schema}}}}
