"""Every error of the closed list that a person at a terminal can meet, made to happen for real."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import resource
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from deskhand.cli.client import Client
from deskhand.errors import Code
from deskhand.protocol.wire import canonical
from deskhand.texts import text
from tests.desk import Desk, Said, make_desk, running_up

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """What a case works with: a desk whose hub runs, one that was never started, and a hub that answers oddly."""

    desk: Desk
    fresh: Desk
    odd: OddHub


@dataclass(kw_only=True)
class OddHub:
    """A program that answers as the case wants; no real hub would."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])

    def as_whom(self) -> dict[str, str]:
        return {"DESKHAND_URL": self.url, "DESKHAND_TOKEN": "dhs_nobody-in-particular"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    """``deskhand up``, for all cases."""
    found = make_desk(tmp_path_factory.mktemp("desk"))
    with running_up(found):
        yield found


@pytest.fixture
def odd() -> Generator[OddHub]:
    """A server on loopback that says what it is told to."""
    hub = OddHub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = hub.answers.get(self.path, {})
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response_only(hub.status)
            for name, value in {"Date": self.date_time_string(), **hub.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        @override
        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield hub
        server.shutdown()


@pytest.fixture
def meeting(desk: Desk, tmp_path: Path, odd: OddHub) -> Meeting:
    """All a case may need."""
    return Meeting(desk=desk, fresh=make_desk(tmp_path / "fresh"), odd=odd)


Case = Callable[[Meeting], Said]


def nothing_started(meet: Meeting) -> Said:
    return meet.fresh.run("ls", "--json")


def hub_away(meet: Meeting) -> Said:
    away = {"DESKHAND_URL": "http://127.0.0.1:9", "DESKHAND_TOKEN": "dhs_x"}
    return meet.desk.run("ls", "--json", extra=away)


def not_a_hub(meet: Meeting) -> Said:
    meet.odd.status, meet.odd.answers["/v1/tasks?limit=50"] = 502, b"<h1>Bad gateway</h1>"
    return meet.desk.run("ls", "--json", extra=meet.odd.as_whom())


def wrong_token(meet: Meeting) -> Said:
    return meet.desk.run("ls", "--json", DESKHAND_TOKEN="dhs_wrong")


def token_of_another_hub(meet: Meeting) -> Said:
    return meet.desk.run("ls", "--json", DESKHAND_URL=meet.odd.url)


def not_allowed(meet: Meeting) -> Said:
    made = meet.desk.run("pair", "--kind", "client", "--yes", "--no-wait", "--json").json
    token = claimed(meet.desk, made["invite"])
    return meet.desk.run("config", "set", "lease_seconds", "9", "--json", DESKHAND_TOKEN=token)


def unknown_task(meet: Meeting) -> Said:
    return meet.desk.run("show", "tsk_nobody", "--json")


def unknown_command(meet: Meeting) -> Said:
    return meet.desk.run("do", "/nonsense", "--json")


def unknown_folder(meet: Meeting) -> Said:
    return meet.desk.run("do", "/brief .", "--folder", "fld_nobody", "--json")


def folder_of_the_system(meet: Meeting) -> Said:
    return meet.desk.run("folders", "add", "/etc", "--json")


def folder_that_is_not_there(meet: Meeting) -> Said:
    return meet.desk.run("do", "/brief .", "--folder", "/nowhere/at/all", "--json")


def answer_to_nothing(meet: Meeting) -> Said:
    name = meet.desk.run("do", "Wait", "--no-wait").out.strip()
    return meet.desk.run("answer", name, "yes", "--json")


def decided_twice(meet: Meeting) -> Said:
    words = ["do", "/brief notes/", "--folder", str(meet.desk.folder), "--mode", "ask", "--json"]
    approval = meet.desk.run(*words).json["waiting_for"][0]["id"]
    meet.desk.run("deny", approval)
    return meet.desk.run("approve", approval, "--json")


def shown_is_not_hashed(meet: Meeting) -> Said:
    action = {"tool": "write_file", "arguments": {"path": "a.txt"}}
    approval = {
        "id": "apr_1",
        "state": "open",
        "risk": "low",
        "sentence": "Write a.txt?",
        "action": action,
        "action_sha256": hashlib.sha256(canonical({**action, "tool": "other"})).hexdigest(),
    }
    meet.odd.answers["/v1/approvals/apr_1"] = approval
    return meet.desk.run("approve", "apr_1", "--json", extra=meet.odd.as_whom())


def same_op_id_for_another_wish(meet: Meeting) -> Said:
    meet.desk.run("do", "One", "--op-id", "conflict-1", "--no-wait")
    return meet.desk.run("do", "Two", "--op-id", "conflict-1", "--no-wait", "--json")


def nothing_to_do(meet: Meeting) -> Said:
    return meet.desk.run("do", "-", "--json", text="  \n")


def text_beyond_the_limit(meet: Meeting) -> Said:
    return meet.desk.run("do", "-", "--json", text="x" * 100_001)


def body_beyond_the_limit(meet: Meeting) -> Said:
    return meet.desk.run("do", "-", "--json", text="x" * 1_100_000)


def not_an_address(meet: Meeting) -> Said:
    return meet.desk.run("ls", "--json", DESKHAND_URL="ftp://desk", DESKHAND_TOKEN="dhs_x")


def newer_protocol(meet: Meeting) -> Said:
    meet.odd.status = 426
    failure = {"code": "upgrade_required", "message": "no", "cure": text_of(Code.UPGRADE_REQUIRED)}
    meet.odd.answers["/v1/tasks?limit=50"] = {"error": {**failure, "retryable": False}}
    return meet.desk.run("ls", "--json", extra=meet.odd.as_whom())


def name_that_climbs(meet: Meeting) -> Said:
    artifact = {"id": "art_1", "name": "../../.bashrc", "sha256": "0" * 64, "size": 1}
    meet.odd.answers["/v1/artifacts/art_1"] = artifact
    return meet.desk.run("get", "art_1", "--json", extra=meet.odd.as_whom())


def bytes_that_are_others(meet: Meeting) -> Said:
    artifact = {"id": "art_2", "name": "report.txt", "sha256": "0" * 64, "size": 5}
    meet.odd.answers["/v1/artifacts/art_2"] = artifact
    meet.odd.answers["/v1/artifacts/art_2/content"] = b"other"
    return meet.desk.run("get", "art_2", "--json", extra=meet.odd.as_whom())


def disk_that_is_full(meet: Meeting) -> Said:
    data = b"x" * 200_000
    artifact = {"id": "art_3", "name": "big.bin", "sha256": hashlib.sha256(data).hexdigest()}
    meet.odd.answers["/v1/artifacts/art_3"] = artifact
    meet.odd.answers["/v1/artifacts/art_3/content"] = data
    return meet.desk.run("get", "art_3", "--json", limit=small_files, extra=meet.odd.as_whom())


def home_on_a_full_disk(meet: Meeting) -> Said:
    meet.fresh.home.mkdir(parents=True)
    small = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(meet.fresh.home)]
    mounted = subprocess.run(small, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        return up(meet.fresh)
    finally:
        subprocess.run(["umount", str(meet.fresh.home)], check=True)  # noqa: S607 - the system's own


def broken_line(meet: Meeting) -> Said:
    meet.fresh.home.mkdir(parents=True)
    (meet.fresh.home / "config.toml").write_text("[hub]\nport = 'many'\n", encoding="utf-8")
    said = up(meet.fresh)
    assert "config.toml:2" in said.err
    return said


def not_toml(meet: Meeting) -> Said:
    meet.fresh.home.mkdir(parents=True)
    (meet.fresh.home / "config.toml").write_text("[hub]\nport = = 1\n", encoding="utf-8")
    said = meet.fresh.run("config", "list", "--json")
    assert "line 2" in said.err
    return said


def project_that_widens(meet: Meeting) -> Said:
    (meet.fresh.folder / ".deskhand.toml").write_text("[hub]\nport = 1\n", encoding="utf-8")
    return meet.fresh.run("config", "list", "--json")


def unknown_setting(meet: Meeting) -> Said:
    return meet.desk.run("config", "set", "colour", "blue", "--json")


def home_in_use(meet: Meeting) -> Said:
    return up(meet.desk)


def home_that_others_read(meet: Meeting) -> Said:
    meet.fresh.home.mkdir(parents=True)
    owner = meet.fresh.home / "owner.json"
    owner.write_text("{}", encoding="utf-8")
    owner.chmod(0o644)
    return meet.fresh.run("ls", "--json")


def home_that_is_a_file(meet: Meeting) -> Said:
    meet.fresh.home.write_text("", encoding="utf-8")
    return up(meet.fresh)


def written_by_a_newer_one(meet: Meeting) -> Said:
    with running_up(meet.fresh):
        pass
    with sqlite3.connect(meet.fresh.home / "hub.sqlite3") as store:
        store.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
    store.close()
    return up(meet.fresh)


def store_that_is_rubbish(meet: Meeting) -> Said:
    meet.fresh.home.mkdir(parents=True)
    (meet.fresh.home / "hub.sqlite3").write_bytes(b"this is no database" * 1000)
    return meet.fresh.run("log", "verify", "--json")


def port_in_use(meet: Meeting) -> Said:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        return up(meet.fresh, port=taken.getsockname()[1])


def invitation_used_twice(meet: Meeting) -> Said:
    made = meet.desk.run("pair", "--kind", "runner", "--yes", "--no-wait", "--json").json
    claimed(meet.desk, made["invite"])
    return join(meet.fresh, meet.desk.url, made["invite"])


def invitation_nobody_made(meet: Meeting) -> Said:
    return join(meet.fresh, meet.desk.url, "dhs_AAAAAAAAAAAAAAAAAAAAAA")


def clock_of_last_year(meet: Meeting) -> Said:
    meet.odd.headers["Date"] = "Sun, 23 Nov 2025 01:00:00 GMT"
    return join(meet.fresh, meet.odd.url, "dhs_AAAAAAAAAAAAAAAAAAAAAA")


CASES: list[tuple[Code, Case]] = [
    (Code.HUB_UNREACHABLE, nothing_started),
    (Code.HUB_UNREACHABLE, hub_away),
    (Code.HUB_UNREACHABLE, not_a_hub),
    (Code.UNAUTHORIZED, wrong_token),
    (Code.UNAUTHORIZED, token_of_another_hub),
    (Code.FORBIDDEN, not_allowed),
    (Code.NOT_FOUND, unknown_task),
    (Code.UNKNOWN_COMMAND, unknown_command),
    (Code.FOLDER_UNKNOWN, unknown_folder),
    (Code.FOLDER_REFUSED, folder_of_the_system),
    (Code.FOLDER_REFUSED, folder_that_is_not_there),
    (Code.ILLEGAL_STATE, answer_to_nothing),
    (Code.ALREADY_DECIDED, decided_twice),
    (Code.ACTION_CHANGED, shown_is_not_hashed),
    (Code.OP_CONFLICT, same_op_id_for_another_wish),
    (Code.INVALID, nothing_to_do),
    (Code.INVALID, text_beyond_the_limit),
    (Code.TOO_LARGE, body_beyond_the_limit),
    (Code.INVALID, not_an_address),
    (Code.UPGRADE_REQUIRED, newer_protocol),
    (Code.PATH_REFUSED, name_that_climbs),
    (Code.CONFLICT, bytes_that_are_others),
    (Code.DISK_FULL, disk_that_is_full),
    (Code.DISK_FULL, home_on_a_full_disk),
    (Code.CONFIG_INVALID, broken_line),
    (Code.CONFIG_INVALID, not_toml),
    (Code.CONFIG_INVALID, project_that_widens),
    (Code.CONFIG_INVALID, unknown_setting),
    (Code.HOME_LOCKED, home_in_use),
    (Code.HOME_UNSAFE, home_that_others_read),
    (Code.HOME_UNSAFE, home_that_is_a_file),
    (Code.SCHEMA_NEWER, written_by_a_newer_one),
    (Code.STORE_DAMAGED, store_that_is_rubbish),
    (Code.PORT_TAKEN, port_in_use),
    (Code.INVITE_INVALID, invitation_used_twice),
    (Code.INVITE_INVALID, invitation_nobody_made),
    (Code.CLOCK_WRONG, clock_of_last_year),
]


@pytest.mark.parametrize(("code", "case"), CASES, ids=[case.__name__ for _, case in CASES])
def test_every_refusal_has_a_code_a_status_and_a_cure(code: Code, case: Case, meeting: Meeting) -> None:
    """Exit 1, the error object on stdout, sentence and cure on stderr, and never a traceback."""
    said = case(meeting)

    error = said.json["error"]
    assert (error["code"], said.status) == (code, 1)
    assert error["cure"] == text_of(code)
    assert error["cure"] in said.err
    assert "Traceback" not in said.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
@pytest.mark.parametrize("program", ["up", "runner"])
def test_root_is_refused_unless_said(program: str, tmp_path: Path) -> None:
    """Neither program does anything as root before it was told to."""
    found = make_desk(tmp_path)

    said = found.run(program, "--json")

    assert (said.json["error"]["code"], said.status) == (Code.ROOT_REFUSED, 1)
    assert not found.home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["frob"],
        ["ls", "--frob"],
        ["show"],
        ["do", "x", "--wait", "--no-wait"],
        ["do", "x", "--timeout", "soon"],
        ["ls", "--limit", "many"],
        ["ls", "--state", "happy"],
        ["completion", "csh"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_two(arguments: list[str], tmp_path: Path) -> None:
    """What is wrong and where the help is; nothing was started or sent."""
    said = make_desk(tmp_path).run(*arguments)

    assert (said.status, said.out) == (2, "")
    assert "--help" in said.err


def text_of(code: Code) -> str:
    """Return the cure of the catalogue."""
    return text(f"error.{code}.cure")


def small_files() -> None:
    """Let this process write no file beyond 64 KiB, as a full disk would."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))


def up(desk: Desk, *, port: int = 0) -> Said:
    """Start ``deskhand up``, which must not come to anything."""
    words = ["up", "--port", str(port), "--reach", "none", "--no-browser", "--json"]
    return desk.run(*words, *desk.as_root())


def join(desk: Desk, url: str, invite: str) -> Said:
    """Start a runner by an invitation, which must not come to anything."""
    words = ["runner", "--url", url, "--invite", "-", "--name", "box", "--json"]
    return desk.run(*words, *desk.as_root(), text=invite + "\n")


def claimed(desk: Desk, invite: str) -> str:
    """Redeem an invitation and return the credential."""
    hub = Client(url=desk.url)
    asked = hub.call("POST", "/v1/pair", {"invite": invite, "name": "a test"})
    wish = {"request": asked["request"], "secret": asked["secret"]}
    got = hub.call("POST", "/v1/pair/claim", wish)
    return str(got["token"])


def test_doctor_comes_to_its_end_before_the_first_start(tmp_path: Path) -> None:
    """What can be tried is tried, and what is not there yet has its cure: nothing of it is an error of ours."""
    desk = make_desk(tmp_path)

    said = desk.run("doctor", "--no-model", "--json")

    rows = {one["check"]: one for one in said.json["items"]}
    assert (said.status, rows["hub"]["state"], rows["private"]["state"]) == (1, "bad", "good")
    assert "deskhand up" in rows["hub"]["said"]
