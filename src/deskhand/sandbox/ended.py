"""What of a run must outlive a crash: how it ended, on the disk before the first of its changes is applied.

A runner that dies in between finds it, applies the rest, and gives the same answer instead of running anything again.
It refuses to keep more than the newest runs: an older one has been answered long ago.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from pydantic import ConfigDict, TypeAdapter

from deskhand.ports import CommandResult
from deskhand.secret import mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended. ``started_ns`` is when its layers were made; ``applied``: its changes are in the folder."""

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    result: CommandResult
    started_ns: int
    applied: bool


_ENDED: Final = TypeAdapter(Ended)


class Records:
    """The ended runs of one runner, by their keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Ended | None:
        """Return how this run ended, if it did."""
        with suppress(FileNotFoundError, ValueError):
            return _ENDED.validate_json(self._path(key).read_bytes())
        return None

    def write(self, key: str, ended: Ended) -> None:
        """Keep it, durably and whole; what the run itself wrote becomes durable before."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        covered = replace(ended.result, output=mask(ended.result.output))
        fresh = self._path(key).with_suffix(".new")
        fresh.write_bytes(_ENDED.dump_json(replace(ended, result=covered)))
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(folder):
                os.sync()
            fresh.replace(self._path(key))
            os.fsync(folder)
        finally:
            os.close(folder)
        # Another run that ends at this moment may have forgotten one already.
        with suppress(OSError):
            found = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in found[:-200]:
                path.unlink()

    def drop(self, key: str) -> None:
        """Forget a run."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
