"""``make bench``: the figures of the budgets, measured on this machine, written with date and machine.

    python -m deskhand.testing.bench            # measure, print, write docs/reference/benchmarks.md
    python -m deskhand.testing.bench --dry      # measure and print only

The bare turn: an agent that takes no time, one tool call per turn, hub and runner in one process on real files with
``synchronous=FULL``. It refuses to judge: a figure over its budget is printed as it is.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from deskhand.agents.builtin.agent import BuiltInAgent, Offer, Scene
from deskhand.clock import SystemClock
from deskhand.permissions.rules import Kind
from deskhand.ports import Agent, Committed, Done, Effect, Move, Place, ToolCall, ToolInfo, ToolResult, Turn, Wishes
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Brief
from deskhand.protocol.wire import JsonObject
from deskhand.runner.gate import Gate, Scope
from deskhand.sandbox.walls import choose_sandbox
from deskhand.secret import Secret
from deskhand.testing.docs import REFERENCE
from deskhand.testing.household import OWNER, Household, household, in_thread
from deskhand.testing.standin.brain import NAME, Answer, Seen
from deskhand.testing.standin.server import StandIn
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools

MODEL = "--be-a-model"
TURNS = 100
CONVERSATIONS = 20
TURNS_EACH = 10
STARTS = 5
MEBI = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table."""

    name: str
    budget: str
    measured: str


@dataclass(slots=True)
class InstantAgent:
    """An agent that takes no time: one tool call, then done. Notes when it was first asked."""

    name: str = "instant"
    asked: dict[str, float] = field(default_factory=dict[str, float])

    async def move(self, brief: Brief, history: Sequence[Turn]) -> Move:
        """Return the next move at once."""
        if not history:
            self.asked[brief.task] = time.perf_counter()
            return Wishes(calls=(ToolCall(tool="note", arguments={"n": 1}, title="note"),))
        return Done(summary="done")


class NoteTool:
    """A tool that takes no time and counts as an effect; it notes when its model was asked, if that was said."""

    def __init__(self) -> None:
        """Have noted nothing."""
        self.asked: dict[str, float] = {}

    name = "note"
    effect: Effect = "idempotent"
    writes = True
    kind: Kind = "safe"

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Touch nothing but a name in the results place."""
        del arguments
        return str(place.results.root / "note")

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Return at once."""
        del place
        if "at" in arguments:
            self.asked[""] = float(str(arguments["at"]))
        return ToolResult(outcome="ok", value={})


def main(arguments: Sequence[str]) -> int:
    """Measure everything and print it; write the page unless told not to."""
    if MODEL in arguments:
        asyncio.run(_model())
    figures = [*_starts(), *asyncio.run(_turns()), *asyncio.run(_commands())]
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        sys.stdout.write(f"{figure.name:<{width}}  {figure.budget:>18}  {figure.measured}\n")
    if "--dry" not in arguments:
        (REFERENCE / "benchmarks.md").write_text(_page(figures), encoding="utf-8")
    return 0


# --- processes ---------------------------------------------------------------------------------------------------


def _starts() -> list[Figure]:
    first: list[float] = []
    healthy: list[float] = []
    memory = 0.0
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as home:
            first.append(_start_once(Path(home))[0])
            took, pss = _start_once(Path(home))
            healthy.append(took)
            memory = max(memory, pss)
    version = [_timed(["--version"]) for _ in range(STARTS)]
    return [
        Figure(name="cold start to healthy", budget="≤ 1.0 s", measured=_spread(healthy, "s")),
        Figure(name="the very first start, which makes the home", budget="–", measured=_spread(first, "s")),
        Figure(name="idle memory (PSS, all processes)", budget="≤ 110 MiB", measured=f"{memory:.0f} MiB"),
        Figure(name="deskhand --version", budget="≤ 0.3 s", measured=_spread(version, "s")),
    ]


