"""Commands in a real box over a real overlay, as root and as a normal user.

Nothing here is simulated: each test starts bubblewrap. What the box must keep in (changes, processes, memory, output)
and out (network, environment, keys, other files) is tried from inside.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.limits import COMMAND_CHANGES_MAX
from deskhand.ports import CommandResult, FileChange, RefusedChange
from deskhand.sandbox.choose import choose_sandbox
from deskhand.sandbox.layers import Programs
from deskhand.sandbox.none import NoSandbox
from deskhand.sandbox.seccomp import filter_bytes
from deskhand.tools.beneath import Folder
from tests.contract.parties import (
    NORMAL_UID,
    Bench,
    Bounds,
    Party,
    command,
    processes_with,
    until,
    warm_up,
)

pytestmark = [pytest.mark.needs("bubblewrap"), pytest.mark.needs("overlay")]

SYSTEM_PYTHON = pytest.mark.skipif(
    not Path("/usr/bin/python3").exists(), reason="no Python below /usr for the box to run"
)


@pytest.fixture(scope="session")
def warm() -> None:
    """Have everything imported before anybody gives up root."""
    warm_up()


@pytest.fixture(params=["this user", "normal user"])
def party(request: pytest.FixtureRequest, warm: None) -> Iterator[Party]:
    """This user, and when that is root a normal user too."""
    del warm
    is_root = os.geteuid() == 0
    if request.param == "normal user" and not is_root:
        pytest.skip("this user is a normal user already")
    uid = NORMAL_UID if request.param == "normal user" else None
    home = Path(tempfile.mkdtemp(prefix="deskhand-test-"))
    someone = Party(uid=uid, home=home)
    for name in ("work", "outside", "state"):
        someone.put(f"{name}/.keep", "")
        (home / name / ".keep").unlink()
    someone.put("outside/secret.txt", "outside: nobody may read this")
    yield someone
    shutil.rmtree(home, ignore_errors=True)


def contents(root: Path) -> dict[str, str]:
    """Every plain file of a tree with its text."""
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def owner_of(pid: int) -> int:
    """Return the uid of a process."""
    return Path(f"/proc/{pid}").stat().st_uid


# --- ordinary work


def test_a_command_sees_the_folder_and_its_changes_arrive_exactly(party: Party) -> None:
    """SH-08's other side: what a command does in the folder is applied and listed, created, changed and deleted."""
    party.put("work/a.txt", "one\n")
    party.put("work/old.txt", "old\n")

    result = party.do(
        lambda bench: bench.sh(
            "cat a.txt; echo two >> a.txt; rm old.txt; mkdir d; echo n > d/new; exit 3"
        )
    )

    assert (result.exit_code, result.output) == (3, b"one\n")
    assert set(result.changes) == {
        FileChange(path="a.txt", kind="changed", size=8),
        FileChange(path="old.txt", kind="deleted", size=0),
        FileChange(path="d/new", kind="created", size=2),
    }
    assert result.refused == ()
    assert contents(party.work) == {"a.txt": "one\ntwo\n", "d/new": "n\n"}


def test_every_shape_of_change_leaves_the_folder_as_the_command_saw_it(party: Party) -> None:
    """Replaced directories, files for directories and back, renames and modes come out the same."""
    for name in ("dir/a", "dir/b", "tofile/x/y", "todir", "mv/1", "mv/2", "same", "run.sh"):
        party.put(f"work/{name}", f"{name} before\n")
    script = """
        rm -r dir && mkdir dir && echo z > dir/z
        rm -r tofile && echo file > tofile
        rm todir && mkdir todir && echo in > todir/in
        mv mv moved && echo again > moved/2
        exec 3<>same; exec 3>&-
        chmod 755 run.sh
        find . -type f | LC_ALL=C sort | xargs sha256sum
    """

    result = party.do(lambda bench: bench.sh(script))
    again = party.do(lambda bench: bench.sh("find . -type f | LC_ALL=C sort | xargs sha256sum"))

    assert result.exit_code == 0
    assert again.output == result.output
    assert (party.work / "run.sh").stat().st_mode & 0o777 == 0o755
    assert again.changes == ()
    assert "same" not in {change.path for change in result.changes}


def test_files_of_the_folder_keep_their_owner(party: Party) -> None:
    """Also under root, where commands run as somebody else, the person's files stay the person's."""
    path = party.put("work/a.txt", "one\n")
    owner = path.stat().st_uid

    party.do(lambda bench: bench.sh("echo two > a.txt; echo new > b.txt"))

    assert {each.stat().st_uid for each in party.work.iterdir()} == {owner}


