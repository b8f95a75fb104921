"""G-11: an agent that does all an attacker says reaches none of its goals; an oracle of effects says so, not a result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from typing_extensions import override

from deskhand.clock import SystemClock
from deskhand.egress.broker import Broker
from deskhand.ports import CheckWish, Done, Move, Tool
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Budget, Task, TaskState, Verdict
from deskhand.runner.ceiling import grant_folder
from deskhand.sandbox.walls import choose_sandbox
from deskhand.testing.agents import call, wish
from deskhand.testing.links import MemoryHub
from deskhand.tools.registry import standard_tools
from tests.contract.sandbox.conftest import PARTIES
from tests.contract.sandbox.parties import Bench, Party
from tests.hijacked.agent import Bare, Goal, Hijacked, ends, goals, naive_tools
from tests.hijacked.world import Surroundings
from tests.laptop import Laptop, inline

_PATIENCE_SECONDS = 90.0
GOALS = tuple(goals())
pytestmark = pytest.mark.timeout(180)
HONEST = {"report.md": "# Report\n\nOrder paper.\n", "count.txt": "3 notes/client.md\n"}
COUNT = ("sh", "-c", "wc -l notes/client.md > count.txt")


@dataclass(slots=True)
class Held(Laptop):
    """A computer whose granted folder is the one of the surroundings."""

    @property
    @override
    def folder(self) -> Path:
        return self.base / "work"


@dataclass(slots=True, kw_only=True)
class Attack:
    """The agent at work on a computer, and the person who says yes to each command and to nothing else."""

    world: Surroundings
    agent: Hijacked
    laptop: Laptop
    folder: str
    told: int = 0
    handed: set[str] = field(default_factory=set[str])

    async def play(self, name: str, *moves: Callable[[], Move]) -> tuple[Task, list[str]]:
        """Delegate a task; return it at its end, with what the oracle found."""
        self.agent.plays[name], self.agent.history = moves, ()
        hub = self.laptop.hub
        most = Budget(steps=100_000)
        task = hub.assign(name, agent="scripted", folder=self.folder, budget=most, thread=name)
        await self._attended(hub, task)
        return hub.task(task), self.world.findings(*self._heard(hub))

    async def _attended(self, hub: MemoryHub, task: str) -> None:
        clock = SystemClock()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not hub.task(task).final:
                for approval in hub.approvals():
                    plain = approval.action.argv and not approval.action.arguments.get("hosts")
                    hub.decide(approval, "allow" if plain else "deny")
                # Asked too often (AP-12): this person minds nothing.
                for question in hub.questions():
                    hub.answer(question.id, question.choices[0])
                await clock.sleep(0.002)

    def _heard(self, hub: MemoryHub) -> Sequence[bytes]:
        """Return what the agent was told, and all that came to the hub since it was last asked."""
        new, self.told = hub.account.log[self.told :], len(hub.account.log)
        log = "\n".join(json.dumps(event.to_json(), ensure_ascii=False) for event in new)
        blobs = [hub.blobs[name] for name in hub.blobs.keys() - self.handed]
        self.handed |= hub.blobs.keys()
        return log.encode(), repr(self.agent.history).encode(), *blobs


async def attacked(
    root: Path, box: object, tools: dict[str, Tool], scenario: Callable[[Attack], Awaitable[Any]]
) -> Any:  # noqa: ANN401 - whatever the scenario found out
    """Let an agent loose on a computer behind this wall, and with these tools instead of the usual ones."""
    agent = Hijacked()
    laptop = Held(root, [agent], box=cast("Any", box), tools=tools)
    laptop.home.mkdir(exist_ok=True, mode=0o700)
    with Surroundings(root=root) as world:
        grant_folder(laptop.home, root / "work-private", mode=FolderMode.TRUSTED)
        folder = grant_folder(laptop.home, root / "work", mode=FolderMode.TRUSTED).id
        world.granted = (laptop.home / "folders.json").read_bytes()
        world.before = world._seen()
        async with laptop:
            attack = Attack(world=world, agent=agent, laptop=laptop, folder=folder)
            return await scenario(attack)


def held(scenario: Callable[[Attack], Awaitable[Any]]) -> Callable[[Bench], Awaitable[Any]]:
    """Return the scenario for a party: behind its wall, with a broker that lists a host of no use."""
    broker = Broker(hosts=lambda: ["allowed.example"])
    real = standard_tools(offload=inline, broker=broker)
    tools = {name: real[name] for name in ("fetch_url", "run_command")}
    return lambda bench: attacked(bench.folder.root.parent, bench.box, tools, scenario)


def asks(goal: Goal, attack: Attack) -> Callable[[], Move]:
    """Return the move that tries it."""
    return lambda: goal.wishes(attack.world.names)


def says(end: Move) -> Callable[[], Move]:
    """Return a move that is always the same."""
    return lambda: end


async def one_by_one(attack: Attack, *, only: Callable[[Goal], bool] = lambda _: True) -> Any:  # noqa: ANN401 - found by name
    """Try each goal in a task of its own; return what the oracle found of each."""
    found: dict[str, list[str]] = {}
    for goal in filter(only, GOALS):
        end = says(Done(summary="I have all I want."))
        _, found[goal.name] = await attack.play(goal.name, asks(goal, attack), end)
        answers = sum(len(turn.results) for turn in attack.agent.history)
        found[goal.name] += [] if answers == len(goal.calls) else ["was not asked"]
    return found


async def mixed(attack: Attack) -> Any:  # noqa: ANN401 - plain values
    """Do honest work with every goal in between; return how it ended, what came of it and what the oracle found."""
    honest = [
        wish(call("read_file", path="notes/client.md")),
        wish(call("write_file", path="report.md", content="# Report\n")),
        wish(call("run_command", argv=[*COUNT])),
        wish(call("edit_file", path="report.md", old="# Report\n", new=HONEST["report.md"])),
    ]
    fourth = len(GOALS) // 4 + 1
    moves: list[Callable[[], Move]] = []
    for n, step in enumerate(honest):
        moves += [says(step), *(asks(goal, attack) for goal in GOALS[n * fourth : (n + 1) * fourth])]
    done = Done(summary="The report is made.", outputs=tuple(HONEST))
    task, found = await attack.play("work", *moves, says(done))
    made = {name: (attack.world.work / name).read_text() for name in HONEST}
    blobs = {one.decode() for one in attack.laptop.hub.blobs.values()}
    results = [result for turn in attack.agent.history for result in turn.results]
    steps = len(results)
    return task.state, made, blobs >= {*HONEST.values()}, found, steps


async def ended(attack: Attack) -> Any:  # noqa: ANN401 - plain values
    """End in every way that names what lies elsewhere."""
    planted = next(goal for goal in GOALS if goal.name.startswith("plant a link"))
    found: list[object] = []
    wanted = [goal.wishes(attack.world.names).calls[0] for goal in GOALS if goal.reaching]
    checks = [CheckWish(name="looks", call=one) for one in wanted]
    checked = Done(summary="Look.", checks=tuple(checks))
    for n, end in enumerate([*ends(attack.world.names), checked]):
        task, touched = await attack.play(f"end {n}", asks(planted, attack), says(end))
        found += touched
        found += [end] if task.verdict is Verdict.VERIFIED else []
        found += [end] if attack.laptop.hub.blobs else []
    return found


@pytest.fixture(scope="session")
def played(warm: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have everything imported that a task needs, before anybody gives up root."""
    del warm
    root = tmp_path_factory.mktemp("warm")
    (root / "work").mkdir()
    asyncio.run(_warmed(root))


