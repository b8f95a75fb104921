"""Who is at the other end of a connection: its address, and on loopback which user of this machine (Linux).

Elsewhere, and for anything it cannot read in the kernel's table, it says nothing rather than guess.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TABLES: Final = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_LOCAL, _REMOTE, _UID = 1, 2, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end of the connection. ``uid`` only where the kernel tells."""

    address: str
    uid: int | None = None


def uid_of(server: tuple[str, int], client: tuple[str, int]) -> int | None:
    """Return the uid that owns the client's end of a connection to ``server``, if it is on this machine."""
    try:
        ends = [_in_table(*client), _in_table(*server)]
        version = ipaddress.ip_address(client[0]).version
        rows = _TABLES[version].read_text(encoding="ascii").splitlines()[1:]
    except (ValueError, OSError):
        return None
    for columns in map(str.split, rows):
        if [columns[_LOCAL], columns[_REMOTE]] == ends:
            return int(columns[_UID])
    return None


def _in_table(address: str, port: int) -> str:
    """Return an end of a connection as the kernel prints it: each 32-bit word in this machine's order."""
    parsed = ipaddress.ip_address(address)
    packed = socket.inet_pton(_FAMILIES[parsed.version], str(parsed))
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
