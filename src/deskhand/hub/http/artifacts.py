"""Files out: artifacts and files of messages, so served that a browser runs nothing of them (security 2.4).

The type is what the bytes are. Anything but four kinds of picture and plain text is a download. A hash is no
capability: bytes are reached through an object that the caller may see. Runners bring blobs in here, too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import Call, GuardedRoute, TheCall
from deskhand.hub.http.answers import Answer, Flow
from deskhand.hub.http.bodies import body_chunks, raw_body
from deskhand.hub.http.routes import Takes
from deskhand.hub.sniffing import INLINE, PLAIN, sniff_blob
from deskhand.limits import ARTIFACT_BYTES_MAX
from deskhand.protocol.tasks import Artifact, FileRef, Task

router = APIRouter(route_class=GuardedRoute)

HARD_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; sandbox;"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
_HARD: Final = {
    "Content-Security-Policy": HARD_CSP,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
    "Accept-Ranges": "bytes",
}
_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_ODD: Final = re.compile(r"[^A-Za-z0-9 ._-]")


@router.get("/v1/artifacts/{artifact}")
async def get_artifact(call: TheCall, artifact: str) -> Answer:
    """Return what is known of a file result."""
    return Answer(await _artifact(call, artifact))


@router.get("/v1/artifacts/{artifact}/content")
async def get_artifact_content(call: TheCall, artifact: str) -> Response:
    """Return the bytes of a file result, or one range of them."""
    found = await _artifact(call, artifact)
    if found.state != "stored":
        raise DeskhandError(Code.NOT_FOUND, found.state)
    return await _serve(call, found)


@router.get("/v1/files/{file}/content")
async def get_file_content(call: TheCall, file: str) -> Response:
    """Return the bytes of a file that came with a message: a runner gets those of its tasks."""
    return await _serve(call, await call.hub.file_of(call.me, file))


@router.put("/v1/blobs/{sha256}", openapi_extra=raw_body(Takes.BYTES))
async def put_blob(call: TheCall, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Answer:
    """Store bytes before an event names them; the hash is ours, and must be the one announced."""
    chunks = body_chunks(call.request, takes=Takes.BYTES)
    stored, size = await call.hub.blobs.put(chunks, limit=ARTIFACT_BYTES_MAX)
    if stored != sha256:
        raise DeskhandError(Code.CONFLICT, "the bytes are not what was announced")
    return Answer({"sha256": stored, "size": size}, status_code=201)


async def _artifact(call: Call, name: str) -> Artifact:
    """Return an artifact of a task that the caller may see; unknown and foreign look the same (IS-01, UP-10)."""
    found = await call.hub.store.get(call.me.account, Artifact, name)
    if found is None:
        raise DeskhandError(Code.NOT_FOUND)
    await call.get(Task, found.task)
    return found


async def _serve(call: Call, file: Artifact | FileRef) -> Response:
    blobs, sha256 = call.hub.blobs, file.sha256
    size = blobs.size(sha256)
    if size is None:
        raise DeskhandError(Code.NOT_FOUND)
    media_type = await sniff_blob(blobs, sha256, name=file.name)
    tag = f'"{sha256}"'
    headers = _HARD | {
        "Content-Disposition": _disposition(file.name, media_type),
        "Content-Type": f"{media_type}; charset=utf-8" if media_type == PLAIN else media_type,
        "Content-Length": str(size),
        "ETag": tag,
    }
    span = _span(call.request, size, tag)
    if span is None:
        return Flow(_bytes(blobs.open(sha256)), headers=headers)
    start, end = span
    if start >= size or start > end:
        return Response(status_code=416, headers=_HARD | {"Content-Range": f"bytes */{size}"})
    length = end - start + 1
    headers |= {"Content-Length": str(length), "Content-Range": f"bytes {start}-{end}/{size}"}
    part = blobs.open(sha256, start=start, size=length)
    return Flow(_bytes(part), status_code=206, headers=headers)


async def _bytes(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _span(request: Request, size: int, tag: str) -> tuple[int, int] | None:
    """Return (first, last) of the one range that is asked for; several, or of another version, mean the whole (UP-07)."""
    asked = request.headers.getlist("range")
    if len(asked) != 1 or request.headers.get("if-range", tag) != tag:
        return None
    found = _RANGE.fullmatch(asked[0].strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _disposition(name: str, media_type: str) -> str:
    how = "inline" if media_type in INLINE else "attachment"
    plain = _ODD.sub("_", name) or "file"
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
