"""The command line from end to end: real hub, real runner, real sandbox, real files."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Generator
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest

from tests.desk import SECONDS, Desk, first_line, make_desk, running_up

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """``deskhand up`` with nothing granted yet."""
    found = make_desk(tmp_path_factory.mktemp("desk"))
    with running_up(found):
        yield found


def task_of(desk: Desk, name: str) -> dict[str, Any]:
    """Return a task as the hub has it."""
    return cast("dict[str, Any]", desk.run("show", name, "--json").json)


def test_a_task_typed_in_its_folder_comes_back_verified(desk: Desk) -> None:
    """Id first, then progress on stderr, then the result; the folder is granted for this task alone."""
    said = desk.run("do", "/brief notes/ --pages 1", "--folder", str(desk.folder))

    task = task_of(desk, said.out.splitlines()[0])
    grants = json.loads((desk.home / "folders.json").read_text())["folders"]
    assert (said.status, task["verdict"]) == (0, "verified")
    written = Path(task["artifacts"][0]["path"]).read_text(encoding="utf-8")
    assert "TODO: Call the printer on Friday" in written
    assert "read every quoted line" in said.err
    assert [one["root"] for one in grants if one["task"] == task["id"]] == [str(desk.folder)]


def test_free_text_without_a_model_returns_at_once_with_four(desk: Desk) -> None:
    """Only a model can move it on, so nobody is kept waiting; the task is stored."""
    said = desk.run("do", "Summarise everything, please", "--json")

    assert (said.status, said.json["state"], said.json["reason"]) == (4, "queued", "no_model")


def test_wait_with_a_timeout_ends_the_waiting_and_not_the_task(desk: Desk) -> None:
    """Seven, and the task is still there."""
    said = desk.run("do", "Summarise again", "--wait", "--timeout", "1s", "--json")

    assert (said.status, task_of(desk, said.json["id"])["state"]) == (7, "queued")


def test_the_same_op_id_never_makes_a_second_task(desk: Desk) -> None:
    """A script that is run twice has one task."""
    first = desk.run("do", "Once only", "--op-id", "script-0001", "--no-wait")
    second = desk.run("do", "Once only", "--op-id", "script-0001", "--no-wait")

    assert (first.status, first.out) == (0, second.out)


def test_text_can_come_from_stdin(desk: Desk) -> None:
    """A dash stands for what is piped in."""
    said = desk.run("do", "-", "--no-wait", "--json", text="Long text\nover two lines\n")

    assert said.json["text"] == "Long text\nover two lines"


def test_an_approval_shows_exactly_what_it_allows(desk: Desk) -> None:
    """Sentence, action and hash are printed; the yes is bound to them; the task goes on and ends verified."""
    name = ask_first(desk)

    shown = desk.run("approve", name)
    ended = desk.run("watch", name, "--timeout", "60s")

    action = f"path = {Path(task_of(desk, name)['artifacts'][0]['path']).name}"
    assert (shown.status, ended.status) == (0, 0)
    assert "SHA-256 " in shown.out
    assert action in shown.out


def test_a_yes_for_always_is_shown_and_becomes_a_line_of_the_policy(desk: Desk) -> None:
    """The command is asked once; from then on its line answers, and it can be taken back (AP-10)."""
    words = ("do", "/run ls notes", "--folder", str(desk.folder), "--mode", "ask")
    asked = desk.run(*words)

    approved = desk.run("approve", asked.out.splitlines()[0], "--always")
    ended = desk.run("watch", asked.out.splitlines()[0], "--timeout", "60s")
    again = desk.run(*words)
    listed = desk.run("policy", "show")
    desk.run("policy", "set", "-", text="# nothing any more\n")
    after = desk.run(*words)
    desk.run("deny", after.out.splitlines()[0])  # the folder is for whoever comes next

    line = f"allow run_command folder={desk.folder} until="
    assert (asked.status, ended.status, again.status, after.status) == (4, 0, 0, 4)
    assert f"--always writes this line into the policy: {line}" in approved.out
    assert line in listed.out
    assert " -- ls notes  # always: " in listed.out


def test_a_denied_task_fails_and_says_so(desk: Desk) -> None:
    """Three for not done, and nothing was written."""
    name = ask_first(desk)
    before = sorted(desk.folder.iterdir())

    desk.run("deny", name, "--reason", "not now")
    ended = desk.run("watch", name, "--timeout", "60s")

    assert (ended.status, sorted(desk.folder.iterdir())) == (3, before)


def test_behind_a_task_that_waits_for_a_person_nobody_is_kept_waiting(desk: Desk) -> None:
    """Four, and which task has the folder; once that one is decided, the other goes on."""
    first = ask_first(desk)

    said = desk.run("do", "/brief notes/", "--folder", str(desk.folder))
    desk.run("deny", first)
    ended = desk.run("watch", said.out.splitlines()[0], "--timeout", "60s")

    assert (said.status, ended.status) == (4, 0)
    assert f"deskhand show {first}" in said.out


def test_who_waits_for_a_folder_is_let_go_once_its_task_begins_to_wait_for_a_person(desk: Desk) -> None:
    """The other task works at first: what it does later is heard, and then there is nothing to wait for."""
    words = ("do", "/run sleep 2", "--folder", str(desk.folder))
    ask = ("do", "/brief notes/", "--folder", str(desk.folder), "--mode", "ask", "--no-wait")
    desk.run(*words, "--no-wait")
    first = desk.run(*ask).out.strip()

    said = desk.run(*words)
    desk.run("deny", first)

    assert said.status == 4
    assert f"deskhand show {first}" in said.out


def test_a_canceled_task_ends_with_five(desk: Desk) -> None:
    """Whoever waits for it learns it from the exit code."""
    name = desk.run("do", "Never mind", "--no-wait").out.strip()

    desk.run("cancel", name)

    assert desk.run("watch", name, "--timeout", "30s").status == 5


def test_results_are_downloaded_whole_and_never_over_another_file(desk: Desk, tmp_path: Path) -> None:
    """The same bytes arrive; a second time needs --force."""
    name = desk.run("do", "/brief notes/", "--folder", str(desk.folder)).out.splitlines()[0]
    artifact = task_of(desk, name)["artifacts"][0]

    first = desk.run("get", name, "--to", str(tmp_path))
    again = desk.run("get", name, "--to", str(tmp_path))
    forced = desk.run("get", name, "--to", str(tmp_path), "--force")

    assert [first.status, again.status, forced.status] == [0, 1, 0]
    assert Path(first.out.strip()).read_bytes() == Path(artifact["path"]).read_bytes()


def test_a_file_goes_along_with_a_task(desk: Desk, tmp_path: Path) -> None:
    """What was sent is named in the task, with the hash of its bytes."""
    sent = tmp_path / "figures.csv"
    sent.write_bytes(b"a,b\n1,2\n" * 1000)

    task = desk.run("do", "Look at this", "--file", str(sent), "--no-wait", "--json").json

    assert [(one["name"], one["size"]) for one in task["files"]] == [("figures.csv", 8000)]


def test_ctrl_c_detaches_and_the_task_goes_on(desk: Desk) -> None:
    """130, and the task is as it was."""
    process = desk.spawn("do", "Wait for a model", "--wait")
    name = cast("Any", process.stdout).readline().strip()

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)

    assert (process.returncode, task_of(desk, name)["state"]) == (130, "queued")


def test_watch_prints_one_event_per_line(desk: Desk) -> None:
    """Each line is one JSON object with its seq, in log order."""
    name = desk.run("do", "/brief notes/", "--folder", str(desk.folder)).out.splitlines()[0]

    lines = desk.run("watch", name, "--json").out.splitlines()

    events = [json.loads(line) for line in lines]
    assert events[-1]["kind"] == "task.finished"
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})


def test_the_log_verifies_while_the_hub_runs(desk: Desk) -> None:
    """Reading only: no lock is needed and nothing differs."""
    said = desk.run("log", "verify", "--json")

    assert (said.status, said.json["problems"]) == (0, [])
    assert said.json["events"] > 0


def test_settings_say_where_their_value_comes_from(desk: Desk) -> None:
    """Flag, environment, file, account and default are told apart."""
    desk.run("config", "set", "lease_seconds", "7")
    desk.run("config", "set", "runner.slots", "5")

    rows = desk.run("config", "list", "--json", DESKHAND_HUB_PORT="4001").json["items"]

    found = {row["id"]: (row["value"], row["source"]) for row in rows}
    assert found["lease_seconds"] == (7, "account")
    assert found["runner.slots"] == (5, str(desk.home / "config.toml"))
    assert found["hub.port"] == (4001, "DESKHAND_HUB_PORT")
    assert found["hub.bind"] == ("127.0.0.1", "default")


def test_a_project_may_only_narrow(desk: Desk, tmp_path: Path) -> None:
    """Its file makes a task narrower and never wider than what was typed."""
    (tmp_path / ".deskhand.toml").write_text('[do]\nmode = "read-only"\n', encoding="utf-8")

    wide = ["do", "/brief notes/", "--folder", str(desk.folder), "--mode", "workspace"]
    said = desk.run(*wide, "--no-wait", "--json", cwd=tmp_path)

    assert said.json["mode"] == "read-only"
    assert "narrowed" in said.err


def test_the_page_that_opens_in_the_browser_hides_the_claim(desk: Desk) -> None:
    """The credential of this computer's owner is readable by its user alone."""
    owner = desk.home / "owner.json"

    assert owner.stat().st_mode & 0o077 == 0
    assert json.loads(owner.read_text())["url"] == desk.url


