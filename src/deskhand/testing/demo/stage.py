"""What the demo plays on: its folders, the program ``deskhand up`` as a person starts it, and its command line.

It refuses to know any figure: whatever is shown is read back from the hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from rich.console import Console

from deskhand.clock import unstamp
from deskhand.protocol.tasks import Task, Verdict
from deskhand.protocol.wire import JsonObject
from deskhand.testing.phone import Phone
from deskhand.testing.samples import Planted

READY_SECONDS: Final = 30
WORK_SECONDS: Final = 60
LINE: Final = "  "


class DemoFailedError(Exception):
    """Something the demo promises did not hold; the message says what."""


@dataclass(kw_only=True)
class Stage:
    """Everything of one run."""

    root: Path
    console: Console
    planted: Planted
    url: str = ""
    model: dict[str, str] = field(default_factory=dict[str, str])
    process: asyncio.subprocess.Process | None = None
    before: dict[str, str] = field(default_factory=dict[str, str])
    tasks: list[Task] = field(default_factory=list[Task])

    @property
    def folders(self) -> dict[str, Path]:
        """The two folders the computer may work in, by the thread that uses each."""
        return {"Meetings": self.root / "Meetings", "Marketing": self.root / "Marketing"}

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of the demo: a home of its own, and the model of act two."""
        return {**os.environ, **self.model, "DESKHAND_HOME": str(self.root / "home")}

    def say(self, text: str = "") -> None:
        """Print a line as it is."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextlib.asynccontextmanager
async def computer(stage: Stage) -> AsyncGenerator[JsonObject]:
    """Start ``deskhand up`` as a person would, grant two folders at its keyboard, and end it as a person would."""
    try:
        ready = await up(stage, port="0")
        for folder in stage.folders.values():
            await cli(stage.environment, "folders", "add", str(folder), "--mode", "workspace")
        yield ready
    finally:
        await end(stage, signal.SIGTERM)


async def up(stage: Stage, *, port: str) -> JsonObject:
    """Start the program and return its ready line."""
    extra = ["--as-root"] if os.geteuid() == 0 else []
    up = [*deskhand(), "up", "--port", port, "--reach", "none", "--no-browser", "--json", *extra]
    with (stage.root / "up.log").open("ab") as log:
        stage.process = await asyncio.create_subprocess_exec(
            *up, env=stage.environment, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    assert stage.process.stdout is not None  # noqa: S101 - a pipe was asked for
    async with asyncio.timeout(READY_SECONDS):
        line = await stage.process.stdout.readline()
    if not line:
        raise DemoFailedError(f"deskhand up did not start:\n{tail(stage)}")
    ready = json.loads(line)
    stage.url = str(ready["url"]).rstrip("/")
    return ready


async def end(stage: Stage, how: signal.Signals) -> None:
    """End the program and wait until it is gone."""
    if stage.process is not None:
        with contextlib.suppress(ProcessLookupError):
            stage.process.send_signal(how)
        await stage.process.wait()


async def cli(environment: dict[str, str], *arguments: str) -> str:
    """Run the command line as a person does and return what it prints.

    Raises:
        DemoFailedError: with what it said on its way down.
    """
    process = await asyncio.create_subprocess_exec(
        *deskhand(), *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        raise DemoFailedError(f"deskhand {' '.join(arguments)}: {err.decode()}")
    return out.decode()


async def items(phone: Phone, path: str) -> list[JsonObject]:
    """Return the items of a list."""
    return cast("list[JsonObject]", (await phone.get(path))["items"])


def deskhand() -> list[str]:
    """Return the command that starts the program."""
    return [sys.executable, "-m", "deskhand"]


def seconds(start: str, end: str | None) -> float:
    """Return the seconds between two stamps."""
    return (unstamp(end) - unstamp(start)).total_seconds() if end else 0.0


def hashes(stage: Stage) -> dict[str, str]:
    """Return path -> SHA-256 of every source file."""
    sources = [stage.root / "Meetings" / "notes", stage.root / "Marketing" / "data"]
    files = [path for source in sources for path in sorted(source.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def tail(stage: Stage) -> str:
    """Return the end of what the program logged."""
    return (stage.root / "up.log").read_text(errors="replace")[-2000:]


def verified(task: Task) -> Task:
    """Return the task if its end is a verified one.

    Raises:
        DemoFailedError: with its state, verdict and reasons otherwise.
    """
    if task.verdict is not Verdict.VERIFIED:
        raise DemoFailedError(f"{task.title}: {task.state} {task.verdict} {task.not_done_because}")
    return task
