"""Real processes are killed with work in every state; it goes on by itself within seconds, from where it was."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest

from deskhand.clock import Ids, SystemClock
from deskhand.protocol.objects import FolderMode
from deskhand.runner.ceiling import grant_folder
from tests.acceptance import running
from tests.desk import SECONDS, Desk, first_line, make_desk

pytestmark = [pytest.mark.timeout(120), pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay")]

IDS = Ids(SystemClock())
WORK_SECONDS = 2
"""How long the command, and the check of another task, takes by itself."""
BACK_SECONDS = 5
SLOW = f"/run sleep {WORK_SECONDS}; echo done >> out"


def make(path: Path) -> Desk:
    """Return a desk whose computer knows one more command."""
    desk = make_desk(path)
    desk.program = [sys.executable, running.__file__]
    desk.home.mkdir(mode=0o700)
    return desk


@dataclass(kw_only=True)
class Owner:
    """Speaks to a hub as its owner, and forgives it for being away."""

    desk: Desk
    tasks: dict[str, str] = field(default_factory=dict[str, str])

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - whatever was answered
        known = json.loads((self.desk.home / "owner.json").read_text())
        host = str(known["url"]).removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=SECONDS)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {known['token']}"}
        said = json.dumps(body) if body is not None else None
        connection.request(method, path, body=said, headers=headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def op(self, kind: str, body: dict[str, Any], **about: str) -> dict[str, Any]:
        op = {"op_id": IDS.new("op"), "kind": kind, "body": body, **about}
        (result,) = self.call("POST", "/v1/ops", {"ops": [op]})["results"]
        assert result["status"] == "ok", result
        return cast("dict[str, Any]", result)

    def begin(self, name: str, text: str, folder: Path, **more: Any) -> None:  # noqa: ANN401 - fields of a message
        said = self.op("message.post", {"text": text, "folder": str(folder), **more})
        self.tasks[name] = said["task"]

    def task(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self.call("GET", f"/v1/tasks/{self.tasks[name]}"))

    def state(self, name: str) -> str:
        try:
            return str(self.task(name)["state"])
        except OSError:
            return "away"

    def decide(self) -> None:
        (approval,) = self.call("GET", "/v1/approvals?open=1")["items"]
        yes = {"approval": approval["id"], "action_sha256": approval["action_sha256"]}
        self.op("approval.decide", {**yes, "decision": "allow"})

    def computer(self) -> bool:
        return any(one["connected"] for one in self.call("GET", "/v1/runners")["items"])


def until(met: Callable[[], bool]) -> float:
    """Wait for a state and return when it was there."""
    ends = monotonic() + SECONDS
    while not met():
        assert monotonic() < ends
    return monotonic()


@contextmanager
def living() -> Generator[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
    """End every process that was started, whatever happened."""
    started: list[subprocess.Popen[str]] = []

    def begun(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        started.append(process)
        return process

    try:
        yield begun
    finally:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)


def folders(desk: Desk, names: tuple[str, ...]) -> dict[str, Path]:
    """Grant a folder for each task: those of one folder would wait for one another."""
    found: dict[str, Path] = {}
    for name in names:
        found[name] = desk.folder.parent / name
        found[name].mkdir()
        mode = FolderMode.ASK if name == "asking" else FolderMode.WORKSPACE
        grant_folder(desk.home, found[name], mode=mode)
    return found


NAMES = ("working", "verifying", "asking", "paused", "resumed", "queued")


def begin_all(owner: Owner, place: dict[str, Path]) -> None:
    """Bring a task into each state, the short-lived ones last."""
    for name in ("paused", "resumed"):
        owner.begin(name, SLOW, place[name])
        until(lambda name=name: owner.state(name) == "working")
        owner.op("task.pause", {}, task=owner.tasks[name])
    owner.begin("asking", "/run touch out", place["asking"])
    until(lambda: owner.state("asking") == "input_required")
    check = f"sleep {WORK_SECONDS}; test -e out"
    owner.begin("verifying", "/run touch out", place["verifying"], checks=[check])
    owner.begin("working", SLOW, place["working"])
    until(lambda: owner.state("verifying") == "verifying")
    until(lambda: bool(owner.task("working").get("now_doing")))


def ended(owner: Owner, names: tuple[str, ...], *, since: float) -> dict[str, float]:
    """Wait for the ends of tasks, in any order; return after how many seconds each was there."""
    took: dict[str, float] = {}

    def look() -> bool:
        for name in set(names) - set(took):
            if owner.state(name) == "completed":
                took[name] = round(monotonic() - since, 2)
        return len(took) == len(names)

    until(look)
    return took


def judge(owner: Owner, place: dict[str, Path], took: dict[str, float]) -> None:
    """Everything ended in time and was done once."""
    for name, seconds in sorted(took.items()):
        print(f"{name}: {seconds} s")  # noqa: T201 - shown with -s, for the report
        assert seconds <= BACK_SECONDS + 2 * WORK_SECONDS, (name, took)
    for name in ("working", "paused", "resumed"):
        if name in took:
            assert (place[name] / "out").read_text() == "done\n", name
    assert owner.task("verifying")["verdict"] == "verified"


@pytest.mark.survives(
    "The computer's process is killed in mid-work",
    "Started again, it goes on within seconds in every state; what you decided meanwhile is done, what is paused waits.",
)
def test_a_killed_computer_goes_on_in_every_state(tmp_path: Path) -> None:
    """L-03: working, verifying, decided, resumed and queued meanwhile: all go on by themselves; paused stays (R3, R4)."""
    here, there = make(tmp_path / "hub"), make(tmp_path / "box")
    there.run("config", "set", "runner.hub_trust", "high")  # both are this user's
    place = folders(there, NAMES)
    owner = Owner(desk=here)
    with living() as begun:
        ready = first_line(begun(here.spawn("hub", "--port", "0", "--json")))
        start = ["runner", "--url", ready["url"], "--name", "box", "--json", *there.as_root()]
        runner = begun(there.spawn(*start, DESKHAND_INVITE=ready["invite"]))
        first_line(runner)
        until(owner.computer)
        until(lambda: len(owner.call("GET", "/v1/folders")["items"]) == len(NAMES))
        begin_all(owner, place)
        runner.kill()
        runner.wait()
        owner.decide()
        owner.op("task.resume", {}, task=owner.tasks["resumed"])
        until(lambda: not owner.computer())
        owner.begin("queued", "/run touch out", place["queued"])

        again = begun(there.spawn("runner", "--json", *there.as_root()))
        first_line(again)
        names = ("working", "verifying", "asking", "resumed", "queued")
        took = ended(owner, names, since=monotonic())
        stays = owner.state("paused")
        owner.op("task.resume", {}, task=owner.tasks["paused"])
        took |= ended(owner, ("paused",), since=monotonic())

        judge(owner, place, took)
        assert stays == "paused"


@pytest.mark.survives(
    "The hub is killed while computers work",
    "They work on; within 5 seconds of its return it shows what was done meanwhile, with the true times.",
)
def test_a_killed_hub_is_told_what_happened_meanwhile(tmp_path: Path) -> None:
    """L-03, L-05: the computer finishes alone, its times are the true ones, and the rest goes on within 5 s (R1, R3)."""
    here, there = make(tmp_path / "hub"), make(tmp_path / "box")
    there.run("config", "set", "runner.hub_trust", "high")  # both are this user's
    place = folders(there, NAMES)
    owner = Owner(desk=here)
    with living() as begun:
        hub = begun(here.spawn("hub", "--port", "0", "--json"))
        ready = first_line(hub)
        start = ["runner", "--url", ready["url"], "--name", "box", "--json", *there.as_root()]
        first_line(begun(there.spawn(*start, DESKHAND_INVITE=ready["invite"])))
        until(lambda: len(owner.call("GET", "/v1/folders")["items"]) == len(NAMES))
        begin_all(owner, place)
        hub.kill()
        hub.wait()
        until((place["working"] / "out").exists)
        away = monotonic()
        until(lambda: monotonic() - away > 3)  # long enough for waits between tries to have grown

        port = str(ready["url"]).rpartition(":")[2]
        first_line(begun(here.spawn("hub", "--port", port, "--json")))
        since = monotonic()
        back_at = SystemClock().now().isoformat()
        took = ended(owner, ("working", "verifying"), since=since)
        finished = [owner.task(name)["finished_at"] for name in ("working", "verifying")]
        owner.decide()
        for name in ("paused", "resumed"):
            owner.op("task.resume", {}, task=owner.tasks[name])
        took |= ended(owner, ("asking", "paused", "resumed"), since=monotonic())

        judge(owner, place, took)
        assert max(took["working"], took["verifying"]) <= BACK_SECONDS
        assert max(finished) < back_at


def test_hub_and_computer_killed_together_go_on_together(tmp_path: Path) -> None:
    """L-03: one process, killed with work in every state; started again, all goes on, and what is paused stays so."""
    desk = make(tmp_path)
    place = folders(desk, NAMES)
    owner = Owner(desk=desk)
    line = ("up", "--port", "0", "--reach", "none", "--no-browser", "--json", *desk.as_root())
    with living() as begun:
        first = begun(desk.spawn(*line))
        first_line(first)
        begin_all(owner, place)
        first.kill()
        first.wait()

        first_line(begun(desk.spawn(*line)))
        since = monotonic()
        stays = {owner.state("paused"), owner.state("resumed")}
        owner.decide()
        owner.op("task.resume", {}, task=owner.tasks["resumed"])
        took = ended(owner, ("working", "verifying", "asking", "resumed"), since=since)

        judge(owner, place, took)
        assert stays == {"paused"}
        assert owner.state("paused") == "paused"
