"""A whole runner against a hub in memory, with scripted agents and the real tools."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.ports import Ask, Command, CommandResult, Done, FolderAccess, GiveUp, Move, ToolResult, Turn
from deskhand.protocol.events import DeviceRevoked, SettingChanged
from deskhand.protocol.objects import Folder, Runner
from deskhand.protocol.tasks import FileRef, TaskState, Verdict
from deskhand.testing.agents import Looping, Lying, Malformed, Obedient, call, check, wish
from deskhand.testing.links import RUNNER
from tests.laptop import Box, Laptop, until

WRITE = wish(call("write_file", "write report.md", path="report.md", content="hello\n"))
DONE = Done(summary="Wrote it.", outputs=("report.md",))


def results(history: Sequence[Turn]) -> list[ToolResult]:
    """Return every result an agent was given."""
    return [result for turn in history for result in turn.results]


async def test_a_task_goes_from_order_to_result(tmp_path: Path) -> None:
    """What the agent wished for lies in the folder, is on the hub, and the task has its one end (R3)."""
    look = wish(call("list_files", path="."), say="Looking around.")
    laptop = Laptop(tmp_path, [Obedient([look, WRITE, DONE])])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("write a report", agent="scripted", folder=folder.id)
        seen = await laptop.finish(task)

    assert (seen.state, seen.verdict) == (TaskState.COMPLETED, Verdict.UNVERIFIED)
    assert (laptop.folder / "report.md").read_text() == "hello\n"
    assert [artifact.name for artifact in seen.artifacts] == ["report.md"]
    assert seen.changes.created == 1
    assert laptop.hub.kinds(task) == [
        "task.created",
        "task.assigned",
        "task.accepted",
        "message.posted",
        "step.started",
        "step.finished",
        "step.started",
        "step.finished",
        "task.moved",
        "artifact.created",
        "task.finished",
    ]


async def test_six_commits_in_series_from_message_to_result(tmp_path: Path) -> None:
    """One commit before the agent is asked and four in all on the runner; with the hub's two that is the floor."""
    commits: list[int] = []

    def note(_: Sequence[Turn]) -> Move:
        commits.append(laptop.rows.commits - before)
        return WRITE

    laptop = Laptop(tmp_path, [Obedient([note, DONE])])
    folder = laptop.grant()
    async with laptop:
        await until(lambda: laptop.runner and laptop.runner.inbox.connected)
        await laptop.rows.tidy()
        before = laptop.rows.commits

        await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

        assert (commits, laptop.rows.commits - before) == ([1], 4)


async def test_without_a_folder_results_go_to_a_place_of_their_own(tmp_path: Path) -> None:
    """The card can name the place: the documents, a date and the title; two such tasks never share one."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, DONE])])

    async with laptop:
        threads = ("thr_1", "thr_2")
        tasks = [laptop.hub.assign("A report: now!", agent="scripted", thread=t) for t in threads]
        seen = [await laptop.finish(task) for task in tasks]

    places = sorted(str(Path(one.artifacts[0].path).relative_to(laptop.documents)) for one in seen)
    assert places == ["Deskhand/2026-01-02 A report now (2)/report.md", "Deskhand/2026-01-02 A report now/report.md"]


async def test_files_of_a_message_lie_in_the_inbox_folder(tmp_path: Path) -> None:
    """What came with the message is there before the agent looks, under its own last name."""
    data = b"a contract"
    file = FileRef(
        id="upl_1",
        name="../evil/contract.txt",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        media_type="text/plain",
    )
    read = wish(call("read_file", path="inbox/contract.txt", **{"from": "results"}))
    agent = Obedient([read, Done(summary="Read it.")])
    laptop = Laptop(tmp_path, [agent])
    laptop.hub.uploads["upl_1"] = data

    async with laptop:
        await laptop.finish(laptop.hub.assign("risks?", agent="scripted", files=(file,)))

    assert results(agent.seen[-1])[0].text == "1: a contract"


async def test_wishes_that_only_look_are_carried_out_together(tmp_path: Path) -> None:
    """Results come back in the order of the wishes."""
    agent = Obedient([wish(call("read_file", path="a.md"), call("read_file", path="b.md")), Done(summary="Read both.")])
    laptop = Laptop(tmp_path, [agent])
    folder = laptop.grant()
    (laptop.folder / "a.md").write_text("first")
    (laptop.folder / "b.md").write_text("second")

    async with laptop:
        await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

    assert [result.text for result in results(agent.seen[-1])] == ["1: first", "1: second"]


async def test_tasks_of_several_threads_are_under_way_at_once(tmp_path: Path) -> None:
    """One long command does not hold up another conversation."""
    run = wish(call("run_command", argv=["sleep", "60"]))
    laptop = Laptop(tmp_path, [Obedient([run, Done(summary="x")])])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        tasks = [laptop.hub.assign("x", agent="scripted", thread=f"thr_{n}") for n in range(3)]
        await until(lambda: len(laptop.box.ran) == 3)
        laptop.box.hold.set()
        seen = [await laptop.finish(task) for task in tasks]

    assert [one.state for one in seen] == [TaskState.COMPLETED] * 3


async def test_the_owners_check_command_makes_a_result_verified(tmp_path: Path) -> None:
    """A check that we ran and that passed is what `verified` means; it ran where nothing can be changed."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, DONE])])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, checks=("test -s x",))
        seen = await laptop.finish(task)

    assert seen.verdict is Verdict.VERIFIED
    assert [(one.name, one.passed) for one in seen.checks] == [("test -s x", True)]
    assert laptop.box.ran[0].argv == ("/bin/sh", "-c", "test -s x")
    assert laptop.box.ran[0].writable is False


