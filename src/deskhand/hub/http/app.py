"""The hub's HTTP app: walls outside, guarded routes inside. It refuses to be built with a route nobody classified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import Hub
from deskhand.hub.http import artifacts, devices, lists, ops, page, pairing, stream, uploads
from deskhand.hub.http.access import Door, GuardedRoute, PushDoor
from deskhand.hub.http.answers import numbered, refusal, spoken
from deskhand.hub.http.page import load_page
from deskhand.hub.http.routes import RULES
from deskhand.hub.http.walls import Names, Walls
from deskhand.hub.pairing import Pairing, UidOf
from deskhand.hub.peer import uid_of

PAGE: Final = Path(__file__).parent.parent / "page"
_FEATURES: Final = (ops, lists, stream, uploads, artifacts, pairing, devices, page)
_METHOD_NOT_ALLOWED: Final = 405


def create_app(
    hub: Hub,
    *,
    pairing: Pairing | None = None,
    push: PushDoor | None = None,
    page_folder: Path = PAGE,
    peer_uid: UidOf = uid_of,
    names: Names | None = None,
) -> FastAPI:
    """Return the app for a hub.

    Args:
        hub: the started core.
        pairing: shared with who makes invitations in this process; a new one unless given.
        push: what subscribing needs; without it there are no pushes.
        page_folder: the built page.
        peer_uid: who opened a loopback connection.
        names: under which the hub answers; loopback and the hub's settings unless given.

    Raises:
        LookupError: a route is in no row of the table, or a row has no route.
    """
    app = FastAPI(title="Deskhand", openapi_url=None, docs_url=None, redoc_url=None)
    for feature in _FEATURES:
        app.router.routes.extend(feature.router.routes)
    _check_classified(app)
    app.state.door = Door(hub, pairing=pairing or new_pairing(hub), uid_of=peer_uid, push=push)
    app.state.page = load_page(page_folder)
    app.add_exception_handler(HTTPException, _refused_by_routing)
    app.add_exception_handler(RequestValidationError, _refused_by_validation)
    names = names or Names.of(hosts=hub.settings.hosts, origins=hub.settings.origins)
    app.add_middleware(Walls, names=names, ids=hub.ids)
    return app


def new_pairing(hub: Hub) -> Pairing:
    """Return the pairing service of a hub, bound to the user it runs as."""
    own: Callable[[], int] | None = getattr(os, "getuid", None)
    return Pairing(hub.store, hub.clock, hub.ids, uid=own() if own else None)


def _check_classified(app: FastAPI) -> None:
    built: set[str] = set()
    for route in app.routes:
        if not isinstance(route, GuardedRoute):
            raise LookupError(f"{route} does not stand behind the door")  # noqa: TRY004 - one error for all gaps of the table
        built |= {f"{method} {route.path}" for method in route.methods or ()}
    if built != set(RULES):
        raise LookupError(f"routes and table differ: {sorted(built ^ set(RULES))}")


async def _refused_by_routing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    methods = _methods(request) if status == _METHOD_NOT_ALLOWED else []
    code = Code.METHOD_REFUSED if methods else Code.NOT_FOUND
    answer = refusal(DeskhandError(code), language=spoken(request), request_id=numbered(request))
    if methods:
        answer.headers["Allow"] = ", ".join(methods)
    return answer


async def _refused_by_validation(request: Request, error: Exception) -> Response:
    known = error.errors() if isinstance(error, RequestValidationError) else ()
    found = cast("dict[str, Any]", known[0] if known else {})
    field = ".".join(str(part) for part in found.get("loc", ())[1:])
    wrong = DeskhandError(Code.INVALID, str(found.get("msg", "")), field=field or None)
    return refusal(wrong, language=spoken(request), request_id=numbered(request))


def _methods(request: Request) -> list[str]:
    """Return what the path does understand."""
    path = request.scope["path"]
    found: set[str] = set()
    for route in request.app.routes:
        if (
            isinstance(route, APIRoute)
            and route.path_regex.match(path)
            and "{path:path}" not in route.path
        ):
            found |= route.methods or set()
    return sorted(found)
