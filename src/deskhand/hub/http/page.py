"""The page's files, and the probes that need no credential.

Files are read once at the start and served from memory under exactly their names: there is no path to walk. The app
gets a strict policy; the preview page, which shows foreign HTML, a harder one of its own.
"""

from __future__ import annotations

import base64
import hashlib
import html
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from deskhand import __version__
from deskhand.errors import Code, DeskhandError
from deskhand.hub.http.access import GuardedRoute
from deskhand.hub.http.answers import Answer, spoken
from deskhand.limits import PROTOCOL, PROTOCOL_OLDEST
from deskhand.texts import text

router = APIRouter(route_class=GuardedRoute)

INDEX: Final = "index.html"
PREVIEW: Final = "preview.html"
APP_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " font-src 'self'; connect-src 'self'; frame-src 'self'; worker-src 'self';"
    " manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script';"
    " trusted-types deskhand svelte-trusted-html dompurify 'allow-duplicates'"
)
_NOTHING: Final = "'none'"
_FOREVER: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_HASHED: Final = re.compile(r"[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$")
_SCRIPT: Final = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """One file of the page as it is sent."""

    data: bytes = field(repr=False)
    headers: Mapping[str, str]


def load_page(folder: Path) -> dict[str, PageFile]:
    """Read the built page; nothing when it is not built."""
    if not (folder / INDEX).is_file():
        return {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        (name := path.relative_to(folder).as_posix()): _page_file(name, path.read_bytes())
        for path in files
    }


@router.get("/healthz")
async def healthz() -> Answer:
    """Say that the process answers."""
    return Answer({"ok": True})


@router.get("/v1/version")
async def version() -> Answer:
    """Say which program and which protocols this is."""
    return Answer(
        {"version": __version__, "protocol": PROTOCOL, "protocol_oldest": PROTOCOL_OLDEST}
    )


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Answer:
    """Describe the interface."""
    app = request.app
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(title="Deskhand", version="1", routes=app.routes)
    return Answer(app.openapi_schema)


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """Return the app, or a plain page that says it is not built."""
    files = _files(request)
    if INDEX in files:
        return _sent(request, files[INDEX])
    language = spoken(request)
    title, said = text("page.missing", language=language), text("page.cure", language=language)
    page = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>Deskhand</title>'
        f"<h1>Deskhand</h1><p>{html.escape(title)}</p><p>{html.escape(said)}</p></html>"
    )
    return Response(page, media_type="text/html")


@router.get("/{path:path}", include_in_schema=False)
async def page_file(request: Request, path: str) -> Response:
    """Return a file of the page."""
    found = _files(request).get(path)
    if found is None:
        raise DeskhandError(Code.NOT_FOUND)
    return _sent(request, found)


def _files(request: Request) -> Mapping[str, PageFile]:
    return cast("Mapping[str, PageFile]", request.app.state.page)


def _sent(request: Request, file: PageFile) -> Response:
    if request.headers.get("if-none-match") == file.headers["ETag"]:
        return Response(status_code=304, headers=dict(file.headers))
    return Response(file.data, headers=dict(file.headers))


def _page_file(name: str, data: bytes) -> PageFile:
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    forever = name.startswith("assets/") and _HASHED.search(name) is not None
    headers = {
        "Content-Type": kind,
        "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
        "Cache-Control": _FOREVER if forever else ("no-store" if name == INDEX else "no-cache"),
        "Content-Security-Policy": preview_csp(data) if name == PREVIEW else APP_CSP,
        "X-Frame-Options": "SAMEORIGIN" if name == PREVIEW else "DENY",
    }
    return PageFile(data=data, headers=headers)


def preview_csp(data: bytes) -> str:
    """Return the policy of the preview page: only its own inline script runs, in a box of its own."""
    digests = (hashlib.sha256(found).digest() for found in _SCRIPT.findall(data))
    ours = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    return (
        f"default-src 'none'; script-src {' '.join(ours) or _NOTHING}; style-src 'unsafe-inline';"
        " img-src data: blob:; sandbox allow-scripts; form-action 'none'; base-uri 'none';"
        " frame-ancestors 'self'"
    )
