"""Commands in a real box over a real overlay, as root and as a normal user.

Nothing here is simulated: each test starts bubblewrap. What the box must keep in (changes, processes, memory, output)
and out (network, environment, keys, other files) is tried from inside.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.ports import CommandResult, FileChange, RefusedChange
from deskhand.sandbox.walls import Landlocked
from tests.contract.sandbox.parties import (
    Bench,
    Bounds,
    Party,
    command,
    contents,
    listed,
    processes_with,
    until,
    written,
)

# --- ordinary work


def test_a_command_sees_the_folder_and_its_changes_arrive_exactly(party: Party) -> None:
    """SH-08's other side: what a command does in the folder is applied and listed, created, changed and deleted."""
    party.put("work/a.txt", "one\n")
    party.put("work/old.txt", "old\n")

    result = party.do(
        lambda bench: bench.sh("cat a.txt; echo two >> a.txt; rm old.txt; mkdir d; echo n > d/new; exit 3")
    )

    assert (result.exit_code, result.output) == (3, b"one\n")
    assert set(result.changes) == {
        FileChange(path="a.txt", kind="changed", size=8),
        FileChange(path="old.txt", kind="deleted", size=0),
        FileChange(path="d/new", kind="created", size=2),
    }
    assert result.refused == ()
    assert contents(party.work) == {"a.txt": "one\ntwo\n", "d/new": "n\n"}


