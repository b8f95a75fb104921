"""The loop around an agent: criteria, plan, verifier, tries, limits, words of the person, plain answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from deskhand.errors import Code, DeskhandError
from deskhand.ports import (
    Ask,
    Command,
    CommandResult,
    Done,
    Evidence,
    FolderAccess,
    GiveUp,
    Judgement,
    Move,
    Turn,
    Wishes,
)
from deskhand.protocol import events as ev
from deskhand.protocol.events import body_of
from deskhand.protocol.tasks import Brief, Check, PlanItem, TaskState, Verdict
from deskhand.testing.agents import Obedient, call, check, wish
from tests.judged import Judged, Waiting, ended, said
from tests.laptop import Box, Fuse, Laptop, until

WRITE = wish(call("write_file", "write report.md", path="report.md", content="hello\n"))
LOOK = wish(call("list_files", path="."))
DONE = Done(summary="Wrote it.", outputs=("report.md",))
COMMITS_MAX = 14
STOP, GO_ON = "stop here", "Go on with as much again"


# --- criteria, plan, verifier ------------------------------------------------------------------------------------


async def test_what_the_agent_takes_the_task_to_mean_is_shown_and_judged(tmp_path: Path) -> None:
    """Where the owner said nothing, the agent's own criteria stand on the task object and are what is checked."""
    restated = Wishes(calls=WRITE.calls, criteria=("it says hello", "one page"))
    agent = Judged([restated, DONE])

    seen = await ended(Laptop(tmp_path, [agent]))

    assert (seen.criteria, seen.criteria_by) == (("it says hello", "one page"), "agent")
    assert agent.judged[0][0] == seen.criteria
    assert agent.briefs[1].criteria == seen.criteria


async def test_the_owners_words_stand_whatever_the_agent_makes_of_them(tmp_path: Path) -> None:
    """A hijacked agent cannot make its task easier."""
    agent = Judged([Wishes(calls=WRITE.calls, criteria=("anything",)), DONE])

    seen = await ended(Laptop(tmp_path, [agent]), criteria=("it says hello",))

    assert (seen.criteria, seen.criteria_by) == (("it says hello",), "owner")
    assert agent.judged[0][0] == ("it says hello",)


async def test_a_verifier_sees_results_and_checks_and_never_the_story(tmp_path: Path) -> None:
    """Fresh eyes: what was made and what our checks said, not what the agent tells of it."""
    agent = Judged([wish(*WRITE.calls, say="I am sure that it is perfect."), DONE])

    await ended(Laptop(tmp_path, [agent]), criteria=("it says hello",), checks=("true",))

    (_, evidence), *_ = agent.judged
    assert [one.name for one in evidence] == ["true", "report.md"]
    assert "hello" in evidence[1].text
    assert not any("perfect" in one.text or "Wrote it" in one.text for one in evidence)


