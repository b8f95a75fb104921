"""Which user of this machine opened a loopback connection, read from the kernel's table (Linux).

Elsewhere, and for anything it cannot read, it says nothing rather than guess.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final

_TABLES: Final = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
_LOCAL, _REMOTE, _UID = 1, 2, 7


def uid_of(server: tuple[str, int], client: tuple[str, int]) -> int | None:
    """Return the uid that owns the client's end of a connection to ``server``, if it is on this machine."""
    try:
        here, there = (_in_table(*client), _in_table(*server))
        version = ipaddress.ip_address(client[0]).version
        rows = _TABLES[version].read_text(encoding="ascii").splitlines()[1:]
    except (ValueError, OSError):
        return None
    for row in rows:
        columns = row.split()
        if (columns[_LOCAL], columns[_REMOTE]) == (here, there):
            return int(columns[_UID])
    return None


def _in_table(address: str, port: int) -> str:
    """Return an end of a connection as the kernel prints it: each 32-bit word in this machine's order."""
    parsed = ipaddress.ip_address(address)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP versions
    packed = socket.inet_pton(family, str(parsed))
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
