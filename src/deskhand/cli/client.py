"""Where state lies on this computer, who its user is to the hub, and how that is spoken to: JSON, files up and down.

``http.client`` and not a bigger library: a command must begin within 0.3 s. It refuses to follow redirects and to send
a credential, the local owner's above all, anywhere but to the one hub it was made for.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote, urlencode, urlsplit

from deskhand.cli.screen import Obj, Refusal, speak
from deskhand.clock import Ids, SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import PROTOCOL
from deskhand.store.private import OWNER_FILE, RUNNER_FILE, read_private, write_private

SIGNING_FILE: Final = "signing.json"
_SECONDS: Final = 30.0
_ANSWER_BYTES_MAX: Final = 64 * 1024**2
_CHUNK: Final = 4 * 1024**2
_PIECE: Final = "application/offset+octet-stream"
_READ: Final = 256 * 1024
_UPLOAD_TRIES: Final = 4
LIST_LIMIT: Final = 500
_BROKEN: Final = (OSError, http.client.HTTPException)
_MADE: Final = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
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
        asked = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", f"{path}?{urlencode(asked, doseq=True)}" if asked else path)

    def one(self, kind: str, name: str, part: str = "", **query: object) -> Obj:
        """Return an object by its id, or a part of it."""
        return self.get(f"/v1/{kind}/{quote(name, safe='')}{part}", **query)

    def items(self, path: str, *, most: int = LIST_LIMIT, **query: object) -> list[Obj]:
        """Return the entries of a list, page after page, at most ``most``."""
        found, before = list[Obj](), None
        while len(found) < most:
            page = self.get(path, limit=min(most - len(found), LIST_LIMIT), before=before, **query)
            found += page["items"]
            before = page.get("next")
            if before is None or not page["items"]:
                break
        return found

    def named(self, path: str, said: str, *, field: str) -> str:
        """Return the id of what is meant by an id or a name.

        Raises:
            DeskhandError: ``not_found``.
        """
        for one in self.items(path):
            if said in {one["id"], one["name"]}:
                return str(one["id"])
        raise DeskhandError(Code.NOT_FOUND, said, field=field)

    def call(self, method: str, path: str, body: object | None = None) -> Obj:
        """Send a call with a JSON body, if it has one, and return the object that answers."""
        data = None if body is None else json.dumps(body).encode()
        response = self.send(method, path, data, {"Content-Type": "application/json"})
        try:
            answer = response.read(_ANSWER_BYTES_MAX)
            return cast("Obj", json.loads(answer)) if answer.strip() else {}
        except (*_BROKEN, ValueError):
            raise DeskhandError(Code.HUB_UNREACHABLE, self.url) from None

    def op(self, kind: str, body: Obj | None = None, *, op_id: str = "", **about: str | None) -> Obj:
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

    def ahead(self) -> float:
        """Return by how many seconds this computer's clock goes before the hub's."""
        from email.utils import parsedate_to_datetime

        said = self.send("GET", "/healthz").getheader("Date")
        return (SystemClock().now() - parsedate_to_datetime(said)).total_seconds() if said else 0.0

    def mark(self) -> str:
        """Return the fingerprint of the hub that answers, which signs for it; empty where it cannot. No token is sent."""
        from deskhand.protocol.signing import hub_of

        nonce = Ids(SystemClock()).secret(16)
        said = Client(url=self.url).get("/v1/version", nonce=nonce).get("hub")
        return hub_of(said, nonce) if said else ""

    # --- files -------------------------------------------------------------------------------------------------

    def upload(self, path: Path) -> str:
        """Send a file in pieces, going on where a broken connection left it; return its id.

        Raises:
            DeskhandError: ``invalid`` when it cannot be read; ``hub_unreachable``.
            Refusal: ``too_large``.
        """
        try:
            file, size = path.open("rb"), path.stat().st_size
        except OSError as error:
            raise DeskhandError(Code.INVALID, f"{path}: {error.strerror}", field="--file") from None
        named = base64.b64encode(path.name.encode()).decode()
        headers = {"Upload-Length": str(size), "Upload-Metadata": f"filename {named}"}
        with file:
            location = self.send("POST", "/v1/uploads", None, headers).getheader("Location") or ""
            upload = location.rstrip("/").rpartition("/")[2]
            offset, tries = 0, 0
            while offset < size:
                file.seek(offset)
                data = file.read(_CHUNK)
                if not data:
                    raise DeskhandError(Code.CONFLICT, "the file became shorter", field="--file")
                headers = {"Upload-Offset": str(offset), "Content-Type": _PIECE}
                try:
                    self.send("PATCH", f"/v1/uploads/{upload}", data, headers)
                    offset, tries = offset + len(data), 0
                except DeskhandError as error:
                    tries += 1
                    if error.code is not Code.HUB_UNREACHABLE or tries >= _UPLOAD_TRIES:
                        raise
                    # A piece did not arrive: how far did it come?
                    came = self.send("HEAD", f"/v1/uploads/{upload}")
                    offset = int(came.getheader("Upload-Offset") or 0)
        return upload

    def download(self, artifact: str) -> Iterator[bytes]:
        """Yield the bytes of an artifact."""
        response = self.send("GET", f"/v1/artifacts/{quote(artifact, safe='')}/content")
        while data := response.read(_READ):
            yield data

    # --- the wire ----------------------------------------------------------------------------------------------

    def send(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Return the answer to a request if it is a yes; each has its own connection, so none can be stale."""
        said = {**_ALWAYS, **(headers or {}), "Accept-Language": speak.language}
        if self.token:
            said["Authorization"] = f"Bearer {self.token}"
        parts = urlsplit(self.url)
        if parts.scheme not in _MADE or not parts.hostname:
            raise DeskhandError(Code.INVALID, f"{self.url}: not an address", field="DESKHAND_URL")
        connection = _MADE[parts.scheme](parts.hostname, parts.port, timeout=_SECONDS)
        try:
            connection.request(method, path, body=data, headers=said)
            response = connection.getresponse()
            # It goes when the answer was read. A hub that was told so before may cut off what it refuses.
            if connection.sock:
                connection.sock.close()
        except _BROKEN as error:
            raise DeskhandError(Code.HUB_UNREACHABLE, f"{self.url}: {error}") from None
        if response.status < http.client.MULTIPLE_CHOICES:
            return response
        try:
            refusal = Refusal(json.loads(response.read(_READ))["error"])
        except (*_BROKEN, ValueError, KeyError, TypeError):
            why = f"{self.url} is not a hub: HTTP {response.status}"
            raise DeskhandError(Code.HUB_UNREACHABLE, why) from None
        raise refusal


