"""What the processes of a box use together, seen from outside.

The kernel bounds each process; only a sum bounds all of them. It refuses nothing itself: the watchdog decides.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much a box uses now: resident memory that is not shared with files, and threads."""

    memory_bytes: int
    tasks: int


def usage_below(pid: int) -> Usage:
    """Add up what a process and all below it use; orphans of a box stay below its first process."""
    memory = tasks = 0
    for each in _tree(pid):
        with contextlib.suppress(OSError, ValueError, IndexError):
            _, resident, shared, *_ = Path(f"/proc/{each}/statm").read_bytes().split()
            memory += (int(resident) - int(shared)) * _PAGE_BYTES
            tasks += sum(1 for _ in Path(f"/proc/{each}/task").iterdir())
    return Usage(memory_bytes=memory, tasks=tasks)


def _tree(pid: int) -> Iterator[int]:
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        yield each
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_bytes().split()]
