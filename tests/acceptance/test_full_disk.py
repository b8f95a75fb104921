"""`deskhand up` on a real disk of 12 MB that fills up: a tmpfs of its own, around it and around who speaks to it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.timeout(120)]

DISK_BYTES = 12_000_000
DESKHAND = shlex.join((sys.executable, "-m", "deskhand"))
END = "--end--"


class Shell:
    """A shell inside, so that what it runs sees the small disk."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, command: str) -> tuple[int, str]:
        """Run a line; return its exit code and what it said on both channels."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"({command}) 2>&1; echo; echo {END} $?\n".encode())
        said: list[str] = []
        async with asyncio.timeout(60):
            while not (line := (await self._process.stdout.readline()).decode()).startswith(END):
                assert line, "the shell is gone"
                said.append(line)
        return int(line.split()[1]), "".join(said)


@asynccontextmanager
async def small_disk(home: Path) -> AsyncGenerator[Shell]:
    """A shell whose home lies on a file system of its own, gone with it."""
    process = await asyncio.create_subprocess_exec(
        *("bwrap", "--dev-bind", "/", "/", "--die-with-parent", "--unshare-pid"),
        *("--size", str(DISK_BYTES), "--tmpfs", str(home), "--", "sh"),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "DESKHAND_HOME": str(home)},
    )
    try:
        yield Shell(process)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.survives(
    "The disk of the hub is full",
    "New work is refused with the reason, everything can still be read, and it goes on by itself when there is room",
)
async def test_a_full_disk_refuses_new_work_serves_the_rest_and_passes_by_itself(tmp_path: Path) -> None:
    """The same process before, during and after: `disk_full` and its cure, lists, then work again (R14)."""
    home, ready = tmp_path / "home", tmp_path / "ready"
    home.mkdir(mode=0o700)
    root = "--as-root" if os.geteuid() == 0 else ""
    up = f"{DESKHAND} up --port 0 --reach none --no-browser --json {root}"
    async with small_disk(home) as shell:
        await shell.run(f"{up} > {ready} 2>{tmp_path}/log & echo $! > {tmp_path}/pid")
        await shell.run(f"while ! grep -q url {ready}; do sleep 0.1; done")
        before = await shell.run(f"{DESKHAND} --json do 'what is before'")
        await shell.run(f"cat /dev/zero > {home}/ballast")
        refused = [await shell.run(f"{DESKHAND} --json do 'too much'") for _ in range(2)]
        listed = await shell.run(f"{DESKHAND} --json ls")
        await shell.run(f"rm {home}/ballast")
        after = await shell.run(f"{DESKHAND} --json do 'what is after'")
        alive, _ = await shell.run(f"kill -0 $(cat {tmp_path}/pid)")
        whole = await shell.run(f"{DESKHAND} --json log verify")

    errors = [json.loads(said.splitlines()[0])["error"] for _, said in refused]
    assert [error["code"] for error in errors] == ["disk_full", "disk_full"]
    assert all(error["cure"] for error in errors)
    assert "what is before" in listed[1]
    assert "too much" not in listed[1]
    assert (before[0], after[0], alive) == (0, 0, 0)
    assert whole[0] == 0, whole[1]
