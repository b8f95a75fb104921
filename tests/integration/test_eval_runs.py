"""``deskhand eval`` drives the real hub, runner, agent and tools; the model is the stand-in, or a script over its wire."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typing_extensions import override

from deskhand.agents.builtin.agent import BuiltInAgent, Offer, Scene
from deskhand.clock import SystemClock
from deskhand.errors import Code, DeskhandError
from deskhand.evals.evaluate import EXERCISES, NOW, REPORT, WRONG, Plan, evaluate
from deskhand.evals.ledger import FILE, open_ledger
from deskhand.evals.report import page
from deskhand.evals.running import Record, Run, Subject, measure, offload
from deskhand.ports import Agent, ToolInfo
from deskhand.protocol.wire import JsonObject
from deskhand.sandbox.walls import NoSandbox
from deskhand.secret import Secret
from deskhand.testing.standin.brain import NAME, Answer, Seen, answer
from deskhand.testing.standin.server import StandIn
from deskhand.tools.registry import standard_tools, tool_infos
from tests.evals.records import record

CLOCK = SystemClock()
BY_NAME = {one.name: one for one in EXERCISES}
SUBJECT = "stand-in (a scripted program, not a language model)"


def quiet(number: int, count: int, one: Record) -> None:
    """Tell nobody."""
    del number, count, one


@asynccontextmanager
async def thinking(
    url: str, place: Path, tools: tuple[ToolInfo, ...], *, context: int = 100_000
) -> AsyncGenerator[Agent]:
    """Hold the built-in agent with the model at this address, in the folder of a run."""
    choice = Offer(name="openai-chat:stand-in", base_url=url, key=Secret("key", "k"), context_tokens=context)

    async def choose(_: object) -> Offer:
        return choice

    def scene(_: object) -> Scene:
        root = str(place.parent / "Work")
        return Scene(now=CLOCK.now().astimezone(), computer="eval", root=root)

    agent = BuiltInAgent(choose=choose, scene=scene, tools=tools, offload=offload, standin=True)
    try:
        yield agent
    finally:
        await agent.close()


async def evaluated(
    place: Path, tasks: str, *, runs: int = 1, think: Callable[[Seen], Answer] = answer
) -> tuple[list[Record], StandIn]:
    """Measure a script on some exercises and return what was kept."""
    plan = Plan(tasks=tasks, runs=runs, seed=5, place=place, tell=quiet)
    async with StandIn(think=think) as standin:
        await evaluate(plan, SUBJECT, model="m", think=lambda home, tools: thinking(standin.url, home, tools))
    with open_ledger(place) as ledger:
        return list(ledger.records.values()), standin


async def measured(place: Path, name: str, think: Callable[[Seen], Answer], *, minutes: float = 1.0) -> Record:
    """Measure a script on one exercise, on a computer without a wall for commands."""
    tools = standard_tools(offload=offload, clock=CLOCK)
    sandbox = NoSandbox("not part of this test")
    run = Run(exercise=replace(BY_NAME[name], minutes=minutes), seed=5, number=0)
    async with StandIn(think=think) as standin, thinking(standin.url, place / NOW / "home", tool_infos(tools)) as agent:
        subject = Subject(name=SUBJECT, agent=agent, tools=tools, sandbox=sandbox)
        return await measure(run, subject, place / NOW, clock=CLOCK)


def finish(summary: str = "Done.") -> Answer:
    """Claim that it is done."""
    return Answer(calls=(("finish", {"summary": summary, "outputs": []}),))


async def test_the_everyday_sentences_are_right_by_what_the_files_say(tmp_path: Path) -> None:
    """Notes by their day, figures of one week, clauses with their place: through HTTP, gate and tools (A-12, A-07)."""
    records, _ = await evaluated(tmp_path, "briefing*,weekly-report,contract-risks")

    assert {one.exercise: one.faults for one in records} == {
        "briefing": (),
        "briefing-ko": (),
        "weekly-report": (),
        "contract-risks": (),
    }
    assert {one.model for one in records} == {NAME}
    assert all(one.tokens and one.steps and one.money is None for one in records)
    assert not (tmp_path / WRONG).exists()
    assert not (tmp_path / NOW).exists()


async def test_a_false_claim_is_counted_and_its_folder_kept(tmp_path: Path) -> None:
    """Who says done and did nothing is not believed, and what it left can be looked at (A-12)."""
    (one,), _ = await evaluated(tmp_path, "table-join", think=lambda _: finish())

    (kept,) = (tmp_path / WRONG).glob("*/table-join.5.1")
    assert one.false_done
    assert not one.right
    assert (kept / "orders.csv").is_file()


async def test_a_question_that_is_needed_is_answered_and_counted(tmp_path: Path) -> None:
    """The person says what only the person knows; the result has to follow it (A-12)."""

    def think(seen: Seen) -> Answer:
        asked = seen.results("ask_person")
        if not asked:
            return Answer(calls=(("ask_person", {"text": "Which draft?", "choices": []}),))
        if seen.results("move_file"):
            return finish()
        name = asked[0].result.rpartition(" ")[2]
        return Answer(calls=(("move_file", {"path": name, "to": "contract-final.md"}),))

    one = await measured(tmp_path, "ask-which-draft", think)

    assert one.faults == ()
    assert one.asked == ("Which draft?",)


async def test_a_question_in_plain_words_is_one_too(tmp_path: Path) -> None:
    """Who answers a wish with a question gets the answer in the same conversation (A-12)."""

    def think(seen: Seen) -> Answer:
        if seen.task.startswith("Rename"):
            return Answer(text="Which of the two drafts is it?")
        if seen.results("move_file"):
            return finish()
        name = seen.task.rpartition(" ")[2]
        return Answer(calls=(("move_file", {"path": name, "to": "contract-final.md"}),))

    one = await measured(tmp_path, "ask-which-draft", think)

    assert one.faults == ()
    assert one.asked == ("Which of the two drafts is it?",)


def _mail(seen: Seen) -> tuple[str, JsonObject]:
    (read,) = seen.results("read_file")
    (sender,) = re.findall(r"visits\d+@example.org", read.result)
    (subject,) = re.findall(r"Your visit, case \d+", read.result)
    (day, hour), *_ = re.findall(r"on (\S+) at (\d+:\d\d)", seen.task)
    said: JsonObject = {"path": "reply.eml", "to": [sender], "subject": f"Re: {subject}"}
    return "write_document", {**said, "content": f"Be welcome on {day} at {hour}.\n"}


def _word(seen: Seen) -> tuple[str, JsonObject]:
    (read,) = seen.results("read_file")
    text = re.sub(r"(?m)^\d+: ?", "", read.result)
    return "write_document", {"path": "minutes.docx", "content": text}


def _setting(seen: Seen) -> tuple[str, JsonObject]:
    (read,) = seen.results("read_file")
    (section, value), *_ = re.findall(r"timeout of (\w+) to (\d+)", seen.task)
    text = re.sub(r"(?m)^\d+: ?", "", read.result)
    (old,) = re.findall(rf"\[{section}\]\n.*\ntimeout = \d+", text)
    new = re.sub(r"\d+$", value, old)
    return "edit_file", {"path": "config/app.ini", "old": old, "new": new}


@pytest.mark.parametrize(
    ("name", "path", "act"),
    [
        ("mail-reply", "mails/request.eml", _mail),
        ("word-document", "minutes.md", _word),
        ("edit-setting", "config/app.ini", _setting),
    ],
)
async def test_the_tools_that_models_have_can_make_what_is_wanted(
    tmp_path: Path, name: str, path: str, act: Callable[[Seen], tuple[str, JsonObject]]
) -> None:
    """Mail, Word document and edit as the tools write them are right by the checker (A-02, A-12)."""

    def think(seen: Seen) -> Answer:
        if not seen.used:
            return Answer(calls=(("read_file", {"path": path}),))
        return Answer(calls=(act(seen),)) if len(seen.used) == 1 else finish()

    one = await measured(tmp_path, name, think)

    assert one.faults == ()
    assert one.allowed == (name == "edit-setting")


async def test_the_person_says_yes_inside_the_folder_and_no_to_a_command_without_a_wall(tmp_path: Path) -> None:
    """An approval is answered by where it acts, never by what it says of itself (A-12)."""

    def think(seen: Seen) -> Answer:
        if not seen.results("make_directory"):
            return Answer(calls=(("make_directory", {"path": "scans/done"}),))
        if not seen.results("run_command"):
            return Answer(calls=(("run_command", {"argv": ["touch", "scans/x"]}),))
        return finish()

    one = await measured(tmp_path, "rename-dates", think)

    assert (one.allowed, one.denied) == (1, 1)
    assert "scans/x was added" not in one.faults
    assert one.false_done


async def test_what_lies_outside_stays_there_whatever_a_model_tries(tmp_path: Path) -> None:
    """A refusal by the gate, told honestly, is the right end of that exercise (A-12)."""

    def think(seen: Seen) -> Answer:
        path = seen.task.partition(" ")[2].partition(" into")[0]
        if not seen.results("read_file"):
            return Answer(calls=(("read_file", {"path": path}),))
        return Answer(calls=(("give_up", {"reasons": [seen.used[0].result]}),))

    one = await measured(tmp_path, "refuse-outside-folder", think)

    assert one.faults == ()
    assert one.verdict == "not_done"


async def test_who_comes_to_no_end_is_stopped_at_the_time_of_the_exercise(tmp_path: Path) -> None:
    """A model that asks for ever costs the minutes of its exercise and no more (A-12)."""

    def think(seen: Seen) -> Answer:
        return Answer(calls=(("read_file", {"path": f"{len(seen.used)}.md"}),))

    one = await measured(tmp_path, "edit-setting", think, minutes=0.0)

    assert one.state == "canceled"
    assert "the time was over" in one.faults


async def test_a_second_sentence_is_said_in_the_same_conversation(tmp_path: Path) -> None:
    """What was made first stands when the shorter one is asked for, and both are in one thread (A-09, A-12)."""
    tasks: list[str] = []

    def think(seen: Seen) -> Answer:
        tasks.append(seen.task)
        return finish("Two summaries." if "shorter" not in seen.task else "Shorter.")

    async with StandIn(think=think) as standin:
        plan = Plan(tasks="follow-up-shorter", runs=1, seed=5, place=tmp_path, tell=quiet)
        await evaluate(plan, SUBJECT, model="m", think=lambda home, tools: thinking(standin.url, home, tools))

    assert tasks[-1].startswith("Make the second one shorter")
    assert "Two summaries." in str(standin.requests[-1])


async def test_what_was_run_is_not_run_again(tmp_path: Path) -> None:
    """A line that was cut off is run anew; a whole one is not, and other runs are added (A-12)."""
    first, before = await evaluated(tmp_path, "table-join", runs=2, think=lambda _: finish())
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(lines[0] + lines[1][:40])

    again, after = await evaluated(tmp_path, "table-join", runs=3, think=lambda _: finish())

    assert len(first) == 2
    assert len(before.requests) == len(after.requests)
    assert [one.run for one in again] == [0, 1, 2]
    assert (tmp_path / FILE).read_bytes().startswith(lines[0])


async def test_two_programs_never_measure_in_one_place(tmp_path: Path) -> None:
    """The second one is told, and changes nothing (A-12)."""
    with open_ledger(tmp_path), pytest.raises(DeskhandError) as caught:
        await evaluated(tmp_path, "table-join")

    assert caught.value.code is Code.CONFLICT


async def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    """Nobody waits for a measurement of nothing (A-12)."""
    with pytest.raises(DeskhandError) as caught:
        await evaluated(tmp_path, "no-such-*")

    assert caught.value.code is Code.NOT_FOUND


async def test_a_model_that_never_answers_is_no_result(tmp_path: Path) -> None:
    """A server that is away says nothing about a model: it ends there, and no run is kept (A-12)."""
    plan = Plan(tasks="table-join", runs=1, seed=5, place=tmp_path, tell=quiet)
    async with StandIn() as standin:
        url = standin.url.replace("/v1", "/nothing-there")
        with pytest.raises(DeskhandError) as caught:
            await evaluate(plan, SUBJECT, model="m", think=lambda home, tools: thinking(url, home, tools))

    assert caught.value.code is Code.MODEL_BUSY
    assert (tmp_path / FILE).read_bytes() == b""


async def test_a_model_that_is_too_small_is_measured_as_such(tmp_path: Path) -> None:
    """A task that does not fit is that model's own failure, and counts (A-12)."""
    plan = Plan(tasks="table-join", runs=1, seed=5, place=tmp_path, tell=quiet)
    async with StandIn() as standin:

        def small(home: Path, tools: tuple[ToolInfo, ...]) -> AbstractAsyncContextManager[Agent]:
            return thinking(standin.url, home, tools, context=2000)

        found = await evaluate(plan, SUBJECT, model="m", think=small)

    assert (found.runs, found.right, found.false_done) == (1, 0, 0)
    assert standin.requests == []


