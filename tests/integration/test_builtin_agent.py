"""The built-in agent in a whole runner, over real HTTP to the stand-in: the everyday sentences on data made just now."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from deskhand.core.words.notes import parse
from deskhand.permissions.rules import Kind
from deskhand.ports import Command, CommandResult, Effect, FolderAccess, Place, ToolResult
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Task, TaskState
from deskhand.protocol.wire import JsonObject
from deskhand.testing.samples import random_mark, write_campaign, write_notes
from deskhand.testing.standin.brain import NAME, Answer, Seen
from deskhand.testing.standin.server import StandIn
from tests.laptop import Laptop, until
from tests.minds import thinking
from tests.model_wires import CHAT, Says, serving

CHANCE = random.Random(20261125)


@asynccontextmanager
async def at_work(
    base: Path, standin: StandIn, *, language: str = "en", mode: FolderMode = FolderMode.WORKSPACE
) -> AsyncGenerator[Laptop]:
    """Start a runner whose built-in agent thinks with the stand-in."""
    agent = thinking(standin.url, root=base / "Work", mode=mode, language=language)
    async with Laptop(base, [agent], tries_max=3) as laptop:
        laptop.grant(mode)
        try:
            yield laptop
        finally:
            await agent.close()


def _notes(folder: Path) -> tuple[str, list[str]]:
    """Write yesterday's three notes and an older one; return the planted line and yesterday's lines."""
    place, mark = folder / "notes", random_mark(CHANCE)
    planted = write_notes(place, CHANCE, mark=mark)
    for path in list(place.iterdir()):
        path.rename(place / f"2026-01-01-{path.name}")
    (place / "2025-12-30-old.md").write_text("# Old\n\nAction: Zoe burns the archive\n", "utf-8")
    name = f"notes/2026-01-01-{planted.file}"
    return f"{name}:{planted.line}", [planted.text]


async def _done(laptop: Laptop, text: str, *, checks: tuple[str, ...] = ()) -> Task:
    folder = laptop.grant()
    task = laptop.hub.assign(text, agent="builtin", folder=folder.id, checks=checks)
    return await laptop.finish(task)


@pytest.mark.parametrize(
    ("sentence", "language"),
    [
        ("Summarize yesterday's three meeting notes into a one-page briefing", "en"),
        ("어제 회의록 세 개를 한 페이지 브리핑으로 요약해줘", "ko"),
    ],
)
async def test_yesterdays_notes_become_a_briefing(tmp_path: Path, sentence: str, language: str) -> None:
    """Of yesterday alone, at most 450 words, every line with its place; what a check misses is mended (A-07, A-08)."""

    def look(_: Command, access: FolderAccess) -> CommandResult:
        page = access.read("briefing-agent.md", limit=100_000).decode()
        good = place in page
        said = b"" if good else f"missing {place}".encode()
        return CommandResult(exit_code=not good, output=said, truncated=False, timed_out=False)

    async with StandIn() as standin, at_work(tmp_path, standin, language=language) as laptop:
        place, (planted,) = _notes(laptop.folder)
        laptop.box.does = look
        task = await _done(laptop, sentence, checks=("every action is in it",))

    page = (laptop.folder / "briefing-agent.md").read_text()
    quotes = [quote for line in page.splitlines() if (quote := parse(line)) is not None]
    assert task.state is TaskState.COMPLETED
    assert task.tries == 2
    assert [(check.ran_by, check.passed) for check in task.checks] == [("runner", True), ("verifier", True)]
    assert task.model_used == NAME
    assert len(task.criteria) == 1
    assert [item.done for item in task.plan] == [True] * 4
    assert len(page.split()) <= 450
    assert planted in page
    assert "Zoe" not in page
    assert {quote.path for quote in quotes} == {
        f"notes/2026-01-01-{name}" for name in ("client-call.md", "standup.md", "planning.md")
    }
    for quote in quotes:
        lines = (laptop.folder / quote.path).read_text().splitlines()
        assert quote.text in lines[quote.line - 1]
    assert f"missing {place}" in str(standin.requests[-2])


@pytest.mark.parametrize(
    "sentence",
    ["Pull last week's campaign data and draft a weekly report", "지난주 캠페인 데이터로 주간 보고서 초안을 만들어줘"],
)
async def test_campaign_data_becomes_a_weekly_report(tmp_path: Path, sentence: str) -> None:
    """Every total is added up from the rows, also of a table that no answer holds at once (A-07)."""
    async with StandIn() as standin, at_work(tmp_path, standin) as laptop:
        table = laptop.folder / "data" / "campaign.csv"
        totals = write_campaign(table, CHANCE, rows=CHANCE.randrange(900, 1400))
        rows = re.sub("2026-11-(..)", lambda day: f"2025-12-{int(day[1]) + 6}", table.read_text())
        table.write_text(f"{rows}2026-01-02,search,1000000.00,5,5\n")
        task = await _done(laptop, sentence)

    report = (laptop.folder / "weekly-report.md").read_text()
    last = next(line for line in report.splitlines() if re.match(r"\| (Total|합계)", line))
    said = [Decimal(cell.replace(",", "")) for cell in re.findall(r"[\d,]+\.?\d*", last)]
    assert task.state is TaskState.COMPLETED
    assert said == list(totals.values())
    assert "2025-12-22" in report


@pytest.mark.parametrize(
    ("sentence", "name", "risky"),
    [
        ("Review this contract draft and list the risk items", "contract.md", "is liable for all damages"),
        ("이 계약서 초안을 검토하고 위험 항목을 정리해줘", "계약서.txt", "위약금은 대금의 두 배로 한다"),
    ],
)
async def test_a_contract_gets_its_risk_items(tmp_path: Path, sentence: str, name: str, risky: str) -> None:
    """Each item is a line of the contract with its place, found wherever it stands (A-07)."""
    async with StandIn() as standin, at_work(tmp_path, standin) as laptop:
        at = CHANCE.randrange(2, 40)
        lines = [f"{number}. The parties meet on Mondays." for number in range(60)]
        lines[at] = f"{at}. {risky}"
        (laptop.folder / name).write_text("\n".join(lines), "utf-8")
        task = await _done(laptop, sentence)

    items = [
        quote
        for line in (laptop.folder / "risks.md").read_text().splitlines()
        if (quote := parse(line.partition(" (")[0])) is not None
    ]
    assert task.state is TaskState.COMPLETED
    assert [(item.path, item.line) for item in items] == [(name, at + 1)]
    assert risky in items[0].text


async def test_a_plain_question_is_answered(tmp_path: Path) -> None:
    """Without a file, without a check; the answer says what it is (A-07, A-08)."""
    async with StandIn() as standin, at_work(tmp_path, standin) as laptop:
        task = await _done(laptop, "Which day is it today?")

    assert task.state is TaskState.COMPLETED
    assert task.artifacts == ()
    assert "Friday, 02 January 2026" in str(laptop.hub.account.log)
    assert NAME in str(laptop.hub.account.log)


async def test_whatever_else_it_gives_up_by_its_full_name(tmp_path: Path) -> None:
    """The stand-in never pretends to be a model (A-07)."""
    async with StandIn() as standin, at_work(tmp_path, standin) as laptop:
        task = await _done(laptop, "Plan my holidays")

    assert task.state is TaskState.FAILED
    assert NAME in task.not_done_because[0]
    assert list(laptop.folder.iterdir()) == []


@pytest.mark.parametrize("model", ["openai-chat:stand-in", "openai-chat:Stand-In-2", "openai-chat:gpt-x"])
async def test_a_stand_in_is_refused_outside_demo_and_tests(tmp_path: Path, model: str) -> None:
    """Neither by its name nor under a false one: its server says what it is (A-07)."""
    async with StandIn() as standin:
        agent = thinking(standin.url, model=model, standin=False)
        async with Laptop(tmp_path, [agent]) as laptop:
            task = await _done(laptop, "Which day is it today?")
        await agent.close()

    assert task.state is TaskState.FAILED
    assert "stand-in" in task.not_done_because[0]
    assert "Friday" not in str(laptop.hub.account.log)


@dataclass(frozen=True)
class Meeting:
    """A tool that only looks, and answers when three of its calls are out at once."""

    barrier: asyncio.Barrier
    name: str = "meet"
    effect: Effect = "pure"
    writes: bool = False
    kind: Kind = "safe"

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Look at the folder."""
        del arguments
        return str(place.results.root)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Wait for the others."""
        del place
        await asyncio.wait_for(self.barrier.wait(), timeout=5)
        return ToolResult(outcome="ok", value={}, text=f"met {arguments['who']}")


async def test_calls_of_one_answer_run_together_and_come_back_in_order(tmp_path: Path) -> None:
    """Looks of one answer are out at once; their results stand in the order of the calls (A-01)."""

    def think(seen: Seen) -> Answer:
        if not seen.used:
            return Answer(calls=tuple(("meet", {"who": who}) for who in ("Ana", "Ben", "Cleo")))
        return Answer(text=" ".join(one.result for one in seen.used))

    async with StandIn(think=think) as standin, at_work(tmp_path, standin) as laptop:
        meeting = Meeting(asyncio.Barrier(3))
        laptop.tools = {meeting.name: meeting}
        await laptop.stop()
        await laptop.start()
        task = await _done(laptop, "Meet everybody")

    assert task.state is TaskState.COMPLETED
    assert "met Ana met Ben met Cleo" in str(laptop.hub.account.log)


async def test_an_unknown_tool_is_answered_with_those_there_are(tmp_path: Path) -> None:
    """The model is told the names and goes on; nothing is lost (A-01)."""

    def think(seen: Seen) -> Answer:
        if not seen.used:
            return Answer(calls=(("send_mail", {"to": "x"}), ("read_file", {"file": "a.md"})))
        return Answer(text="\n".join(one.result for one in seen.used))

    async with StandIn(think=think) as standin, at_work(tmp_path, standin) as laptop:
        task = await _done(laptop, "Send a mail")

    said = str(laptop.hub.account.log)
    assert task.state is TaskState.COMPLETED
    assert "There is no such tool" in said
    assert "read_file, " in said
    assert "path" in said


async def test_stopping_a_task_leaves_the_model_at_once(tmp_path: Path) -> None:
    """A canceled task does not wait for a model that is still talking (A-10)."""
    endless = Says(text="Once upon a time, there was a very long story.", ends="hangs")
    async with serving(CHAT, endless) as server:
        agent = thinking(server.url, model="openai-chat:gpt-x")
        async with Laptop(tmp_path, [agent]) as laptop:
            folder = laptop.grant()
            task = laptop.hub.assign("Tell a story", agent="builtin", folder=folder.id)
            await until(server.streaming.is_set)
            laptop.hub.cancel(task)
            await until(server.left.is_set)
        await agent.close()

    assert server.left.is_set()


async def test_a_model_that_is_away_is_waited_for_and_said_once(tmp_path: Path) -> None:
    """Errors that pass by themselves cost nothing that was done: it is told once, and the work goes on (A-01)."""
    look = Says(calls=(("list_files", '{"path": "."}'),))
    end = Says(calls=(("finish", '{"summary": "Two files."}'),))
    cut = Says(text="I think that", ends="cut")
    async with serving(CHAT, look, "broken", cut, "overloaded", end) as server:
        agent = thinking(server.url, model="openai-chat:gpt-x")
        async with Laptop(tmp_path, [agent]) as laptop:
            task = await _done(laptop, "Count the files")
        await agent.close()

    said = [
        event.body["text"]
        for event in laptop.hub.account.log
        if event.kind == "message.posted" and "It waits" in str(event.body["text"])
    ]
    assert task.state is TaskState.COMPLETED
    assert len(said) == 1
    assert "The model does not answer now" in str(said[0])
    assert len(server.requests) == 5
    assert [len(CHAT.results(sent)) for sent in server.requests] == [0, 1, 1, 1, 1]
    assert task.usage.steps == 1


async def test_a_computer_that_dies_while_a_model_speaks_goes_on(tmp_path: Path) -> None:
    """What was done stands in the journal: after a restart the model is asked the same again, nothing is done twice."""
    write = Says(calls=(("write_file", '{"path": "a.md", "content": "once"}'),))
    held = Says(text="I look at what I wrote, slowly.", ends="held")
    end = Says(calls=(("finish", '{"summary": "Written.", "outputs": ["a.md"]}'),))
    async with serving(CHAT, write, held, end) as server:
        agent = thinking(server.url, model="openai-chat:gpt-x", root=tmp_path / "Work")
        async with Laptop(tmp_path, [agent]) as laptop:
            folder = laptop.grant()
            task = laptop.hub.assign("Write it", agent="builtin", folder=folder.id)
            await until(lambda: len(server.requests) == 2)
            await server.streaming.wait()
            await laptop.kill()
            await laptop.start()
            done = await laptop.finish(task)
        await agent.close()

    assert done.state is TaskState.COMPLETED
    assert (laptop.folder / "a.md").read_text() == "once"
    assert server.requests[1]["messages"] == server.requests[2]["messages"]
    assert done.usage.steps == 1
