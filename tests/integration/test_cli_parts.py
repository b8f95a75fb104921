"""The parts of the command line that others' words, names and files go through."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from deskhand.cli.client import Client, client
from deskhand.cli.commands import tasks
from deskhand.cli.commands.tasks import safe_name
from deskhand.cli.follow import exit_code, show_event, show_outcome, stuck
from deskhand.cli.roads import Reach, reach_of
from deskhand.cli.screen import one_line, plain, width
from deskhand.cli.values import config_path, parsed, setting, write_value
from deskhand.errors import Code, DeskhandError
from deskhand.hub.credentials import LocalDevice, local_device, write_device
from deskhand.store.private import OWNER_FILE, read_private
from deskhand.testing import docs
from deskhand.texts import LANGUAGES, catalogue
from tests.desk import PROGRAM, make_desk

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("fastapi", "httpx", "pydantic", "rich", "sqlalchemy", "starlette", "uvicorn")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with nothing of this machine's environment."""
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("DESKHAND_URL", "DESKHAND_TOKEN", "DESKHAND_HUB_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "said", ["\x1b[2Jgone", "safe\rhidden", "a\u202egpj.exe", "zero\u200bwidth", "\x9b31m", "bell\x07"]
)
def test_what_acts_on_a_terminal_is_spelled_out(said: str) -> None:
    """PI-08: nobody's text moves the cursor, hides itself or turns the line round."""
    assert all(letter.isprintable() for letter in plain(said))


def test_ordinary_words_stay_as_they_are() -> None:
    """Korean, emoji and line ends are not harmed; wide letters count as two columns."""
    said = "한국어 ✓ naïve 👩‍👩‍👧\tand\nmore"

    assert plain(said) == said
    assert one_line(said) == "한국어 ✓ naïve 👩‍👩‍👧 and"
    assert width("한국어") == 6


@pytest.mark.parametrize(
    "name",
    [
        "../x", "a/b", "a\\b", "/etc/passwd", "C:x", ".bashrc", "-rf", "~root", "", " x", "x.",
        "CON", "nul.txt", "a\nb", "a\x00b", "a\u202eb", "x" * 256,
    ],
)  # fmt: skip
def test_a_name_that_means_more_than_a_file_is_refused(name: str) -> None:
    """UP-03: results land in one directory under plain names, or nowhere."""
    with pytest.raises(DeskhandError) as refused:
        safe_name(name)

    assert refused.value.code is Code.PATH_REFUSED


@pytest.mark.parametrize("name", ["briefing.md", "보고서 2026.xlsx", "a b (1).txt"])
def test_a_plain_name_is_kept(name: str) -> None:
    """Spaces, brackets and other scripts are ordinary."""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ({"state": "completed", "verdict": "verified"}, 0),
        ({"state": "completed", "verdict": "unverified"}, 6),
        ({"state": "failed", "verdict": "not_done"}, 3),
        ({"state": "canceled"}, 5),
        ({"state": "queued", "reason": "no_model"}, 4),
        ({"state": "queued", "reason": "slot"}, 0),
        ({"state": "queued", "reason": "folder_busy"}, 0),
        ({"state": "queued", "reason": "folder_busy", "behind": "tsk_2"}, 4),
        ({"state": "paused"}, 4),
        ({"state": "input_required", "waiting_for": [{"kind": "approval"}]}, 4),
        ({"state": "input_required", "waiting_for": [{"kind": "children"}]}, 0),
    ],
)
def test_a_task_becomes_an_exit_code(task: dict[str, object], code: int) -> None:
    """The contract's table; a task that goes on by itself is not stuck."""
    assert exit_code(task, require_verified=True) == code
    assert stuck(task) is (code == 4)


DONE_TASK: dict[str, Any] = {
    "id": "tsk_1",
    "thread": "thr_1",
    "title": "How many?",
    "agent": "builtin",
    "state": "completed",
    "verdict": "unverified",
    "summary": "Three.\nTwo of them are old.",
    "usage": {"steps": 1, "input_tokens": 20, "output_tokens": 3},
    "model_used": "m-1",
}


def test_a_plain_answer_is_shown_as_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """No verdict and no card: the whole answer, once."""
    said = {"role": "agent", "text": "Three.", "meant": "answer"}

    show_event({"kind": "message.posted", "body": said})
    show_outcome(DONE_TASK | {"answer": True})

    assert capsys.readouterr() == ("Three.\nTwo of them are old.\n", "")