@contextmanager
def typed(place: Path, *more: str) -> Generator[subprocess.Popen[bytes]]:
    """Start the command as a person does, with commands instead of a model."""
    program = [sys.executable, "-m", "deskhand", "eval", "--agent", "commands", "--json"]
    process = subprocess.Popen(
        [*program, "--out", str(place), *more],
        env={**os.environ, "DESKHAND_HOME": str(place / "user"), "DESKHAND_LANGUAGE": "en"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(90)
@pytest.mark.survives(
    "A measurement of a model is killed", "Started again it runs what is missing; what was over is not run again."
)
def test_killed_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """After kill -9 every run is there once, and those that were over were not run again (A-12)."""
    words = ("--tasks", "briefing,find-order,duplicates,organize-*", "--runs", "2")
    with typed(tmp_path, *words) as process:
        assert process.stderr is not None
        assert b"1/8" in process.stderr.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    over = (tmp_path / FILE).read_bytes()

    with typed(tmp_path, *words) as process:
        out, _ = process.communicate(timeout=60)

    keys = [(line["exercise"], line["run"]) for line in map(json.loads, (tmp_path / FILE).read_text().splitlines())]
    told = json.loads(out)
    assert over
    assert (tmp_path / FILE).read_bytes().startswith(over[: over.rfind(b"\n") + 1])
    assert len(keys) == len(set(keys)) == 8
    assert (told["right"], told["runs"], told["false_done"]) == (8, 8, 0)
    assert Path(told["report"]) == tmp_path / REPORT


class Page(HTMLParser):
    """Keeps the elements of a page and what they ask for from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.asked: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.asked += [str(value) for name, value in attrs if name in ("src", "href")]


def test_the_report_shows_whatever_was_said_and_runs_nothing_of_it() -> None:
    """One file, by day and by night, without scripts; a model's words are words (A-12)."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    one = record(run=0, subject=evil, right=False, faults=(evil,), said=evil, asked=(evil,))
    found = Page()
    text = page([one, record(run=1)])
    found.feed(text)

    assert found.tags.isdisjoint({"script", "img", "link", "iframe"})
    assert found.asked == []
    assert "color-scheme: light dark" in text
    assert "&lt;script&gt;alert(1)" in text
