"""An agent, its gate and the internet: what is asked of a person, what one yes covers, and what ends a task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from deskhand import limits
from deskhand.cli.commands import tasks
from deskhand.cli.programs.computer import way_out
from deskhand.cli.values import config_path, parsed, setting
from deskhand.clock import SystemClock
from deskhand.egress import EgressRequest
from deskhand.egress.broker import EGRESS, Broker, lines
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.rules import Decision
from deskhand.ports import Command, CommandResult, Done, FolderAccess, Sandbox, ToolResult
from deskhand.protocol import events as ev
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import TaskState, Verdict
from deskhand.runner.gate import Gate, Scope
from deskhand.sandbox.walls import choose_sandbox
from deskhand.store.private import Safe
from deskhand.testing.agents import Obedient, call, wish
from deskhand.testing.memory_folder import MemoryFolder
from deskhand.tools.registry import standard_tools
from tests.canary import Canary, answer, canary
from tests.contract.test_egress_wire import tls_server
from tests.driven import offloaded, place_of
from tests.laptop import Box, Laptop, until

END = Done(summary="x")


@dataclass(slots=True)
class Walled(Box):
    """A box with a real wall."""

    real: Sandbox | None = None

    @override
    async def run(self, command: Command, access: FolderAccess) -> CommandResult:
        """Run it, and note that it ran."""
        assert self.real is not None
        self.ran.append(command)
        return await self.real.run(command, access)


async def laptop_of(base: Path, agent: Obedient, broker: Broker, *, real: bool) -> Laptop:
    """Return a computer whose tools have a way out."""
    laptop = Laptop(base, [agent], hub_trust="high")
    laptop.tools = standard_tools(offload=asyncio.to_thread, broker=broker)
    if real:
        clock = SystemClock()
        box = await choose_sandbox(base / "state", clock=clock, offload=asyncio.to_thread)
        laptop.box = Walled(level="full", real=box)
    return laptop


def results(agent: Obedient) -> list[ToolResult]:
    """Return every result that the agent was given."""
    return [result for turn in agent.seen[-1] for result in turn.results]


@pytest.mark.needs("bubblewrap")
@pytest.mark.needs("overlay")
async def test_after_one_yes_a_command_reaches_its_host_and_no_other(tmp_path: Path) -> None:
    """NE-01, AP-10: asked once with the host named; what it fetched is there, another port was not reached."""
    _, tls = tls_server(tmp_path, "site.example")
    async with canary(tls=tls) as site, canary(tls=tls) as other:
        script = (
            f"curl -sSk https://{site.host}/page?q=1 > page.txt;"
            f"curl -sSk --max-time 5 https://{other.host}/ > other.txt;"
            f"curl -sSk --noproxy '*' --max-time 2 https://{other.host}/ >> other.txt"
        )
        fetch = call("run_command", argv=["sh", "-c", script], hosts=[site.host])
        agent = Obedient([wish(fetch), END])
        broker = Broker(hosts=lambda: [site.host, other.host], path=tmp_path / "lines")
        laptop = await laptop_of(tmp_path, agent, broker, real=True)
        folder = laptop.grant(FolderMode.WORKSPACE)
        async with laptop:
            task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
            await until(laptop.hub.approvals)
            (approval,) = laptop.hub.approvals()
            asked_before = len(site.heads)
            laptop.hub.decide(approval, "allow")
            await laptop.finish(task)

    assert f"and let it talk to {site.host} on the internet?" in approval.sentence
    assert approval.sentence.endswith(f"It could carry what is in: {laptop.folder}.")
    assert approval.action.arguments["hosts"] == [site.host]
    assert (asked_before, len(site.heads), other.heads) == (0, 1, [])
    assert (laptop.folder / "page.txt").read_text("utf-8") == "tweet"
    assert "tweet" not in (laptop.folder / "other.txt").read_text("utf-8")
    assert [one["path"] for one in lines(tmp_path / "lines")] == ["/", "/"]


def scope_of(mode: FolderMode) -> Scope:
    """Return the scope of a task in a folder of this mode."""
    return Scope(place=place_of(MemoryFolder()), folder="fld_1", mode=lambda: mode)


def gate_of(*hosts: str) -> Gate:
    """Return a gate on a computer that lists some hosts."""
    return Gate(tools=standard_tools(offload=offloaded, broker=Broker(hosts=lambda: hosts)))


@pytest.mark.parametrize("mode", [FolderMode.WORKSPACE, FolderMode.TRUSTED, FolderMode.ASK])
async def test_a_command_that_names_hosts_is_asked_wherever_it_runs(mode: FolderMode) -> None:
    """NE-09: what may say anything to a host is no work in a folder any more."""
    gate = gate_of("a.example", "GET github.com/me")
    plain = call("run_command", argv=["make"])
    sends = call("run_command", argv=["make"], hosts=["a.example", "github.com"])

    rulings = [await gate.admit(one, scope_of(mode)) for one in (plain, sends)]

    assert rulings[1].decision is Decision.ASK
    assert "a.example, github.com" in rulings[1].sentence
    assert rulings[0].grant != rulings[1].grant
    assert rulings[0].action_sha256 != rulings[1].action_sha256


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],
        ["a.example", "evil.example"],
        ["a.example:8443"],
        ["127.0.0.1"],
        ["A.example"],
        ["a.example/"],
        ["user@a.example"],
        ["*"],
        [""],
    ],
)
async def test_nobody_is_asked_about_a_host_that_is_not_listed(hosts: list[str]) -> None:
    """NE-05, NE-08: the owner's list stands before every question."""
    with pytest.raises(DeskhandError) as caught:
        await gate_of("a.example").admit(
            call("run_command", argv=["make"], hosts=[*hosts]), scope_of(FolderMode.TRUSTED)
        )

    assert caught.value.code in {Code.ADDRESS_REFUSED, Code.INVALID}


