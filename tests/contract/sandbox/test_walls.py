"""What a box keeps out and which bounds it holds, tried from inside; and that without a wall nothing runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import CommandResult
from deskhand.protocol.objects import SandboxInfo
from deskhand.sandbox import landlock
from deskhand.sandbox.box import filter_bytes
from deskhand.sandbox.layers import SEARCH
from deskhand.sandbox.walls import Bubblewrap, NoSandbox, choose_sandbox
from deskhand.tools.beneath import Folder
from tests.contract.sandbox.conftest import PARTIES
from tests.contract.sandbox.parties import Bench, Bounds, Party, command, contents, owner_of, processes_with, until

SYSTEM_PYTHON = pytest.mark.skipif(
    not Path("/usr/bin/python3").exists(), reason="no Python below /usr for the box to run"
)


# --- what must not be reached


def test_nothing_outside_the_folder_can_be_written_or_read(party: Party) -> None:
    """SH-08, FS-13: neighbours, state, system, home and kernel settings are closed."""
    party.put("state/credential", "token")
    targets = [
        party.outside / "secret.txt",
        party.home / "state" / "credential",
        Path("/etc/shadow"),
        Path("/root/.bashrc"),
        Path("/var/lib/dpkg/status"),
    ]
    reading = "; ".join(f"cat {path} && echo LEAKED" for path in targets)
    writing = "; ".join(
        f"(echo x > {path}) && echo WROTE"
        for path in [*targets, "/etc/passwd", "/usr/bin/x", "/x", "/proc/sys/kernel/core_pattern", "/run/x"]
    )
    pattern = Path("/proc/sys/kernel/core_pattern").read_text("ascii")

    result = party.do(lambda bench: bench.sh(f"({reading}; {writing}) 2>/dev/null"))

    assert result.output == b""
    assert (party.outside / "secret.txt").read_text("utf-8") == "outside: nobody may read this"
    assert Path("/proc/sys/kernel/core_pattern").read_text("ascii") == pattern


def test_the_environment_and_open_files_of_the_runner_are_not_inherited(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AU-12, SE-01: no key of the runner is in any environment in the box, and no descriptor is left open."""
    monkeypatch.setenv("MODEL_API_KEY", "planted-canary")
    with (party.outside / "secret.txt").open() as secret:
        os.set_inheritable(secret.fileno(), True)  # noqa: FBT003 - the only way it can be called

        result = party.do(
            lambda bench: bench.sh(
                "for fd in $(seq 3 99); do test -e /proc/$$/fd/$fd && echo OPEN $fd; done;"
                "env | cut -d= -f1 | sort | xargs; cat /proc/*/environ 2>/dev/null | grep -c canary"
            )
        )

    assert result.output.decode().splitlines() == ["HOME LANG PATH PWD TERM TMPDIR", "0"]


@SYSTEM_PYTHON
def test_no_network_can_be_reached(party: Party) -> None:
    """NE-01, NE-08: not the hub's port on loopback, no UDP, no name, no abstract or folder socket."""
    script = """
import socket, sys
port, path = int(sys.argv[1]), sys.argv[2]
def tried(name, act):
    try: act(); print(name, "REACHED")
    except OSError: pass
tried("loopback", lambda: socket.create_connection(("127.0.0.1", port), 1))
tried("outside", lambda: socket.create_connection(("192.0.2.1", 80), 1))
tried("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
tried("name", lambda: socket.getaddrinfo("example.com", 80))
tried("folder socket", lambda: socket.socket(socket.AF_UNIX).connect("agent.sock"))
tried("abstract", lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + path))
try: print([name for _, name in socket.if_nameindex()])
except OSError: print(["lo"])
"""
    abstract = f"deskhand-test-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as named,
    ):
        unix.bind(str(party.work / "agent.sock"))
        (party.work / "agent.sock").chmod(0o777)
        unix.listen()
        named.bind("\0" + abstract)
        named.listen()
        port = str(server.getsockname()[1])
        socket.create_connection(("127.0.0.1", int(port)), 1).close()

        result = party.do(lambda bench: bench.run("/usr/bin/python3", "-c", script, port, abstract))

    assert result.output == b"['lo']\n"


