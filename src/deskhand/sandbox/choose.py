"""Finds out by trying which wall this computer can raise, and whether it holds.

Every way out that we know is tried from inside, with bait laid out for each. It refuses to believe a version number, a
file on PATH or a setting.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, FolderAccess, Offload, Sandbox
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox.layers import make_layers, remove_layers
from deskhand.sandbox.walls import Bubblewrap, Copied, Landlocked
from deskhand.texts import table

KINDS: Final[tuple[type[Bubblewrap], ...]] = (Bubblewrap, Copied, Landlocked)
_SCRIPT: Final = Path(__file__).with_name("trial.sh").read_text("ascii")
_KNOWN: Final = table("deskhand.sandbox", "escapes.toml")
_MEMORY: Final = 512 * 1024**2


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


async def try_escapes(box: Sandbox, access: FolderAccess, *, files: Sequence[Path]) -> Mapping[str, bool]:
    """Return of each way out whether the box held.

    ``access`` is a folder of our own, with nothing in it; ``files`` are on the outside and may not be read.

    Raises:
        DeskhandError: what the box refuses to run with.
    """
    root = access.root
    (root / ".git").mkdir()
    (root / ".git/config").write_text("[core]\n", "ascii")
    ways = {"plants": _KNOWN["plants"], **_KNOWN["ways"]}

    async def run(*argv: str, **bounds: Any) -> CommandResult:  # noqa: ANN401 - of a command
        command = Command(argv=argv, folder=root, seconds_max=20, **bounds)
        return await box.run(command, access)

    with ExitStack() as stack:
        bait = _laid_out(stack, root)
        bait |= {"files": [*map(str, files)], "ways": ways}
        base = Path(bait["python"]).parents[1]
        stack.callback(os.environ.pop, "DESKHAND_CANARY", None)
        os.environ["DESKHAND_CANARY"] = bait["canary"]
        ended = await run(
            *(bait["python"], "-I", "-c", _KNOWN["start"], json.dumps(bait)),
            writable=True,
            memory_bytes_max=_MEMORY,
            programs=() if base.is_relative_to("/usr") else (base,),
        )
    said = ended.output.decode("utf-8", "replace")
    if ended.exit_code != 0 or ended.stopped is not None:
        raise DeskhandError(Code.SANDBOX_UNAVAILABLE, said[-200:])
    held = {way: way not in json.loads(said) for way in _KNOWN["ways"]}
    held["link"] = not any(path.is_symlink() for path in root.rglob("*"))
    config = (root / ".git/config").read_text("utf-8")
    plants = [*root.rglob("hooks"), *root.rglob(".mcp.json")]
    held["hook"] = config == "[core]\n" and not plants
    mark = f"98{os.getpid()}"  # of processes, too many, that would outlive their command
    bomb = await run("sh", "-c", _KNOWN["forks"], "sh", mark, writable=False, processes_max=64)
    held["forks"] = b"through" not in bomb.output
    return {**held, "left": not _runs(f"sleep\0{mark}\0".encode())}


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


def _runs(line: bytes) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes() == line:
                return True
    return False


def _laid_out(stack: ExitStack, root: Path) -> dict[str, Any]:
    """Open what nothing in the box may reach."""
    canary = f"deskhand-canary-{os.getpid()}"
    port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    for name in ("\0" + canary, str(root / "canary.sock")):
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        with suppress(OSError):  # a path may be too long for one
            listening.bind(name)
            listening.listen()
    bait = {"canary": canary, "port": port, "pid": os.getpid(), "memory": _MEMORY}
    return {**bait, "python": str(Path(sys.executable).resolve())}
