"""Writing: a batch of ops, and one task at a time for scripts and shortcuts. Both go the same way in."""

from __future__ import annotations

from fastapi import APIRouter

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import Call, GuardedRoute, TheCall
from deskhand.hub.http.answers import Answer
from deskhand.hub.http.bodies import described, read_json
from deskhand.protocol.ops import Op, OpResult
from deskhand.protocol.requests import OpBatch, OpResults, TaskPost
from deskhand.protocol.tasks import Task

router = APIRouter(route_class=GuardedRoute)

_KEY_CHARS_MAX = 80


@router.post("/v1/ops", openapi_extra=described(OpBatch))
async def post_ops(call: TheCall) -> Answer:
    """Handle a batch; each op has its own result, and being repeated is harmless."""
    batch = await read_json(call.request, OpBatch)
    return Answer(OpResults(results=tuple(await call.submit(batch.ops))))


@router.post("/v1/tasks", status_code=201, openapi_extra=described(TaskPost))
async def post_task(call: TheCall) -> Answer:
    """Assign one task; with ``Idempotency-Key`` a repeated call returns the first one's task."""
    wish = await read_json(call.request, TaskPost)
    key = call.request.headers.get("idempotency-key") or call.hub.ids.new("key")
    if len(key) > _KEY_CHARS_MAX:
        raise DeskhandError(Code.INVALID, f"{_KEY_CHARS_MAX} characters", field="Idempotency-Key")
    body = wish.model_dump(mode="json", exclude_unset=True, exclude={"thread", "meant"})
    op = Op(
        op_id=f"task-key:{key}",
        kind="message.post",
        thread=wish.thread,
        body={**body, "as": "task"},
    )
    result = await submit_one(call, op)
    task = await call.get(Task, result.task or "")
    return Answer(task, status_code=200 if result.status == "duplicate" else 201)


async def submit_one(call: Call, op: Op) -> OpResult:
    """Send one op and turn its rejection into the refusal of the whole request.

    Raises:
        DeskhandError: why it was rejected.
    """
    [result] = await call.submit([op])
    if result.error is not None:
        code = Code(result.error.code)
        sentence = DeskhandError(code).sentence(call.language)
        detail = result.error.message.removeprefix(sentence).strip(" ()")
        raise DeskhandError(code, detail, field=result.error.field)
    return result