async def _greedy(tmp_path: Path, site: Canary) -> tuple[Laptop, str, Obedient]:
    fetches = [wish(call("fetch_url", url=f"{site.url}/{number}")) for number in range(40)]
    agent = Obedient([*fetches, END])
    broker = Broker(hosts=lambda: [site.host], path=tmp_path / "lines")
    laptop = await laptop_of(tmp_path, agent, broker, real=False)
    folder = laptop.grant(FolderMode.TRUSTED)
    async with laptop:
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await laptop.finish(task)
    return laptop, task, agent


async def test_a_task_that_says_too_much_ends_and_its_owner_reads_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NE-10: it is not done, nothing of it goes on, and the reason is in the words of the catalogue."""
    monkeypatch.setattr(limits, "EGRESS_TASK_OUT_BYTES_MAX", 5_000)
    async with canary() as site:
        laptop, task, agent = await _greedy(tmp_path, site)

    ended = laptop.hub.task(task)
    assert (ended.state, ended.verdict) == (TaskState.FAILED, Verdict.NOT_DONE)
    assert "more over the internet than one task may" in json.dumps(ended.to_json())
    assert 0 < len(site.heads) < 10
    assert [result.outcome for result in results(agent)] == ["ok"] * len(site.heads)


# --- what the owner says and reads ---------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with nothing of this machine's environment."""
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("internet.hosts", "example.org, github.com"),
        ("internet.hosts", "https://example.org"),
        ("internet.credentials", "example.org Bearer x"),
    ],
)
def test_a_list_that_cannot_be_meant_is_not_written(home: Path, name: str, said: str) -> None:
    """NE-04: the validator refuses it before it holds, at the keyboard."""
    with pytest.raises(DeskhandError) as caught:
        parsed(name, said)

    assert caught.value.code in {Code.CONFIG_INVALID, Code.ADDRESS_REFUSED}
    assert not (home / "config.toml").exists()


def test_a_list_that_was_written_by_hand_is_refused_with_its_line(home: Path) -> None:
    """NE-04: a file with it allows nothing, and says where."""
    del home
    config_path().write_text('[internet]\nhosts = ["example.org",\n "github.com"]\n', "utf-8")

    with pytest.raises(DeskhandError) as caught:
        setting("internet.hosts")

    assert caught.value.code is Code.CONFIG_INVALID
    assert "config.toml:2" in caught.value.detail
    assert "GET github.com/" in caught.value.detail


def test_a_task_can_be_asked_where_it_went(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SE-06: each request is one line; what could act on a terminal is spelled out."""
    hosts: Sequence[str] = []
    (home / "runner").mkdir()
    broker = Broker(hosts=lambda: hosts, path=home / "runner" / EGRESS)
    with broker.counting("tsk_1", "command", "\x1b[2J") as line:
        line.host = "evil.example:443"

    ended = tasks.show("tsk_1", net=True)

    said = capsys.readouterr().out
    assert (ended, "\x1b" in said) == (0, False)
    assert "evil.example:443" in said


async def test_the_account_may_forbid_what_a_computer_lists(home: Path) -> None:
    """RO-04, RO-05: the account's ceiling takes effect before the next request, and a key comes from the safe."""
    (home / "runner").mkdir()
    repeated = answer(b"you said tokn-9a7c", "X: y")
    async with canary({"/": repeated}) as site:
        config_path().write_text(
            f'[internet]\nhosts = ["{site.host}"]\ncredentials = ["{site.host}/ X-Key: {{mine}}"]\n', "utf-8"
        )
        Safe(home).put("mine", "tokn-9a7c")
        laptop = Laptop(home, [Obedient([END])])
        async with laptop:
            broker = way_out(home, laptop.rows, SystemClock())
            request = EgressRequest(method="GET", url=f"{site.url}/")
            answered = await broker.send(request, task="tsk_1")
            laptop.hub.tell(ev.SettingChanged(name="ceiling.internet", value=False))
            await until(lambda: laptop.rows.setting("ceiling.internet") is False)
            with pytest.raises(DeskhandError) as caught:
                await broker.send(request, task="tsk_1")

    assert answered.body == b"you said *"
    assert "X-Key: tokn-9a7c" in site.heads[0]
    assert (caught.value.code, len(site.heads)) == (Code.ADDRESS_REFUSED, 1)