async def test_a_failed_check_comes_back_to_the_agent_and_then_is_not_done(tmp_path: Path) -> None:
    """The agent hears what failed and may try again; after the last try nothing is called done."""
    box = Box(does=_fail)
    agent = Obedient([WRITE, DONE, DONE])
    laptop = Laptop(tmp_path, [agent], box=box, tries_max=2)
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, checks=("make test",))
        seen = await laptop.finish(task)

    assert (seen.state, seen.verdict, seen.tries) == (TaskState.FAILED, Verdict.NOT_DONE, 2)
    assert seen.not_done_because == ("Check failed: make test.",)
    assert [one.text for one in agent.seen[-1][-1].results] == ["2 failed\nexit code 1"]


async def test_a_check_of_the_agent_counts_only_if_the_tool_says_passed(tmp_path: Path) -> None:
    """Reading a file is no check; a check that wants to write has failed."""
    checks = (
        check("I read it", call("read_file", path="report.md")),
        check("I fixed it", call("write_file", path="b.md", content="b")),
        check("I broke out", call("read_file", path="/etc/passwd")),
    )
    laptop = Laptop(tmp_path, [Obedient([WRITE, Done(summary="x", checks=checks)])])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        seen = await laptop.finish(task)

    assert [one.passed for one in seen.checks] == [False, False, False]
    assert not (laptop.folder / "b.md").exists()


STUCK = "The last 8 moves brought nothing new: no new result, no changed file, no step of the plan. So it was stopped."


@pytest.mark.parametrize(
    ("agent", "because"),
    [
        (Lying(), "Check failed: the file report.md exists."),
        (Looping(), STUCK),
        (Malformed(), "The agent said something that cannot be understood."),
        (Malformed(answer=None), "The agent said something that cannot be understood."),
    ],
    ids=["lying", "looping", "malformed", "silent"],
)
async def test_an_agent_that_does_not_deliver_ends_as_not_done(
    tmp_path: Path, agent: Lying | Looping | Malformed, because: str
) -> None:
    """What is not done is said, with a reason in plain words."""
    laptop = Laptop(tmp_path, [agent])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent=agent.name, folder=folder.id)
        seen = await laptop.finish(task)

    assert (seen.state, seen.verdict) == (TaskState.FAILED, Verdict.NOT_DONE)
    assert seen.not_done_because == (because,)


async def test_a_reason_to_give_up_reaches_the_owner(tmp_path: Path) -> None:
    """The agent's own sentence is the reason that is shown."""
    laptop = Laptop(tmp_path, [Obedient([GiveUp(reasons=("There are no notes.",))])])

    async with laptop:
        seen = await laptop.finish(laptop.hub.assign("x", agent="scripted"))

    assert seen.not_done_because == ("There are no notes.",)


@pytest.mark.parametrize("code", [Code.RATE_LIMITED, Code.TIMEOUT, Code.UNAVAILABLE, Code.HUB_UNREACHABLE])
async def test_what_may_pass_by_itself_is_waited_for(tmp_path: Path, code: Code) -> None:
    """A model that does not answer now is asked again, in its own time; nothing done before is done again (R4)."""
    asked: list[Code] = []

    def busy(_: Sequence[Turn]) -> Move:
        if len(asked) < 2:
            asked.append(code)
            raise DeskhandError(code, retry_after_seconds=0.01)
        return DONE

    laptop = Laptop(tmp_path, [Obedient([WRITE, busy])])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        seen = await laptop.finish(task)

    said = [e.body["text"] for e in laptop.hub.account.log if e.kind == "message.posted"]
    assert (seen.state, len(asked)) == (TaskState.COMPLETED, 2)
    assert laptop.hub.kinds(task).count("step.started") == 1
    assert [str(one).startswith("It waits and tries again") for one in said] == (
        [] if code is Code.HUB_UNREACHABLE else [True]
    )


