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
from deskhand.hub.http.access import GuardedRoute, TheCall
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
_DIGITS_MAX: Final = 19


@router.options("/v1/uploads", status_code=204)
async def describe_uploads() -> Response:
    """Say what of tus is spoken here."""
    return Response(status_code=204, headers=_PROTOCOL)


@router.post("/v1/uploads", status_code=201)
async def create_upload(call: TheCall) -> Response:
    """Reserve room for a file of ``Upload-Length`` bytes."""
    _check_protocol(call.request)
    size = _number(call.request, "Upload-Length")
    name = _file_name(call.request.headers.get("upload-metadata", ""))
    upload = await call.door.uploads.create(call.me, name=name, size=size)
    headers = _state(upload) | {"Location": f"/v1/uploads/{upload.id}"}
    return Answer(upload, status_code=201, headers=headers)


@router.get("/v1/uploads/{upload}")
async def get_upload(call: TheCall, upload: str) -> Answer:
    """Return an upload of one's own."""
    return Answer(await call.door.uploads.look(call.me, upload))


@router.head("/v1/uploads/{upload}")
async def head_upload(call: TheCall, upload: str) -> Response:
    """Say how far an upload is."""
    _check_protocol(call.request)
    found = await call.door.uploads.look(call.me, upload)
    return Response(headers=_state(found) | {"Upload-Length": str(found.size)})


@router.patch("/v1/uploads/{upload}", status_code=204, openapi_extra=raw_body(Takes.CHUNK))
async def patch_upload(call: TheCall, upload: str) -> Response:
    """Add bytes at ``Upload-Offset``."""
    _check_protocol(call.request)
    offset = _number(call.request, "Upload-Offset")
    chunks = body_chunks(call.request, takes=Takes.CHUNK)
    found = await call.door.uploads.append(call.me, upload, chunks, offset=offset)
    return Response(status_code=204, headers=_state(found))


def _check_protocol(request: Request) -> None:
    if request.headers.get("tus-resumable") != _VERSION:
        raise DeskhandError(Code.UPLOAD_VERSION)
    for name in _REFUSED:
        if name in request.headers:
            raise DeskhandError(Code.INVALID, field=name)


def _number(request: Request, name: str) -> int:
    said = request.headers.get(name, "")
    if not (said.isascii() and said.isdigit() and len(said) <= _DIGITS_MAX):
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
