"""Limits of a task: noted when near, asked about when used up, and honest about what nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deskhand.ports import Done, Move, Spent, Turn, Wishes
from deskhand.protocol import events as ev
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Budget, Money, TaskState, Usage, Verdict
from deskhand.testing.agents import Obedient, call, wish
from tests.judged import Judged, ended, said
from tests.laptop import Laptop, until

WRITE = wish(call("write_file", "write report.md", path="report.md", content="hello\n"))
LOOK = wish(call("list_files", path="."))
DONE = Done(summary="Wrote it.", outputs=("report.md",))
COMMITS_MAX = 14
STOP, GO_ON = "stop here", "Go on with as much again"


async def test_a_limit_is_noted_when_near_and_asks_when_used_up(tmp_path: Path) -> None:
    """One note at 80 %; at 100 % a question with two choices, whose answer may come after a restart."""
    laptop = Laptop(tmp_path, [Obedient([_counting])])
    folder = laptop.grant()

    async with laptop:
        budget = Budget(steps=5)
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, budget=budget)
        await until(laptop.hub.questions)
        (question,) = laptop.hub.questions()
        assert laptop.hub.task(task).state is TaskState.INPUT_REQUIRED
    async with laptop:
        laptop.hub.answer(question.id, GO_ON)
        await until(laptop.hub.questions)
        (again,) = laptop.hub.questions()
        laptop.hub.answer(again.id, f" {STOP.upper()} ")
        seen = await laptop.finish(task)

    assert question.text == "This task used 5 of 5 steps. Shall it go on?"
    assert again.text == "This task used 10 of 10 steps. Shall it go on?"
    assert [one for one in said(laptop.hub, task) if one.startswith("So far")] == [
        "So far this task used 4 of 5 steps. At the limit it will pause and ask.",
        "So far this task used 8 of 10 steps. At the limit it will pause and ask.",
    ]
    assert seen.not_done_because == ("You stopped it at its limit: 10 of 10 steps.",)
    assert (seen.verdict, seen.usage.steps) == (Verdict.NOT_DONE, 10)
    assert len(seen.artifacts) == 10


async def test_an_answer_that_is_neither_yes_nor_no_is_asked_again(tmp_path: Path) -> None:
    """Words that nobody can be sure of are never a yes to spending more."""
    laptop = Laptop(tmp_path, [Obedient([_counting])])
    folder = laptop.grant()

    async with laptop:
        budget = Budget(steps=2)
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, budget=budget)
        await until(laptop.hub.questions)
        laptop.hub.answer(laptop.hub.questions()[0].id, "hmm, what did it do?")
        await until(laptop.hub.questions)
        laptop.hub.answer(laptop.hub.questions()[0].id, STOP)
        seen = await laptop.finish(task)

    assert seen.usage.steps == 2


@pytest.mark.parametrize(
    ("budget", "used"),
    [
        (Budget(tokens=2_500), "3000 of 2500 tokens"),
        (Budget.from_json({"money": {"amount": "0.05"}}), "0.06 of 0.05 US dollars"),
    ],
)
async def test_tokens_and_money_are_limits_too(tmp_path: Path, budget: Budget, used: str) -> None:
    """What thinking costs is counted with each move and stands on the task object while it works."""
    spent = Spent(model="m-1", input_tokens=900, output_tokens=100, usd="0.02")
    laptop = Laptop(tmp_path, [Obedient([_counting_with(spent)])])
    folder = laptop.grant()

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id, budget=budget)
        await until(laptop.hub.questions)
        live = laptop.hub.task(task).usage
        laptop.hub.answer(laptop.hub.questions()[0].id, STOP)
        seen = await laptop.finish(task)

    money = Money(amount="0.06", currency="USD")
    whole = Usage(steps=3, input_tokens=2700, output_tokens=300, money=money)
    assert (live, seen.usage, seen.model_used) == (whole, whole, "m-1")
    assert seen.not_done_because == (f"You stopped it at its limit: {used}.",)


async def test_what_a_verifier_thinks_is_counted_too(tmp_path: Path) -> None:
    """A second opinion costs like the first one."""
    thought = Spent(model="m-1", input_tokens=70, output_tokens=7, usd="0.001")

    seen = await ended(Laptop(tmp_path, [Judged([WRITE, DONE], thought=thought)]), criteria=("a",))

    money = Money(amount="0.001", currency="USD")
    assert seen.usage == Usage(steps=1, input_tokens=70, output_tokens=7, money=money)


async def test_a_price_nobody_knows_is_said_and_never_counted_as_nothing(tmp_path: Path) -> None:
    """A limit of money that cannot be watched is told of, once."""
    spent = Spent(model="m-2", input_tokens=10, output_tokens=10)
    moves = [Wishes(calls=LOOK.calls, spent=spent), Wishes(calls=WRITE.calls, spent=spent), DONE]
    laptop = Laptop(tmp_path, [Obedient(moves)])

    seen = await ended(laptop, budget=Budget.from_json({"money": {"amount": "1"}}))

    told = [one for one in said(laptop.hub, seen.id) if one.startswith("Nobody here knows")]
    assert (len(told), seen.usage.money, seen.usage.input_tokens) == (1, None, 20)


async def test_without_limits_of_its_own_a_task_has_the_accounts(tmp_path: Path) -> None:
    """The settings are generous, but nothing runs for ever."""
    laptop = Laptop(tmp_path, [Obedient([_counting])])
    folder = laptop.grant()

    async with laptop:
        laptop.hub.tell(ev.SettingChanged(name="budget.steps", value=3))
        await until(lambda: laptop.rows.setting("budget.steps"))
        laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(laptop.hub.questions)

        assert "3 of 3 steps" in laptop.hub.questions()[0].text


def _counting(history: Sequence[Turn]) -> Move:
    return wish(call("write_file", path=f"{len(history)}.md", content=str(len(history))))


def _counting_with(spent: Spent) -> Callable[[Sequence[Turn]], Move]:
    return lambda history: Wishes(calls=(call("write_file", path=f"{len(history)}.md", content="x"),), spent=spent)


async def test_a_task_that_asks_too_often_waits_until_it_is_let_go_on(tmp_path: Path) -> None:
    """AP-12: after so many approvals within ten minutes there is one question and no further approval; a word goes on."""
    moves = [wish(call("write_file", path=f"{n}.md", content="x")) for n in range(5)]
    laptop = Laptop(tmp_path, [Obedient([*moves, Done(summary="x")])])
    folder = laptop.grant(FolderMode.ASK)

    async with laptop:
        laptop.hub.tell(ev.SettingChanged(name="asks.per_ten_minutes", value=3))
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        for _ in range(3):
            await _allowed_once(laptop)
        await until(laptop.hub.questions)
        (question,), asked = laptop.hub.questions(), laptop.hub.kinds(task)
        laptop.hub.answer(question.id, "Go on asking")
        for _ in range(2):
            await _allowed_once(laptop)
        await laptop.finish(task)

    assert "3 times within ten minutes" in question.text
    assert (asked.count("approval.requested"), asked.count("question.asked")) == (3, 1)
    assert laptop.hub.kinds(task).count("question.asked") == 1
    assert len([*laptop.folder.iterdir()]) == 5


async def test_a_task_that_tries_what_it_may_not_waits_and_tells_what_it_tried(tmp_path: Path) -> None:
    """PI-15: after five denials nothing more is tried without a person's word, who reads each attempt; then five more."""
    tries = [call("read_file", path=f"../secret-{n}\u202e") for n in range(3)]
    tries += [call("write_file", path=".git/hooks/pre-commit", content="x"), call("fetch_url", url="http://h.example/")]
    laptop = Laptop(tmp_path, [Obedient([Wishes(calls=(*tries, *tries[:4])), Done(summary="x")])])
    folder = laptop.grant(FolderMode.TRUSTED)

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(laptop.hub.questions)
        (question,), steps = laptop.hub.questions(), laptop.hub.kinds(task).count("step.finished")
        laptop.hub.answer(question.id, "Whatever.")
        await until(lambda: [one for one in laptop.hub.questions() if one.id != question.id])
        (again,), still = laptop.hub.questions(), laptop.hub.kinds(task).count("step.finished")
        laptop.hub.answer(again.id, "Let it go on")
        await laptop.finish(task)

    assert (steps, still, laptop.hub.kinds(task).count("step.finished")) == (5, 5, 9)
    assert all(one in question.text for one in ("5 times", "read_file ../secret-0\\x202e; ", "write_file .git/hooks"))


async def test_a_word_for_a_tool_that_does_not_exist_is_no_attempt_on_a_wall(tmp_path: Path) -> None:
    """PI-15 is about what may not be, not about a model that errs."""
    unknown = Wishes(calls=tuple(call(f"no_tool_{n}") for n in range(9)))
    laptop = Laptop(tmp_path, [Obedient([unknown, Done(summary="x")])])

    async with laptop:
        task = laptop.hub.assign("x", agent="scripted")
        await laptop.finish(task)

    assert "question.asked" not in laptop.hub.kinds(task)


async def _allowed_once(laptop: Laptop) -> None:
    await until(laptop.hub.approvals)
    laptop.hub.decide(laptop.hub.approvals()[0], "allow")