async def test_a_pause_holds_also_for_what_waits_to_be_tried_again(tmp_path: Path) -> None:
    """The owner's stop counts while a model does not answer; after the resume it is asked again."""
    away = [True]

    def busy(_: Sequence[Turn]) -> Move:
        if away[0]:
            raise DeskhandError(Code.UNAVAILABLE)
        return Done(summary="x")

    agent = Obedient([busy])
    laptop = Laptop(tmp_path, [agent])

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: agent.asked)
        laptop.hub.pause(task)
        await until(lambda: laptop.runner and not laptop.runner.workflow.under_way)
        away[0] = False
        laptop.hub.resume(task)
        seen = await laptop.finish(task)

    assert seen.state is TaskState.COMPLETED


async def test_a_wish_for_nonsense_is_an_error_the_agent_hears(tmp_path: Path) -> None:
    """Unknown tools and wrong arguments come back as results; the attempt goes on."""
    agent = Obedient(
        [
            wish(
                call("format_disk"),
                call("read_file", path=7),
                call("read_file", path="none.md"),
                call("write_file", path="a.md"),
            ),
            Done(summary="x"),
        ]
    )
    laptop = Laptop(tmp_path, [agent])
    folder = laptop.grant()

    async with laptop:
        await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

    outcomes = [result.outcome for result in results(agent.seen[-1])]
    assert outcomes == ["denied", "error", "error", "error"]


async def test_a_question_waits_over_a_restart_and_its_answer_reaches_the_agent(tmp_path: Path) -> None:
    """A wait for a person is a row: the process may end meanwhile."""
    agent = Obedient([Ask(text="Which year?", choices=("2025", "2026")), Done(summary="x")])
    laptop = Laptop(tmp_path, [agent])
    await laptop.start()
    task = laptop.hub.assign("x", agent="scripted")
    await until(laptop.hub.questions)
    await until(lambda: laptop.runner and not laptop.runner.workflow.under_way)
    await laptop.stop()

    laptop.hub.answer(laptop.hub.questions()[0].id, "2026")
    async with laptop:
        seen = await laptop.finish(task)

    assert seen.state is TaskState.COMPLETED
    assert agent.seen[-1][-1].answer == "2026"
    assert agent.asked == 2


async def test_steering_is_in_the_next_turn(tmp_path: Path) -> None:
    """What a person says meanwhile is not lost: the agent hears it before its next move."""
    run = wish(call("run_command", argv=["true"]))
    agent = Obedient([run, Done(summary="x")])
    laptop = Laptop(tmp_path, [agent])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: laptop.box.ran)
        laptop.hub.steer(task, "in German, please")
        await until(lambda: laptop.rows.steering(task, after=0))
        laptop.box.hold.set()
        await laptop.finish(task)

    assert agent.seen[-1][-1].steering == ("in German, please",)


async def test_a_pause_stops_before_the_next_thing_and_resume_goes_on_there(tmp_path: Path) -> None:
    """The attempt keeps its place: what was done is not done again."""
    run = wish(call("run_command", argv=["true"]), call("run_command", argv=["false"]))
    laptop = Laptop(tmp_path, [Obedient([run, Done(summary="x")])])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: laptop.box.ran)
        laptop.hub.pause(task)
        await until(lambda: [row for row in laptop.open_attempts() if row.paused])
        laptop.box.hold.set()
        await until(lambda: laptop.runner and not laptop.runner.workflow.under_way)
        ran_while_paused = len(laptop.box.ran)
        laptop.hub.resume(task)
        await laptop.finish(task)

    assert ran_while_paused == 1
    assert [command.argv[0] for command in laptop.box.ran] == ["true", "false"]


async def test_a_cancellation_kills_what_runs(tmp_path: Path) -> None:
    """Within two seconds nothing of the task is running; what it leaves in doubt is the one thing still said."""
    laptop = Laptop(tmp_path, [Obedient([wish(call("run_command", argv=["sleep", "60"]))])])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: laptop.box.ran)
        async with asyncio.timeout(2):
            laptop.hub.cancel(task)
            await until(lambda: laptop.box.killed)
        await until(lambda: laptop.runner and not laptop.runner.workflow.under_way)
        await until(lambda: laptop.hub.kinds(task)[-1] == "message.posted")

    assert laptop.hub.task(task).state is TaskState.CANCELED
    assert "It was canceled in the middle of" in str(laptop.hub.account.log[-1].body["text"])


