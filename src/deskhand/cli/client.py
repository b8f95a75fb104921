"""The CLI's side of HTTP: connections of the standard library, JSON in and out, files up and down.

``http.client`` and not a bigger library: a command must begin within 0.3 s. It refuses to follow redirects and to send
a credential anywhere but to the one hub it was made for.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from deskhand.cli.screen import Obj, Refusal, speak
from deskhand.errors import Code, DeskhandError
from deskhand.limits import PROTOCOL

Headers = Mapping[str, str]
Response = http.client.HTTPResponse

_SECONDS: Final = 30.0
_ANSWER_BYTES_MAX: Final = 64 * 1024**2
_CHUNK: Final = 4 * 1024**2
_PIECE: Final = "application/offset+octet-stream"
_READ: Final = 256 * 1024
_UPLOAD_TRIES: Final = 4
LIST_LIMIT: Final = 500
_BROKEN: Final = (OSError, http.client.HTTPException)
_ALWAYS: Final = {"Deskhand-Protocol": str(PROTOCOL), "Tus-Resumable": "1.0.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Speaks to one hub, as whoever the token belongs to."""

    url: str
    token: str | None = field(default=None, repr=False)

    # --- plain calls -------------------------------------------------------------------------------------------

    def get(self, path: str, **query: object) -> Obj:
        """Return the object at a path.

        Raises:
            Refusal: what the hub said no with.
            DeskhandError: ``hub_unreachable``.
        """
        asked = {name: value for name, value in query.items() if value not in (None, (), [])}
        return self.call("GET", f"{path}?{urlencode(asked, doseq=True)}" if asked else path)

    def items(self, path: str, *, most: int = LIST_LIMIT, **query: object) -> list[Obj]:
        """Return the entries of a list, page after page, at most ``most``."""
        found: list[Obj] = []
        before: object = None
        while len(found) < most:
            limit = min(most - len(found), LIST_LIMIT)
            page = self.get(path, limit=limit, before=before, **query)
            found += page["items"]
            before = page.get("next")
            if before is None or not page["items"]:
                break
        return found

    def call(self, method: str, path: str, body: object | None = None) -> Obj:
        """Send a call with a JSON body, if it has one, and return the object that answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        response = self._send(method, path, data, headers)
        try:
            answer = response.read(_ANSWER_BYTES_MAX)
        except _BROKEN:
            raise DeskhandError(Code.HUB_UNREACHABLE, self.url) from None
        return cast("Obj", json.loads(answer)) if answer.strip() else {}

    def op(
        self, kind: str, body: Obj | None = None, *, op_id: str = "", **about: str | None
    ) -> Obj:
        """Send one op, about a ``thread`` or ``task``, and return its result.

        Raises:
            Refusal: the op was rejected.
        """
        op: Obj = {"op_id": op_id or new_op_id(), "kind": kind, "body": body or {}}
        op |= {name: one for name, one in about.items() if one}
        result = cast("Obj", self.call("POST", "/v1/ops", {"ops": [op]})["results"][0])
        if result["status"] == "rejected":
            raise Refusal(result["error"])
        return result

    # --- files -------------------------------------------------------------------------------------------------

    def upload(self, path: Path) -> str:
        """Send a file in pieces, going on where a broken connection left it; return its id.

        Raises:
            DeskhandError: ``invalid`` when it cannot be read; ``hub_unreachable``.
            Refusal: ``too_large``.
        """
        try:
            with path.open("rb") as file:
                return self._upload(file, path.name, path.stat().st_size)
        except OSError as error:
            raise DeskhandError(Code.INVALID, f"{path}: {error.strerror}", field="--file") from None

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the bytes at a path."""
        response = self._send("GET", path, None, {})
        while data := response.read(_READ):
            yield data

    def _upload(self, file: BinaryIO, name: str, size: int) -> str:
        named = base64.b64encode(name.encode()).decode()
        headers = {"Upload-Length": str(size), "Upload-Metadata": f"filename {named}"}
        location = self._send("POST", "/v1/uploads", None, headers).getheader("Location") or ""
        upload = location.rstrip("/").rpartition("/")[2]
        path, offset, tries = f"/v1/uploads/{upload}", 0, 0
        while offset < size:
            file.seek(offset)
            data = file.read(_CHUNK)
            if not data:
                raise DeskhandError(Code.CONFLICT, "the file became shorter", field="--file")
            headers = {"Upload-Offset": str(offset), "Content-Type": _PIECE}
            try:
                said = self._send("PATCH", path, data, headers)
                offset, tries = int(said.getheader("Upload-Offset") or offset + len(data)), 0
            except DeskhandError as error:
                tries += 1
                if error.code is not Code.HUB_UNREACHABLE or tries >= _UPLOAD_TRIES:
                    raise
                offset = int(self._send("HEAD", path, None, {}).getheader("Upload-Offset") or 0)
        return upload

    # --- the wire ----------------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, data: bytes | None, headers: Headers) -> Response:
        """Return the answer to a request if it is a yes; each has its own connection, so none can be stale."""
        said = {**_ALWAYS, **headers, "Accept-Language": speak.language}
        if self.token:
            said["Authorization"] = f"Bearer {self.token}"
        connection = connect(self.url)
        try:
            connection.request(method, path, body=data, headers=said)
            response = connection.getresponse()
            # It goes when the answer was read. A hub that was told so before may cut off what it refuses.
            if connection.sock:
                connection.sock.close()
        except _BROKEN:
            raise DeskhandError(Code.HUB_UNREACHABLE, self.url) from None
        if response.status < http.client.MULTIPLE_CHOICES:
            return response
        try:
            refusal = Refusal(json.loads(response.read(_READ))["error"])
        except (*_BROKEN, ValueError, KeyError, TypeError):
            why = f"{self.url} is not a hub: HTTP {response.status}"
            raise DeskhandError(Code.HUB_UNREACHABLE, why) from None
        raise refusal


def connect(url: str) -> http.client.HTTPConnection:
    """Return an unopened connection to a hub.

    Raises:
        DeskhandError: ``invalid`` when it is not an address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise DeskhandError(Code.INVALID, f"{url}: not an address", field="DESKHAND_URL")
    secure = parts.scheme == "https"
    made = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return made(parts.hostname, parts.port, timeout=_SECONDS)


def healthz(url: str) -> Response:
    """Return what a hub answers to whoever asks whether it is there; ``hub_unreachable`` when it does not."""
    try:
        with closing(connect(url)) as connection:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            response.read()
            return response
    except _BROKEN as error:
        raise DeskhandError(Code.HUB_UNREACHABLE, f"{url}: {error}") from None


def quoted(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def new_op_id() -> str:
    """Return an id for one wish."""
    from deskhand.clock import SystemClock
    from deskhand.ids import Ids

    return Ids(SystemClock()).new("op")
