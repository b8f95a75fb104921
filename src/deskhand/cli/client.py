"""The CLI's side of HTTP: one connection of the standard library, JSON in and out, files up and down.

``http.client`` and not a bigger library: a command must begin within 0.3 s. It refuses to follow redirects and to send
a credential anywhere but to the one hub it was made for.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from deskhand.cli.screen import HubRefusal, Obj, screen
from deskhand.errors import Code, DeskhandError
from deskhand.limits import PROTOCOL, SYNC_WAIT_SECONDS_MAX, UPLOAD_BYTES_MAX

Headers = Mapping[str, str]
Response = http.client.HTTPResponse

_SECONDS: Final = 30.0
_ANSWER_BYTES_MAX: Final = 64 * 1024**2
_CHUNK: Final = 4 * 1024**2
_PIECE: Final = "application/offset+octet-stream"
_READ: Final = 256 * 1024
_UPLOAD_TRIES: Final = 4
_LIST_LIMIT: Final = 500
_BROKEN: Final = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which hub, as whom."""

    url: str
    token: str | None = field(default=None, repr=False)


class Client:
    """Speaks to one hub. Not for several threads."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connection: http.client.HTTPConnection | None = None

    # --- plain calls -------------------------------------------------------------------------------------------

    def get(self, path: str, **query: object) -> Obj:
        """Return the object at a path.

        Raises:
            HubRefusal: what the hub said no with.
            DeskhandError: ``hub_unreachable``.
        """
        asked = {name: value for name, value in query.items() if value not in (None, (), [])}
        return self.call("GET", f"{path}?{urlencode(asked, doseq=True)}" if asked else path)

    def items(self, path: str, *, most: int = _LIST_LIMIT, **query: object) -> list[Obj]:
        """Return the entries of a list, page after page, at most ``most``."""
        found: list[Obj] = []
        following: object = None
        while len(found) < most:
            limit = min(most - len(found), _LIST_LIMIT)
            page = self.get(path, limit=limit, before=following, **query)
            found += cast("list[Obj]", page["items"])
            following = page.get("next")
            if following is None or not page["items"]:
                break
        return found

    def call(self, method: str, path: str, body: object | None = None) -> Obj:
        """Send a call with a JSON body, if it has one, and return the object that answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        answer = self._read(self._send(method, path, data, headers))
        return cast("Obj", json.loads(answer)) if answer.strip() else {}

    def op(
        self,
        kind: str,
        body: Obj | None = None,
        *,
        thread: str | None = None,
        task: str | None = None,
        op_id: str | None = None,
    ) -> Obj:
        """Send one op and return its result.

        Raises:
            HubRefusal: the op was rejected.
        """
        op: Obj = {"op_id": op_id or new_op_id(), "kind": kind, "body": body or {}}
        op |= {name: about for name, about in (("thread", thread), ("task", task)) if about}
        result = cast("Obj", self.call("POST", "/v1/ops", {"ops": [op]})["results"][0])
        if result["status"] == "rejected":
            raise HubRefusal(result["error"])
        return result

    def events(self, after: int, *, wait: float) -> Obj:
        """Return ``{events, next, more}`` after a cursor; with none, wait for some."""
        bounded = max(0, min(int(wait), SYNC_WAIT_SECONDS_MAX))
        return self.get("/v1/sync", after=after, limit=_LIST_LIMIT, wait=bounded)

    # --- files -------------------------------------------------------------------------------------------------

    def upload(self, path: Path) -> str:
        """Send a file in pieces, going on where a broken connection left it; return its id.

        Raises:
            DeskhandError: ``invalid`` when it cannot be read; ``too_large``; ``hub_unreachable``.
        """
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                if not path.is_file():
                    raise DeskhandError(Code.INVALID, f"{path}: not a file", field="--file")
                if size > UPLOAD_BYTES_MAX:
                    raise DeskhandError(Code.TOO_LARGE, path.name, field="--file")
                return self._upload(file, path.name, size)
        except OSError as error:
            raise DeskhandError(Code.INVALID, f"{path}: {error.strerror}", field="--file") from None

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the bytes at a path."""
        response = self._send("GET", path, None, {})
        self._refuse(response)
        while data := response.read(_READ):
            yield data

    def _upload(self, file: BinaryIO, name: str, size: int) -> str:
        named = base64.b64encode(name.encode()).decode()
        headers = {"Upload-Length": str(size), "Upload-Metadata": f"filename {named}"}
        location = self._tus("POST", "/v1/uploads", None, headers).getheader("Location") or ""
        upload = location.rstrip("/").rpartition("/")[2]
        path, offset, tries = f"/v1/uploads/{upload}", 0, 0
        while offset < size:
            file.seek(offset)
            data = file.read(_CHUNK)
            if not data:
                raise DeskhandError(Code.CONFLICT, "the file became shorter", field="--file")
            headers = {"Upload-Offset": str(offset), "Content-Type": _PIECE}
            try:
                said = self._tus("PATCH", path, data, headers)
                offset, tries = int(said.getheader("Upload-Offset") or offset + len(data)), 0
            except DeskhandError as error:
                tries += 1
                if error.code is not Code.HUB_UNREACHABLE or tries >= _UPLOAD_TRIES:
                    raise
                offset = int(self._tus("HEAD", path, None, {}).getheader("Upload-Offset") or 0)
        return upload

    def _tus(self, method: str, path: str, data: bytes | None, headers: Headers) -> Response:
        response = self._send(method, path, data, {"Tus-Resumable": "1.0.0", **headers})
        self._read(response)
        return response

    # --- the wire ----------------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, data: bytes | None, headers: Headers) -> Response:
        """Send a request; a kept connection that the hub closed meanwhile is opened once more."""
        said = {"Accept-Language": screen().language, "Deskhand-Protocol": str(PROTOCOL)}
        if self.access.token:
            said["Authorization"] = f"Bearer {self.access.token}"
        # A kept connection may be gone; only a call that does nothing twice is sent again (ops carry their id).
        again = self._connection is not None and (method in {"GET", "HEAD"} or path == "/v1/ops")
        self._connection = self._connection or connect(self.access.url)
        try:
            self._connection.request(method, path, body=data, headers={**said, **headers})
            return self._connection.getresponse()
        except _BROKEN as error:
            self.close()
            if not (again and isinstance(error, ConnectionError)):
                raise self._unreachable() from None
        return self._send(method, path, data, headers)

    def _read(self, response: Response) -> bytes:
        self._refuse(response)
        try:
            return response.read(_ANSWER_BYTES_MAX)
        except _BROKEN:
            self.close()
            raise self._unreachable() from None

    def _refuse(self, response: Response) -> None:
        """Turn an answer that is not a yes into what it says."""
        if response.status < http.client.MULTIPLE_CHOICES:
            return
        try:
            failure = cast("Obj", json.loads(response.read(_READ))["error"])
            code = str(failure["code"])
        except (*_BROKEN, ValueError, KeyError, TypeError):
            self.close()
            why = f"{self.access.url} is not a hub: HTTP {response.status}"
            raise DeskhandError(Code.HUB_UNREACHABLE, why) from None
        if code == Code.UPGRADE_REQUIRED:
            self.close()
        raise HubRefusal(failure)

    def _unreachable(self) -> DeskhandError:
        return DeskhandError(Code.HUB_UNREACHABLE, self.access.url)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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
    connection = connect(url)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        response.read()
    except _BROKEN as error:
        raise DeskhandError(Code.HUB_UNREACHABLE, f"{url}: {error}") from None
    finally:
        connection.close()
    return response


def quoted(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="")


def new_op_id() -> str:
    """Return an id for one wish."""
    from deskhand.clock import SystemClock
    from deskhand.ids import Ids

    return Ids(SystemClock()).new("op")
