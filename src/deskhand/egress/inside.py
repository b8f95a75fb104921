"""In the box: makes the proxy that a command finds on its own loopback, and becomes the command.

Run as a program of its own, with the socket to the outside, what is no matter of a proxy, and the command. A socket
stays in the network in which it was made: this one listens in the box and is answered by whom it is handed to, who
judges. Few modules, because an import costs time.
"""

from __future__ import annotations

import _socket  # what socket adds takes longer to import than all the rest takes
import os
import sys


def main(path: str, direct: str, argv: list[str]) -> None:
    """Hand out a listening socket, and become the command, which closes ours."""
    server, out = _socket.socket(), _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    out.connect(path)
    handed = server.fileno().to_bytes(4, sys.byteorder)
    out.sendmsg([b"1"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handed)])
    proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
    for name, said in zip(("http", "https", "all", "no"), (proxy, proxy, proxy, direct), strict=True):
        os.environ[f"{name}_proxy"] = os.environ[f"{name.upper()}_PROXY"] = said
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
