"""The hub's HTTP app: walls outside, guarded routes inside. It refuses to be built with a route nobody classified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.http.access import Door, PushDoor
from deskhand.hub.http.messages import refusal
from deskhand.hub.http.page import load_page
from deskhand.hub.http.routes import guarded_routes
from deskhand.hub.http.walls import Names, Walls
from deskhand.hub.pairing import Pairing

PAGE: Final = Path(__file__).parent.parent / "page"
_METHOD_NOT_ALLOWED: Final = 405


def create_app(
    hub: Hub,
    *,
    pairing: Pairing,
    push: PushDoor | None = None,
    page_folder: Path = PAGE,
) -> FastAPI:
    """Return the app for a started hub, with the routes of the table and no others (AU-01)."""
    app = FastAPI(title="Deskhand", version="1", openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.extend(guarded_routes())
    app.state.door = Door(hub, pairing=pairing, push=push)
    app.state.page = load_page(page_folder)
    app.add_exception_handler(HTTPException, _refused_by_routing)
    app.add_exception_handler(RequestValidationError, _refused_by_validation)
    names = Names((*hub.settings.hosts, *hub.settings.origins))
    app.add_middleware(Walls, names=names, ids=hub.ids)
    return app


def new_pairing(hub: Hub) -> Pairing:
    """Return the pairing service of a hub, bound to the user it runs as."""
    own: Callable[[], int] | None = getattr(os, "getuid", None)
    return Pairing(hub.store, hub.clock, hub.ids, uid=own() if own else None)


async def _refused_by_routing(request: Request, error: Exception) -> Response:
    if cast("HTTPException", error).status_code != _METHOD_NOT_ALLOWED:
        raise DeskhandError(Code.NOT_FOUND) from None
    known = [route for route in request.app.routes if "{path:path}" not in route.path]
    here = [route for route in known if route.path_regex.match(request.url.path)]
    methods = {method for route in here for method in route.methods}
    if not methods:
        raise DeskhandError(Code.NOT_FOUND) from None
    state, refused = request.state, DeskhandError(Code.METHOD_REFUSED)
    answer = refusal(refused, language=state.language, request_id=state.request_id)
    answer.headers["Allow"] = ", ".join(sorted(methods))
    return answer


async def _refused_by_validation(_: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    raise DeskhandError(Code.INVALID, str(first["msg"]), field=field or None) from None
