"""Files in by tus 1.0 with creation; files out so served that a browser runs nothing of them (security 2.4).

Going in, it refuses method override, concatenation, deferred length and a body at creation. Going out, the type is what
the bytes are, and anything but four kinds of picture and plain text is a download. A hash is no capability: bytes are
reached through an object that the caller may see. Runners bring blobs in here, too.

The page's own files are read once at the start and served from memory under exactly their names, with a strict policy:
there is no path to walk.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import gzip
import mimetypes
import pathlib
import re
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Header, Path
from starlette.requests import Request
from starlette.responses import Response

from deskhand.errors import Code, DeskhandError
from deskhand.hub.app import PLAIN, TYPES, sniff_blob
from deskhand.hub.http.access import Call, TheCall
from deskhand.hub.http.messages import BYTES, CHUNK, HEADERS, Answer, Flow, body_chunks
from deskhand.protocol.objects import Upload
from deskhand.protocol.tasks import Artifact, FileRef, Task
from deskhand.texts import text

_VERSION: Final = "1.0.0"
_REFUSED: Final = ("upload-concat", "upload-defer-length", "x-http-method-override")

_HARD: Final = HEADERS["file"]
_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_ODD: Final = re.compile(r"[^A-Za-z0-9 ._-]")


INDEX = "index.html"
_FOREVER = "public, max-age=31536000, immutable"
_TYPES = mimetypes.MimeTypes(filenames=())
_TYPES.add_type("text/javascript", ".js")
_HASHED = re.compile(r"assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+")


async def create_upload(call: TheCall, size: Annotated[int, Header(alias="Upload-Length", ge=0)]) -> Response:
    """Reserve room for a file of ``Upload-Length`` bytes."""
    _check_tus(call.request)
    name = _file_name(call.request.headers.get("upload-metadata", ""))
    upload = await call.hub.uploads.create(call.me, name=name, size=size)
    headers = _state(upload) | {"Location": f"/v1/uploads/{upload.id}"}
    return Answer(upload, status_code=201, headers=headers)


async def head_upload(call: TheCall, upload: str) -> Response:
    """Say how far an upload is."""
    _check_tus(call.request)
    found = await call.hub.uploads.look(call.me, upload)
    return Response(headers=_state(found) | {"Upload-Length": str(found.size)})


async def patch_upload(
    call: TheCall, upload: str, offset: Annotated[int, Header(alias="Upload-Offset", ge=0)]
) -> Response:
    """Add bytes at ``Upload-Offset``."""
    _check_tus(call.request)
    chunks = body_chunks(call.request, takes=CHUNK)
    found = await call.hub.uploads.append(call.me, upload, chunks, offset=offset)
    return Response(status_code=204, headers=_state(found))


async def put_blob(call: TheCall, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Answer:
    """Store bytes before an event names them; the hash is ours, and must be the one announced."""
    size = await call.hub.store_blob(body_chunks(call.request, takes=BYTES), sha256=sha256)
    return Answer({"sha256": sha256, "size": size}, status_code=201)


async def get_artifact(call: TheCall, artifact: str) -> Answer:
    """Return what is known of a file result."""
    return Answer(await _artifact(call, artifact))


async def get_artifact_content(call: TheCall, artifact: str) -> Response:
    """Return the bytes of a file result, or one range of them."""
    found = await _artifact(call, artifact)
    if found.state != "stored":
        raise DeskhandError(Code.NOT_FOUND, found.state)
    return await _serve(call, found)


async def get_file_content(call: TheCall, file: str) -> Response:
    """Return the bytes of a file that came with a message: a runner gets those of its tasks."""
    return await _serve(call, await call.hub.file_of(call.me, file))


def load_page(folder: pathlib.Path) -> dict[str, bytes]:
    """Read the built page; nothing when it is not built."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return found if INDEX in found else {}


async def index(call: TheCall) -> Response:
    """Return the app, or a plain text that says it is not built."""
    if INDEX in call.door.page:
        return await page_file(call, INDEX)
    said = (text(name, language=call.language) for name in ("page.missing", "page.cure"))
    return Response("\n".join(["Deskhand", *said]))


async def page_file(call: TheCall, path: str) -> Response:
    """Return a file of the page, packed for who takes it so: it holds no secret that a length could tell."""
    if path not in call.door.page:
        raise DeskhandError(Code.NOT_FOUND)
    data = call.door.page[path]
    kept = "no-store" if path == INDEX else _FOREVER if _HASHED.fullmatch(path) else "no-cache"
    kind = _TYPES.guess_type(path)[0] or "application/octet-stream"
    headers = HEADERS["page"] | {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    takes = call.request.headers.get("accept-encoding", "").replace(" ", "").split(",")
    if not kind.startswith("image/png") and "gzip" in takes:
        data = await asyncio.to_thread(_packed, data)
        headers["Content-Encoding"] = "gzip"
    return Response(data, headers=headers, media_type=kind)


@functools.cache
def _packed(data: bytes) -> bytes:
    return gzip.compress(data)


def _check_tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != _VERSION:
        raise DeskhandError(Code.UPLOAD_VERSION)
    for name in _REFUSED:
        if name in request.headers:
            raise DeskhandError(Code.INVALID, field=name)


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
    media_type = await sniff_blob(blobs, sha256, file.name)
    tag = f'"{sha256}"'
    span = _span(call.request, size, tag)
    start, end = span or (0, size - 1)
    if span and start > end:
        return Response(status_code=416, headers=_HARD | {"Content-Range": f"bytes */{size}"})
    headers = _HARD | {
        "Content-Disposition": _disposition(file.name, media_type),
        "Content-Type": f"{media_type}; charset=utf-8" if media_type == PLAIN else media_type,
        "Content-Length": str(end - start + 1),
        "ETag": tag,
    }
    if span:
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    found = blobs.open(sha256, start=start, size=end - start + 1)
    return Flow(found, status_code=206 if span else 200, headers=headers)


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
    how = "inline" if media_type in TYPES["inline"] else "attachment"
    plain = _ODD.sub("_", name) or "file"
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