def test_a_command_may_start_in_a_directory_of_the_folder_but_nowhere_else(party: Party) -> None:
    """FS-14: a working directory outside, or one that is a link, is refused."""
    party.put("work/sub/x", "")
    (party.work / "link").symlink_to(party.outside)

    async def scenario(bench: Bench) -> tuple[CommandResult, list[Code]]:
        inside = await bench.box.run(command(bench.folder.root / "sub", "pwd"), bench.folder)
        codes: list[Code] = []
        for place in (
            bench.outside,
            bench.folder.root / ".." / "outside",
            bench.folder.root / "link",
        ):
            try:
                await bench.box.run(command(place, "pwd"), bench.folder)
            except DeskhandError as error:
                codes.append(error.code)
        return inside, codes

    inside, codes = party.do(scenario)

    assert inside.output.decode().strip() == str(party.work / "sub")
    assert codes == [Code.PATH_REFUSED] * 3


def test_a_missing_program_is_a_failed_command_not_a_broken_box(party: Party) -> None:
    """The agent is told 127, as a shell would say."""
    result = party.do(lambda bench: bench.run("no-such-program"))

    assert (result.exit_code, b"No such file" in result.output) == (127, True)


# --- nothing happens before the end


def test_a_command_killed_midway_did_not_happen(party: Party) -> None:
    """SH-09: while it runs the folder is untouched; cancelled, nothing is applied and nothing is left."""
    party.put("work/a.txt", "one\n")
    mark = f"98761{os.getpid()}"

    async def scenario(bench: Bench) -> tuple[dict[str, str], bool, list[Path]]:
        script = f"echo two > a.txt; echo x > new; rm -f gone; setsid sleep {mark} & sleep {mark}"
        running = asyncio.ensure_future(bench.sh(script))
        await until(lambda: bench.layer("new") and processes_with(mark))
        during = contents(bench.folder.root)
        running.cancel()
        await asyncio.wait([running])
        return during, running.cancelled(), list((bench.state / "sandbox").iterdir())

    during, cancelled, left = party.do(scenario)

    assert (during, cancelled, left) == ({"a.txt": "one\n"}, True, [])
    assert contents(party.work) == {"a.txt": "one\n"}
    assert processes_with(mark) == []


def test_a_command_beyond_its_time_is_ended_and_nothing_is_applied(party: Party) -> None:
    """RL: the time limit holds, the output until then is kept, the folder stays."""
    result = party.do(
        lambda bench: bench.sh("echo x > new; echo started; sleep 1000", bounds=Bounds(seconds=0.5))
    )

    assert (result.timed_out, result.stopped, result.exit_code) == (True, "time", None)
    assert result.output == b"started\n"
    assert result.duration_seconds < 5
    assert contents(party.work) == {}


def test_a_killed_runner_leaves_no_process_and_no_change(party: Party) -> None:
    """SH-09: kill -9 of the runner ends the box too; the next start clears what it left."""
    mark = f"98762{os.getpid()}"
    child = party.start(
        lambda bench: bench.sh(f"echo x > new; (setsid sleep {mark} &); sleep {mark}")
    )
    asyncio.run(until(lambda: len(processes_with(mark)) >= 2))

    party.kill(child)

    asyncio.run(until(lambda: not processes_with(mark)))
    again = party.do(lambda bench: bench.run("true"))

    assert again.exit_code == 0
    assert listed(party.home / "state" / "sandbox") == []
    assert contents(party.work) == {}


def listed(directory: Path) -> list[str]:
    """List a directory by name."""
    return sorted(path.name for path in directory.iterdir())


def test_no_process_survives_the_end_of_its_command(party: Party) -> None:
    """SH-09: double forks, own sessions and ignored signals end with the command, before anything is applied."""
    mark = f"98763{os.getpid()}"
    script = f"""
        (setsid sh -c 'trap "" TERM HUP; (while :; do echo late >> late.txt; sleep 0.001; done) & sleep {mark}' &)
        nohup sleep {mark} >/dev/null 2>&1 &
        while ! test -s late.txt; do :; done
    """

    result = party.do(lambda bench: bench.sh(script))

    assert result.exit_code == 0
    assert processes_with(mark) == []
    assert (party.work / "late.txt").stat().st_size == result.changes[0].size


