"""The page's files, and the probes that need no credential.

Files are read once at the start and served from memory under exactly their names, with a strict policy: there is no
path to walk.
"""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from starlette.responses import Response

from deskhand import __version__, limits
from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import TheCall
from deskhand.hub.http.messages import HEADERS, Answer
from deskhand.texts import text

INDEX = "index.html"
_FOREVER = "public, max-age=31536000, immutable"
_TYPES = mimetypes.MimeTypes(filenames=())
_TYPES.add_type("text/javascript", ".js")
_HASHED = re.compile(r"assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+")


def load_page(folder: Path) -> dict[str, Response]:
    """Read the built page; nothing when it is not built."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: _page_file(name, found[name]) for name in found if INDEX in found}


async def healthz() -> Answer:
    """Say that the process answers."""
    return Answer({"ok": True})


async def version() -> Answer:
    """Say which program and which protocols this is."""
    spoken = {"protocol": limits.PROTOCOL, "protocol_oldest": limits.PROTOCOL_OLDEST}
    return Answer({"version": __version__, **spoken})


async def openapi(call: TheCall) -> Answer:
    """Describe the interface."""
    return Answer(call.request.app.openapi())


async def index(call: TheCall) -> Response:
    """Return the app, or a plain text that says it is not built."""
    said = (text(name, language=call.language) for name in ("page.missing", "page.cure"))
    return call.door.page.get(INDEX) or Response("\n".join(["Deskhand", *said]))


async def page_file(call: TheCall, path: str) -> Response:
    """Return a file of the page."""
    if path not in call.door.page:
        raise DeskhandError(Code.NOT_FOUND)
    return call.door.page[path]


def _page_file(name: str, data: bytes) -> Response:
    kept = "no-store" if name == INDEX else _FOREVER if _HASHED.fullmatch(name) else "no-cache"
    kind = _TYPES.guess_type(name)[0] or "application/octet-stream"
    return Response(data, headers=HEADERS["page"] | {"Cache-Control": kept}, media_type=kind)
