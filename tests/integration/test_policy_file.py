"""The owner's lines on this computer and the account's: read before each effect, written by a yes for always."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deskhand.egress.broker import Broker
from deskhand.permissions.evaluate import Policy
from deskhand.permissions.rules import Decision
from deskhand.ports import Done, Place, ToolCall
from deskhand.protocol.events import FolderPut, SettingChanged
from deskhand.protocol.objects import Folder as KnownFolder
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.tasks import Label
from deskhand.runner.ceiling import POLICY, policy_now, policy_text, write_policy
from deskhand.runner.gate import Gate, Ruling, Scope
from deskhand.testing.agents import Obedient, call, wish
from deskhand.testing.links import RUNNER
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests.laptop import Box, Laptop, inline, until
from tests.ruling import rule_of

WRITE = call("write_file", path="a.md", content="x")
AGAIN = call("write_file", path="b.md", content="y")
RUN = call("run_command", "list it", argv=["ls", "-l"])
UNDO = call("undo_files", task="tsk_1")
END = Done(summary="x")
HOSTS = ("docs.example.org", "GET github.com/")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with two in it."""
    for name in ("private", "open"):
        (tmp_path / "w" / name).mkdir(parents=True)
    return tmp_path / "w"


async def ruling(
    root: Path,
    wanted: ToolCall,
    *lines: str,
    mode: FolderMode = FolderMode.ASK,
    tainted: bool = False,
    wall: str = "full",
) -> Ruling:
    """Return what the gate says to a wish in a folder, with these lines in the policy."""
    policy = Policy(lines=tuple(map(rule_of, lines)))
    tools = standard_tools(offload=inline, broker=Broker(hosts=lambda: HOSTS))
    gate = Gate(tools=tools, policy=lambda: policy, today=lambda: "2026-11-23")
    folder = Folder(root)
    place = Place(folder=folder, results=folder, mode=mode, sandbox=Box(level=wall))
    label = Label(untrusted=("a.example",), private=("upload",)) if tainted else Label()
    scope = Scope(place=place, folder="fld_1", mode=lambda: mode, facts=lambda: label)
    return await gate.admit(wanted, scope)


def rows(laptop: Laptop) -> list[dict[str, object]]:
    """Return the intent of every effect in the journal of a runner that has ended."""
    with closing(sqlite3.connect(laptop.home / "runner.db")) as database:
        found = database.execute("SELECT wish FROM steps WHERE kind = 'tool' ORDER BY n").fetchall()
    wishes = [json.loads(wish) for (wish,) in found]
    return [one for one in wishes if "action_sha256" in one]


# --- what the gate makes of them ---------------------------------------------------------------------------------


async def test_a_line_decides_and_the_ruling_quotes_it(root: Path) -> None:
    """The person reads which line of the file it was."""
    asked = await ruling(root, RUN, "ask run_command -- ls **", mode=FolderMode.WORKSPACE)

    assert (asked.decision, asked.rule) == (Decision.ASK, "policy")
    assert asked.why == "Line 1 of this computer's policy file: ask run_command -- ls **"


@pytest.mark.parametrize(
    ("wanted", "decision"),
    [
        (call("read_file", path="private/a.md"), "deny"),
        (call("read_file", path="./PRIVATE//a.md"), "deny"),
        (call("list_files", path="."), "ask"),
        (call("list_files", path="open"), "allow"),
        (call("find_files", words=["x"]), "ask"),
        (call("read_files", paths=["open/b.md", "private/a.md"]), "deny"),
        (call("move_file", path="open", to="private/open"), "deny"),
        (call("write_table", path="open/t.csv", tables={"paths": ["open/b.csv"]}), "allow"),
        (call("write_table", path="open/t.csv", tables={"paths": ["./Private/b.csv"]}), "deny"),
        (call("merge_pdfs", path="open/t.pdf", files={"paths": ["../out.pdf"]}), "deny"),
        (call("check_copied", path="open/t.md", paths=["private/b.md"]), "deny"),
        (call("check_files", files=[{"path": "private/b.md"}]), "deny"),
        (call("trash_file", path="private"), "deny"),
        (RUN, "ask"),
        (call("fetch_url", url="https://docs.example.org/a"), "ask"),
    ],
)
async def test_a_denied_path_is_reached_by_no_tool(root: Path, wanted: ToolCall, decision: str) -> None:
    """In any spelling, from above, among others; what could reach it unseen is asked (FS-08)."""
    said = await ruling(root, wanted, "deny * path=private/**", mode=FolderMode.WORKSPACE)

    assert said.decision.value == decision