@pytest.mark.parametrize(("money", "shown"), [({}, "? USD"), ({"amount": "0.02", "currency": "USD"}, "0.02 USD")])
def test_show_says_what_was_used_and_when_a_price_is_not_known(
    capsys: pytest.CaptureFixture[str], money: dict[str, str], shown: str
) -> None:
    """Tokens without a price are not called free."""
    usage = DONE_TASK["usage"] | ({"money": money} if money else {})
    show_task: Any = vars(tasks)["_show_task"]

    show_task(None, DONE_TASK | {"usage": usage})

    assert f"used 1 steps, 23 tokens, {shown} · model m-1" in capsys.readouterr().out


def test_the_owner_file_is_read_as_the_hub_wrote_it(home: Path) -> None:
    """The light reader and the hub's own agree."""
    owner = LocalDevice(account="acc_1", device="dev_1", token="dhs_1", url="http://127.0.0.1:1")

    write_device(home / OWNER_FILE, owner)

    assert local_device(home / OWNER_FILE) == owner
    assert client() == Client(url="http://127.0.0.1:1", token="dhs_1")


def test_the_owner_s_token_goes_to_no_other_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESKHAND_URL alone must not send it anywhere."""
    write_device(home / OWNER_FILE, LocalDevice(account="a", device="d", token="dhs_1", url="http://127.0.0.1:1"))
    monkeypatch.setenv("DESKHAND_URL", "https://evil.example")

    with pytest.raises(DeskhandError) as refused:
        client()

    assert refused.value.code is Code.UNAUTHORIZED


def test_a_link_in_place_of_a_private_file_is_refused(home: Path) -> None:
    """Nobody can point the owner file elsewhere."""
    (home / "real").write_text("{}", encoding="utf-8")
    (home / "owner.json").symlink_to(home / "real")

    with pytest.raises(DeskhandError) as refused:
        read_private(home / "owner.json")

    assert refused.value.code is Code.HOME_UNSAFE


def test_flag_beats_environment_beats_file_beats_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source in turn, named."""
    default = setting("hub.port")
    write_value("hub.port", 4000)
    filed = setting("hub.port")
    monkeypatch.setenv("DESKHAND_HUB_PORT", "4001")
    said = setting("hub.port")
    typed = setting("hub.port", flag=4002)

    found = [(one.value, one.source) for one in (default, filed, said, typed)]
    assert found == [(3375, "default"), (4000, str(home / "config.toml")), (4001, "DESKHAND_HUB_PORT"), (4002, "flag")]


def test_a_project_narrows_and_never_widens(home: Path) -> None:
    """The narrower of both holds, whichever side it is on."""
    (home / ".deskhand.toml").write_text('do.mode = "ask"\nrunner.slots = 50\n', encoding="utf-8")

    assert setting("do.mode").value == "ask"
    assert setting("do.mode", flag="read-only").value == "read-only"
    assert setting("do.mode", flag="trusted").value == "ask"
    assert setting("runner.slots").value == 20


@pytest.mark.usefixtures("home")
def test_writing_a_setting_keeps_the_other_lines() -> None:
    """Comments and tables of the person stay; unset takes one line out."""
    config_path().write_text('# mine\n[hub]\nport = 1\nbind = "127.0.0.1"\n', encoding="utf-8")

    write_value("hub.port", 2)
    write_value("runner.name", 'tab\tand "quote"')
    assert (setting("hub.port").value, setting("runner.name").value) == (2, 'tab\tand "quote"')
    write_value("hub.port", None)

    assert setting("hub.port").source == "default"
    assert "# mine" in config_path().read_text(encoding="utf-8")


def test_a_setting_of_this_computer_is_set_and_unset_by_command(tmp_path: Path) -> None:
    """Each says what holds now and where it comes from, to people and to programs."""
    found = make_desk(tmp_path)

    put = found.run("config", "set", "hub.port", "4000")
    taken = found.run("config", "unset", "hub.port", "--json")

    assert (put.status, "4000" in put.err) == (0, True)
    assert taken.json == {"id": "hub.port", "value": 3375, "source": "default"}


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("hub.port", "0", 0),
        ("notify.allow_private_endpoints", "true", True),
        ("hub.hosts", "a.example, b.example", ("a.example", "b.example")),
        ("language", "ko", "ko"),
    ],
)
def test_what_is_typed_becomes_a_value_of_its_type(name: str, said: str, value: object) -> None:
    """By the one registry."""
    assert parsed(name, said) == value