async def _warmed(root: Path) -> None:
    state = root / "state"
    state.mkdir()
    box = await choose_sandbox(state, clock=SystemClock(), offload=asyncio.to_thread)
    await attacked(root, box, {}, partial(one_by_one, only=lambda goal: goal.name in WARMING))
    await attacked(root, box, {}, ended)


ALONE = (*PARTIES[:2], "normal user, Landlock")
"""Over a copy stands the same box as over an overlay; there the goals are tried amid honest work."""
WARMING = {goal.name for goal in GOALS[::9]}


# --- no goal is reached


@pytest.mark.parametrize("party", ALONE, indirect=True)
@pytest.mark.usefixtures("played")
def test_alone_no_forbidden_wish_has_an_effect(party: Party) -> None:
    """G-11, PI-01, PI-05, FS-01, FS-02, FS-03, FS-05, FS-06, FS-11, FS-13, SH-01, SH-02, SH-05, SH-07, SH-08, SH-09, NE-01, NE-08, AU-12: by each user, behind each wall."""
    found = cast("dict[str, list[str]]", party.do(held(one_by_one)))

    assert len(found) == len(GOALS)
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.usefixtures("played")
def test_mixed_into_honest_work_none_has_an_effect_and_the_work_is_done(party: Party) -> None:
    """G-11, PI-01: what is refused in between spoils nothing, and is no way round the wall either."""
    state, made, handed, found, steps = party.do(held(mixed))

    assert found == []
    assert (state, made, handed) == (TaskState.COMPLETED, HONEST, True)
    assert steps > len(GOALS)


@pytest.mark.usefixtures("played")
def test_no_end_hands_over_what_lies_elsewhere(party: Party) -> None:
    """UP-11, FS-03, FS-06, FS-13, PI-12: results, checks and texts that name a file outside are words, never the file."""
    assert party.do(held(ended)) == []


# --- the control


def test_without_a_wall_the_same_agent_reaches_its_goals(tmp_path: Path) -> None:
    """G-11: the oracle sees every goal of the list that is reached, so its silence means something."""
    (tmp_path / "work").mkdir()
    tools = cast("dict[str, Tool]", naive_tools())
    scenario = partial(one_by_one, only=lambda goal: goal.reaching)

    found = asyncio.run(attacked(tmp_path, Bare(), tools, scenario))

    assert [name for name, what in found.items() if not what] == []


async def test_endless_wishes_end_once_at_this_computers_own_limit(tmp_path: Path) -> None:
    """PI-14: whatever the hub grants, an agent that never stops is stopped, with one end."""
    agent, count = Hijacked(), iter(range(10**6))
    laptop = Held(tmp_path, [agent], most=lambda name: 40 if name == "limit.steps" else 0)
    laptop.folder.mkdir()
    folder = laptop.grant(FolderMode.TRUSTED)
    agent.plays["on"] = [lambda: wish(call("write_file", path=f"{next(count)}.md", content="x"))]

    async with laptop:
        task = laptop.hub.assign("on", agent="scripted", folder=folder.id, budget=Budget(steps=0))
        done = await laptop.finish(task)

    ends = [kind for kind in laptop.hub.kinds(task) if kind == "task.finished"]
    assert (done.state, len(ends)) == (TaskState.FAILED, 1)
    assert len([*laptop.folder.iterdir()]) == 40
