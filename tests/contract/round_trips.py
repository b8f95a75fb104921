"""A proxy in front of PostgreSQL's socket that counts round trips as the wire sees them.

A round trip is a burst from the client that is followed by an answer; bursts without an answer in between are one.
"""

from __future__ import annotations

import selectors
import shutil
import socket
import tempfile
import threading
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class CountingProxy:
    """Listens where a client expects a server and passes everything on."""

    def __init__(self, server: str) -> None:
        """Be a proxy of the server's socket."""
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="dhpx-"))
        self._listening = socket.socket(socket.AF_UNIX)
        self._counts: list[int] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._listening.bind(str(self.folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut everything."""
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        shutil.rmtree(self.folder)

    async def during(self, work: Awaitable[object]) -> int:
        """Count the round trips on the connection that waited most while ``work`` ran."""
        before = list(self._counts)
        await work
        after = list(self._counts)
        return max(now - then for now, then in zip(after, before, strict=True))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                self._counts.append(0)
                number = len(self._counts) - 1
                threading.Thread(target=self._pass_on, args=(client, server, number), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket, number: int) -> None:
        asked = False
        with selectors.DefaultSelector() as ready, suppress(OSError, ValueError):
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    from_client = key.fileobj is client
                    data = (client if from_client else server).recv(65536)
                    if not data:
                        client.close()
                        return
                    if not from_client and asked:
                        self._counts[number] += 1
                    asked = from_client
                    (server if from_client else client).sendall(data)
