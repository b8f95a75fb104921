"""The log over HTTP: ops go in; the stream, pages of events and the snapshot come out.

A reader that does not keep up is cut and resumes from its cursor: neither the hub's queue nor the socket's buffer
grows for it. A stream that is refused is refused with a status, before its first byte.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import Header, Query

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import Call, TheCall
from deskhand.hub.http.messages import Answer, Flow, read_json
from deskhand.limits import INTEGER_MAX, LIST_LIMIT_MAX, SYNC_WAIT_SECONDS_MAX
from deskhand.ports import Frame
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.requests import OpBatch, OpResults, TaskPost
from deskhand.protocol.tasks import Task

Limit = Annotated[int, Query(ge=1, le=LIST_LIMIT_MAX)]
Seq = Annotated[int, Query(ge=0, le=INTEGER_MAX)]
_HEADERS: Final = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


async def post_ops(call: TheCall) -> Answer:
    """Handle a batch; each op has its own result, and being repeated is harmless."""
    batch = await read_json(call.request, OpBatch)
    return Answer(OpResults(results=tuple(await call.submit(batch.ops))))


async def post_task(
    call: TheCall,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=80)] = None,
) -> Answer:
    """Assign one task; with ``Idempotency-Key`` a repeated call returns the first one's task."""
    wish = await read_json(call.request, TaskPost)
    key = key or call.hub.ids.new("key")
    body = wish.model_dump(mode="json", exclude_unset=True, exclude={"thread", "meant"})
    body["as"] = "task"
    op = Op(op_id=f"task-key:{key}", kind="message.post", thread=wish.thread, body=body)
    result = await submit_one(call, op)
    task = await call.get(Task, result.task or "")
    return Answer(task, status_code=200 if result.status == "duplicate" else 201)


async def submit_one(call: Call, op: Op) -> OpResult:
    """Send one op; its rejection is the refusal of the whole request."""
    [result] = await call.submit([op])
    if result.error is not None:
        code = Code(result.error.code)
        sentence = DeskhandError(code).sentence(call.language)
        detail = result.error.message.removeprefix(sentence).strip(" ()")
        raise DeskhandError(code, detail, field=result.error.field)
    return result


async def stream(
    call: TheCall,
    after: Seq = 0,
    live: Annotated[str | None, Query(max_length=100)] = None,
    last: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=INTEGER_MAX)] = None,
) -> Flow:
    """Send what is after the cursor, then what comes; ``Last-Event-ID`` wins over ``after``."""
    del live  # Live text is sent to every reader of the account until the hub can tell who watches.
    frames = call.hub.stream(
        call.me, after=after if last is None else last, acknowledged=call.acknowledged
    )
    first = await anext(frames, None)
    return Flow(_lines(first, frames), headers=_HEADERS, media_type="text/event-stream")


async def sync(
    call: TheCall,
    after: Seq = 0,
    limit: Limit = LIST_LIMIT_MAX,
    wait: Annotated[float, Query(ge=0, le=SYNC_WAIT_SECONDS_MAX)] = 0,
) -> Answer:
    """Return the events after a cursor; with none, wait for some."""
    page = await call.hub.sync(call.me, after=after, limit=limit, wait=wait)
    log = {"head": page.head, "incarnation": page.incarnation}
    rest = json.dumps({"next": page.looked_at, "more": page.more, **log})
    events = ",".join(event.model_dump_json(exclude_none=True) for event in page.events)
    return Answer(f'{{"events":[{events}],{rest[1:]}'.encode())


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
