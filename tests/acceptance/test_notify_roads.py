"""Notifications of a real ``deskhand up`` by the other roads: set up by commands, seen to arrive, explained in the log."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.contract.roads import PASSWORD, post, web
from tests.desk import Desk, make_desk, running_up

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def desk(tmp_path: Path) -> Generator[Desk]:
    """``deskhand up`` with nobody subscribed."""
    found = make_desk(tmp_path)
    with running_up(found):
        yield found


def log(desk: Desk) -> list[dict[str, Any]]:
    """Return what ``notify log`` says, oldest first."""
    said = desk.run("notify", "log", "--json")
    assert said.status == 0, said.err
    return cast("list[dict[str, Any]]", said.json["items"])[::-1]


def test_a_topic_and_a_mailbox_are_set_up_tried_and_used(desk: Desk) -> None:
    """P-05, P-06, SE-01: two commands for each road, no restart; secrets are read from stdin and shown by nobody."""
    with web() as server, post() as (office, port):
        mail = f"smtp://me%40example.org@127.0.0.1:{port}"
        topic = f"http://127.0.0.1:{server.port}/my-topic"
        none = desk.run("notify", "test", "--json")
        sets = [
            desk.run("notify", "set", "ntfy", topic),
            desk.run("secret", "set", "notify.ntfy", text="tk_secret-token\n"),
            desk.run("notify", "set", "mail", mail),
            desk.run("notify", "set", "mail_to", "you@example.org"),
            desk.run("secret", "set", "notify.mail", text=f"{PASSWORD}\n"),
        ]
        tried = desk.run("notify", "test", "--json")
        asked = desk.run("do", "Summarise everything, please", "--no-wait", "--json")
        done = desk.run("do", "/brief notes/", "--folder", str(desk.folder), "--json")

    rows = log(desk)
    assert none.status != 0
    assert [one.status for one in sets] == [0] * 5, [one.err for one in sets]
    assert tried.status == 0
    assert {(one["road"], one["fate"]) for one in tried.json["items"]} == {("ntfy", "accepted"), ("mail", "accepted")}
    assert (asked.status, done.status) == (0, 0)
    assert [one["class"] for one in rows] == ["test", "test", "finished", "finished"]
    assert {one["fate"] for one in rows} == {"accepted"}
    assert json.loads(server.bodies[-1])["message"] == "A task is finished."
    assert server.headers[-1]["authorization"] == "Bearer tk_secret-token"
    assert [one["Subject"] for one in office.mails][-1] == "Deskhand: A task is finished."
    assert office.logins[-1] == PASSWORD.encode()
    whole = json.dumps(rows) + "".join(one.out + one.err for one in (*sets, tried))
    assert not any(secret in whole for secret in ("tk_secret-token", PASSWORD, "you@example.org."))


def test_a_conversation_is_muted_and_what_is_wrong_is_refused(desk: Desk) -> None:
    """P-05: the log says why a notification was not sent; a wrong setting is named and not stored."""
    with web() as server:
        desk.run("notify", "set", "ntfy", f"http://127.0.0.1:{server.port}/t")
        first = desk.run("do", "/brief notes/", "--folder", str(desk.folder), "--json").json
        muted = desk.run("notify", "mute", first["thread"], "--json")
        desk.run("do", "/brief notes/", "--folder", str(desk.folder), "--thread", first["thread"])
        wrong = desk.run("notify", "set", "quiet", "late")
        zone = desk.run("notify", "set", "zone", "Mars/Base")
        again = desk.run("notify", "mute", first["thread"], "--off")
        fates = [(one["fate"], one.get("reason")) for one in log(desk)]

    assert (muted.status, again.status) == (0, 0)
    assert fates == [("accepted", "accepted"), ("suppressed", "muted")]
    assert (wrong.status, zone.status) == (1, 1)
    assert "22:00-07:00" in wrong.err
    assert len(server.bodies) == 1