def test_what_the_person_changed_meanwhile_is_kept_beside_the_commands_version(
    party: Party,
) -> None:
    """A file edited during the command is a conflict: both stay, and it is said."""
    party.put("work/plan.md", "mine\n")
    party.put("work/drop.md", "mine\n")

    async def scenario(bench: Bench) -> CommandResult:
        script = "echo command > plan.md; rm drop.md; echo > ready; while ! test -s /tmp/never; do sleep 0.3; break; done"
        running = asyncio.ensure_future(bench.sh(script))
        await until(lambda: bench.layer("ready"))
        for name in ("plan.md", "drop.md"):
            (bench.folder.root / name).write_text("edited by the person\n", encoding="utf-8")
        return await running

    result = party.do(scenario)

    assert set(result.refused) == {
        RefusedChange(path="plan.md", reason="conflict"),
        RefusedChange(path="drop.md", reason="conflict"),
    }
    assert contents(party.work) == {
        "drop.md": "edited by the person\n",
        "plan (conflict 1).md": "command\n",
        "plan.md": "edited by the person\n",
        "ready": "\n",
    }


# --- what must not reach the folder


def test_a_planted_link_is_refused_and_a_trusted_write_stays_inside(party: Party) -> None:
    """FS-06: a link from inside the box never appears, so trusted code cannot be led out by it."""
    secret = party.outside / "secret.txt"

    async def scenario(bench: Bench) -> CommandResult:
        result = await bench.sh(
            f"ln -s {secret} report.md; ln -s {bench.outside} out; echo ok > fine"
        )
        bench.folder.write("report.md", b"written by trusted code")
        return result

    result = party.do(scenario)

    assert set(result.refused) == {
        RefusedChange(path="report.md", reason="link"),
        RefusedChange(path="out", reason="link"),
    }
    assert contents(party.work) == {"fine": "ok\n", "report.md": "written by trusted code"}
    assert secret.read_text("utf-8") == "outside: nobody may read this"


def test_protected_names_are_refused_also_when_they_do_not_exist_yet(party: Party) -> None:
    """FS-11: hooks, shell and tool settings, and a renamed .git, do not arrive; ordinary history does."""
    party.put("work/.git/config", "[core]\n")
    party.put("work/.git/HEAD", "ref: refs/heads/main\n")
    script = """
        mkdir -p vendor/lib/.git .git/hooks .vscode .git/objects/ab
        echo evil | tee vendor/lib/.git/config .git/hooks/pre-commit .git/config .vscode/tasks.json \
            .bashrc .mcp.json .deskhand.toml >/dev/null
        echo object > .git/objects/ab/cd; echo main > .git/HEAD; echo fine > vendor/lib/a.c
        mv .git moved; mkdir .git; echo evil > .git/config
    """

    result = party.do(lambda bench: bench.sh(script))
    first = contents(party.work)
    party.do(
        lambda bench: bench.sh(
            "mkdir -p .git/objects/ab; echo o > .git/objects/ab/cd; echo x > .git/HEAD"
        )
    )

    assert {each.reason for each in result.refused} == {"protected_name"}
    assert {each.path for each in result.refused} >= {
        "vendor/lib/.git", ".vscode", ".bashrc", ".mcp.json", ".deskhand.toml", ".git/config"
    }  # fmt: skip
    assert first[".git/config"] == "[core]\n"
    assert not any("hooks" in path for path in first if not path.startswith("moved/"))
    assert contents(party.work)[".git/objects/ab/cd"] == "o\n"


def test_special_files_and_permission_bits_do_not_arrive(party: Party) -> None:
    """FS-09: pipes and sockets are refused; setuid falls away."""
    script = "mkfifo pipe; cp /bin/true tool; chmod 6755 tool; ls -l tool"

    result = party.do(lambda bench: bench.sh(script))

    assert RefusedChange(path="pipe", reason="special") in result.refused
    assert (party.work / "tool").stat().st_mode & 0o7777 == 0o755
    assert not (party.work / "pipe").exists()


def test_a_flood_of_changes_is_refused_as_a_whole(party: Party) -> None:
    """RL: more files than a person could look through are not half applied."""
    result = party.do(lambda bench: bench.sh(f"seq {COMMAND_CHANGES_MAX + 1} | xargs touch"))

    assert (result.exit_code, result.changes) == (0, ())
    assert result.refused == (RefusedChange(path=".", reason="too_many"),)
    assert contents(party.work) == {}


def test_directories_without_end_are_refused_and_cleared_away(party: Party) -> None:
    """RL: nesting deeper than any tool can walk is not applied, and does not stay on the disk either."""
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done; chmod 0 ."

    result = party.do(lambda bench: bench.sh(script))

    assert (result.exit_code, result.changes) == (0, ())
    assert result.refused == (RefusedChange(path=".", reason="too_many"),)
    assert listed(party.home / "state" / "sandbox") == []


