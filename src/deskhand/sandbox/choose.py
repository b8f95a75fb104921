"""Finds out by trying which wall this computer can raise. It refuses to believe a version number or a file on PATH."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Final

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, FolderAccess, Offload, Sandbox
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox.bubblewrap import Bubblewrap
from deskhand.sandbox.layers import Programs, make_layers, remove_layers
from deskhand.sandbox.seccomp import filter_bytes

_SCRIPT: Final = Path(__file__).with_name("trial.sh").read_text("ascii")
_SECONDS_MAX: Final = 20


class NoSandbox:
    """No wall: what a computer has on which no wall could be raised; ``reason`` tells a person what stood in the way."""

    def __init__(self, reason: str) -> None:
        self.info = SandboxInfo(name="none", level="none", reason=reason)

    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Refuse with ``sandbox_unavailable``, always."""
        del command, access
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, self.info.reason or "")

    async def ended(self, key: str) -> None:
        """Nothing ever ran."""


async def choose_sandbox(state: Path, *, clock: Clock, offload: Offload) -> Sandbox:
    """Return the strongest wall that works here; at worst one that refuses everything and says why.

    ``state`` is a directory of our own; left-overs of earlier runs in it are removed.
    """
    if sys.platform != "linux":
        return NoSandbox("there is no wall for this system yet")
    programs = Programs.find()
    if isinstance(programs, str):
        return NoSandbox(f"{programs} is not installed")
    if filter_bytes(platform.machine()) is None:
        return NoSandbox(f"no system call filter for {platform.machine()}")
    place = state / "sandbox"
    box = Bubblewrap(place, programs=programs, clock=clock, offload=offload)
    await offload(box.clear)
    try:
        reason = await _try(box, place / "trial")
    except DeskhandError as error:
        reason = error.detail
    except OSError as error:
        reason = str(error)
    finally:
        await offload(lambda: remove_layers(place / "trial"))
    return box if reason is None else NoSandbox(reason)


async def _try(box: Bubblewrap, trial: Path) -> str | None:
    """Run a real command over a real folder; return what was wrong."""
    layers = make_layers(trial, owner=box.owner)
    folder = trial / "folder"
    folder.mkdir()
    (folder / "kept").write_text("old\n", encoding="utf-8")
    argv = ("sh", "-c", _SCRIPT)
    command = Command(argv=argv, folder=folder, writable=True, seconds_max=_SECONDS_MAX)
    ended = await box.execute(command, layers, root=folder)
    if ended.exit_code != 0:
        said = ended.output.decode("utf-8", "replace").strip()
        return f"a trial command ended with {ended.exit_code}: {said[-200:]}"
    untouched = (folder / "kept").read_text("utf-8") == "old\n" and not (folder / "made").exists()
    caught = (layers.upper / "kept").read_text("utf-8") == "new\n"
    return None if untouched and caught else "a write of the trial command was not caught"
