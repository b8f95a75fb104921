"""A process that runs one command in a real box and may be killed at a named point of it; started by a test.

python dying.py STATE FOLDER KEY POINT      # prints what the run came to, as JSON
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deskhand.clock import SystemClock
from deskhand.ports import Command
from deskhand.sandbox.layers import Records
from deskhand.sandbox.walls import choose_sandbox
from deskhand.tools.beneath import Folder

SCRIPT = """
cat /proc/sys/kernel/random/uuid | tee id
echo line >> log
for n in 1 2 3 4; do echo $n > made$n; done
rm old
touch begun
if test -e slow; then sleep 60; fi
"""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(work: Callable[..., Any], *, after: int) -> Callable[..., Any]:
    """Do it, and die after so many times."""
    done = [0]

    def wrapped(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on as given
        result = work(*given, **named)
        done[0] += 1
        if done[0] == after:
            _die()
        return result

    return wrapped


async def _main(state: Path, root: Path, key: str, point: str) -> None:
    what, _, count = point.partition(":")
    if what == "write":
        Folder.write_from = _dying(Folder.write_from, after=int(count))
    elif what == "remove":
        Folder.remove = _dying(Folder.remove, after=int(count))
    elif what == "record":
        Records.write = _dying(Records.write, after=int(count))

    async def offload(work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it returns
        return await asyncio.to_thread(work)

    box = await choose_sandbox(state, clock=SystemClock(), offload=offload)
    command = Command(
        argv=("sh", "-c", SCRIPT),
        folder=root,
        writable=True,
        seconds_max=90,
        output_bytes_max=4096,
        memory_bytes_max=2**30,
        key=key,
    )
    ended = await box.run(command, Folder(root))
    changes = sorted(f"{one.kind} {one.path}" for one in ended.changes)
    refused = [one.path for one in ended.refused]
    said = {"output": ended.output.decode(), "changes": changes, "refused": refused}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
