"""Tries every way out of the box that we know, from inside, with bait laid out for each. It believes no setting."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Command, CommandResult, FolderAccess, Sandbox
from deskhand.texts import table

_KNOWN: Final = table("deskhand.sandbox", "escapes.toml")
_MEMORY: Final = 512 * 1024**2


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
