"""Stopping for real: processes of a command, and their children, are gone soon after the cancellation."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import cast

import pytest

from deskhand.clock import SystemClock
from deskhand.ports import Done
from deskhand.protocol.tasks import TaskState
from deskhand.sandbox.walls import choose_sandbox
from deskhand.testing.agents import Obedient, call, wish
from tests.laptop import Box, Laptop, inline, until

STOP_SECONDS = 2.0


def processes_with(marker: str) -> list[str]:
    """Return the command lines of living processes that name a marker."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found


@pytest.mark.needs("bubblewrap")
async def test_a_cancellation_kills_a_command_and_all_its_children(tmp_path: Path) -> None:
    """A-10: also those that went into the background or a session of their own, within two seconds."""
    marker = f"31{secrets.randbelow(10**9):09}"
    script = f"sleep {marker} & setsid sleep {marker} & sh -c 'sleep {marker} & wait' & wait"
    agent = Obedient([wish(call("run_command", argv=["sh", "-c", script])), Done(summary="x")])
    clock = SystemClock()
    box = await choose_sandbox(tmp_path / "state", clock=clock, offload=inline)
    laptop = Laptop(tmp_path, [agent], box=cast("Box", box))
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(lambda: len([p for p in processes_with(marker) if p.startswith("sleep")]) == 3)
        laptop.hub.cancel(task)
        async with asyncio.timeout(STOP_SECONDS):
            await until(lambda: not processes_with(marker))
        seen = await laptop.finish(task)

    assert seen.state is TaskState.CANCELED
