"""The runs that are over, a line each on the disk before the next one begins; what a killed program left half is cut off.

It refuses two programs at once in one place, and to count a run twice.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deskhand.errors import Code, DeskhandError
from deskhand.evals.running import Record

FILE: Final = "runs.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The open file and what stands in it, by the key of the run."""

    descriptor: int
    records: dict[tuple[object, ...], Record]

    def add(self, record: Record) -> None:
        """Keep a run, on the disk when this returns.

        Raises:
            OSError: there is no room.
        """
        line = json.dumps(record.to_json(), ensure_ascii=False).encode() + b"\n"
        with open(self.descriptor, "ab", closefd=False) as file:
            file.write(line)
        os.fsync(self.descriptor)
        self.records[record.key] = record


@contextmanager
def open_ledger(place: Path) -> Generator[Ledger]:
    """Open the ledger of a place for this program alone.

    Raises:
        DeskhandError: ``conflict`` while another program measures there.
        OSError: the place cannot be written.
    """
    place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeskhandError(Code.CONFLICT, str(place / FILE)) from None
        data = (place / FILE).read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        os.truncate(descriptor, len(whole))
        found = (_record(line) for line in whole.splitlines())
        yield Ledger(descriptor=descriptor, records={one.key: one for one in found if one})
    finally:
        os.close(descriptor)


def _record(line: bytes) -> Record | None:
    """Return what a line says; nothing for one of another build, whose run is measured anew."""
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        return Record.from_json(json.loads(line))
    return None
