"""The first run at a terminal: a few questions, narrow defaults, and then it works."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from tests.desk import Desk, make_desk

pytestmark = pytest.mark.timeout(120)
PATIENCE_SECONDS = 40
DESKHAND = (sys.executable, "-m", "deskhand")


@dataclass(slots=True)
class Terminal:
    """A terminal with a program in it, and somebody who reads and types."""

    handle: int
    seen: str = ""

    def until(self, *words: str) -> str:
        """Read until one of these stands there; return all that was read since the last time, which ends with it."""
        ends = monotonic() + PATIENCE_SECONDS
        while not (there := [one for one in words if one in self.seen]):
            ready, _, _ = select.select([self.handle], [], [], max(0, ends - monotonic()))
            assert ready, f"waited for {words!r} after {self.seen!r}"
            self.seen += os.read(self.handle, 65536).decode()
        first = min(there, key=self.seen.index)
        said, _, self.seen = self.seen.partition(first)
        return said + first

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self.handle, f"{line}\n".encode())

    def answer(self, *dialogue: tuple[str, str]) -> None:
        """Wait for each question and answer it."""
        for question, answer in dialogue:
            self.until(question)
            self.type(answer)


@contextmanager
def at_a_terminal(desk: Desk, *options: str, env: Mapping[str, str] = os.environ) -> Generator[Terminal]:
    """Keep ``deskhand up`` running in a terminal of its own, with programs and names from an environment."""
    ours, theirs = pty.openpty()
    inhibit = desk.home.parent / "bin" / "systemd-inhibit"
    inhibit.parent.mkdir(exist_ok=True)
    inhibit.write_text("#!/bin/sh\nexec cat\n")
    inhibit.chmod(0o755)
    found = {name: env[name] for name in ("SSL_CERT_FILE", "PYTHONPATH") if name in env}
    found |= {"TERM": "dumb", "PATH": f"{inhibit.parent}:{env['PATH']}"}
    up = [*DESKHAND, "up", "--port", "0", "--no-browser", *desk.as_root(), *options]
    process = subprocess.Popen(
        up, env=desk.env(**found), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_SECONDS)
        os.close(ours)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a home that was never started, of a person who keeps work where most do."""
    (tmp_path / "Documents" / "Work").mkdir(parents=True)
    return make_desk(tmp_path)


def granted(desk: Desk) -> Sequence[tuple[str, str]]:
    """Return the folders and modes in the computer's own file."""
    path = desk.home / "folders.json"
    entries: list[dict[str, str]] = json.loads(path.read_text())["folders"] if path.exists() else []
    return [(one["root"], one["mode"]) for one in entries]


def config(desk: Desk) -> dict[str, dict[str, object]]:
    """Return this computer's settings."""
    return tomllib.loads((desk.home / "config.toml").read_text())


def safe(terminal: Terminal) -> str:
    """Answer with Enter whatever is asked after the folder; return what was said until there is a link."""
    said = terminal.until("Enter: none")
    terminal.type("")
    said += terminal.until("Keep this computer awake")
    terminal.type("n")
    said += terminal.until("How will your phone")
    terminal.type("")
    return said + terminal.until("#join=")


def test_enter_is_a_safe_answer_to_everything_and_it_takes_less_than_a_minute(desk: Desk) -> None:
    """G-03: the usual folder with ask first, no plugins, no internet, and a link at the end."""
    began = monotonic()
    with at_a_terminal(desk) as terminal:
        terminal.answer(("Which folder", ""), ("2 ask first", ""))
        said = safe(terminal)
        took = monotonic() - began

    assert granted(desk) == [(str(desk.home.parent / "Documents" / "Work"), "ask")]
    assert "Files: ask first · Plugins: off · Internet: off" in said
    assert config(desk) == {"runner": {"keep_awake": False}, "hub": {"reach": "none"}}
    assert took < 60


def test_what_cannot_be_is_said_and_asked_again(desk: Desk) -> None:
    """G-03: a folder that nobody should lend, one that is not there, a host that is none; then what was meant."""
    with at_a_terminal(desk) as terminal:
        terminal.answer(("Which folder", "~"), ("home directory", "/nowhere"), ("does not exist", ""))
        terminal.answer(("2 ask first", "1"), ("Internet", "github.com"), ("many share", "docs.python.org"))
        terminal.answer(("Keep this computer awake", ""), ("How will your phone", "gopher://x"))
        terminal.answer(("none | lan", "2"))
        terminal.until("#join=")

    assert [mode for _, mode in granted(desk)] == ["read-only"]
    assert config(desk)["internet"] == {"hosts": ["docs.python.org"]}
    assert config(desk)["runner"] == {"keep_awake": True}


def test_it_is_asked_once(desk: Desk) -> None:
    """No folder is an answer too; the next start goes on with what was said."""
    with at_a_terminal(desk) as terminal:
        terminal.answer(("Which folder", "-"))
        first = safe(terminal)
    with at_a_terminal(desk) as terminal:
        second = terminal.until("#join=")

    assert granted(desk) == []
    assert "Files: off" in first
    assert "Which folder" not in second


@pytest.mark.parametrize("option", ["--no-input", "--json"])
def test_nothing_is_asked_where_nobody_would_answer(desk: Desk, option: str) -> None:
    """Scripts get the narrow defaults: no folder, no internet, no road."""
    with at_a_terminal(desk, option) as terminal:
        said = terminal.until("code" if option == "--json" else "#join=")

    assert "Which folder" not in said
    assert granted(desk) == []
    assert not (desk.home / "config.toml").exists()
