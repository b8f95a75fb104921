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
from typing import Final

_COLUMNS: Final = {"x86_64": 0, "aarch64": 1}
_AUDIT: Final = (0xC000003E, 0xC00000B7)
_CLONE, _CLONE3, _IOCTL, _SOCKET = (56, 220), (435, 435), (16, 29), (41, 198)

_DENIED: Final = """
other processes:
    ptrace 101/117, process_vm_readv 310/270, process_vm_writev 311/271, process_madvise 440/440, pidfd_getfd 438/438,
    kcmp 312/272
keyrings, which are in no namespace:
    keyctl 250/219, add_key 248/217, request_key 249/218
kernel surface that no ordinary command needs:
    bpf 321/280, perf_event_open 298/241, userfaultfd 323/282, io_uring_setup 425/425, io_uring_enter 426/426,
    io_uring_register 427/427, fanotify_init 300/262, lookup_dcookie 212/18, uselib 134/-, nfsservctl 180/42
mounts, namespaces, roots:
    mount 165/40, umount2 166/39, pivot_root 155/41, chroot 161/51, move_mount 429/429, open_tree 428/428,
    fsopen 430/430, fsconfig 431/431, fsmount 432/432, fspick 433/433, mount_setattr 442/442, unshare 272/97,
    setns 308/268, open_by_handle_at 304/265, name_to_handle_at 303/264
the machine itself:
    kexec_load 246/104, kexec_file_load 320/294, init_module 175/105, finit_module 313/273, delete_module 176/106,
    syslog 103/116, acct 163/89, quotactl 179/60, quotactl_fd 443/443, swapon 167/224, swapoff 168/225, reboot 169/142,
    settimeofday 164/170, clock_settime 227/112, clock_adjtime 305/266, sethostname 170/161, setdomainname 171/162,
    iopl 172/-, ioperm 173/-, vhangup 153/58
"""
"""Each call with its numbers on x86-64 and aarch64; a dash where the architecture has no such call."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
_X32_BIT: Final = 0x40000000
_CLONE_NEW: Final = 0x7E020000
"""Every flag of ``clone`` that makes a namespace."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES: Final = (1, 2, 10)  # unix, inet, inet6
_NETLINK, _NETLINK_ROUTE = 16, 0


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _argument(index: int) -> bytes:
    """Load the low half of an argument (both machines are little-endian)."""
    return _step(_LOAD, _ARGS + 8 * index)


_ALLOW: Final = _step(_RETURN, 0x7FFF0000)
_KILL: Final = _step(_RETURN, 0x80000000)
_EPERM: Final = _step(_RETURN, 0x00050000 | errno.EPERM)
_ENOSYS: Final = _step(_RETURN, 0x00050000 | errno.ENOSYS)

_ON_CLONE: Final = (_argument(0), _step(_ANY_BIT, _CLONE_NEW, no=1), _EPERM, _ALLOW)
_ON_IOCTL: Final = (
    _argument(1),
    _step(_EQUAL, _TIOCSTI, yes=1),
    _step(_EQUAL, _TIOCLINUX, no=1),
    _EPERM,
    _ALLOW,
)
_ON_SOCKET: Final = (
    _argument(0),
    *(step for family in _FAMILIES for step in (_step(_EQUAL, family, no=1), _ALLOW)),
    _step(_EQUAL, _NETLINK, no=3),
    _argument(2),
    _step(_EQUAL, _NETLINK_ROUTE, no=1),
    _ALLOW,
    _EPERM,
)


def filter_bytes(machine: str) -> bytes | None:
    """Return the filter for ``platform.machine()``, or nothing when its numbers are not known."""
    column = _COLUMNS.get(machine)
    if column is None:
        return None
    denied = [both[column] for both in re.findall(r"(\d+|-)/(\d+|-)", _DENIED)]
    program = [
        _step(_LOAD, _ARCH),
        *(_step(_EQUAL, _AUDIT[column], yes=1), _KILL),
        _step(_LOAD, _NR),
        # On x86-64 a second table of calls hides behind one bit; elsewhere no call has such a number.
        *(_step(_AT_LEAST, _X32_BIT, no=1), _KILL),
        *(step for number in denied if number != "-" for step in _on_call(int(number), _EPERM)),
        *_on_call(_CLONE3[column], _ENOSYS),
        *_on_call(_CLONE[column], *_ON_CLONE),
        *_on_call(_IOCTL[column], *_ON_IOCTL),
        *_on_call(_SOCKET[column], *_ON_SOCKET),
        _ALLOW,
    ]
    return b"".join(program)


def _on_call(number: int, *then: bytes) -> tuple[bytes, ...]:
    """Run ``then`` for one call; it must end in an answer for every case."""
    return (_step(_EQUAL, number, no=len(then)), *then)
