"""Files out: artifacts and files of messages, so served that a browser runs nothing of them (security 2.4).

The type is what the bytes are. Anything but four kinds of picture and plain text is a download. A hash is no
capability: bytes are reached through an object that the caller may see. Runners bring blobs in here, too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import Door, GuardedRoute, TheCaller, TheDoor
from deskhand.hub.http.answers import Answer, Flow
from deskhand.hub.http.bodies import body_chunks, raw_body
from deskhand.hub.http.routes import Takes
from deskhand.hub.sniffing import INLINE, PLAIN, sniff
from deskhand.limits import ARTIFACT_BYTES_MAX, LIST_LIMIT_MAX
from deskhand.protocol.authority import Principal
from deskhand.protocol.objects import Role
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
_LOOK_BYTES: Final = 4096
_NARROW: Final = frozenset({Role.CLIENT, Role.BRIDGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes that may be served, and the name they are saved under."""

    sha256: str
    name: str


@router.get("/v1/artifacts/{artifact}")
async def get_artifact(door: TheDoor, caller: TheCaller, artifact: str) -> Answer:
    """Return what is known of a file result."""
    return Answer(await _artifact(door, caller.principal, artifact))


@router.get("/v1/artifacts/{artifact}/content")
async def get_artifact_content(
    request: Request, door: TheDoor, caller: TheCaller, artifact: str
) -> Response:
    """Return the bytes of a file result, or one range of them."""
    found = await _artifact(door, caller.principal, artifact)
    if found.state != "stored":
        raise DeskhandError(Code.NOT_FOUND, found.state)
    return await _serve(request, door, Stored(sha256=found.sha256, name=found.name))


@router.get("/v1/files/{file}/content")
async def get_file_content(
    request: Request, door: TheDoor, caller: TheCaller, file: str
) -> Response:
    """Return the bytes of a file that came with a message: a runner gets those of its tasks."""
    me = caller.principal
    if me.role is Role.RUNNER:
        stored = Stored(sha256=await door.hub.file_for(me, file), name=file)
    else:
        ref = await _attached(door, me, file)
        stored = Stored(sha256=ref.sha256, name=ref.name)
    return await _serve(request, door, stored)


@router.put("/v1/blobs/{sha256}", openapi_extra=raw_body(Takes.BYTES))
async def put_blob(
    request: Request,
    door: TheDoor,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
) -> Answer:
    """Store bytes before an event names them; the hash is ours, and must be the one announced."""
    chunks = body_chunks(request, takes=Takes.BYTES)
    stored, size = await door.hub.blobs.put(chunks, limit=ARTIFACT_BYTES_MAX)
    if stored != sha256:
        raise DeskhandError(Code.CONFLICT, "the bytes are not what was announced")
    return Answer({"sha256": stored, "size": size}, status_code=201)


async def _artifact(door: Door, me: Principal, name: str) -> Artifact:
    """Return an artifact in the caller's view; unknown and foreign look the same (IS-01, UP-10)."""
    found = await door.hub.store.get(me.account, Artifact, name)
    if found is None:
        raise DeskhandError(Code.NOT_FOUND)
    if me.role in _NARROW:
        task = await door.hub.store.get(me.account, Task, found.task)
        if task is None or task.created_by != me.id:
            raise DeskhandError(Code.NOT_FOUND)
    return found


async def _attached(door: Door, me: Principal, file: str) -> FileRef:
    """Return a file of the account's newest tasks."""
    for task in await door.hub.store.find(me.account, Task, limit=LIST_LIMIT_MAX):
        if me.role in _NARROW and task.created_by != me.id:
            continue
        for ref in task.files:
            if ref.id == file:
                return ref
    raise DeskhandError(Code.NOT_FOUND)


async def _serve(request: Request, door: Door, stored: Stored) -> Response:
    blobs = door.hub.blobs
    size = blobs.size(stored.sha256)
    if size is None:
        raise DeskhandError(Code.NOT_FOUND)
    beginning = b""
    async for chunk in blobs.open(stored.sha256, start=0, size=min(size, _LOOK_BYTES)):
        beginning += chunk
    media_type = sniff(beginning, name=stored.name)
    tag = f'"{stored.sha256}"'
    headers = dict(_HARD) | {
        "Content-Disposition": _disposition(stored.name, media_type),
        "Content-Type": f"{media_type}; charset=utf-8" if media_type == PLAIN else media_type,
        "ETag": tag,
    }
    span = _span(request, size, tag)
    if span is None:
        headers["Content-Length"] = str(size)
        return Flow(_bytes(blobs.open(stored.sha256)), headers=headers)
    start, end = span
    if start >= size or start > end:
        headers = dict(_HARD) | {"Content-Range": f"bytes */{size}"}
        return Response(status_code=416, headers=headers)
    length = end - start + 1
    headers |= {"Content-Length": str(length), "Content-Range": f"bytes {start}-{end}/{size}"}
    part = blobs.open(stored.sha256, start=start, size=length)
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
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " ._-") else "_"
        for letter in name
    )
    return f"{how}; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(name, safe='')}"
