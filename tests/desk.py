"""``deskhand`` as people have it: real processes on a home of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

PROGRAM = [sys.executable, "-m", "deskhand"]
SECONDS = 60
NOTES = "# Call with the client\n\nTODO: Call the printer on Friday\nThe budget is fixed.\n"


@dataclass(frozen=True, kw_only=True)
class Said:
    """How one command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self.out)


@dataclass(kw_only=True)
class Desk:
    """One home and the commands typed at it."""

    home: Path
    folder: Path
    program: list[str] = field(default_factory=lambda: PROGRAM)
    url: str = ""
    ready: dict[str, Any] = field(default_factory=dict[str, Any])

    def env(self, **more: str) -> dict[str, str]:
        kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.home.parent)}
        return kept | {"DESKHAND_HOME": str(self.home), "DESKHAND_LANGUAGE": "en"} | more

    def run(
        self,
        *arguments: str,
        text: str | None = None,
        cwd: Path | None = None,
        limit: Callable[[], None] | None = None,
        extra: Mapping[str, str] | None = None,
        **more: str,
    ) -> Said:
        done = subprocess.run(
            [*self.program, *arguments],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            env=self.env(**more) | dict(extra or {}),
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            preexec_fn=limit,
        )
        return Said(status=done.returncode, out=done.stdout, err=done.stderr)

    def spawn(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.program, *arguments],
            env=self.env(**more),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_as_at_a_terminal,  # noqa: PLW1509 - no thread of these tests holds a lock
        )

    def as_root(self) -> list[str]:
        return ["--as-root"] if os.geteuid() == 0 else []


def _as_at_a_terminal() -> None:
    """Hear Ctrl-C, also when these tests were started in the background, where a shell makes all deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_desk(path: Path) -> Desk:
    """Return a home that was never started and a folder with one note in it."""
    folder = path / "work"
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "client.md").write_text(NOTES, encoding="utf-8")
    return Desk(home=path / "home", folder=folder)


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the ready line of a program that stays."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, cast("Any", process.stderr).read()
    return json.loads(line)


@contextmanager
def running_up(desk: Desk, *arguments: str, **more: str) -> Generator[subprocess.Popen[str]]:
    """Keep ``deskhand up`` running at a desk, with more in its environment."""
    process = desk.spawn(
        "up", "--port", "0", "--reach", "none", "--no-browser", "--json", *desk.as_root(), *arguments, **more
    )
    try:
        desk.ready = first_line(process)
        desk.url = str(desk.ready["url"])
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