@pytest.mark.parametrize("way", ["", "#here", "?q=1", "#/../2"])
async def test_a_denied_host_is_reached_by_no_spelling_of_an_address(root: Path, way: str) -> None:
    """What is judged is what is asked for, without the place in the page."""
    wanted = call("fetch_url", url=f"https://DOCS.example.org/2/a{way}")

    said = await ruling(root, wanted, "deny * host=docs.example.org prefix=/2/", "allow fetch_url")

    assert (said.decision, said.rule) == (Decision.DENY, "policy")


async def test_a_link_into_a_denied_path_is_not_followed(root: Path) -> None:
    """The line sees the name, and the handle follows no link (FS-08)."""
    (root / "private/a.md").write_text("secret")
    (root / "way").symlink_to(root / "private")
    tools = standard_tools(offload=inline)
    gate = Gate(tools=tools, policy=lambda: Policy(lines=(rule_of("deny * path=private/**"),)))
    folder = Folder(root)
    place = Place(folder=folder, results=folder, mode=FolderMode.WORKSPACE, sandbox=Box())
    scope = Scope(place=place, folder="f", mode=lambda: FolderMode.WORKSPACE)
    wanted = call("read_file", path="way/a.md")

    performed = await gate.perform(wanted, scope, await gate.admit(wanted, scope))

    assert performed.result.outcome == "error"
    assert "secret" not in performed.result.text


# --- always ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "pattern"),
    [
        (RUN, "allow run_command folder={root} until=2026-12-23 -- ls -l"),
        (
            call("run_command", argv=["sh", "-c", "wc -l *.csv"]),
            'allow run_command folder={root} until=2026-12-23 -- sh -c "wc -l *.csv"',
        ),
        (WRITE, "allow write_file folder={root} until=2026-12-23"),
        (
            call("fetch_url", url="https://docs.example.org/guide/a.html?q=1"),
            "allow fetch_url host=docs.example.org method=GET prefix=/guide/ until=2026-12-23",
        ),
        (call("fetch_url", url="https://github.com/"), None),
    ],
)
async def test_always_is_offered_for_a_pattern_that_can_be_seen(
    root: Path, wanted: ToolCall, pattern: str | None
) -> None:
    """The exact command, the tool in this folder, or host with method and place; for a month (AP-10, NE-04)."""
    asked = await ruling(root, wanted)

    said = pattern and pattern.format(root=root)
    assert (asked.decision, asked.pattern) == (Decision.ASK, said)
    assert asked.until == ("2026-12-23" if said else None)
    if said:
        assert (await ruling(root, wanted, said)).decision is Decision.ALLOW


async def test_always_after_foreign_content_says_so(root: Path) -> None:
    """It is offered only as what holds even then; one given before does not (PI-04)."""
    plain = (await ruling(root, RUN)).pattern or ""
    even = (await ruling(root, RUN, tainted=True)).pattern or ""

    assert even == plain.replace(" --", " even-after-foreign --")
    assert (await ruling(root, RUN, plain, tainted=True)).decision is Decision.ASK
    assert (await ruling(root, RUN, even, tainted=True)).decision is Decision.ALLOW


async def test_always_is_not_offered_where_it_would_not_hold(root: Path) -> None:
    """High risk never; nor where another line would ask again (AP-10)."""
    bare = await ruling(root, RUN, wall="none")
    asked = await ruling(root, RUN, "ask run_command -- ls **")

    assert (bare.decision, bare.risk, bare.pattern) == (Decision.ASK, "high", None)
    assert (asked.decision, asked.pattern) == (Decision.ASK, None)


