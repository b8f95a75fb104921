"""The runner's process is killed while a command runs, and while what it changed is carried over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deskhand.testing.promises import note
from tests.contract.sandbox import dying

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay")]

KEY = "0123456789abcdef" * 4
POINTS = ("midway", "record:1", "write:3", "remove:1", "record:2")


def _start(home: Path, point: str, key: str = KEY) -> subprocess.Popen[bytes]:
    line = [sys.executable, dying.__file__, str(home / "state"), str(home / "work"), key, point]
    return subprocess.Popen(line, stdout=subprocess.PIPE)


def _killed(home: Path, point: str) -> None:
    """Run until the process is dead."""
    process = _start(home, point)
    if point == "midway":
        begun = home / "state" / "sandbox" / KEY[:32] / "upper" / "begun"
        while not begun.exists():
            assert process.poll() is None
        process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def _answer(home: Path, key: str = KEY) -> dict[str, Any]:
    out, _ = _start(home, "", key).communicate(timeout=30)
    return json.loads(out)


@pytest.mark.timeout(60)
@pytest.mark.survives(
    "The computer is killed while a command runs or while its changes are put into the folder",
    "Either nothing of it happened and it runs anew, or all of it is there, once.",
)
def test_a_killed_command_happened_whole_or_not_at_all(tmp_path: Path) -> None:
    """R4: at whatever point its runner dies, asking again gives one whole run: its answer, its files, and no more."""
    failing: list[str] = []
    for point in POINTS:
        home = tmp_path / point.replace(":", "-")
        (home / "state").mkdir(parents=True)
        (home / "work").mkdir()
        (home / "work" / "old").write_text("old\n")
        if os.geteuid() == 0:
            home.chmod(0o755)
        if point == "midway":
            (home / "work" / "slow").touch()
        _killed(home, point)
        before = sorted(path.name for path in (home / "work").iterdir())
        (home / "work" / "slow").unlink(missing_ok=True)

        said = _answer(home)

        again = _answer(home) if point == "record:1" else said
        found = {path.name: path.read_text() for path in (home / "work").iterdir()}
        whole = {"log": "line\n", "begun": "", "id": said["output"]}
        whole |= {f"made{n}": f"{n}\n" for n in range(1, 5)}
        told = sorted(["deleted old", *(f"created {name}" for name in whole)])
        right = (found, said["changes"], again, said["refused"]) == (whole, told, said, [])
        untouched = point not in ("midway", "record:1") or "log" not in before
        if not (right and untouched):
            failing.append(f"{point}: {before} {found} {said} {again}")
    right = len(POINTS) - len(failing)
    figure = f"{right} of {len(POINTS)} commands whose runner was killed happened whole, once"
    note("R4", figure, runs=len(POINTS), of="kills inside a command", failing=failing)

    assert failing == []


def test_another_step_with_the_same_command_runs_it_again(tmp_path: Path) -> None:
    """A command is remembered for its own step only."""
    (tmp_path / "state").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "old").touch()

    first = _answer(tmp_path)
    (tmp_path / "work" / "old").touch()
    second = _answer(tmp_path, "f" * 64)

    assert first["output"] != second["output"]
    assert (tmp_path / "work" / "log").read_text() == "line\nline\n"
