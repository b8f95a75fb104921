"""Writing: a batch of ops, and one task at a time for scripts and shortcuts. Both go the same way in."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import Caller, Door, GuardedRoute, TheCaller, TheDoor
from deskhand.hub.http.answers import Answer, spoken
from deskhand.hub.http.bodies import described, read_json
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.requests import OpBatch, OpResults, TaskPost
from deskhand.protocol.tasks import Task

router = APIRouter(route_class=GuardedRoute)

_KEY_CHARS_MAX = 80


@router.post("/v1/ops", openapi_extra=described(OpBatch))
async def post_ops(request: Request, door: TheDoor, caller: TheCaller) -> Answer:
    """Handle a batch; each op has its own result, and being repeated is harmless."""
    batch = await read_json(request, OpBatch)
    results = await door.hub.submit(
        caller.principal, batch.ops, surface=caller.surface, language=spoken(request)
    )
    return Answer(OpResults(results=tuple(results)))


@router.post("/v1/tasks", status_code=201, openapi_extra=described(TaskPost))
async def post_task(request: Request, door: TheDoor, caller: TheCaller) -> Answer:
    """Assign one task; with ``Idempotency-Key`` a repeated call returns the first one's task."""
    wish = await read_json(request, TaskPost)
    key = request.headers.get("idempotency-key") or door.hub.ids.new("key")
    if len(key) > _KEY_CHARS_MAX:
        raise DeskhandError(Code.INVALID, f"{_KEY_CHARS_MAX} characters", field="Idempotency-Key")
    body = wish.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude={"thread", "meant"}
    )
    op = Op(
        op_id=f"task-key:{key}",
        kind="message.post",
        thread=wish.thread,
        body={**body, "as": "task"},
    )
    result = await submit_one(request, door, caller, op)
    task = await door.hub.store.get(caller.principal.account, Task, result.task or "")
    if task is None:
        raise DeskhandError(Code.NOT_FOUND)
    return Answer(task, status_code=200 if result.status == "duplicate" else 201)


async def submit_one(request: Request, door: Door, caller: Caller, op: Op) -> OpResult:
    """Send one op and turn its rejection into the refusal of the whole request.

    Raises:
        DeskhandError: why it was rejected.
    """
    results = await door.hub.submit(
        caller.principal, [op], surface=caller.surface, language=spoken(request)
    )
    (result,) = results
    if result.error is not None:
        known = DeskhandError(Code(result.error.code)).sentence(spoken(request))
        detail = result.error.message.removeprefix(known).strip(" ()")
        raise DeskhandError(Code(result.error.code), detail, field=result.error.field)
    return result
