"""The box: the arguments that say what a command sees, in the order that matters, and the filter of its system calls.

Builds arguments, and in memory the small files that stand in for ``/etc``. It refuses to bind anything of the host that
is not on the list; the whole of ``/etc``, the home, the environment and other people's processes stay outside.

The filter, as the bytes that ``bwrap --seccomp`` loads, is a deny list with reasons: what mounts and namespaces do not
close (keyrings, vsock, foreign architectures), and what only widens the kernel's surface. Denied calls fail with
``EPERM`` so that programs can go on; ``clone3`` fails with ``ENOSYS`` so that they fall back to ``clone``, whose flags a
filter can see. It refuses architectures whose numbers nobody wrote down here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deskhand.limits import COMMAND_FILE_BYTES_MAX
from deskhand.ports import Command
from deskhand.texts import table

INSIDE: Final = table("deskhand.sandbox", "box.toml")
_STAND_INS: Final[Mapping[str, str]] = INSIDE["stand_ins"]


@contextlib.contextmanager
def handed_over(seccomp: bytes, given: Mapping[str, bytes]) -> Generator[Mapping[str, int]]:
    """Yield files in memory by name: the stand-ins of /etc, what is given, the filter, and the status, empty yet."""
    with contextlib.ExitStack() as stack:
        descriptors: dict[str, int] = {}
        own = {name: said.encode() for name, said in _STAND_INS.items()}
        for name, data in {**given, **own, "seccomp": seccomp, "status": b""}.items():
            descriptors[name] = os.memfd_create("deskhand")
            stack.callback(os.close, descriptors[name])
            os.pwrite(descriptors[name], data, 0)
        yield descriptors


def exit_code(handed: Mapping[str, int]) -> int | None:
    """Return what bubblewrap noted at the end; nothing if the command was never started, or was killed."""
    noted = re.search(rb'"exit-code": (\d+)', os.pread(handed["status"], 4096, 0))
    return int(noted[1]) if noted else None


def box(command: Command, *, merged: str, programs: Sequence[str], root: Path, handed: Mapping[str, int]) -> list[str]:
    """Return the command line of the bounded box.

    Args:
        command: what to run, and whether it may write.
        merged: where the overlay of the folder is mounted on the outside.
        programs: where each of the command's own programs is found on the outside.
        root: where the folder appears inside, which is its real path.
        handed: the descriptors of :func:`handed_over`; no others survive the start of the box.
    """
    return [
        *limits(command),
        "bwrap",
        *INSIDE["apart"],
        *_programs(),
        *_each("--ro-bind-try", ((f"/etc/{name}", f"/etc/{name}") for name in INSIDE["etc"])),
        *_each("--ro-bind-data", ((str(handed[to]), to) for to in (*_STAND_INS, *command.given))),
        *INSIDE["around"],
        *_each("--ro-bind", zip(programs, map(str, command.programs), strict=True)),
        *("--bind" if command.writable else "--ro-bind", merged, str(root)),
        *("--chdir", str(command.folder), "--remount-ro", "/", "--clearenv"),
        *_each("--setenv", INSIDE["environment"].items()),
        *("--seccomp", str(handed["seccomp"]), "--json-status-fd", str(handed["status"]), "--"),
        *command.argv,
    ]


def _each(option: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [part for one, other in pairs for part in (option, one, other)]


def limits(command: Command, *, others: int = 0) -> list[str]:
    """Bound each process; sums over all are the watchdog's work. ``others`` are counted with the command's own."""
    return [
        *("prlimit", "--core=0", "--nofile=1024", f"--nproc={command.processes_max + others}"),
        *(f"--as={command.memory_bytes_max}", f"--fsize={COMMAND_FILE_BYTES_MAX}"),
        f"--cpu={int(command.seconds_max * (os.cpu_count() or 1)) + 1}",
    ]


def _programs() -> list[str]:
    found = list[str]()
    for path in map(Path, INSIDE["system"]):
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    return found


_COLUMNS: Final = {"x86_64": 0, "aarch64": 1}
_AUDIT: Final = (0xC000003E, 0xC00000B7)

_ALWAYS, _ALONE, _UNSCOPED = re.split(
    "^where.*", Path(__file__).with_name("denied.txt").read_text("ascii"), flags=re.MULTILINE
)
"""Each call with its numbers on x86-64 and aarch64; a dash where the architecture has no such call.

Behind an ``if`` stands what must all be so of its arguments for it to be denied: the place of one, with ``h`` its high
half and with a colon some bits of it; that it has bits (``&``), is (``=``) or is not (``!``) a number.
"""
_CALL: Final = re.compile(r"(\d+|-)/(\d+|-)(?: if ([^,\n]+))?")
_ARGUMENT: Final = re.compile(r"(\d)(h?)(?::(\d+))?([&=!])(\w+)")

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NR, _ARCH, _ARGS = 0, 4, 16
SCOPED: Final = 6
"""The version of Landlock that holds signals and abstract sockets in."""


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


_ALLOW: Final = _step(_RETURN, 0x7FFF0000)
_KILL: Final = _step(_RETURN, 0x80000000)
_EPERM: Final = _step(_RETURN, 0x00050000 | errno.EPERM)
_ENOSYS: Final = _step(_RETURN, 0x00050000 | errno.ENOSYS)


def filter_bytes(machine: str, *, landlock: int | None = None) -> bytes | None:
    """Return the filter for ``platform.machine()``, or nothing when its numbers are not known.

    ``landlock`` is the version of what stands in for namespaces where there are none.
    """
    column = _COLUMNS.get(machine)
    if column is None:
        return None
    also = (_ALONE if landlock else "") + (_UNSCOPED if landlock and landlock < SCOPED else "")
    program = [
        *(_step(_LOAD, _ARCH), _step(_EQUAL, _AUDIT[column], yes=1), _KILL, _step(_LOAD, _NR)),
        # On x86-64 a second table of calls hides behind one bit; elsewhere no call has such a number.
        *(_step(_AT_LEAST, 0x40000000, no=1), _KILL),
        *(_step(_EQUAL, 435, no=1), _ENOSYS),  # clone3
    ]
    for *numbers, arguments in _CALL.findall(_ALWAYS + also):
        if numbers[column] != "-":
            program += _denied(int(numbers[column]), arguments)
    return b"".join((*program, _ALLOW))


def _denied(number: int, arguments: str) -> list[bytes]:
    """Deny one call if its arguments are such, else go on."""
    then = [_EPERM]
    for place, high, bits, how, value in reversed(_ARGUMENT.findall(arguments)):
        # The low half comes first: both machines are little-endian.
        told = [_step(_LOAD, _ARGS + 8 * int(place) + 4 * len(high))]
        told += [_step(_AND, int(bits))] if bits else []
        code, unlike = _ANY_BIT if how == "&" else _EQUAL, how == "!"
        over = {"yes" if unlike else "no": len(then)}
        then = [*told, _step(code, int(value, 0), **over), *then]
    then += [_step(_LOAD, _NR)] * bool(arguments)
    return [_step(_EQUAL, number, no=len(then)), *then]