def test_an_invited_device_comes_in_by_its_link(desk: Desk) -> None:
    """Whoever holds the 128 bits of `pair --yes` gets a credential; with digits alone somebody is asked."""
    made = desk.run("pair", "--kind", "cli", "--yes", "--no-wait", "--json").json

    asked = post(desk, "/v1/pair", {"invite": made["invite"], "name": "other laptop"})
    claimed = post(desk, "/v1/pair/claim", {"request": asked["request"], "secret": asked["secret"]})

    listed = desk.run("ls", "--json", DESKHAND_URL=desk.url, DESKHAND_TOKEN=claimed["token"])
    assert (listed.status, claimed["kind"]) == (0, "cli")


def test_six_digits_only_file_a_request(desk: Desk) -> None:
    """The number is shown to the owner, who lets the device in."""
    made = desk.run("pair", "--kind", "cli", "--yes", "--no-wait", "--json").json
    asked = post(desk, "/v1/pair", {"code": made["code"], "name": "stranger"})
    waiting = desk.run("devices", "list", "--json").json["requests"]

    admitted = desk.run("devices", "admit", asked["request"])

    assert [(one["name"], one["match"]) for one in waiting] == [("stranger", asked["match"])]
    assert admitted.status == 0


def test_hub_and_runner_work_as_two_processes(tmp_path: Path) -> None:
    """The runner pairs by the hub's invitation over HTTP, does the work, and comes back by itself after a restart."""
    here, there = make_desk(tmp_path / "hub"), make_desk(tmp_path / "box")
    with stopping(here.spawn("hub", "--port", "0", "--json")) as hub:
        ready = first_line(hub)
        there.run("folders", "add", str(there.folder), "--mode", "workspace")
        start = ["runner", "--url", ready["url"], "--name", "box", "--json", *there.as_root()]
        with stopping(there.spawn(*start, DESKHAND_INVITE=ready["invite"])) as runner:
            paired = first_line(runner)
            until_connected(here)
            said = here.run("do", "/brief notes/", "--folder", str(there.folder), "--json")
        with stopping(there.spawn("runner", "--json", *there.as_root())) as runner:
            back = first_line(runner)

    assert (said.status, said.json["verdict"]) == (0, "verified")
    assert paired["runner"] == back["runner"] == said.json["runner"]