@SYSTEM_PYTHON
def test_the_system_call_filter_closes_what_mounts_do_not(party: Party) -> None:
    """Keyrings, namespaces, tracing, io_uring, vsock and terminal injection are denied; capabilities are gone."""
    script = """
import ctypes, errno, fcntl, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
first = platform.machine() == "x86_64"
calls = {"keyctl": (250, 219), "unshare": (272, 97), "ptrace": (101, 117), "io_uring_setup": (425, 425),
         "userfaultfd": (323, 282), "bpf": (321, 280), "mount": (165, 40), "memfd_create": (319, 279), "clone3": (435, 435), "chroot": (161, 51)}
for name, numbers in calls.items():
    result = libc.syscall(numbers[0 if first else 1], 0, 0, 0, 0, 0)
    print(name, errno.errorcode.get(ctypes.get_errno()) if result < 0 else "ALLOWED")
clone = libc.syscall(56 if first else 220, 0x10000000 | 17, 0, 0, 0, 0)
if clone == 0: os._exit(0)
print("clone newuser", errno.errorcode[ctypes.get_errno()] if clone < 0 else "ALLOWED")
for name, family in {"vsock": 40, "packet": 17, "alg": 38}.items():
    try: socket.socket(family, socket.SOCK_DGRAM); print(name, "ALLOWED")
    except OSError as error: print(name, errno.errorcode[error.errno])
try: fcntl.ioctl(0, 0x5412, b"x"); print("tiocsti ALLOWED")
except OSError as error: print("tiocsti", errno.errorcode[error.errno])
try: print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd"))])
except OSError: print(["0" * 16] * 2)  # no capability comes from nowhere
"""
    result = party.do(lambda bench: bench.run("/usr/bin/python3", "-c", script))

    said = result.output.decode().splitlines()
    eperm = ["keyctl", "unshare", "ptrace", "io_uring_setup", "userfaultfd", "bpf", "mount", "memfd_create", "chroot"]
    assert set(said) == {
        *(f"{name} EPERM" for name in [*eperm, "clone newuser", "vsock", "packet", "alg", "tiocsti"]),
        "clone3 ENOSYS",
        "['0000000000000000', '0000000000000000']",
    }


def test_commands_of_a_root_runner_are_not_root(party: Party) -> None:
    """Root's commands run under an own uid, so that limits and kernel settings hold against them."""
    mark = f"98764{os.getpid()}"

    async def scenario(bench: Bench) -> set[int]:
        running = asyncio.ensure_future(bench.run("sleep", mark))
        found = await until(lambda: processes_with(f"sleep\0{mark}", whole=True))
        uids = {owner_of(pid) for pid in found}
        running.cancel()
        await asyncio.wait([running])
        return uids

    assert 0 not in party.do(scenario)


# --- bounds


def test_output_is_bounded_with_a_marker_and_keeps_the_end(party: Party) -> None:
    """RL-05: five megabytes of chatter cost what was asked for; the last line is still there."""
    script = "yes chatter | head -c 5000000; echo; echo the error at the end"

    result = party.do(lambda bench: bench.sh(script, bounds=Bounds(output_bytes=10_000)))

    assert result.truncated
    assert b"bytes left out" in result.output
    assert result.output.startswith(b"chatter\n")
    assert result.output.endswith(b"the error at the end\n")
    assert len(result.output) < 10_100


@SYSTEM_PYTHON
def test_memory_of_all_processes_together_is_bounded(party: Party) -> None:
    """RL: many processes that each keep to their limit are ended when their sum does not."""
    one = "/usr/bin/python3 -c 'import time; x = bytearray(b\"x\") * (60 << 20); time.sleep(100)' &"
    script = f"echo x > new; {one * 5} wait"

    result = party.do(lambda bench: bench.sh(script, bounds=Bounds(memory_bytes=150 * 1024**2)))

    assert (result.stopped, result.changes) == ("memory", ())
    assert contents(party.work) == {}


def test_a_fork_bomb_ends(party: Party) -> None:
    """SH-09, RL: processes that only multiply hit the bound, and none is left."""
    mark = f"98766{os.getpid()}"
    script = f"sh -c 'i=0; while [ $i -lt 3000 ]; do sleep {mark} & i=$((i+1)); done; wait' 2>&1"

    result = party.do(lambda bench: bench.sh(script, bounds=Bounds(seconds=8)))

    assert result.stopped is not None or b"fork" in result.output
    assert processes_with(mark) == []


# --- no wall, no run


