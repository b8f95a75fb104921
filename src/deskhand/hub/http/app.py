"""The hub's HTTP app: walls outside, and inside every route in one table (AU-01).

``policy.toml`` is the table: what answers, who may call, what body. A route that is not in it cannot be built. Roles inside a route (own or foreign) are decided by
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
from deskhand.hub.http import access, files, messages, routes
from deskhand.protocol import objects, requests, tasks, wire

PAGE: Final = Path(__file__).parent.parent / "page"
_METHOD_NOT_ALLOWED: Final = 405
_ANY_PATH: Final = "/{path:path}"
_UNDESCRIBED: Final = frozenset({"/openapi.json", "/", _ANY_PATH})


class Rule(NamedTuple):
    """One row of the table. ``roles`` are who may call; ``body`` is the shape of a JSON body, or the bytes it takes."""

    answering: access.Answering
    roles: frozenset[str]
    body: type[wire.Wire] | messages.Takes
    status: int


def _rule(*, answers: str, who: str, takes: str = "nothing", status: int = 200) -> Rule:
    """Return what a row of the table means; a word that means nothing fails where the program starts."""
    place, name, *about = answers.split()
    answering = _PLACES[place][name]
    if about:
        answering = answering(_SHAPES[about[0]], *about[1:])
    return Rule(answering, frozenset(messages.POLICY["who"][who]), _SHAPES[takes], status)


_PLACES: Final = {"routes": vars(routes), "files": vars(files)}
_SHAPES: Final = {**messages.TAKEN, **vars(objects), **vars(tasks), **vars(requests)}
RULES: Final = {name: _rule(**row) for name, row in messages.POLICY["routes"].items()}


class GuardedRoute(APIRoute):
    """A route that is in the table, and that nobody passes unjudged."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind the door; an unclassified route cannot even be defined."""
        inner = super().get_route_handler()
        [rule] = [RULES[f"{method} {self.path}"] for method in self.methods or ()]
        takes = messages.JSON if isinstance(rule.body, type) else rule.body

        async def guarded(request: Request) -> Response:
            door = cast("access.Door", request.app.state.door)
            request.state.call = await door.admit(request, rule.roles)
            messages.check_body(request, takes)
            return await inner(request)

        return guarded


def create_app(hub: Hub, *, push: access.PushDoor, page_folder: Path = PAGE) -> FastAPI:
    """Return the app for a started hub, with the routes of the table and no others (AU-01)."""
    app = FastAPI(title="Deskhand", version="1", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.door = access.Door(hub, push=push, page=files.load_page(page_folder))
    for name, rule in RULES.items():
        method, _, path = name.partition(" ")
        route = GuardedRoute(
            path,
            rule.answering,
            methods=[method],
            status_code=rule.status,
            response_class=messages.Flow if rule.answering is routes.stream else JSONResponse,
            openapi_extra=_described(rule.body),
            include_in_schema=path not in _UNDESCRIBED,
        )
        app.router.routes.append(route)
    app.add_exception_handler(HTTPException, _refused_by_routing)
    app.add_exception_handler(RequestValidationError, _refused_by_validation)
    app.add_middleware(messages.Walls, names=messages.Names(hub.names), ids=hub.ids)
    return app


def _described(body: type[wire.Wire] | messages.Takes) -> dict[str, Any] | None:
    """Return how OpenAPI describes a body, without references out of it."""
    if body is messages.NOTHING:
        return None
    schema: dict[str, Any] = {"type": "string", "format": "binary"}
    if isinstance(body, type):
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
    media_type = messages.JSON.media_type if isinstance(body, type) else body.media_type
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