def test_up_ends_within_three_seconds_with_a_stream_open(tmp_path: Path) -> None:
    """SIGTERM with a listener connected: exit 0, home unlocked, and it starts again with the same computer."""
    found = make_desk(tmp_path)
    with running_up(found) as process:
        before = found.run("runners", "list", "--json").json["items"][0]["id"]
        listener = open_stream(found)
        started = monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=SECONDS)
        took = monotonic() - started
        listener.close()
    with running_up(found):
        after = found.run("runners", "list", "--json").json["items"][0]["id"]

    assert (process.returncode, after) == (0, before)
    assert took < 3.5


def test_a_revoked_computer_does_not_take_the_hub_with_it(tmp_path: Path) -> None:
    """The runner ends, the hub answers on, and the next start makes this computer a new device."""
    found = make_desk(tmp_path)
    with running_up(found):
        before = found.run("runners", "list", "--json").json["items"][0]["id"]
        found.run("devices", "revoke", before)
        still = found.run("ls", "--json")
    with running_up(found):
        rows = found.run("runners", "list", "--json").json["items"]

    assert still.status == 0
    assert [one["id"] for one in rows if one["connected"]] != [before]


def ask_first(desk: Desk) -> str:
    """Begin a task that has to ask before it writes; return its id."""
    words = ["do", "/brief notes/", "--folder", str(desk.folder), "--mode", "ask"]
    said = desk.run(*words)
    assert said.status == 4, said
    return said.out.splitlines()[0]


def post(desk: Desk, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a call as a device without a credential does."""
    connection = http.client.HTTPConnection(desk.url.removeprefix("http://"), timeout=SECONDS)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", path, body=json.dumps(body), headers=headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return cast("dict[str, Any]", answer)


def open_stream(desk: Desk) -> socket.socket:
    """Return a connection on which the hub streams."""
    host, _, port = desk.url.removeprefix("http://").rpartition(":")
    token = json.loads((desk.home / "owner.json").read_text())["token"]
    opened = socket.create_connection((host, int(port)), timeout=SECONDS)
    lines = ["GET /v1/stream?after=0 HTTP/1.1", f"Host: {host}:{port}", f"Authorization: Bearer {token}"]
    opened.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert b"200" in opened.recv(64)
    return opened


def until_connected(desk: Desk) -> None:
    """Wait for the runner's link."""
    ends = monotonic() + SECONDS
    while not any(one["connected"] for one in desk.run("runners", "list", "--json").json["items"]):
        assert monotonic() < ends


class stopping:  # noqa: N801 - reads like the verb it is
    """A process that is ended with SIGTERM when the block ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=SECONDS)