def test_without_a_wall_nothing_runs(tmp_path: Path) -> None:
    """SH-10: the computer says what is missing, and a command is refused instead of run bare."""
    (tmp_path / "work").mkdir()
    box = NoSandbox("bwrap is not installed")

    with closing(Folder(tmp_path / "work")) as folder, pytest.raises(DeskhandError) as caught:
        asyncio.run(box.run(command(folder.root, "touch", str(folder.root / "ran")), folder))

    assert (caught.value.code, caught.value.detail) == (Code.SANDBOX_UNAVAILABLE, "bwrap is not installed")
    assert (box.info.level, box.info.reason) == ("none", "bwrap is not installed")
    assert list((tmp_path / "work").iterdir()) == []


def _programs(place: Path, monkeypatch: pytest.MonkeyPatch, **found: str) -> None:
    """Let walls be raised by these programs."""
    place.mkdir()
    place.chmod(0o755)
    for name, path in found.items():
        (place / name).symlink_to(path)
    monkeypatch.setattr("deskhand.sandbox.layers.SEARCH", str(place))


def _chosen(state: Path) -> SandboxInfo:
    box = choose_sandbox(state, clock=SystemClock(), offload=asyncio.to_thread)
    return asyncio.run(box).info


def test_a_wall_that_cannot_be_raised_is_found_out_by_trying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SH-10: programs that are there but do not work are no wall."""
    names = ("bwrap", "prlimit", "unshare", "mount", "nsenter")
    _programs(tmp_path / "bin", monkeypatch, **dict.fromkeys(names, "/bin/false"))

    info = _chosen(tmp_path / "state")

    assert info.level == "none"
    assert info.reason
    assert "not installed" not in info.reason


@pytest.mark.needs("bubblewrap")
def test_a_state_directory_that_cannot_carry_layers_means_a_copy(tmp_path: Path) -> None:
    """SH-10: a path that mount options would misread is refused, not guessed at, and the weaker wall says why."""
    state = tmp_path / "a,b:c"
    state.mkdir()

    info = _chosen(state)

    assert (info.name, info.level) == ("bubblewrap over a copy", "reduced")
    assert "state directory" in (info.reason or "")


@pytest.mark.parametrize("party", PARTIES[:2], indirect=True)
def test_without_bubblewrap_a_normal_user_has_landlock_and_root_has_nothing(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SH-10: what is missing is said; the weaker wall is shown as reduced, and root is not held by it."""
    if landlock.version() < landlock.VERSION_MIN:
        pytest.skip("this kernel has no Landlock that holds")
    there = {name: shutil.which(name, path=SEARCH) for name in ("prlimit", "cp", "rm", "chmod")}
    _programs(party.home / "bin", monkeypatch, **{name: str(path) for name, path in there.items()})

    async def scenario(bench: Bench) -> tuple[SandboxInfo, int]:
        clock, offload = SystemClock(), asyncio.to_thread
        box = await choose_sandbox(bench.state, clock=clock, offload=offload)
        return box.info, os.geteuid()

    info, uid = party.do(scenario)

    assert (info.name, info.level) == (("none", "none") if uid == 0 else ("Landlock over a copy", "reduced"))
    assert "bwrap is not installed" in (info.reason or "")


