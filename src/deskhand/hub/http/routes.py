"""Every route of the hub in one table: what answers it, who may call it, what kind of body it takes (AU-01).

A route that is not in here cannot be built. Roles inside a route (own or foreign) are decided by ``protocol.authority``
and by the reading itself; this table is the outer door.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import override

from deskhand.hub.http import devices, files, lists, log, page
from deskhand.hub.http.access import Door, Who
from deskhand.hub.http.messages import BYTES, CHUNK, JSON, NOTHING, Flow, Takes, check_body
from deskhand.protocol import requests as asks
from deskhand.protocol.wire import Wire

Answering = Callable[..., Coroutine[Any, Any, Response]]
_UNDESCRIBED: Final = frozenset({"/openapi.json", "/", "/{path:path}"})


class Rule(NamedTuple):
    """One row of the table. ``body`` is the shape of a JSON body, or the bytes it takes; ``status`` is for OpenAPI."""

    answering: Answering
    who: Who
    body: type[Wire] | Takes = NOTHING
    status: int = 200


RULES: Final[dict[str, Rule]] = {
    "POST /v1/ops": Rule(log.post_ops, Who.PARTICIPANT, asks.OpBatch),
    "POST /v1/tasks": Rule(log.post_task, Who.SENDER, asks.TaskPost, 201),
    "GET /v1/stream": Rule(log.stream, Who.LISTENER),
    "GET /v1/sync": Rule(log.sync, Who.LISTENER),
    "GET /v1/snapshot": Rule(log.snapshot, Who.PERSON),
    "GET /v1/tasks": Rule(lists.list_tasks, Who.READER),
    "GET /v1/tasks/{task}": Rule(lists.get_task, Who.READER),
    "GET /v1/threads": Rule(lists.list_threads, Who.READER),
    "GET /v1/threads/{thread}": Rule(lists.get_thread, Who.READER),
    "GET /v1/threads/{thread}/events": Rule(lists.list_thread_events, Who.READER),
    "GET /v1/approvals": Rule(lists.list_approvals, Who.PERSON),
    "GET /v1/approvals/{approval}": Rule(lists.get_approval, Who.PERSON),
    "GET /v1/questions": Rule(lists.list_questions, Who.PERSON),
    "GET /v1/runners": Rule(lists.list_runners, Who.PERSON),
    "GET /v1/folders": Rule(lists.list_folders, Who.PERSON),
    "GET /v1/deliveries": Rule(lists.list_deliveries, Who.PERSON),
    "GET /v1/commands": Rule(lists.list_commands, Who.READER),
    "GET /v1/settings": Rule(lists.list_settings, Who.PERSON),
    "GET /v1/devices": Rule(lists.list_devices, Who.PERSON),
    "DELETE /v1/devices/{device}": Rule(devices.revoke_device, Who.OWNER, status=204),
    "OPTIONS /v1/uploads": Rule(files.describe_uploads, Who.PUBLIC, status=204),
    "POST /v1/uploads": Rule(files.create_upload, Who.SENDER, status=201),
    "GET /v1/uploads/{upload}": Rule(files.get_upload, Who.SENDER),
    "HEAD /v1/uploads/{upload}": Rule(files.head_upload, Who.SENDER),
    "PATCH /v1/uploads/{upload}": Rule(files.patch_upload, Who.SENDER, CHUNK, 204),
    "GET /v1/files/{file}/content": Rule(files.get_file_content, Who.PARTICIPANT),
    "GET /v1/artifacts/{artifact}": Rule(files.get_artifact, Who.READER),
    "GET /v1/artifacts/{artifact}/content": Rule(files.get_artifact_content, Who.READER),
    "PUT /v1/blobs/{sha256}": Rule(files.put_blob, Who.RUNNER, BYTES),
    "POST /v1/pair": Rule(devices.ask_to_join, Who.PUBLIC, asks.PairAsk, 202),
    "POST /v1/pair/claim": Rule(devices.claim, Who.PUBLIC, asks.PairClaim),
    "GET /v1/pair/requests": Rule(lists.list_pair_requests, Who.OWNER),
    "POST /v1/pair/invites": Rule(devices.create_invite, Who.OWNER, asks.InviteAsk, 201),
    "DELETE /v1/pair/invites/{invite}": Rule(devices.close_invite, Who.OWNER, status=204),
    "GET /v1/push/key": Rule(devices.push_key, Who.PERSON),
    "POST /v1/push/subscriptions": Rule(devices.subscribe, Who.PERSON, asks.PushAsk, 201),
    "POST /v1/push/test": Rule(devices.push_test, Who.PERSON, status=202),
    "GET /healthz": Rule(page.healthz, Who.PUBLIC),
    "GET /v1/version": Rule(page.version, Who.PUBLIC),
    "GET /openapi.json": Rule(page.openapi, Who.PUBLIC),
    "GET /": Rule(page.index, Who.PUBLIC),
    "GET /{path:path}": Rule(page.page_file, Who.PUBLIC),
}


class GuardedRoute(APIRoute):
    """A route that is in the table, and that nobody passes unjudged."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind the door; an unclassified route cannot even be defined."""
        inner = super().get_route_handler()
        [rule] = [RULES[f"{method} {self.path}"] for method in self.methods or ()]
        takes = JSON if isinstance(rule.body, type) else rule.body

        async def guarded(request: Request) -> Response:
            door = cast("Door", request.app.state.door)
            request.state.call = await door.admit(request, rule.who)
            check_body(request, takes)
            return await inner(request)

        return guarded


def guarded_routes() -> list[GuardedRoute]:
    """Return what the table describes, in its order."""
    rows = [(*name.split(" "), rule) for name, rule in RULES.items()]
    return [
        GuardedRoute(
            path,
            rule.answering,
            methods=[method],
            status_code=rule.status,
            response_class=Flow if rule.answering is log.stream else JSONResponse,
            openapi_extra=_described(rule.body),
            include_in_schema=path not in _UNDESCRIBED,
        )
        for method, path, rule in rows
    ]


def _described(body: type[Wire] | Takes) -> dict[str, Any] | None:
    """Return how OpenAPI describes a body, without references out of it."""
    if body is NOTHING:
        return None
    schema: dict[str, Any] = {"type": "string", "format": "binary"}
    if isinstance(body, type):
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
    media_type = JSON.media_type if isinstance(body, type) else body.media_type
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}