def _start_once(home: Path) -> tuple[float, float]:
    """Return (seconds until ``/healthz`` answers, PSS in MiB five seconds after the ready line)."""
    extra = ["--as-root"] if os.geteuid() == 0 else []
    port = str(_free_port())
    command = [*_deskhand(), "up", "--port", port, "--reach", "none", "--no-browser", "--json", *extra]
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, env={**os.environ, "DESKHAND_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        while not _healthy(f"http://127.0.0.1:{port}/healthz"):
            time.sleep(0.01)  # noqa: TID251 - there is no event to wait for
        took = time.perf_counter() - began
        process.stdout.readline()
        time.sleep(5)  # noqa: TID251 - idle memory is what is left after a while
        return took, _pss_mib(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return answer.status == http.client.OK
    except OSError:
        return False


def _pss_mib(pid: int) -> float:
    """Return the proportional memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return kib / 1024 + sum(_pss_mib(int(child)) for child in children)


def _timed(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([*_deskhand(), *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own program
    return time.perf_counter() - began


def _deskhand() -> list[str]:
    installed = Path(sys.executable).parent / "deskhand"
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "deskhand"]


# --- turns -------------------------------------------------------------------------------------------------------


async def _turns() -> list[Figure]:
    agent = InstantAgent()
    async with _house(agent, NoteTool()) as (house, ends):
        one_by_one = await _one_by_one(house, agent.asked, ends)
        bare = [*one_by_one, *await _at_once(house, ends), *await _acks(house)]
    return [*bare, *await _thinking()]


async def _commands() -> list[Figure]:
    """Measure one command through the gate and the sandbox; of ``true`` nothing else is to be seen."""
    took, clock = list[float](), SystemClock()
    with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory() as state:
        box = await choose_sandbox(Path(state), clock=clock, offload=in_thread)
        folder, mode = Folder(Path(root)), FolderMode.WORKSPACE
        place = Place(folder=folder, results=folder, mode=mode, sandbox=box)
        gate = Gate(tools=standard_tools(offload=in_thread, clock=clock))
        scope = Scope(place=place, folder=root, mode=lambda: mode)
        call = ToolCall(tool="run_command", arguments={"argv": ["true"]}, title="true")
        for _ in range(TURNS):
            began = time.perf_counter()
            await gate.perform(call, scope, await gate.admit(call, scope))
            took.append((time.perf_counter() - began) * 1000)
    name = f"a command through gate and sandbox ({box.info.name}, uid {os.geteuid()})"
    return [Figure(name=name, budget="≤ 25 ms", measured=_spread(took, "ms"))]


@asynccontextmanager
async def _house(agent: Agent, tool: NoteTool) -> AsyncGenerator[tuple[Household, _Ends]]:
    with tempfile.TemporaryDirectory() as root:
        tools = {tool.name: tool}
        async with household(Path(root), agents={agent.name: agent}, tools=tools) as house:
            await _connected(house)
            ends = _Ends(house)
            await _turn(house, ends)
            yield house, ends


class _Thinking(BuiltInAgent):
    """The built-in agent where the instant one is asked for."""

    name = "instant"


async def _thinking() -> list[Figure]:
    """Measure the same with the built-in agent, which asks the stand-in over HTTP, in a process of its own."""
    said = [sys.executable, "-m", "deskhand.testing.bench", MODEL]
    server = await asyncio.create_subprocess_exec(*said, stdout=subprocess.PIPE)
    assert server.stdout is not None  # noqa: S101 - it was asked for
    url = (await server.stdout.readline()).decode().strip()
    choice = Offer(name="openai-chat:stand-in", base_url=url, key=Secret("key", "none"))

    async def choose(_: Brief) -> Offer:
        return choice

    agent, tool = (
        _Thinking(
            choose=choose,
            scene=lambda _: Scene(now=SystemClock().now(), computer="bench"),
            tools=(ToolInfo(name=NoteTool.name, description="Note.", schema={"type": "object"}),),
            offload=in_thread,
            standin=True,
        ),
        NoteTool(),
    )
    try:
        async with _house(agent, tool) as (house, ends):
            one_by_one = await _one_by_one(house, tool.asked, ends)
            figures = [*one_by_one[:3], *await _at_once(house, ends)]
    finally:
        await agent.close()
        server.terminate()
        await server.wait()
    return [replace(one, name=f"{one.name} ({NAME} over HTTP)") for one in figures]


async def _model() -> None:
    """Be a model that takes no time, and says in its wish when it was asked."""

    def think(seen: Seen) -> Answer:
        now = str(time.perf_counter())
        return Answer(text="done") if seen.used else Answer(calls=(("note", {"at": now}),))

    async with StandIn(think=think) as standin:
        sys.stdout.write(f"{standin.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


class _Ends:
    """Hears of the ends of tasks where every stream does: in the after-commit hook."""

    def __init__(self, house: Household) -> None:
        """Listen."""
        self._seen: dict[str, float] = {}
        self._changed = asyncio.Event()
        house.hub.store.on_commit(self._note)

    async def of(self, task: str) -> float:
        """Return when the end of a task was seen."""
        async with asyncio.timeout(30):
            while task not in self._seen:
                self._changed.clear()
                await self._changed.wait()
        return self._seen[task]

    def _note(self, committed: Sequence[Committed]) -> None:
        for one in committed:
            if one.event.kind == "task.finished":
                self._seen[one.event.task or ""] = time.perf_counter()
                self._changed.set()


async def _connected(house: Household) -> None:
    async with asyncio.timeout(10):
        while not any(p.connected for p in (await house.hub.store.presence(OWNER.account)).values()):
            await SystemClock().sleep(0.01)


async def _turn(house: Household, ends: _Ends) -> tuple[str, float, float]:
    """Return (task, when it was sent, when its end was seen)."""
    sent = time.perf_counter()
    said = f"go {house.ids.digits(9)}"  # results of tasks of one name have to look for a free place
    posted = await house.op("message.post", {"text": said, "agent": "instant"})
    task = posted.task or ""
    return task, sent, await ends.of(task)


async def _one_by_one(house: Household, asked: Mapping[str, float], ends: _Ends) -> list[Figure]:
    first: list[float] = []
    reply: list[float] = []
    journal_before, cpu_before = house.journal.commits, time.process_time()
    for _ in range(TURNS):
        task, sent, seen = await _turn(house, ends)
        first.append((asked.get(task, asked.get("", sent)) - sent) * 1000)
        reply.append((seen - sent) * 1000)
    cpu = (time.process_time() - cpu_before) / TURNS * 1000
    commits = (house.journal.commits - journal_before) / TURNS
    return [
        Figure(name="message → agent's first move, p50 / p95", budget="≤ 15 / 30 ms", measured=_pair(first)),
        Figure(name="message → reply with one tool call, p50 / p95", budget="≤ 50 / 80 ms", measured=_pair(reply)),
        Figure(name="CPU per turn", budget="≤ 30 ms", measured=f"{cpu:.1f} ms"),
        Figure(name="journal commits per turn (all, not only in series)", budget="–", measured=f"{commits:.1f}"),
    ]


async def _at_once(house: Household, ends: _Ends) -> list[Figure]:
    async def conversation() -> None:
        for _ in range(TURNS_EACH):
            await _turn(house, ends)

    began, cpu_before = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONVERSATIONS):
            group.create_task(conversation())
    took = time.perf_counter() - began
    turns = CONVERSATIONS * TURNS_EACH
    cpu = (time.process_time() - cpu_before) / turns * 1000
    rate = f"{turns / took:.0f} turns/s ({cpu:.1f} ms CPU per turn)"
    return [Figure(name=f"{CONVERSATIONS} conversations at once", budget="≥ 35 turns/s", measured=rate)]


async def _acks(house: Household) -> list[Figure]:
    times: list[float] = []

    async def sender() -> None:
        for _ in range(25):
            began = time.perf_counter()
            await house.op("thread.create", {"title": "ack"})
            times.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(sender())
    p99 = statistics.quantiles(times, n=100)[98]
    measured = f"{statistics.median(times):.1f} / {p99:.1f} ms"
    return [Figure(name="durable ack, 20 senders, p50 / p99", budget="≤ 10 / 100 ms", measured=measured)]


# --- words -------------------------------------------------------------------------------------------------------


def _pair(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} / {statistics.quantiles(values, n=20)[18]:.1f} ms"


def _spread(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f}, {len(values)} times)"


def _page(figures: Sequence[Figure]) -> str:
    today = SystemClock().now().date().isoformat()
    cores = os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MEBI / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = "".join(f"| {one.name} | {one.budget} | {one.measured} |\n" for one in figures)
    return (
        "# Benchmarks\n\n<!-- Written by `make bench`; do not edit. -->\n\n"
        f"Measured on {today}: {platform.system()} {platform.release().split('-')[0]}, {platform.machine()}, {cores} cores,"
        f" {memory:.0f} GiB, Python {platform.python_version()}.\n"
        "The bare turn: an agent that takes no time, one tool call, no check, no model; hub and runner in one process,\n"
        "SQLite with `synchronous=FULL` for both.\n\n"
        "| what | budget | measured |\n| --- | --- | --- |\n"
        f"{rows}\nPeak memory of the measuring process: {peak:.0f} MiB.\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