async def test_to_undo_is_asked_each_time(root: Path) -> None:
    """What was taken back cannot be had again: no always is offered, and no line allows it (AP-10)."""
    asked = await ruling(root, UNDO)
    allowed = await ruling(root, UNDO, "allow undo_files", "allow *", mode=FolderMode.TRUSTED)

    assert (asked.decision, asked.rule, asked.pattern) == (Decision.ASK, "undoing", None)
    assert (allowed.decision, allowed.rule) == (Decision.ASK, "undoing")


async def test_a_line_allows_nothing_that_a_phone_narrowed_to_a_question(tmp_path: Path) -> None:
    """RO-05: of the owner's line and the stricter mode that was set later elsewhere the stricter one holds."""
    laptop = Laptop(tmp_path, [Obedient([wish(WRITE), END])])
    folder = laptop.grant(FolderMode.WORKSPACE)
    write_policy(laptop.home, f"allow write_file folder={laptop.folder}\n")
    known = {"id": folder.id, "runner": RUNNER, "root": folder.root, "label": "w", "mode": "ask"}

    async with laptop:
        laptop.hub.tell(FolderPut(folder=KnownFolder.from_json(known)))
        task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(laptop.hub.approvals)
        (asked,) = laptop.hub.approvals()
        before = (laptop.folder / "a.md").exists()
        laptop.hub.decide(asked, "allow")
        await laptop.finish(task)

    assert (asked.rule, "always" in asked.scopes, before) == ("narrowed", False, False)
    assert (laptop.folder / "a.md").exists()


async def test_a_yes_for_always_becomes_a_line_that_can_be_taken_back(tmp_path: Path) -> None:
    """The next task is not asked; without the line it is asked again (AP-10)."""
    laptop = Laptop(tmp_path, [Obedient([wish(WRITE), END])])
    folder = laptop.grant(FolderMode.ASK)

    async with laptop:
        first = laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(laptop.hub.approvals)
        (approval,) = laptop.hub.approvals()
        laptop.hub.decide(approval, "allow", scope="always")
        await laptop.finish(first)
        (laptop.folder / "a.md").unlink()
        second = laptop.hub.assign("y", agent="scripted", folder=folder.id)
        await laptop.finish(second)
        written, kept = (laptop.folder / "a.md").exists(), policy_text(laptop.home)
        (laptop.folder / "a.md").unlink()
        write_policy(laptop.home, "")
        third = laptop.hub.assign("z", agent="scripted", folder=folder.id)
        await until(laptop.hub.approvals)

    assert written
    assert "always" in approval.scopes
    assert kept.startswith(f"{approval.pattern}  # always: 2")
    assert kept.endswith(f" {approval.id}\n")
    assert kept.count("\n") == 1
    assert (laptop.home / POLICY).stat().st_mode & 0o777 == 0o600
    assert laptop.hub.approvals()[0].task == third


async def test_a_yes_for_always_is_written_once_also_after_a_crash(tmp_path: Path) -> None:
    """Killed at any commit after the yes, the line stands there once and the effect happens once."""
    laptop = Laptop(tmp_path, [Obedient([wish(WRITE), END])])
    folder = laptop.grant(FolderMode.ASK)
    await laptop.start()
    task = laptop.hub.assign("x", agent="scripted", folder=folder.id)
    await until(laptop.hub.approvals)
    laptop.hub.decide(laptop.hub.approvals()[0], "allow", scope="always")
    await until((laptop.home / POLICY).exists)
    await laptop.kill()

    async with laptop:
        await laptop.finish(task)

    assert policy_text(laptop.home).count("\n") == 1
    assert (laptop.folder / "a.md").read_text() == "x"


