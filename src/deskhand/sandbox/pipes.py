"""Two pipes between the runner and a box: how it is told to end, and how it tells its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from types import TracebackType
from typing import Self


class Pipes:
    """The pipes of one run.

    The *lifeline* is held open by the runner and never written to: when it is cut, or the runner dies in whatever
    way, the watcher inside kills everything. On the *status* pipe bubblewrap writes the exit code; without one the
    command was never started, or it was killed.
    """

    def __init__(self) -> None:
        """Open both."""
        self.lifeline_inside, self._lifeline = os.pipe()
        self._status, self.status_inside = os.pipe()
        self.exit_code: int | None = None

    def hand_over(self) -> None:
        """Close our copies of the inner ends, once the box has started with its own."""
        self.lifeline_inside = _closed(self.lifeline_inside)
        self.status_inside = _closed(self.status_inside)

    def cut(self) -> None:
        """End everything in the box."""
        self._lifeline = _closed(self._lifeline)

    async def follow(self) -> None:
        """Read the status until bubblewrap has ended."""
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(os.dup(self._status), "rb")
        )
        try:
            while line := await stream.readline():
                with contextlib.suppress(ValueError):
                    self.exit_code = json.loads(line).get("exit-code", self.exit_code)
        finally:
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hand_over()
        self.cut()
        self._status = _closed(self._status)


def _closed(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1
