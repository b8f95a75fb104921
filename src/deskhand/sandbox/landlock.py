"""Holds a command in without namespaces: Landlock, a system call filter, and a supervisor that ends all it started.

Run as a program of its own by a normal user; standard input is the lifeline. It refuses to start a command of which any
part of the wall is missing, and uses few modules of the standard library only: an import costs time, ``typing`` 6 ms.
"""

from __future__ import annotations

import ctypes
import os
import select
import stat
import struct
import sys

VERSION_MIN = 3
"""Before, a file outside could be cut to nothing."""

_SCOPED = 6
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _BENEATH = 1, 1
_READ = 0b1101  # execute, read file, read directory
_PLAIN = 0b0111 | 1 << 14  # execute, write, read, truncate: all that a file knows
_ALL = (1 << 15) - 1  # but for controlling devices
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_DEATH_SIGNAL, _NO_NEW_PRIVILEGES, _SECCOMP, _SUBREAPER, _BY_FILTER = 1, 38, 22, 36, 2
_SIGKILL = 9  # importing signal costs 3 ms

libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return which Landlock this kernel has; 0 or less for none."""
    return libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)


def main() -> None:
    """Run a command and end when every process of it is dead.

    It is told two descriptors, of the filter and for how the command ended; a private directory, where to start, what may
    be written (or nothing), what may be read and the environment; and behind a ``--`` the command.
    """
    end = sys.argv.index("--")
    filtering, status = map(int, sys.argv[1:3])
    own, start, written, *more = sys.argv[3:end]
    reads = [each for each in more if each.startswith("/")]
    os.environ.clear()  # Python itself puts a locale there
    for each in more[len(reads) :]:
        name, _, value = each.partition("=")
        os.environ[name] = value
    checked(libc.prctl(_SUBREAPER, 1, 0, 0, 0))
    child = os.fork()
    if child == 0:
        try:
            checked(libc.prctl(_DEATH_SIGNAL, _SIGKILL, 0, 0, 0))
            _hold_in(own, written, reads, os.pread(filtering, 65536, 0))
        except OSError as error:
            os.write(2, f"no wall: {error}".encode())
            os.write(status, b"-")
            os._exit(1)
        _become(start, sys.argv[end + 1 :])
    select.select([0, os.pidfd_open(child)], [], [])
    ended = _end_all(child)
    if os.fstat(status).st_size == 0:
        os.write(status, b'{ "exit-code": %d }' % (ended if ended >= 0 else 128 - ended))


def _hold_in(own: str, written: str, reads: list[str], filtering: bytes) -> None:
    """Give up for good all but some files; nothing can be widened again."""
    asked = struct.pack("=QQQ", _ALL, 0, 0b11)  # files, no ports, and signals and sockets held in
    size = len(asked) if version() >= _SCOPED else 8
    rules = checked(libc.syscall(_CREATE_RULESET, asked, size, 0))
    for path in reads:
        _permit(rules, path, _READ)
    for path in _DEVICES:
        _permit(rules, path, _PLAIN & ~1)
    for path in filter(None, (own, written)):
        _permit(rules, path, _ALL)
    checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    checked(libc.syscall(_RESTRICT_SELF, rules, 0))
    steps = ctypes.create_string_buffer(filtering, len(filtering))
    program = struct.pack("@HP", len(filtering) // 8, ctypes.addressof(steps))
    checked(libc.prctl(_SECCOMP, _BY_FILTER, program, 0, 0))


def _permit(rules: int, path: str, rights: int) -> None:
    try:
        at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(at).st_mode):
        rights &= _PLAIN
    checked(libc.syscall(_ADD_RULE, rules, _BENEATH, struct.pack("=Qi", rights, at), 0))
    os.close(at)


def _become(folder: str, argv: list[str]) -> None:
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.closerange(3, 1 << 20)
    try:
        os.chdir(folder)
        os.execvp(argv[0], argv)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    os._exit(127)  # as a shell says


def _end_all(child: int) -> int:
    """Kill whatever lives; who loses its parent becomes ours. Return how the command itself ended."""
    ended = 0
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:  # noqa: PTH123 - no pathlib
            for pid in file.read().split():
                os.kill(int(pid), _SIGKILL)  # ours until we wait for it, so nobody else's
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return ended
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)


def checked(result: int) -> int:
    """Return what the system answered.

    Raises:
        OSError: what it refused.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