@pytest.mark.parametrize(("machine", "known"), [("x86_64", True), ("aarch64", True), ("riscv64", False)])
def test_the_filter_exists_only_for_machines_whose_numbers_are_known(machine: str, *, known: bool) -> None:
    """SH-10: an unknown machine gets no filter, and so no box."""
    program = filter_bytes(machine)

    assert (program is not None) == known
    assert program is None or (len(program) % 8 == 0 and len(program) // 8 < 4096)


# --- the weaker walls


@SYSTEM_PYTHON
def test_what_landlock_lets_pass_is_closed_by_the_filter(party: Party) -> None:
    """SH-08: owner, mode, times and attributes of the person's files outside stay, and no process of theirs is ended."""
    target = party.outside / "secret.txt"
    before = target.stat()
    script = """
import os, signal, socket, sys
path, pid = sys.argv[1], int(sys.argv[2])
def tried(name, act):
    try: act(); print(name)
    except OSError: pass
tried("chmod", lambda: os.chmod(path, 0o777))
tried("chown", lambda: os.chown(path, os.getuid(), os.getgid()))
tried("utime", lambda: os.utime(path, (1, 1)))
tried("xattr", lambda: os.setxattr(path, "user.x", b"x"))
tried("truncate", lambda: os.truncate(path, 0))
tried("open", lambda: os.open(path, os.O_RDONLY | os.O_TRUNC))
tried("link", lambda: os.link(path, "linked"))
tried("rename", lambda: os.rename(path, "moved"))
tried("kill", lambda: os.kill(pid, 0))
tried("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
tried("limit", lambda: __import__("resource").prlimit(pid, 1, (0, 0)))
"""

    result = party.do(lambda bench: bench.run("/usr/bin/python3", "-c", script, str(target), str(os.getpid())))

    after = target.stat()
    assert result.output == b""
    assert result.changes == ()
    assert (after.st_mode, after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_mode, before.st_size, before.st_mtime_ns, before.st_ctime_ns
    )  # fmt: skip


@SYSTEM_PYTHON
def test_a_socket_in_the_folder_is_out_of_reach_also_for_a_command_that_only_reads(party: Party) -> None:
    """FS-09: an agent's socket that lies in the folder is no way out, whether the folder is copied or seen itself."""
    script = "import socket; socket.socket(socket.AF_UNIX).connect('agent.sock'); print('REACHED')"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(party.work / "agent.sock"))
        (party.work / "agent.sock").chmod(0o777)
        unix.listen()

        result = party.do(lambda bench: bench.run("/usr/bin/python3", "-c", script, bounds=Bounds(writable=False)))

    assert (result.exit_code, b"REACHED" in result.output) == (1, False)


@SYSTEM_PYTHON
def test_memory_that_processes_share_is_counted(party: Party) -> None:
    """RL: memory that several processes map together is somebody's, and counts once."""
    script = """
import mmap, os, sys, time
def mapped(megabytes):
    shared = mmap.mmap(-1, megabytes << 20)
    for at in range(0, len(shared), 4096): shared[at] = 1
    return shared
together = mapped(int(sys.argv[1]))
for _ in range(4):
    if os.fork() == 0: break
for at in range(0, len(together), 4096): together[at]
own = mapped(int(sys.argv[2]))
time.sleep(float(sys.argv[3]))
"""
    bounds = Bounds(memory_bytes=300 * 1024**2)

    def run(*figures: str) -> CommandResult:
        return party.do(lambda b: b.run("/usr/bin/python3", "-c", script, *figures, bounds=bounds))

    each_its_own = run("1", "80", "60")
    one_for_all = run("120", "1", "0.8")

    assert each_its_own.stopped == "memory"
    assert (one_for_all.stopped, one_for_all.exit_code) == (None, 0)


def test_no_more_processes_start_than_were_granted(party: Party) -> None:
    """RL: 64 hold also for a root runner, whose commands are somebody else's."""
    script = "n=0; while [ $n -lt 400 ]; do sleep 98765431 & n=$((n+1)); done; sleep 1; echo all of them"

    async def scenario(bench: Bench) -> CommandResult:
        line = replace(command(bench.folder.root, "sh", "-c", script), processes_max=64)
        return await bench.box.run(line, bench.folder)

    result = party.do(scenario)

    assert b"all of them" not in result.output
    assert processes_with("98765431") == []


def test_a_folder_too_large_to_copy_is_refused_not_half_copied(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """SH-10: without an overlay a huge folder gets no command at all, and says why; a reader still reads it."""
    monkeypatch.setattr("deskhand.limits.COMMAND_COPIED_MAX", 3)
    for number in range(4):
        party.put(f"work/{number}", "x\n")

    async def scenario(bench: Bench) -> tuple[str, bytes]:
        try:
            ended = (await bench.sh("ls | wc -l")).output.decode().strip()
        except DeskhandError as error:
            ended = str(error.code)
        read = await bench.sh("cat 3", bounds=Bounds(writable=False))
        return ended, read.output

    ended, read = party.do(scenario)

    assert ended == ("4" if party.kind is Bubblewrap else "too_large")
    assert read == b"x\n"


@pytest.mark.parametrize("party", ["normal user, Landlock"], indirect=True)
def test_landlock_reaches_no_host(party: Party) -> None:
    """NE: a wall that cannot let one host through lets none through."""

    async def scenario(bench: Bench) -> CommandResult:
        line = replace(command(bench.folder.root, "true"), hosts=("example.org",))
        return await bench.box.run(line, bench.folder)

    with pytest.raises(DeskhandError) as caught:
        party.do(scenario)

    assert caught.value.code is Code.SANDBOX_UNAVAILABLE
