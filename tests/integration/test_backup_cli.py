"""``backup``, ``restore`` and ``export`` as people use them: a real program, before and after."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deskhand.cli.client import Client
from deskhand.errors import Code
from tests.desk import Desk, Said, make_desk, running_up

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, kw_only=True)
class Yesterday:
    """A desk that was saved with one task finished and one waiting for a yes, and then went on."""

    desk: Desk
    backup: Path
    finished: str
    waited: str
    approval: str
    device: str
    token: str
    while_up: Said


def ask(desk: Desk) -> tuple[str, str]:
    """Begin a task that waits for a yes; return it and its approval."""
    words = ["do", "/brief notes/", "--folder", str(desk.folder), "--mode", "ask", "--json"]
    task = desk.run(*words).json
    return task["id"], task["waiting_for"][0]["id"]


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory) -> Yesterday:
    """What happened after the backup: the yes was given and used, and a device was removed."""
    desk = make_desk(tmp_path_factory.mktemp("desk"))
    backup = desk.home.parent / "saved.tar"
    with running_up(desk):
        words = ["do", "/brief notes/", "--folder", str(desk.folder), "--json"]
        finished = desk.run(*words).json["id"]
        waited, approval = ask(desk)
        device, token = join(desk)
        made = desk.run("backup", str(backup), "--json")
        assert made.status == 0, made.err
        while_up = desk.run("restore", str(backup), "--yes", "--json")
        desk.run("approve", approval)
        desk.run("watch", waited)
        desk.run("devices", "revoke", device)
    return Yesterday(
        desk=desk,
        backup=backup,
        finished=finished,
        waited=waited,
        approval=approval,
        device=device,
        token=token,
        while_up=while_up,
    )


def join(desk: Desk) -> tuple[str, str]:
    """Let a client in; return its id and token."""
    made = desk.run("pair", "--kind", "client", "--yes", "--no-wait", "--json").json
    hub = Client(url=desk.url)
    asked = hub.call("POST", "/v1/pair", {"invite": made["invite"], "name": "box"})
    wish = {"request": asked["request"], "secret": asked["secret"]}
    claimed = hub.call("POST", "/v1/pair/claim", wish)
    return claimed["device"], claimed["token"]


def stopped(desk: Desk, task: str) -> dict[str, Any]:
    """Return a task once it no longer works."""
    found: dict[str, Any] = {}
    while found.get("state") in {None, "queued", "working", "verifying"}:
        found = desk.run("show", task, "--json").json
    return found


def briefings(desk: Desk) -> list[str]:
    """List what the tasks wrote."""
    return sorted(path.name for path in desk.folder.glob("briefing*"))


@pytest.mark.survives(
    "You go back to yesterday's backup",
    "What was revoked stays revoked, finished work is not done again, open tasks wait until you look",
)
def test_going_back_does_nothing_again_and_lets_nobody_in_again(yesterday: Yesterday) -> None:
    """Removed devices stay out, a used yes is void, open work waits and asks anew, finished work rests (BR-02)."""
    desk, before = yesterday.desk, briefings(yesterday.desk)

    restored = desk.run("restore", str(yesterday.backup), "--yes", "--json")
    with running_up(desk):
        removed = desk.run("ls", "--json", DESKHAND_TOKEN=yesterday.token)
        tasks = {task["id"]: task["state"] for task in desk.run("ls", "--json").json["items"]}
        told = desk.run("show", yesterday.waited).out
        stale = desk.run("approve", yesterday.approval, "--json")
        untouched = briefings(desk)
        desk.run("resume", yesterday.waited)
        waits = stopped(desk, yesterday.waited)
        verified = desk.run("log", "verify", "--json")

    assert (restored.status, yesterday.while_up.json["error"]["code"]) == (0, Code.HOME_LOCKED)
    assert restored.json["tasks_paused"] == restored.json["devices_ended"] == 1
    assert removed.json["error"]["code"] == Code.UNAUTHORIZED
    assert tasks == {yesterday.finished: "completed", yesterday.waited: "paused"}
    assert stale.json["error"]["code"] == Code.ALREADY_DECIDED
    assert untouched == before
    assert waits["state"] == "input_required", told
    assert waits["waiting_for"][0]["id"] != yesterday.approval
    assert verified.status == 0, verified.out
    assert Path(restored.json["aside"], "hub.sqlite3").is_file()


@pytest.mark.survives(
    "The disk with Deskhand's home is lost, and there is a backup",
    "A new computer goes on from the backup; every device pairs again, because nobody knows which were removed",
)
def test_a_new_computer_takes_over_and_lets_only_itself_in(yesterday: Yesterday, tmp_path: Path) -> None:
    """Nobody knows who was removed since, so everybody pairs again; the computer itself works at once (BR-02)."""
    desk = Desk(home=tmp_path / "new" / "home", folder=yesterday.desk.folder)

    restored = desk.run("restore", str(yesterday.backup), "--json")
    with running_up(desk):
        outsider = desk.run("ls", "--json", DESKHAND_TOKEN=yesterday.token)
        devices = desk.run("devices", "list", "--json").json["items"]
        words = ["do", "/brief notes/", "--folder", str(desk.folder), "--json"]
        done = desk.run(*words)

    active = sorted(device["kind"] for device in devices if device["state"] == "active")
    assert (restored.json["all_devices"], restored.json["aside"]) == (True, None)
    assert outsider.json["error"]["code"] == Code.UNAUTHORIZED
    assert active == ["cli", "runner"]
    assert done.json["verdict"] == "verified", done.err


def test_a_damaged_backup_is_refused_with_a_cure(yesterday: Yesterday, tmp_path: Path) -> None:
    """Exit 1, the error object, and no home was made (BR-03)."""
    cut = tmp_path / "cut.tar"
    cut.write_bytes(yesterday.backup.read_bytes()[:-1])

    said = yesterday.desk.run("restore", str(cut), "--to", str(tmp_path / "home"), "--json")

    assert (said.status, said.json["error"]["code"]) == (1, Code.BACKUP_DAMAGED)
    assert said.json["error"]["cure"] in said.err
    assert not (tmp_path / "home").exists()


def test_nobody_is_asked_where_nobody_can_answer(yesterday: Yesterday) -> None:
    """A script says ``--yes``, or nothing is put aside."""
    said = yesterday.desk.run("restore", str(yesterday.backup), "--json")

    assert (said.status, said.json["error"]["field"]) == (1, "--yes")


def test_a_log_in_postgresql_is_saved_by_its_own_tools(tmp_path: Path) -> None:
    """It is said so instead of saving half."""
    desk = make_desk(tmp_path)

    said = [
        desk.run(*words, "--json", DESKHAND_DATABASE_URL="postgresql://x")
        for words in (["backup"], ["restore", "x.tar"], ["export"])
    ]

    assert {one.json["error"]["field"] for one in said} == {"DESKHAND_DATABASE_URL"}


def test_an_export_can_be_read_by_people_and_programs(yesterday: Yesterday, tmp_path: Path) -> None:
    """Markdown for each conversation, a line for each event, the result files; closed to others, without secrets."""
    target = tmp_path / "out"

    said = yesterday.desk.run("export", "--out", str(target), "--json")
    again = yesterday.desk.run("export", "--out", str(target), "--json")

    events = [json.loads(line) for line in (target / "events.jsonl").read_text().splitlines()]
    pages = [page.read_text() for page in (target / "threads").glob("*.md")]
    with closing(sqlite3.connect(yesterday.desk.home / "hub.sqlite3")) as hub:
        (count,) = hub.execute("SELECT count(*) FROM events").fetchone()
    assert (said.json["events"], len(events)) == (count, count)
    assert len(pages) == said.json["threads"] == 2
    assert all("/brief notes/" in page for page in pages)
    assert any("## verified, " in page for page in pages)
    assert [path.suffix for path in (target / "files").iterdir()] == [".md"] * said.json["files"]
    assert target.stat().st_mode & 0o777 == 0o700
    assert "dhs_" not in (target / "events.jsonl").read_text()
    assert again.json["error"]["field"] == "--out"
