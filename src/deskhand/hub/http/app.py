"""The hub's HTTP app: walls outside, and inside every route in one table: what answers, who may call, what body (AU-01).

A route that is not in the table cannot be built. Roles inside a route (own or foreign) are decided by
``protocol.authority`` and by the reading itself; the table is the outer door.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.http import files, page, routes
from deskhand.hub.http.access import Answering, Door, PushDoor, Who
from deskhand.hub.http.messages import BYTES, CHUNK, JSON, NOTHING, Flow, Takes, check_body
from deskhand.hub.http.walls import Names, Walls
from deskhand.protocol import requests as asks
from deskhand.protocol.objects import Device, Folder, PairRequest, Thread
from deskhand.protocol.tasks import Approval, Question, Task
from deskhand.protocol.wire import Wire

PAGE: Final = Path(__file__).parent.parent / "page"
_METHOD_NOT_ALLOWED: Final = 405
_ANY_PATH: Final = "/{path:path}"
_UNDESCRIBED: Final = frozenset({"/openapi.json", "/", _ANY_PATH})


class Rule(NamedTuple):
    """One row of the table. ``body`` is the shape of a JSON body, or the bytes it takes; ``status`` is for OpenAPI."""

    answering: Answering
    who: Who
    body: type[Wire] | Takes = NOTHING
    status: int = 200


RULES: Final[dict[str, Rule]] = {
    "POST /v1/ops": Rule(routes.post_ops, Who.PARTICIPANT, asks.OpBatch),
    "POST /v1/tasks": Rule(routes.post_task, Who.SENDER, asks.TaskPost, 201),
    "GET /v1/stream": Rule(routes.stream, Who.LISTENER),
    "GET /v1/sync": Rule(routes.sync, Who.LISTENER),
    "GET /v1/snapshot": Rule(routes.snapshot, Who.PERSON),
    "GET /v1/tasks": Rule(routes.list_tasks, Who.READER),
    "GET /v1/tasks/{name}": Rule(routes.one_of(Task), Who.READER),
    "GET /v1/threads": Rule(routes.list_of(Thread), Who.READER),
    "GET /v1/threads/{name}": Rule(routes.one_of(Thread), Who.READER),
    "GET /v1/threads/{thread}/events": Rule(routes.list_thread_events, Who.READER),
    "GET /v1/approvals": Rule(routes.list_of(Approval), Who.PERSON),
    "GET /v1/approvals/{name}": Rule(routes.one_of(Approval), Who.PERSON),
    "GET /v1/questions": Rule(routes.list_of(Question), Who.PERSON),
    "GET /v1/runners": Rule(routes.list_runners, Who.PERSON),
    "GET /v1/folders": Rule(routes.list_of(Folder, "granted"), Who.PERSON),
    "GET /v1/deliveries": Rule(routes.list_deliveries, Who.PERSON),
    "GET /v1/commands": Rule(routes.list_commands, Who.READER),
    "GET /v1/settings": Rule(routes.list_settings, Who.PERSON),
    "GET /v1/devices": Rule(routes.list_of(Device), Who.PERSON),
    "DELETE /v1/devices/{device}": Rule(routes.revoke_device, Who.OWNER, status=204),
    "POST /v1/uploads": Rule(files.create_upload, Who.SENDER, status=201),
    "GET /v1/uploads/{upload}": Rule(files.get_upload, Who.SENDER),
    "HEAD /v1/uploads/{upload}": Rule(files.head_upload, Who.SENDER),
    "PATCH /v1/uploads/{upload}": Rule(files.patch_upload, Who.SENDER, CHUNK, 204),
    "GET /v1/files/{file}/content": Rule(files.get_file_content, Who.PARTICIPANT),
    "GET /v1/artifacts/{artifact}": Rule(files.get_artifact, Who.READER),
    "GET /v1/artifacts/{artifact}/content": Rule(files.get_artifact_content, Who.READER),
    "PUT /v1/blobs/{sha256}": Rule(files.put_blob, Who.RUNNER, BYTES, 201),
    "POST /v1/pair": Rule(routes.ask_to_join, Who.PUBLIC, asks.PairAsk, 202),
    "POST /v1/pair/claim": Rule(routes.claim, Who.PUBLIC, asks.PairClaim),
    "GET /v1/pair/requests": Rule(routes.list_of(PairRequest, "waiting"), Who.OWNER),
    "POST /v1/pair/invites": Rule(routes.create_invite, Who.OWNER, asks.InviteAsk, 201),
    "DELETE /v1/pair/invites/{invite}": Rule(routes.close_invite, Who.OWNER, status=204),
    "GET /v1/push/key": Rule(routes.push_key, Who.PERSON),
    "POST /v1/push/subscriptions": Rule(routes.subscribe, Who.PERSON, asks.PushAsk, 201),
    "POST /v1/push/test": Rule(routes.push_test, Who.PERSON, status=202),
    "GET /healthz": Rule(page.healthz, Who.PUBLIC),
    "GET /v1/version": Rule(page.version, Who.PUBLIC),
    "GET /openapi.json": Rule(page.openapi, Who.PUBLIC),
    "GET /": Rule(page.index, Who.PUBLIC),
    f"GET {_ANY_PATH}": Rule(page.page_file, Who.PUBLIC),
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


def create_app(hub: Hub, *, push: PushDoor, page_folder: Path = PAGE) -> FastAPI:
    """Return the app for a started hub, with the routes of the table and no others (AU-01)."""
    app = FastAPI(title="Deskhand", version="1", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.door = Door(hub, push=push, page=page.load_page(page_folder))
    for name, rule in RULES.items():
        method, _, path = name.partition(" ")
        route = GuardedRoute(
            path,
            rule.answering,
            methods=[method],
            status_code=rule.status,
            response_class=Flow if rule.answering is routes.stream else JSONResponse,
            openapi_extra=_described(rule.body),
            include_in_schema=path not in _UNDESCRIBED,
        )
        app.router.routes.append(route)
    app.add_exception_handler(HTTPException, _refused_by_routing)
    app.add_exception_handler(RequestValidationError, _refused_by_validation)
    app.add_middleware(Walls, names=Names(hub.names), ids=hub.ids)
    return app


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


async def _refused_by_routing(request: Request, error: Exception) -> Response:
    routes = [one for one in request.app.routes if one.path_regex.match(request.url.path)]
    methods = {method for one in routes if one.path != _ANY_PATH for method in one.methods}
    if methods and cast("HTTPException", error).status_code == _METHOD_NOT_ALLOWED:
        raise DeskhandError(Code.METHOD_REFUSED, ", ".join(sorted(methods))) from None
    raise DeskhandError(Code.NOT_FOUND) from None


async def _refused_by_validation(_: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    raise DeskhandError(Code.INVALID, str(first["msg"]), field=field or None) from None