def home() -> Path:
    """Return ``DESKHAND_HOME``, or where this system keeps programs' data."""
    said = os.environ.get("DESKHAND_HOME")
    if said:
        return Path(said).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("deskhand", appauthor=False)


def client() -> Client:
    """Return who speaks to the hub of this user.

    Raises:
        DeskhandError: ``hub_unreachable`` before the first start; ``unauthorized`` for another hub without a
            token; ``home_unsafe``.
    """
    url, token = os.environ.get("DESKHAND_URL"), os.environ.get("DESKHAND_TOKEN")
    owner = read_private(home() / OWNER_FILE)
    known = str(owner["url"]).rstrip("/") if owner and owner.get("url") else None
    chosen = (url or known or "").rstrip("/")
    if not chosen:
        raise DeskhandError(Code.HUB_UNREACHABLE, "no hub was started here")
    if token is None and owner is not None and chosen == known:
        token = str(owner["token"])
    if token is None:
        raise DeskhandError(Code.UNAUTHORIZED, "DESKHAND_TOKEN")
    return Client(url=chosen, token=token)


def this_computer() -> Obj:
    """Return what this computer is to its hub.

    Raises:
        DeskhandError: ``not_found`` when it is no runner there; as :func:`client`.
    """
    known = local_runner() or {}
    for one in client().items("/v1/runners"):
        if one["id"] == known.get("device"):
            return one
    raise DeskhandError(Code.NOT_FOUND, speak.say("doctor.runner"))


def local_runner() -> Obj | None:
    """Return what this computer is as a runner, if it is one.

    Raises:
        DeskhandError: ``home_unsafe``.
    """
    return read_private(home() / RUNNER_FILE)


def new_op_id() -> str:
    """Return an id for one wish."""
    return Ids(SystemClock()).new("op")


def owner() -> dict[str, str]:
    """Return the account and the device that this command line is to its hub.

    Raises:
        DeskhandError: ``unauthorized`` where this computer has no owner; ``home_unsafe``.
    """
    found = read_private(home() / OWNER_FILE)
    if found is None:
        raise DeskhandError(Code.UNAUTHORIZED, OWNER_FILE)
    return {name: str(found[name]) for name in ("account", "device")}


def signing_key() -> str:
    """Return what this command line signs with (security 1.1): made when first needed, it never leaves this home.

    Raises:
        DeskhandError: ``home_unsafe``: others may read it.
    """
    from deskhand.protocol.signing import new_key

    path = home() / SIGNING_FILE
    if (kept := read_private(path)) is None:
        kept = {"key": new_key()}
        write_private(path, json.dumps(kept) + "\n")
    return str(kept["key"])