@pytest.mark.parametrize("script", ["echo hi > new; exit 3", "exit 3"])
def test_how_a_command_ended_is_on_record_by_its_step(party: Party, script: str) -> None:
    """What a check looks up later is what happened, of this step and no other, changes or none."""

    async def scenario(bench: Bench) -> list[CommandResult | None]:
        line = replace(command(party.work, "sh", "-c", script), key="a" * 64)
        ran = await bench.box.run(line, bench.folder)
        return [ran, *[await bench.box.ended(letter * 64) for letter in "ab"]]

    ran, recorded, unknown = party.do(scenario)

    assert ran is not None
    assert ran.exit_code == 3
    assert recorded == ran
    assert unknown is None


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
        chmod 755 run.sh 2>/dev/null
        find . -type f | LC_ALL=C sort | xargs sha256sum
    """

    result = party.do(lambda bench: bench.sh(script))
    again = party.do(lambda bench: bench.sh("find . -type f | LC_ALL=C sort | xargs sha256sum"))

    assert result.exit_code == 0
    assert again.output == result.output
    by_name = party.kind is not Landlocked  # it cannot tell whose mode is changed, so nobody's is
    assert (party.work / "run.sh").stat().st_mode & 0o777 == (0o755 if by_name else 0o644)
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
        for place in (bench.outside, bench.folder.root / ".." / "outside", bench.folder.root / "link"):
            try:
                await bench.box.run(command(place, "pwd"), bench.folder)
            except DeskhandError as error:
                codes.append(error.code)
        return inside, codes

    inside, codes = party.do(scenario)

    assert inside.output.decode().strip().endswith("/sub")
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


@pytest.mark.timeout(60)  # what is not ended would run for years
def test_a_command_cancelled_at_any_moment_of_its_start_leaves_nothing(party: Party) -> None:
    """SH-09: also between the decision to start and the first word of the box there is no gap to live in."""
    mark = f"98760{os.getpid()}"

    async def scenario(bench: Bench) -> list[Path]:
        for turns in range(12):
            running = asyncio.ensure_future(bench.sh(f"echo x > new; exec sleep {mark}"))
            for _ in range(turns):
                await SystemClock().sleep(0)
            running.cancel()
            await asyncio.wait([running])
        await until(lambda: not processes_with(mark))
        return list((bench.state / "sandbox").iterdir())

    left = party.do(scenario)

    assert (left, contents(party.work)) == ([], {})


def test_a_command_beyond_its_time_is_ended_and_nothing_is_applied(party: Party) -> None:
    """RL: the time limit holds, the output until then is kept, the folder stays."""
    clock = SystemClock()

    async def scenario(bench: Bench) -> tuple[CommandResult, float]:
        started, bounds = clock.monotonic(), Bounds(seconds=0.5)
        ended = await bench.sh("echo x > new; echo started; sleep 1000", bounds=bounds)
        return ended, clock.monotonic() - started

    result, seconds = party.do(scenario)

    assert (result.timed_out, result.stopped, result.exit_code) == (True, "time", None)
    assert result.output == b"started\n"
    assert seconds < 5
    assert contents(party.work) == {}


@pytest.mark.parametrize("moment", ["starting", "running"])
def test_a_killed_runner_leaves_no_process_and_no_change(party: Party, moment: str) -> None:
    """SH-09: kill -9 of the runner ends the box at any moment; the next start clears what it left."""
    mark = f"98762{os.getpid()}"
    child = party.start(lambda bench: bench.sh(f"echo x > new; (setsid sleep {mark} &); sleep {mark}"))
    if moment == "starting":
        asyncio.run(until(lambda: processes_with(mark)))
    else:
        asyncio.run(until(lambda: written(party.home / "state", "new")))

    party.kill(child)

    asyncio.run(until(lambda: not processes_with(mark)))
    again = party.do(lambda bench: bench.run("true"))

    assert again.exit_code == 0
    assert listed(party.home / "state" / "sandbox") == []
    assert contents(party.work) == {}


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


def test_what_the_person_changed_meanwhile_is_kept_beside_the_commands_version(party: Party) -> None:
    """A file edited during the command is a conflict: both stay, and it is said."""
    party.put("work/plan.md", "mine\n")
    party.put("work/drop.md", "mine\n")

    async def scenario(bench: Bench) -> CommandResult:
        script = (
            "echo command > plan.md; rm drop.md; echo > ready; while ! test -s /tmp/never; do sleep 0.3; break; done"
        )
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
        result = await bench.sh(f"ln -s {secret} report.md; ln -s {bench.outside} out; echo ok > fine")
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
    party.do(lambda bench: bench.sh("mkdir -p .git/objects/ab; echo o > .git/objects/ab/cd; echo x > .git/HEAD"))

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


def test_a_flood_of_changes_is_refused_as_a_whole(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """RL: more files than a person could look through are not half applied."""
    monkeypatch.setattr("deskhand.limits.COMMAND_CHANGES_MAX", 50)

    flood = party.do(lambda bench: bench.sh("seq 51 | xargs touch"))
    many = party.do(lambda bench: bench.sh("seq 50 | xargs touch"))

    assert (flood.exit_code, flood.changes) == (0, ())
    assert flood.refused == (RefusedChange(path=".", reason="too_many"),)
    assert (len(many.changes), len(contents(party.work))) == (50, 50)


@pytest.mark.timeout(90)  # thousands of files on a slow disk
def test_directories_without_end_are_refused_and_cleared_away(party: Party) -> None:
    """RL: nesting deeper than any tool can walk is not applied, and does not stay on the disk either."""
    script = "i=0; while [ $i -lt 1100 ]; do mkdir d; cd d; i=$((i+1)); done; chmod 0 . || true"

    result = party.do(lambda bench: bench.sh(script))

    assert (result.exit_code, result.changes) == (0, ())
    assert result.refused == (RefusedChange(path=".", reason="too_many"),)
    assert listed(party.home / "state" / "sandbox") == []


def test_a_command_that_may_only_read_cannot_write(party: Party) -> None:
    """RO-01: writing fails in the kernel, and nothing is applied."""
    party.put("work/a.txt", "one\n")
    script = "echo x > new; echo x >> a.txt; rm -f a.txt; mkdir d; mv a.txt b; chmod 777 a.txt; cat a.txt"

    result = party.do(lambda bench: bench.sh(script, bounds=Bounds(writable=False)))

    assert len(result.output.splitlines()) == 6 + 1
    assert result.output.endswith(b"one\n")
    assert (result.changes, contents(party.work)) == ((), {"a.txt": "one\n"})