async def test_a_verifiers_yes_alone_is_unverified_and_with_ours_verified(tmp_path: Path) -> None:
    """Its word is a second opinion: verified takes a check that we ran."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    alone = await ended(Laptop(tmp_path / "a", [Judged([WRITE, DONE])]), criteria=("a",))
    both = await ended(Laptop(tmp_path / "b", [Judged([WRITE, DONE])]), criteria=("a",), checks=("true",))

    assert [one.ran_by for one in alone.checks] == ["verifier"]
    assert (alone.verdict, both.verdict) == (Verdict.UNVERIFIED, Verdict.VERIFIED)


async def test_a_verifiers_no_sends_the_agent_back_with_what_is_missing(tmp_path: Path) -> None:
    """The failed criterion and its evidence are told; the next try can mend exactly that."""

    def hello(_: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> tuple[Check, ...]:
        found = any("goodbye" in one.text for one in evidence)
        why = "" if found else "nowhere a goodbye"
        return tuple(Check(name=one, passed=found, evidence=why) for one in criteria)

    def mend(history: Sequence[Turn]) -> Move:
        (told,) = history[-1].results
        assert told.text == "nowhere a goodbye"
        return wish(call("write_file", path="bye.md", content="goodbye"))

    agent = Judged([WRITE, DONE, mend, Done(summary="x", outputs=("bye.md",))], says=hello)

    seen = await ended(Laptop(tmp_path, [agent], tries_max=3), criteria=("it says goodbye",))

    assert (seen.tries, seen.verdict) == (2, Verdict.UNVERIFIED)
    assert [(one.name, one.passed, one.ran_by) for one in seen.checks] == [("it says goodbye", True, "verifier")]


@pytest.mark.parametrize("error", [DeskhandError(Code.MODEL_BUSY), RuntimeError("broke")])
async def test_a_verifier_that_cannot_answer_is_no_check(tmp_path: Path, error: Exception) -> None:
    """Nothing is held up and nothing is claimed because of it."""

    def silent(*_: object) -> tuple[Check, ...]:
        raise error

    seen = await ended(Laptop(tmp_path, [Judged([WRITE, DONE], says=silent)]), criteria=("a",))

    assert (seen.state, seen.verdict, seen.checks) == (TaskState.COMPLETED, Verdict.UNVERIFIED, ())


async def test_a_verifier_speaks_in_its_own_name_only(tmp_path: Path) -> None:
    """A judge that claims to be the runner would make its own yes a verified."""

    def posing(_: Brief, criteria: Sequence[str], __: object) -> tuple[Check, ...]:
        return tuple(Check(name=one, passed=True, ran_by="runner") for one in criteria)

    seen = await ended(Laptop(tmp_path, [Judged([WRITE, DONE], says=posing)]), criteria=("a",))

    assert (seen.verdict, seen.checks[0].ran_by) == (Verdict.UNVERIFIED, "verifier")


async def test_an_edit_in_the_middle_of_verification_changes_what_is_checked(tmp_path: Path) -> None:
    """What was judged for other words stands for nothing: it is judged again, and those checks are gone."""

    def edited(brief: Brief, criteria: Sequence[str], _: object) -> tuple[Check, ...]:
        if criteria == ("old",):
            laptop.hub.edit(brief.task, "new")
        return tuple(Check(name=one, passed=True) for one in criteria)

    async def judge(brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        judged = await Judged.judge(agent, brief, criteria, evidence)
        await until(lambda: laptop.rows.criteria(brief.task) == ("new",))
        return judged

    agent = Judged([WRITE, DONE], says=edited)
    laptop = Laptop(tmp_path, [Waiting(agent, judge)])

    seen = await ended(laptop, criteria=("old",))

    assert [one[0] for one in agent.judged] == [("old",), ("new",)]
    assert (seen.criteria, [one.name for one in seen.checks]) == (("new",), ["new"])


async def test_an_edit_during_work_is_told_to_the_agent_at_its_next_move(tmp_path: Path) -> None:
    """The owner changes the goal, not only the measure."""

    async def moved(brief: Brief, history: Sequence[Turn]) -> Move:
        if not history:
            laptop.hub.edit(brief.task, "in Korean")
            await until(lambda: laptop.rows.criteria(brief.task))
        return await agent.move(brief, history)

    agent = Judged([WRITE, DONE])
    laptop = Laptop(tmp_path, [Waiting(agent, agent.judge, moved)])

    await ended(laptop, criteria=("in English",))

    assert agent.briefs[1].criteria == ("in Korean",)


async def test_the_plan_ticks_live(tmp_path: Path) -> None:
    """Each change of the checklist is an event; the task object holds the last one."""
    first = (PlanItem(text="read"), PlanItem(text="write"))
    second = (PlanItem(text="read", done=True), PlanItem(text="write"))
    third = (PlanItem(text="read", done=True), PlanItem(text="write", done=True))
    moves = [
        Wishes(calls=LOOK.calls, plan=first),
        Wishes(calls=WRITE.calls, plan=second),
        Done(summary="x", outputs=("report.md",), plan=third),
    ]
    laptop = Laptop(tmp_path, [Obedient(moves)])

    seen = await ended(laptop)

    bodies = map(body_of, laptop.hub.account.log)
    assert [one.items for one in bodies if isinstance(one, ev.PlanUpdated)] == [first, second, third]
    assert seen.plan == third


# --- results, tries, circles -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("report.md", "", "the file report.md has something in it"),
        ("report.xlsx", "this is no workbook", "the file report.xlsx opens"),
        ("report.pdf", "this is no PDF", "the file report.pdf opens"),
    ],
)
async def test_a_result_that_is_not_what_its_name_says_is_not_done(
    tmp_path: Path, name: str, content: str, because: str
) -> None:
    """That a file is there is not enough; that it opens is no evidence that it is right."""
    write = wish(call("write_file", path=name, content=content))

    seen = await ended(Laptop(tmp_path, [Obedient([write, Done(summary="x", outputs=(name,))])]))

    assert [one.name for one in seen.checks] == [because]
    assert seen.verdict is Verdict.NOT_DONE


async def test_the_same_mistake_thrice_ends_honestly(tmp_path: Path) -> None:
    """Three tries at most; the agent hears each time what failed."""
    agent = Obedient([WRITE, DONE])

    seen = await ended(Laptop(tmp_path, [agent], box=Box(does=_fail), tries_max=3), checks=("make test",))

    told = [[one.text for one in turn.results] for turn in agent.seen[-1][1:]]
    assert told == [["2 failed\nexit code 1"]] * 2
    assert (seen.tries, seen.not_done_because) == (3, ("Check failed: make test.",))


async def test_an_agent_that_brings_nothing_new_is_stopped(tmp_path: Path) -> None:
    """The same few wishes for ever, however large the circle."""
    agent = Obedient([_alternating])

    seen = await ended(Laptop(tmp_path, [agent]))

    assert seen.verdict is Verdict.NOT_DONE
    assert seen.not_done_because[0].startswith("The last 8 moves brought nothing new")
    assert agent.asked == 10


# --- plain answers -----------------------------------------------------------------------------------------------


async def test_a_plain_answer_is_a_message(tmp_path: Path) -> None:
    """Nothing was done and nobody said how to check it: the answer is said, and the task ends without a verdict card."""
    laptop = Laptop(tmp_path, [Obedient([LOOK, Done(summary="There are 3 files.")])])

    seen = await ended(laptop)

    assert (seen.answer, seen.verdict) == (True, Verdict.UNVERIFIED)
    assert said(laptop.hub, seen.id) == ["There are 3 files."]


@pytest.mark.parametrize(
    ("moves", "how"),
    [
        ([WRITE, Done(summary="x")], {}),
        ([WRITE, DONE], {}),
        ([wish(call("run_command", argv=["true"])), Done(summary="x")], {}),
        ([LOOK, Done(summary="x")], {"criteria": ("right",)}),
        ([LOOK, Done(summary="x")], {"checks": ("true",)}),
        ([LOOK, Done(summary="x", checks=(check("c", LOOK.calls[0]),))], {}),
        ([GiveUp(reasons=("x",))], {}),
    ],
)
async def test_what_had_effects_or_checks_is_never_a_plain_answer(
    tmp_path: Path, moves: list[Move], how: dict[str, object]
) -> None:
    """A verdict cannot be avoided by calling a result an answer."""
    seen = await ended(Laptop(tmp_path, [Obedient(moves)]), **how)

    assert seen.answer is False


# --- words of the person, words for the person -------------------------------------------------------------------


async def test_a_word_that_comes_while_the_result_is_checked_gives_another_round(tmp_path: Path) -> None:
    """Late steering is not lost: the agent hears it before anything is called done."""

    async def judge(brief: Brief, criteria: Sequence[str], evidence: Sequence[Evidence]) -> Judgement:
        if not agent.judged:
            laptop.hub.steer(brief.task, "also in Korean")
            await until(lambda: laptop.rows.steering(brief.task, after=0))
        return await Judged.judge(agent, brief, criteria, evidence)

    korean = wish(call("write_file", path="ko.md", content="안녕"))
    agent = Judged([WRITE, DONE, korean, Done(summary="x", outputs=("ko.md",))])
    laptop = Laptop(tmp_path, [Waiting(agent, judge)])

    seen = await ended(laptop, criteria=("a",))

    assert agent.seen[-1][1].steering == ("also in Korean",)
    assert [one.name for one in seen.artifacts] == ["ko.md"]
    assert seen.verdict is Verdict.UNVERIFIED


async def test_who_tries_to_guide_a_command_is_told_that_it_cannot_be(tmp_path: Path) -> None:
    """A plan works to its end as it was written; the word is answered, not dropped."""

    async def moved(brief: Brief, history: Sequence[Turn]) -> Move:
        if not history:
            laptop.hub.steer(brief.task, "faster")
            await until(lambda: laptop.rows.steering(brief.task, after=0))
        return await agent.move(brief, history)

    agent = Judged([LOOK, WRITE, DONE])
    laptop = Laptop(tmp_path, [Waiting(agent, agent.judge, moved, hears=False)])

    seen = await ended(laptop)

    (told,) = said(laptop.hub, seen.id)
    assert seen.state is TaskState.COMPLETED
    assert told.startswith("A command works to its end as it was written")


async def test_a_word_after_the_end_is_answered(tmp_path: Path) -> None:
    """The hub let it pass before it knew of the end; the computer says that nothing was done with it."""
    laptop = Laptop(tmp_path, [Obedient([WRITE, DONE])])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await laptop.finish(task)
        laptop.hub.steer(task, "one more thing")
        await until(lambda: said(laptop.hub, task))

    assert said(laptop.hub, task)[0].startswith("Your message came when the work was over")
    assert laptop.hub.task(task).state is TaskState.COMPLETED


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, COMMITS_MAX + 1))
async def test_every_text_reaches_the_person_once_whenever_the_computer_dies(
    tmp_path: Path, at: int, *, after: bool
) -> None:
    """A-10: a numbered sentence with each kind of move; killed at any commit, none is missing and none there twice."""
    numbered: list[Move] = [
        wish(*LOOK.calls, say="sentence 0"),
        wish(call("read_file", path="nowhere.md"), say="sentence 1"),
        Ask(text="Which?", say="sentence 2"),
        wish(*WRITE.calls, say="sentence 3"),
        Done(summary="Done.", outputs=("report.md",), say="sentence 4"),
    ]
    laptop, fuse = Laptop(tmp_path, [Obedient(numbered)]), Fuse(at=at, after=after)
    laptop.before_commit, laptop.after_commit = fuse.before_commit, fuse.after_commit
    folder = laptop.grant()
    task = laptop.hub.assign("x", agent="scripted", folder=folder.id)

    await laptop.start()
    await _answer_until(laptop, task)
    await laptop.kill()
    async with laptop:
        await _answer_until(laptop, task)

    assert fuse.blown
    assert laptop.hub.task(task).state is TaskState.COMPLETED
    told = [one for one in said(laptop.hub, task) if one.startswith("sentence")]
    assert told == [f"sentence {n}" for n in range(5)]


async def test_text_of_an_attempt_that_is_canceled_or_gives_up_is_kept(tmp_path: Path) -> None:
    """What was said before the end is said, also when the end comes from outside."""
    reading = call("run_command", argv=["sleep"])
    box = Box(hold=asyncio.Event())
    laptop = Laptop(tmp_path, [Obedient([wish(reading, say="I begin.")])], box=box)
    quits = Laptop(tmp_path / "b", [Obedient([GiveUp(reasons=("No.",), say="I looked hard.")])])
    (tmp_path / "b").mkdir()
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(lambda: box.ran)
        laptop.hub.cancel(task)
        await laptop.finish(task)
        await until(lambda: "I begin." in said(laptop.hub, task))
    seen = await ended(quits)

    assert said(quits.hub, seen.id) == ["I looked hard."]


async def test_a_cancellation_during_a_model_call_ends_it_at_once(tmp_path: Path) -> None:
    """A-10: nobody waits for a model that nobody wants any more."""
    thinking = asyncio.Event()
    stopped = asyncio.Event()

    async def hangs(_: Brief, __: Sequence[Turn]) -> Move:
        thinking.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    agent = Judged([])
    laptop = Laptop(tmp_path, [Waiting(agent, agent.judge, hangs)])

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await thinking.wait()
        laptop.hub.cancel(task)
        async with asyncio.timeout(2):
            await stopped.wait()

    assert laptop.hub.task(task).state is TaskState.CANCELED


# --- support -----------------------------------------------------------------------------------------------------


async def _answer_until(laptop: Laptop, task: str) -> None:
    """Answer whatever is asked, until the task or the process has ended."""

    def over() -> bool:
        for question in laptop.hub.questions():
            laptop.hub.answer(question.id, "this")
        return laptop.hub.task(task).final or laptop.ended

    await until(over)


def _fail(_: Command, __: FolderAccess) -> CommandResult:
    return CommandResult(exit_code=1, output=b"2 failed\n", truncated=False, timed_out=False)


def _alternating(history: Sequence[Turn]) -> Move:
    pattern = "*.md" if len(history) % 2 else "*.txt"
    return wish(call("list_files", path=".", pattern=pattern))