# --- in the middle of a task -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("deny write_file", "Line 1 of this computer's policy file: deny write_file"),
        ("deny write_file\nperhaps", "A policy cannot be read"),
        ("\xff", "A policy cannot be read"),
    ],
)
async def test_a_line_written_in_mid_task_holds_for_the_next_effect(tmp_path: Path, text: str, why: str) -> None:
    """The file is read anew each time; one that cannot be read stops everything but reading (RO-05)."""

    def turn(then: ToolCall) -> Callable[[object], object]:
        def moves(_: object) -> object:
            (laptop.home / POLICY).write_bytes(text.encode("latin-1"))
            return wish(then)

        return moves

    looks = wish(call("read_file", path="a.md"))
    agent = Obedient([wish(WRITE), turn(AGAIN), looks, END])  # pyright: ignore[reportArgumentType] - its own kind of move
    laptop = Laptop(tmp_path, [agent])
    folder = laptop.grant(FolderMode.WORKSPACE)

    async with laptop:
        await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

    wrote, again, read = (turn.results[-1] for turn in agent.seen[-1])
    assert (wrote.outcome, again.outcome, read.outcome) == ("ok", "denied", "ok")
    assert why in again.text
    assert not (laptop.folder / "b.md").exists()


async def test_what_the_account_says_narrows_only(tmp_path: Path) -> None:
    """Its denial holds on every computer, its permission nowhere (RO-04)."""
    agent = Obedient([wish(RUN), wish(WRITE), END])
    laptop = Laptop(tmp_path, [agent])
    folder = laptop.grant(FolderMode.ASK)

    async with laptop:
        laptop.hub.tell(SettingChanged(name="policy", value=["deny run_command", "allow write_file"]))
        await until(lambda: laptop.rows.setting("policy"))
        laptop.hub.assign("x", agent="scripted", folder=folder.id)
        await until(laptop.hub.approvals)

    denied = agent.seen[-1][0].results[0]
    assert denied.text == "Not allowed: Line 1 of the account's policy: deny run_command"
    assert laptop.hub.approvals()[0].action.tool == "write_file"


def test_a_policy_that_others_may_write_counts_as_broken(tmp_path: Path) -> None:
    """So does one that is no text, or a wrong line of the account; what could be read of them still denies."""
    fine = policy_now(tmp_path, ["deny * path=a"])
    wrong = policy_now(tmp_path, ["deny * path=b\ndeny *", "deny * path=a"])
    write_policy(tmp_path, "deny * path=a\n")
    (tmp_path / POLICY).chmod(0o666)
    shared = policy_now(tmp_path, None)

    assert (len(fine.account), fine.broken) == (1, "")
    assert (len(wrong.account), wrong.broken[:7]) == (1, "Line 1,")
    assert shared.lines == ()
    assert "policy.txt" in shared.broken


async def test_every_effect_has_its_decision_written_before_it(tmp_path: Path) -> None:
    """Which rule let it happen, in one row with the intent (R19)."""
    laptop = Laptop(tmp_path, [Obedient([wish(WRITE), wish(RUN), wish(AGAIN), END])])
    laptop.home.mkdir()
    write_policy(laptop.home, "allow write_file path=b.md\n")
    folder = laptop.grant(FolderMode.WORKSPACE)

    async with laptop:
        await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

    assert [(one["rule"], one["asked"]) for one in rows(laptop)] == [
        ("workspace", False),
        ("sandboxed_in_folder", False),
        ("policy", False),
    ]


async def test_what_may_not_be_read_is_not_handed_over_either(tmp_path: Path) -> None:
    """An agent that names a denied file as its result gets a failed check, and the file stays here (FS-08)."""
    laptop = Laptop(tmp_path, [Obedient([wish(WRITE), Done(summary="x", outputs=("Private/d.md", "a.md"))])])
    laptop.home.mkdir()
    write_policy(laptop.home, "deny * path=private/**\n")
    (laptop.folder / "Private").mkdir()
    (laptop.folder / "Private/d.md").write_text("secret")
    folder = laptop.grant(FolderMode.WORKSPACE)

    async with laptop:
        task = await laptop.finish(laptop.hub.assign("x", agent="scripted", folder=folder.id))

    assert [one.name for one in task.artifacts] == ["a.md"]
    assert [one.evidence for one in task.checks if not one.passed] == [
        "Line 1 of this computer's policy file: deny * path=private/**"
    ]