async def test_a_cancellation_heard_after_a_crash_still_tells_what_is_in_doubt(tmp_path: Path) -> None:
    """L-02: a computer killed in the middle of an effect, and canceled meanwhile, says where to look, once."""
    laptop = Laptop(tmp_path, [Obedient([wish(call("run_command", argv=["sleep", "60"]))])])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: laptop.box.ran)
    laptop.hub.cancel(task)
    async with laptop:
        await until(lambda: laptop.hub.kinds(task)[-1] == "message.posted")
    async with laptop:
        await until(lambda: not laptop.rows.outbox())

    kinds = laptop.hub.kinds(task)
    assert kinds.count("task.finished") == 1
    assert kinds.count("message.posted") == 1
    (said,) = [event for event in laptop.hub.account.log if event.kind == "message.posted"]
    assert "It was canceled in the middle of" in str(said.body["text"])


async def test_a_hub_that_is_away_delays_what_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """Answers that got lost lead to the same op again, which the hub knows: each fact stands once (R1)."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, DONE])])
    folder = laptop.grant()
    laptop.hub.faults.lose_answers = 3

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        seen = await laptop.finish(task)
        await until(lambda: not laptop.rows.outbox())

    kinds = laptop.hub.kinds(task)
    assert seen.state is TaskState.COMPLETED
    assert sorted(kinds) == sorted(set(kinds))


async def test_a_fact_that_the_hub_never_takes_holds_up_no_other(tmp_path: Path) -> None:
    """It stays on the runner with the hub's code, and the rest goes on."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, DONE])])
    folder = laptop.grant()
    laptop.hub.faults.refuse["step.started"] = Code.INVALID

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        seen = await laptop.finish(task)
        refused = laptop.rows.refused()

    assert seen.state is TaskState.COMPLETED
    assert [code for _, code in refused] == ["invalid"]


async def test_leases_are_renewed_while_something_is_under_way(tmp_path: Path) -> None:
    """The hub can show that the computer still works on it."""
    laptop = Laptop(tmp_path, [Obedient([wish(call("run_command", argv=["sleep", "60"]))])])
    laptop.box.hold = asyncio.Event()

    async with laptop:
        laptop.hub.tell(SettingChanged(name="lease_seconds", value=1))
        task = laptop.hub.assign("x", agent="scripted")
        await until(lambda: laptop.box.ran)
        await until(lambda: (task, 1) in laptop.hub.renewed)

    assert laptop.hub.renewed


async def test_the_computer_says_what_it_can_do_and_again_when_a_folder_is_granted(tmp_path: Path) -> None:
    """The hub knows agents, tools and folders; a folder granted at the keyboard is known soon after."""
    laptop = Laptop(tmp_path, [Obedient([])])

    async with laptop:
        await until(lambda: laptop.hub.account.get(Runner, RUNNER))
        await until(lambda: laptop.runner and laptop.runner.inbox.connected)
        granted = laptop.grant()
        await until(lambda: laptop.hub.account.get(Folder, granted.id))

    runner = laptop.hub.account.get(Runner, RUNNER)
    assert runner is not None
    assert (runner.agents, runner.sandbox.level) == (("scripted",), "full")
    assert "write_file" in runner.tools


async def test_a_revoked_computer_stops_at_once(tmp_path: Path) -> None:
    """It does not go on working for an account that shut it out."""
    laptop = Laptop(tmp_path, [Obedient([])])
    await laptop.start()
    await until(lambda: laptop.hub.account.get(Runner, RUNNER))

    laptop.hub.tell(DeviceRevoked(device=RUNNER))
    error = await laptop.died()

    assert isinstance(error, DeskhandError)
    assert error.code is Code.UNAUTHORIZED
    await laptop.kill()


@pytest.mark.parametrize("as_root", [False, True])
async def test_a_runner_refuses_to_be_root_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, as_root: bool
) -> None:
    """Root makes the sandbox no boundary; a container says so explicitly."""
    laptop = Laptop(tmp_path, [Obedient([])])
    laptop.as_root = as_root
    with monkeypatch.context() as root:
        root.setattr(os, "geteuid", lambda: 0)
        await laptop.start()
        error = None if as_root else await laptop.died()
    await laptop.kill()

    assert (error is None) is as_root
    assert error is None or (isinstance(error, DeskhandError) and error.code is Code.ROOT_REFUSED)


def _fail(_: Command, __: FolderAccess) -> CommandResult:
    return CommandResult(exit_code=1, output=b"2 failed\n", truncated=False, timed_out=False)