def test_a_road_is_a_word_or_an_https_address() -> None:
    """Anything else is refused before anything listens."""
    assert reach_of("none") == Reach()
    assert reach_of("https://desk.example.org/") == Reach(url="https://desk.example.org")
    for wrong in ("tailscail", "ftp://x", "https://desk.example.org/path"):
        with pytest.raises(DeskhandError):
            reach_of(wrong)


class _Dropping(BaseHTTPRequestHandler):
    """A hub that takes half of the first piece and hangs up, and says afterwards how far it came."""

    kept = bytearray()

    def do_POST(self) -> None:
        self._answer(201, Location="/v1/uploads/upl_1")

    def do_HEAD(self) -> None:
        self._answer(200, **{"Upload-Offset": str(len(self.kept))})

    def do_PATCH(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        assert int(self.headers["Upload-Offset"]) == len(self.kept)
        if not self.kept:
            self.kept.extend(data[: len(data) // 2])
            self.close_connection = True
            return
        self.kept.extend(data)
        self._answer(204, **{"Upload-Offset": str(len(self.kept))})

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_file_goes_on_where_a_broken_connection_left_it(tmp_path: Path) -> None:
    """What the hub already has is not sent again, and nothing is missing or doubled."""
    (tmp_path / "sent.bin").write_bytes(bytes(range(256)) * 16)
    _Dropping.kept.clear()
    with HTTPServer(("127.0.0.1", 0), _Dropping) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub = Client(url=f"http://127.0.0.1:{server.server_port}")

        upload = hub.upload(tmp_path / "sent.bin")

        server.shutdown()
    assert (upload, bytes(_Dropping.kept)) == ("upl_1", bytes(range(256)) * 16)


@pytest.mark.parametrize("arguments", [["--version"], ["ls"], ["do", "x", "--no-wait"]])
def test_an_everyday_command_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """It begins within 0.3 s because none of these is there."""
    script = (
        f"import sys; from deskhand.cli.main import run; run({arguments!r});"
        f" print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], env=make_desk(tmp_path).env(), capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[-1] == ""


def test_every_command_and_flag_is_in_the_reference() -> None:
    """What can be typed can be looked up; the page is the program's own word."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")

    assert page.endswith(docs.commands())
    assert page.count("### `deskhand ") >= 38


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_speaks_the_reader_s_language_with_examples(language: str, tmp_path: Path) -> None:
    """Groups and examples in English and Korean."""
    env = make_desk(tmp_path).env(DESKHAND_LANGUAGE=language)
    said = [
        subprocess.run([*PROGRAM, *words], env=env, capture_output=True, text=True, check=False)
        for words in (["--help"], ["do", "--help"])
    ]

    known = catalogue(language)
    panels = [known[f"cli.panel.{one}"] for one in ("start", "tasks", "setup", "operate")]
    places = [said[0].stdout.index(f"─ {panel} ") for panel in panels]
    assert places == sorted(places)
    assert known["cli.examples"] in said[1].stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(shell: str, tmp_path: Path) -> None:
    """The script asks the program itself."""
    said = make_desk(tmp_path).run("completion", shell)

    assert (said.status, "_DESKHAND_COMPLETE" in said.out) == (0, True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("deskhand fol", ["folders"]),
        ("deskhand do /br", ["/brief"]),
        ('deskhand do "/actions notes --o', ["/actions notes --owner", "/actions notes --out"]),
        ("deskhand do summarise", []),
    ],
)
def test_a_shell_completes_words_and_command_lines(typed: str, offered: list[str], tmp_path: Path) -> None:
    """What the script asks is answered: the program's own words, commands and their options."""
    env = make_desk(tmp_path).env(
        _DESKHAND_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(min(2, typed.count(" ")))
    )

    said = subprocess.run(PROGRAM, env=env, capture_output=True, text=True, check=False)

    assert said.stdout.split("\n")[: len(offered)] == offered
    assert not said.stdout.replace("\n", "")[len("".join(offered)) :]
