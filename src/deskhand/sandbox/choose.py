"""Finds out by trying which wall this computer can raise. It refuses to believe a version number or a file on PATH."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, FolderAccess, Offload, Sandbox
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox.bubblewrap import Bubblewrap
from deskhand.sandbox.fallback import Copied, Landlocked
from deskhand.sandbox.layers import make_layers, remove_layers

KINDS: Final[tuple[type[Bubblewrap], ...]] = (Bubblewrap, Copied, Landlocked)
_SCRIPT: Final = Path(__file__).with_name("trial.sh").read_text("ascii")


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


async def choose_sandbox(
    state: Path, *, clock: Clock, offload: Offload, kinds: Sequence[type[Bubblewrap]] = KINDS
) -> Sandbox:
    """Return the first wall that works here; at worst one that refuses everything and says why.

    ``state`` is a directory of our own; left-overs of earlier runs in it are removed. ``kinds``, the strongest first,
    are tried with a real command each.
    """
    if sys.platform != "linux":
        return NoSandbox("there is no wall for this system yet")
    place, reason = state / "sandbox", None
    for kind in kinds:
        box = kind(place, clock=clock, offload=offload, reason=reason)
        try:
            await offload(box.clear)
            said = box.lacking() or await _try(box, place / "trial")
        except (DeskhandError, OSError) as error:
            said = getattr(error, "detail", str(error))
        finally:
            await offload(lambda: remove_layers(place / "trial"))
        if said is None:
            return box
        reason = said if reason in (None, said) else f"{reason}; {said}"
    return NoSandbox(reason or "")


async def _try(box: Bubblewrap, trial: Path) -> str | None:
    """Run a real command over a real folder; return what was wrong."""
    layers = make_layers(trial, owner=box.owner)
    folder = trial / "folder"
    folder.mkdir()
    was = [folder / "kept", folder / "gone", trial / "outside"]
    for path in was:
        path.write_text("old\n", encoding="utf-8")
    argv = ("sh", "-c", _SCRIPT, "sh", str(trial / "outside"))
    command = Command(argv=argv, folder=folder, writable=True, seconds_max=20)
    ended = await box.execute(command, layers, root=folder)
    if ended.exit_code != 0:
        said = ended.output.decode("utf-8", "replace").strip()
        return f"a trial command ended with {ended.exit_code}: {said[-200:]}"
    untouched = all(path.read_text("utf-8") == "old\n" for path in was)
    caught = [(layers.upper / name).lstat().st_size for name in ("kept", "made", "gone")]
    if untouched and caught == [4, 5, 0] and not (folder / "made").exists():
        return None
    return "a write of the trial was not caught"
