"""What of a run must outlive a crash: how it ended, on the disk before the first of its changes is applied.

A runner that dies in between finds it, applies the rest, and gives the same answer instead of running anything again.
It refuses to keep more than the newest runs: an older one has been answered long ago.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from deskhand.ports import CommandResult
from deskhand.secret import mask

_KEPT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended. ``started_ns`` is when its layers were made; ``applied``: its changes are in the folder."""

    result: CommandResult
    started_ns: int
    applied: bool


class Records:
    """The ended runs of one runner, by their keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Ended | None:
        """Return how this run ended, if it did."""
        try:
            said = json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        said["result"]["output"] = base64.b64decode(said["result"]["output"])
        return TypeAdapter(Ended).validate_python(said)

    def write(self, key: str, ended: Ended) -> None:
        """Keep it, durably and whole; what the run itself wrote becomes durable before."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        said = asdict(ended)
        said["result"]["output"] = base64.b64encode(mask(ended.result.output)).decode("ascii")
        path = self._path(key)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(said), encoding="utf-8")
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(folder):
                os.sync()
            fresh.replace(path)
            os.fsync(folder)
        finally:
            os.close(folder)
        self._forget_old()

    def drop(self, key: str) -> None:
        """Forget a run."""
        self._path(key).unlink(missing_ok=True)

    def unfinished(self) -> Iterable[str]:
        """Return the keys of the runs whose changes may be applied in part."""
        for path in self._folder.glob("*.json"):
            ended = self.read(path.stem)
            if ended is not None and not ended.applied:
                yield path.stem

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _forget_old(self) -> None:
        with suppress(
            OSError
        ):  # another run that ends at this moment may have forgotten one already
            found = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in found[:-_KEPT]:
                path.unlink()
