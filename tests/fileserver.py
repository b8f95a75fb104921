"""A file server on loopback that behaves as told: whole, cut in the middle, without ranges, somewhere else, missing."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override


@dataclass(kw_only=True)
class Files:
    """What is served, and how. ``cuts``: after how many bytes each of the next answers breaks off."""

    data: bytes
    ranges: bool = True
    tag: str = '"first"'
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cuts: list[int] = field(default_factory=list[int])
    to: str = ""
    url: str = ""
    asked: list[str] = field(default_factory=list[str])


@contextmanager
def file_server(files: Files) -> Generator[Files]:
    """Serve until left."""

    class Handler(BaseHTTPRequestHandler):
        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            files.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
            if files.to and not self.path.startswith("/cdn/"):
                self.send_response(302)
                self.send_header("Location", files.to)
                _send(self, files.headers)
                return
            if "missing" in self.path:
                self.send_error(404)
                return
            said = self.headers.get("Range", "")
            same = self.headers.get("If-Range") == files.tag
            start = int(said[6:-1]) if said and files.ranges and same else 0
            if start and start >= len(files.data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            size = len(files.data)
            span = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
            length = {"Content-Length": str(size - start), "ETag": files.tag}
            _send(self, span | length | files.headers)
            end = start + files.cuts.pop(0) if files.cuts else size
            self.wfile.write(files.data[start:end])
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _send(handler: BaseHTTPRequestHandler, headers: dict[str, str]) -> None:
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
