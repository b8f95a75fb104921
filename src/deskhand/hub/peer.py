"""Who is at the other end of a connection, and how often it tried.

On loopback the kernel tells which user of this machine it is (Linux); elsewhere this says nothing rather than guess.
"""

from __future__ import annotations

import ipaddress
import json
import os
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deskhand.clock import Clock
from deskhand.errors import Code, DeskhandError
from deskhand.store.private import read_private, write_private

_TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
_LOCAL, _REMOTE, _UID = 1, 2, 7
_KEYS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is at the other end of the connection. ``uid`` only where the kernel tells."""

    address: str
    uid: int | None = None


def own_uid() -> int | None:
    """Return the user this process runs as, where the system knows such."""
    return os.getuid() if hasattr(os, "getuid") else None


def uid_of(server: tuple[str, int], client: tuple[str, int]) -> int | None:
    """Return the uid that owns the client's end of a connection to ``server``, if it is on this machine."""
    try:
        ends = [_in_table(*client), _in_table(*server)]
        version = ipaddress.ip_address(client[0]).version
        rows = _TABLES[version].read_text(encoding="ascii").splitlines()[1:]
    except (ValueError, OSError):
        return None
    found = (one for one in map(str.split, rows) if [one[_LOCAL], one[_REMOTE]] == ends)
    return next((int(one[_UID]) for one in found), None)


def _in_table(address: str, port: int) -> str:
    """Return an end of a connection as the kernel prints it: each 32-bit word in this machine's order."""
    packed = ipaddress.ip_address(address).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most ``most`` tries per key in a window of ``seconds``, which begins with the first one.

    With a ``file`` a window that is full outlives the process (AU-08); one that is not is forgotten by a restart, and
    several hubs count apart. It does not grow without end.
    """

    clock: Clock
    most: int = field(kw_only=True)
    seconds: float = field(kw_only=True)
    file: Path | None = field(default=None, kw_only=True)
    windows: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def __post_init__(self) -> None:
        """Go on with what was full in the last life; a clock that was set back meanwhile begins its window anew."""
        with suppress(DeskhandError, TypeError, ValueError):
            for key, began in (read_private(self.file) or {} if self.file else {}).items():
                age = max(self.clock.now().timestamp() - float(began), 0.0)
                self.windows[key] = (self.clock.monotonic() - age, self.most)

    def count(self, key: str) -> None:
        """Note one more."""
        began, count = self.windows.pop(key, (0.0, 0))
        now = self.clock.monotonic()
        fresh = not count or now - began >= self.seconds
        self.windows[key] = (now, 1) if fresh else (began, count + 1)
        if len(self.windows) > _KEYS_MAX:
            del self.windows[next(iter(self.windows))]
        if self.file and self.windows[key][1] >= self.most:
            ago = self.clock.now().timestamp() - now
            full = {
                key: one + ago for key, (one, tries) in self.windows.items() if tries >= self.most
            }
            write_private(self.file, json.dumps(full))

    def check(self, key: str) -> None:
        """Refuse while the window is full: ``rate_limited`` with when to come back."""
        began, count = self.windows.get(key, (0.0, 0))
        left = began + self.seconds - self.clock.monotonic()
        if count >= self.most and left > 0:
            raise DeskhandError(Code.RATE_LIMITED, retry_after_seconds=left)