def test_a_command_that_may_only_read_cannot_write(party: Party) -> None:
    """RO-01: writing fails in the kernel, and nothing is applied."""
    party.put("work/a.txt", "one\n")
    script = "echo x > new; echo x >> a.txt; rm -f a.txt; mkdir d; mv a.txt b; chmod 777 a.txt; cat a.txt"

    result = party.do(lambda bench: bench.sh(script, bounds=Bounds(writable=False)))

    assert result.output.count(b"Read-only file system") == 6
    assert result.output.endswith(b"one\n")
    assert (result.changes, contents(party.work)) == ((), {"a.txt": "one\n"})


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
        for path in [
            *targets,
            "/etc/passwd",
            "/usr/bin/x",
            "/x",
            "/proc/sys/kernel/core_pattern",
            "/run/x",
        ]
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
                "env | cut -d= -f1 | sort | xargs; cat /proc/*/environ | grep -c canary; ls /proc/$$/fd | xargs"
            )
        )

    names, canaries, descriptors = result.output.decode().splitlines()
    assert names == "HOME LANG PATH PWD TERM TMPDIR"
    assert canaries == "0"
    assert set(descriptors.split()) <= {"0", "1", "2"}


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
print([name for _, name in socket.if_nameindex()])
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
         "userfaultfd": (323, 282), "bpf": (321, 280), "mount": (165, 40), "clone3": (435, 435), "chroot": (161, 51)}
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
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd"))])
"""
    result = party.do(lambda bench: bench.run("/usr/bin/python3", "-c", script))

    said = result.output.decode().splitlines()
    eperm = [
        "keyctl",
        "unshare",
        "ptrace",
        "io_uring_setup",
        "userfaultfd",
        "bpf",
        "mount",
        "chroot",
    ]
    assert set(said) == {
        *(
            f"{name} EPERM"
            for name in [*eperm, "clone newuser", "vsock", "packet", "alg", "tiocsti"]
        ),
        "clone3 ENOSYS",
        "['0000000000000000', '0000000000000000']",
    }


def test_commands_of_a_root_runner_are_not_root(party: Party) -> None:
    """Root's commands run under an own uid, so that limits and kernel settings hold against them."""
    mark = f"98764{os.getpid()}"

    async def scenario(bench: Bench) -> set[int]:
        running = asyncio.ensure_future(bench.run("sleep", mark))
        found = await until(
            lambda: processes_with(mark) if len(processes_with(mark)) >= 2 else None
        )
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
    script = "sh -c 'i=0; while [ $i -lt 3000 ]; do sleep 987651 & i=$((i+1)); done; wait' 2>&1"

    result = party.do(lambda bench: bench.sh(script, bounds=Bounds(seconds=8)))

    assert result.stopped is not None or b"fork" in result.output
    assert processes_with("987651") == []


# --- no wall, no run


def test_without_a_wall_nothing_runs(tmp_path: Path) -> None:
    """SH-10: the computer says what is missing, and a command is refused instead of run bare."""
    (tmp_path / "work").mkdir()
    box = NoSandbox("bwrap is not installed")

    with Folder.open(tmp_path / "work") as folder, pytest.raises(DeskhandError) as caught:
        asyncio.run(box.run(command(folder.root, "touch", str(folder.root / "ran")), folder))

    assert (caught.value.code, caught.value.detail) == (
        Code.SANDBOX_UNAVAILABLE,
        "bwrap is not installed",
    )
    assert (box.info.level, box.info.reason) == ("none", "bwrap is not installed")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_wall_that_cannot_be_raised_is_found_out_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SH-10: a program that is there but does not work is no wall."""
    broken = Programs(
        bwrap="/bin/false",
        prlimit="/usr/bin/prlimit",
        unshare="/usr/bin/unshare",
        sh="/bin/sh",
        mount="/bin/mount",
    )
    monkeypatch.setattr(Programs, "find", lambda: broken)

    box = asyncio.run(choose_sandbox(tmp_path, clock=SystemClock(), offload=asyncio.to_thread))

    assert box.info.level == "none"


def test_a_state_directory_that_cannot_carry_layers_means_no_wall(tmp_path: Path) -> None:
    """SH-10: a path that mount options would misread is refused, not guessed at."""
    state = tmp_path / "a,b:c"
    state.mkdir()

    box = asyncio.run(choose_sandbox(state, clock=SystemClock(), offload=asyncio.to_thread))

    assert (box.info.level, "state directory" in (box.info.reason or "")) == ("none", True)


@pytest.mark.parametrize(
    ("machine", "known"), [("x86_64", True), ("aarch64", True), ("riscv64", False)]
)
def test_the_filter_exists_only_for_machines_whose_numbers_are_known(
    machine: str, *, known: bool
) -> None:
    """SH-10: an unknown machine gets no filter, and so no box."""
    program = filter_bytes(machine)

    assert (program is not None) == known
    assert program is None or (len(program) % 8 == 0 and len(program) // 8 < 4096)
