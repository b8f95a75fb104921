"""What bubblewrap tells about a box through its status pipe: its first process, its end, its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from types import TracebackType
from typing import Self

from deskhand.sandbox.processes import Inner, Usage


class StatusPipe:
    """One run's pipe. Without an exit code at its end the command was never started, or it was killed."""

    def __init__(self) -> None:
        """Open the pipe; ``writer`` goes to bubblewrap."""
        self._reader, self.writer = os.pipe()
        self._inner: Inner | None = None
        self.exit_code: int | None = None
        self.gone = False

    async def follow(self) -> None:
        """Read until bubblewrap has ended, then end what is left in the box."""
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(os.dup(self._reader), "rb")
        )
        try:
            while line := await stream.readline():
                self._take(line)
        finally:
            transport.close()
        self.kill()
        await self.wait_gone()

    def _take(self, line: bytes) -> None:
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if self._inner is None and "child-pid" in said:
                self._inner = Inner(int(said["child-pid"]))
            if "exit-code" in said:
                self.exit_code = int(said["exit-code"])

    def kill(self) -> None:
        """End everything in the box."""
        if self._inner is not None:
            self._inner.kill()

    async def wait_gone(self) -> None:
        """Wait until every process in the box is dead and note it in ``gone``."""
        self.gone = self._inner is None or await self._inner.gone()

    def usage(self) -> Usage:
        """Return what the box uses now."""
        return Usage(memory_bytes=0, tasks=0) if self._inner is None else self._inner.usage()

    def close_writer(self) -> None:
        """Leave the writing end to the box alone."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_writer()
        os.close(self._reader)
        if self._inner is not None:
            self._inner.close()
