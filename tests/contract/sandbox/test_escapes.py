"""Every way out that `doctor` tries is closed behind each wall, and the trying itself finds one that is open."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryFile

from deskhand.ports import Command, CommandResult, FolderAccess
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox.walls import try_escapes
from deskhand.tools.beneath import Folder
from tests.contract.sandbox.parties import Bench, Party


def _tried(party: Party) -> Mapping[str, bool]:
    secret = party.put("state/credential", "token")
    files = [party.outside / "secret.txt", secret]

    async def scenario(bench: Bench) -> Mapping[str, bool]:
        return dict(await try_escapes(bench.box, bench.folder, files=files))

    return party.do(scenario)


def test_no_known_way_out_is_open(party: Party) -> None:
    """SH-08, SH-09, FS-06, FS-11, NE-01, AU-12: whatever is tried from inside, by each user and behind each wall."""
    held = _tried(party)

    assert len(held) >= 18
    assert [way for way, closed in held.items() if not closed] == []


class _Bare:
    """No wall at all: what the trying must see through."""

    def __init__(self) -> None:
        """Have started nothing."""
        self.info = SandboxInfo(name="bare", level="full")
        self.groups: list[int] = []

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        del access
        with TemporaryFile() as said:
            line = await asyncio.create_subprocess_exec(
                *command.argv, cwd=command.folder, stdout=said, stderr=DEVNULL, start_new_session=True
            )
            self.groups.append(line.pid)
            code = await line.wait()
            said.seek(0)
            return CommandResult(exit_code=code, output=said.read(), truncated=False, timed_out=False)

    async def ended(self, key: str) -> None:
        """Nothing is on record."""


def test_the_trying_finds_what_is_open(tmp_path: Path) -> None:
    """Where there is no wall it says so: a check that everything passes proves nothing."""
    (tmp_path / "secret").write_text("token")
    (tmp_path / "folder").mkdir()

    bare = _Bare()

    try:
        with closing(Folder(tmp_path / "folder")) as folder:
            held = asyncio.run(try_escapes(bare, folder, files=[tmp_path / "secret"]))
    finally:
        for group in bare.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    ways = {"files", "environment", "processes", "loopback", "abstract", "socket", "memory"}
    assert ways | {"link", "hook", "forks", "left"} <= {way for way in held if not held[way]}
