"""Following the log: the stream of server-sent events, the same as pages, and where a device starts from.

A reader that does not keep up is cut and resumes from its cursor: neither the hub's queue nor the socket's buffer
grows for it. A stream that is refused is refused with a status, before its first byte.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Query

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import GuardedRoute, TheCall
from deskhand.hub.http.answers import Answer, Flow
from deskhand.limits import INTEGER_MAX, LIST_LIMIT_MAX, SYNC_WAIT_SECONDS_MAX
from deskhand.ports import Frame

router = APIRouter(route_class=GuardedRoute)

Limit = Annotated[int, Query(ge=1, le=LIST_LIMIT_MAX)]
Seq = Annotated[int, Query(ge=0, le=INTEGER_MAX)]
_HEADERS: Final = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


class EventStream(Flow):
    """A flow of server-sent events."""

    media_type = "text/event-stream"


@router.get("/v1/stream", response_class=EventStream)
async def stream(
    call: TheCall,
    after: Seq = 0,
    live: Annotated[str | None, Query(max_length=100)] = None,
) -> EventStream:
    """Send what is after the cursor, then what comes; ``Last-Event-ID`` wins over ``after``."""
    del live  # Live text is sent to every reader of the account until the hub can tell who watches.
    last = call.request.headers.get("last-event-id")
    if last:
        after = _seq(last)
    frames = call.hub.stream(call.me, after=after)
    first = await anext(frames, None)
    return EventStream(_lines(first, frames), headers=_HEADERS)


@router.get("/v1/sync")
async def sync(
    call: TheCall,
    after: Seq = 0,
    limit: Limit = LIST_LIMIT_MAX,
    wait: Annotated[float, Query(ge=0, le=SYNC_WAIT_SECONDS_MAX)] = 0,
) -> Answer:
    """Return the events after a cursor; with none, wait for some."""
    page = await call.hub.sync(call.me, after=after, limit=limit, wait=wait)
    events = [event.to_json() for event in page.events]
    return Answer({"events": events, "next": page.looked_at, "more": page.more})


@router.get("/v1/snapshot")
async def snapshot(call: TheCall) -> Answer:
    """Return where a device starts from."""
    return Answer(await call.hub.snapshot(call.me))


async def _lines(first: Frame | None, frames: AsyncGenerator[Frame]) -> AsyncGenerator[bytes]:
    async with aclosing(frames):
        if first is None:
            return
        yield _encoded(first)
        try:
            async for frame in frames:
                yield _encoded(frame)
        except DeskhandError:
            return  # Revoked: the next request says so with a status.


def _encoded(frame: Frame) -> bytes:
    """Return a frame as an event of the stream."""
    if frame.event is not None:
        data = frame.event.model_dump_json(exclude_none=True)
    else:
        data = json.dumps(frame.data, ensure_ascii=False, separators=(",", ":"))
    number = f"id: {frame.seq}\n" if frame.seq is not None else ""
    return f"{number}event: {frame.kind}\ndata: {data}\n\n".encode()


def _seq(said: str) -> int:
    if not (said.isascii() and said.isdigit()) or len(said) > len(str(INTEGER_MAX)):
        raise DeskhandError(Code.INVALID, field="Last-Event-ID")
    return int(said)
