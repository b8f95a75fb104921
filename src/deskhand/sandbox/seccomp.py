"""The system call filter of a sandboxed command, as the bytes that ``bwrap --seccomp`` loads.

A deny list with reasons: what mounts and namespaces do not close (keyrings, vsock, foreign architectures), and what
only widens the kernel's surface. Denied calls fail with ``EPERM`` so that programs can go on; ``clone3`` fails with
``ENOSYS`` so that they fall back to ``clone``, whose flags a filter can see. It refuses architectures whose numbers
nobody wrote down here.
"""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path
from typing import Final

_COLUMNS: Final = {"x86_64": 0, "aarch64": 1}
_AUDIT: Final = (0xC000003E, 0xC00000B7)
_CLONE, _CLONE3, _IOCTL, _SOCKET = (56, 220), (435, 435), (16, 29), (41, 198)
_SOCKETPAIR, _PRLIMIT, _UTIMENSAT = (53, 199), (302, 261), (280, 88)

_ALWAYS, _ALONE, _UNSCOPED = re.split(
    "^where.*", Path(__file__).with_name("denied.txt").read_text("ascii"), flags=re.MULTILINE
)
"""Each call with its numbers on x86-64 and aarch64; a dash where the architecture has no such call."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NR, _ARCH, _ARGS = 0, 4, 16
_X32_BIT: Final = 0x40000000
_CLONE_NEW: Final = 0x7E020000
"""Every flag of ``clone`` that makes a namespace."""
SCOPED: Final = 6
"""The version of Landlock that holds signals and abstract sockets in."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES: Final = (1, 2, 10)  # unix, inet, inet6
_NETLINK, _NETLINK_ROUTE = 16, 0


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _argument(index: int, *, half: int = 0) -> bytes:
    """Load a half of an argument, the low one first (both machines are little-endian)."""
    return _step(_LOAD, _ARGS + 8 * index + 4 * half)


_ALLOW: Final = _step(_RETURN, 0x7FFF0000)
_KILL: Final = _step(_RETURN, 0x80000000)
_EPERM: Final = _step(_RETURN, 0x00050000 | errno.EPERM)
_ENOSYS: Final = _step(_RETURN, 0x00050000 | errno.ENOSYS)

_ON_CLONE: Final = (_argument(0), _step(_ANY_BIT, _CLONE_NEW, no=1), _EPERM, _ALLOW)
_ON_IOCTL: Final = (
    *(_argument(1), _step(_EQUAL, _TIOCSTI, yes=1), _step(_EQUAL, _TIOCLINUX, no=1)),
    *(_EPERM, _ALLOW),
)
_ON_SOCKET: Final = (
    _argument(0),
    *(step for family in _FAMILIES for step in (_step(_EQUAL, family, no=1), _ALLOW)),
    *(_step(_EQUAL, _NETLINK, no=3), _argument(2), _step(_EQUAL, _NETLINK_ROUTE, no=1)),
    *(_ALLOW, _EPERM),
)


_STREAM: Final = (_step(_AND, 0xF), _step(_EQUAL, 1, no=1), _ALLOW, _EPERM)
"""The only sort of socket that cannot send to anybody but its peer."""
_OWN: Final = (_step(_EQUAL, 0, no=1), _ALLOW, _EPERM)
_ON_UTIMENSAT: Final = (_argument(1), _step(_EQUAL, 0, no=3), _argument(1, half=1), *_OWN)


def filter_bytes(machine: str, *, landlock: int | None = None) -> bytes | None:
    """Return the filter for ``platform.machine()``, or nothing when its numbers are not known.

    ``landlock`` is the version of what stands in for namespaces where there are none.
    """
    column = _COLUMNS.get(machine)
    if column is None:
        return None
    also = (_ALONE if landlock else "") + (_UNSCOPED if landlock and landlock < SCOPED else "")
    denied = [both[column] for both in re.findall(r"(\d+|-)/(\d+|-)", _ALWAYS + also)]
    program = [
        *(_step(_LOAD, _ARCH), _step(_EQUAL, _AUDIT[column], yes=1), _KILL, _step(_LOAD, _NR)),
        # On x86-64 a second table of calls hides behind one bit; elsewhere no call has such a number.
        *(_step(_AT_LEAST, _X32_BIT, no=1), _KILL),
        *(step for number in denied if number != "-" for step in _on_call(int(number), _EPERM)),
        *_on_call(_CLONE3[column], _ENOSYS),
        *_on_call(_CLONE[column], *_ON_CLONE),
        *_on_call(_IOCTL[column], *_ON_IOCTL),
        *_on_call(_SOCKET[column], *_ON_SOCKET),
    ]
    if landlock:
        program += _on_call(_SOCKETPAIR[column], _argument(1), *_STREAM)
        program += _on_call(_PRLIMIT[column], _argument(0), *_OWN)
        program += _on_call(_UTIMENSAT[column], *_ON_UTIMENSAT)
    return b"".join((*program, _ALLOW))


def _on_call(number: int, *then: bytes) -> tuple[bytes, ...]:
    """Run ``then`` for one call; it must end in an answer for every case."""
    return (_step(_EQUAL, number, no=len(then)), *then)
