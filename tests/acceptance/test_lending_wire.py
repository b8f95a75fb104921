"""Lending with the program as people start it: a member is invited, a folder is lent, and only that is theirs."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.desk import SECONDS, Desk, make_desk, running_up

pytestmark = pytest.mark.timeout(120)
NUMBERS = count()


def call(desk: Desk, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:  # noqa: ANN401 - whatever was answered
    """Return what the hub answers to a GET, or to a POST of this."""
    url = urlsplit(desk.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    headers = {"Content-Type": "application/json", "Deskhand-Protocol": "1"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
    with closing(connection):
        return json.loads(connection.getresponse().read())


def member(desk: Desk) -> tuple[str, str]:
    """Invite a member and let them in; return their id and credential."""
    invited = desk.run("pair", "--kind", "cli", "--member", "--yes", "--json").json
    asked = call(desk, "/v1/pair", {"invite": invited["invite"], "name": "Mina"})
    got = call(desk, "/v1/pair/claim", {"request": asked["request"], "secret": asked["secret"]})
    return got["device"], got["token"]


def post(desk: Desk, token: str, **said: Any) -> dict[str, Any]:  # noqa: ANN401 - as a message has it
    """Return what comes of a message of the member."""
    op = {"op_id": f"op-of-mina-{next(NUMBERS)}", "kind": "message.post", "body": said}
    (result,) = call(desk, "/v1/ops", {"ops": [op]}, token)["results"]
    return result


def ended(desk: Desk, token: str, task: str) -> dict[str, Any]:
    """Wait as the member for the end of their task."""
    ends = monotonic() + SECONDS
    while "verdict" not in (found := call(desk, f"/v1/tasks/{task}", token=token)):
        assert monotonic() < ends, found
    return found


def test_a_member_has_work_done_in_what_is_lent_and_nowhere_else(tmp_path: Path) -> None:
    """G-02, FS-14, P-09: the owner's own folder is not there for them, nor their task for the owner; lending ends at once."""
    desk, own = make_desk(tmp_path), tmp_path / "own"
    own.mkdir()
    with running_up(desk):
        device, token = member(desk)
        lent = desk.run("folders", "add", str(desk.folder), "--mode", "workspace", "--lend", "Mina", "--json").json
        kept = desk.run("folders", "add", str(own), "--json").json
        refused = post(desk, token, text="/brief notes/ --pages 1", folder=kept["id"])
        checks = post(desk, token, text="/brief x", folder=lent["id"], checks=["touch owned"])
        begun = post(desk, token, text="/brief notes/ --pages 1", folder=lent["id"])
        task = ended(desk, token, begun["task"])
        hidden = desk.run("show", begun["task"], "--json").json
        desk.run("folders", "add", str(desk.folder), "--mode", "workspace", "--lend", "none")
        later = post(desk, token, text="/brief notes/ --pages 2", folder=lent["id"])

    assert (lent["lent_to"], lent["marked"]) == ([device], "mine")
    assert refused["error"]["code"] == later["error"]["code"] == "folder_unknown"
    assert checks["error"]["code"] == "forbidden"
    assert (task["verdict"], task["trust"]) == ("verified", "untrusted")
    assert hidden["error"]["code"] == "not_found"


def test_a_folder_is_lent_only_to_whom_is_known(tmp_path: Path) -> None:
    """A name that nobody has is a mistake that is told, and nothing is granted."""
    desk = make_desk(tmp_path)
    with running_up(desk):
        said = desk.run("folders", "add", str(desk.folder), "--lend", "Nobody")

    assert (said.status, "Nobody" in said.err) == (1, True)
    assert not (desk.home / "folders.json").exists()
