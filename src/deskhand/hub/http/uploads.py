"""Files in: tus 1.0 with creation, one plain chunk after another.

It refuses method override, concatenation, deferred length and a body at creation.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import GuardedRoute, TheCaller, TheDoor
from deskhand.hub.http.answers import Answer
from deskhand.hub.http.bodies import body_chunks, raw_body
from deskhand.hub.http.routes import Takes
from deskhand.limits import UPLOAD_BYTES_MAX
from deskhand.protocol.objects import Upload

router = APIRouter(route_class=GuardedRoute)

_VERSION: Final = "1.0.0"
_PROTOCOL: Final = {
    "Tus-Resumable": _VERSION,
    "Tus-Version": _VERSION,
    "Tus-Extension": "creation,expiration",
    "Tus-Max-Size": str(UPLOAD_BYTES_MAX),
}
_REFUSED: Final = ("upload-concat", "upload-defer-length", "x-http-method-override")


@router.options("/v1/uploads", status_code=204)
async def describe_uploads() -> Response:
    """Say what of tus is spoken here."""
    return Response(status_code=204, headers=_PROTOCOL)


@router.post("/v1/uploads", status_code=201)
async def create_upload(request: Request, door: TheDoor, caller: TheCaller) -> Response:
    """Reserve room for a file of ``Upload-Length`` bytes."""
    _check_protocol(request)
    size = _number(request, "Upload-Length")
    name = _file_name(request.headers.get("upload-metadata", ""))
    upload = await door.uploads.create(caller.principal, name=name, size=size)
    headers = _state(upload) | {"Location": f"/v1/uploads/{upload.id}"}
    return Answer(upload, status_code=201, headers=headers)


@router.get("/v1/uploads/{upload}")
async def get_upload(door: TheDoor, caller: TheCaller, upload: str) -> Answer:
    """Return an upload of one's own."""
    return Answer(await door.uploads.look(caller.principal, upload))


@router.head("/v1/uploads/{upload}")
async def head_upload(request: Request, door: TheDoor, caller: TheCaller, upload: str) -> Response:
    """Say how far an upload is."""
    _check_protocol(request)
    found = await door.uploads.look(caller.principal, upload)
    return Response(headers=_state(found) | {"Upload-Length": str(found.size)})


@router.patch("/v1/uploads/{upload}", status_code=204, openapi_extra=raw_body(Takes.CHUNK))
async def patch_upload(request: Request, door: TheDoor, caller: TheCaller, upload: str) -> Response:
    """Add bytes at ``Upload-Offset``."""
    _check_protocol(request)
    offset = _number(request, "Upload-Offset")
    chunks = body_chunks(request, takes=Takes.CHUNK)
    found = await door.uploads.append(caller.principal, upload, chunks, offset=offset)
    return Response(status_code=204, headers=_state(found))


def _check_protocol(request: Request) -> None:
    if request.headers.get("tus-resumable") != _VERSION:
        raise DeskhandError(Code.UPLOAD_VERSION)
    for name in _REFUSED:
        if name in request.headers:
            raise DeskhandError(Code.INVALID, field=name)


def _number(request: Request, name: str) -> int:
    said = request.headers.get(name, "")
    if not (said.isascii() and said.isdigit() and len(said) < 20):  # noqa: PLR2004 - longer than any file
        raise DeskhandError(Code.INVALID, field=name)
    return int(said)


def _file_name(metadata: str) -> str:
    """Return the name in ``Upload-Metadata`` (``key base64,key base64``)."""
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key in {"filename", "name"}:
            try:
                return base64.b64decode(value, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                raise DeskhandError(Code.INVALID, field="Upload-Metadata") from None
    return "file"


def _state(upload: Upload) -> dict[str, str]:
    return {"Tus-Resumable": _VERSION, "Upload-Offset": str(upload.offset)}
