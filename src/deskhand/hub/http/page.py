"""The page's files, and the probes that need no credential.

Files are read once at the start and served from memory under exactly their names, with a strict policy: there is no
path to walk.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, cast

from starlette.requests import Request
from starlette.responses import Response

from deskhand import __version__
from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.messages import HEADERS, Answer
from deskhand.limits import PROTOCOL, PROTOCOL_OLDEST
from deskhand.texts import text

INDEX: Final = "index.html"
_FOREVER: Final = "public, max-age=31536000, immutable"
_TYPES: Final = mimetypes.MimeTypes(filenames=())
_TYPES.add_type("text/javascript", ".js")
_HASHED: Final = re.compile(r"assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+")


class PageFile(NamedTuple):
    """One file of the page as it is sent."""

    data: bytes
    headers: Mapping[str, str]


def load_page(folder: Path) -> dict[str, PageFile]:
    """Read the built page; nothing when it is not built."""
    if not (folder / INDEX).is_file():
        return {}
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: _page_file(name, path.read_bytes()) for name, path in files.items() if path.is_file()
    }


async def healthz() -> Answer:
    """Say that the process answers."""
    return Answer({"ok": True})


async def version() -> Answer:
    """Say which program and which protocols this is."""
    known = {"version": __version__, "protocol": PROTOCOL, "protocol_oldest": PROTOCOL_OLDEST}
    return Answer(known)


async def openapi(request: Request) -> Answer:
    """Describe the interface."""
    return Answer(request.app.openapi())


async def index(request: Request) -> Response:
    """Return the app, or a plain text that says it is not built."""
    if INDEX in _files(request):
        return await page_file(request, INDEX)
    language = str(request.state.language)
    said = [text(name, language=language) for name in ("page.missing", "page.cure")]
    return Response("\n".join(["Deskhand", *said]), media_type="text/plain")


async def page_file(request: Request, path: str) -> Response:
    """Return a file of the page."""
    found = _files(request).get(path)
    if found is None:
        raise DeskhandError(Code.NOT_FOUND)
    if request.headers.get("if-none-match") == found.headers["ETag"]:
        return Response(status_code=304, headers=found.headers)
    return Response(found.data, headers=found.headers)


def _files(request: Request) -> Mapping[str, PageFile]:
    return cast("Mapping[str, PageFile]", request.app.state.page)


def _page_file(name: str, data: bytes) -> PageFile:
    kind = _TYPES.guess_type(name)[0] or "application/octet-stream"
    forever = _HASHED.fullmatch(name) is not None
    headers = HEADERS["page"] | {
        "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
        "Cache-Control": _FOREVER if forever else ("no-store" if name == INDEX else "no-cache"),
    }
    return PageFile(data, headers)
