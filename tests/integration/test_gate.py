"""The gate with real folders: facts are found out, not believed, and what changed is not done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deskhand.limits import READ_BYTES_MAX
from deskhand.permissions.rules import Decision, Kind
from deskhand.ports import Effect, Place, Tool, ToolCall, ToolResult
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import JsonObject
from deskhand.runner.gate import Gate, Scope
from deskhand.testing.agents import call
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests.laptop import Box, inline


@dataclass(slots=True)
class Made:
    """A tool that is whatever a test needs."""

    name: str = "made"
    effect: Effect = "idempotent"
    writes: bool = True
    kind: Kind = "safe"
    aim: str = "{results}/made.md"
    does: Callable[[], ToolResult] = lambda: ToolResult(outcome="ok", value={})

    def target(self, arguments: JsonObject, place: Place) -> str:
        """Return what the test said."""
        del arguments
        return self.aim.format(results=place.results.root)

    async def call(self, arguments: JsonObject, place: Place) -> ToolResult:
        """Do what the test said."""
        del arguments, place
        return self.does()


@dataclass(slots=True)
class Several(Made):
    """A tool that touches several things at once."""

    aims: tuple[str, ...] = ()

    def targets(self, arguments: JsonObject, place: Place) -> tuple[str, ...]:
        """Return each of them."""
        del arguments
        return tuple(aim.format(results=place.results.root) for aim in self.aims)


@dataclass(slots=True)
class Desk:
    """A gate before one folder, whose mode can be turned."""

    root: Path
    mode: FolderMode | None = FolderMode.WORKSPACE
    box: Box = field(default_factory=Box)
    tools: dict[str, Tool] = field(default_factory=dict[str, Tool])

    @property
    def gate(self) -> Gate:
        """Return the gate."""
        return Gate(tools={**standard_tools(offload=inline), **self.tools})

    def scope(self, *, folder: bool = True) -> Scope:
        """Return the scope of a task, with a folder or without."""
        self.root.mkdir(exist_ok=True)
        access = Folder(self.root)
        place = Place(folder=access if folder else None, results=access, mode=FolderMode.READ_ONLY, sandbox=self.box)
        return Scope(place=place, folder="fld_1" if folder else None, mode=lambda: self.mode)


WRITE = call("write_file", path="a.md", content="x")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk over an empty folder."""
    return Desk(tmp_path / "Work")


async def test_a_ruling_names_the_rule_and_exactly_what_would_run(desk: Desk) -> None:
    """Its hash is over the action a person would see."""
    desk.mode = FolderMode.ASK

    ruling = await desk.gate.admit(call("run_command", argv=["ls", "-l"]), desk.scope())

    assert (ruling.decision, ruling.rule, ruling.risk) == (Decision.ASK, "ask_first", "medium")
    assert ruling.action.argv == ("ls", "-l")
    assert ruling.action.folder == "fld_1"
    assert (ruling.sentence, ruling.pure) == ("Run ls -l?", False)


async def test_an_unknown_tool_is_denied(desk: Desk) -> None:
    """Nothing is guessed."""
    ruling = await desk.gate.admit(call("format_disk"), desk.scope())

    assert (ruling.decision, ruling.rule) == (Decision.DENY, "unknown_tool")


async def test_every_target_of_a_wish_must_be_permitted(desk: Desk) -> None:
    """One path outside forbids the whole wish."""
    inside = Several(aims=("{results}/a.md", "{results}/b.md"))
    mixed = Several(name="mixed", aims=("{results}/a.md", "/etc/passwd"))
    none = Several(name="none", aims=())
    desk.tools = {"made": inside, "mixed": mixed, "none": none}

    decisions = [(await desk.gate.admit(call(name), desk.scope())).decision for name in ("made", "mixed", "none")]

    assert decisions == [Decision.ALLOW, Decision.DENY, Decision.ALLOW]


@pytest.mark.parametrize(
    ("effect", "writes", "aim", "decision"),
    [
        ("pure", False, "", "allow"),
        ("probe", False, "{results}/a.md", "deny"),
        ("idempotent", True, "", "deny"),
        ("idempotent", True, "relative.md", "deny"),
        ("idempotent", True, "{results}/../out.md", "deny"),
        ("idempotent", True, "{results}/.ssh/config", "deny"),
        ("idempotent", True, "{results}", "allow"),
    ],
)
async def test_where_a_target_lies_decides(
    desk: Desk, effect: Effect, aim: str, decision: str, *, writes: bool
) -> None:
    """A target that is not provably beneath one of the task's places is outside."""
    desk.tools = {"made": Made(effect=effect, writes=writes, aim=aim)}

    ruling = await desk.gate.admit(call("made"), desk.scope())

    assert ruling.decision.value == decision


async def test_without_a_folder_the_results_place_is_free(desk: Desk) -> None:
    """It was made for this task alone; commands there still need a wall."""
    desk.box.level = "none"

    write = await desk.gate.admit(WRITE, desk.scope(folder=False))
    run = await desk.gate.admit(call("run_command", argv=["ls"]), desk.scope(folder=False))

    assert (write.rule, run.decision, run.risk) == ("own_results", Decision.ASK, "high")


async def test_performing_says_which_files_differ(desk: Desk) -> None:
    """Created the first time, changed the second; a command says it itself."""
    said: JsonObject = {
        "changes": [{"path": "c.md", "kind": "deleted", "size": 0}, {"path": "d.md", "kind": "dreamt"}, "nonsense"]
    }
    desk.tools = {"made": Made(does=lambda: ToolResult(outcome="ok", value=said))}
    replace = call("write_file", path="a.md", content="y", replace=True)
    found: list[Mapping[str, str]] = []

    for wanted in (WRITE, replace, call("made"), call("list_files", path=".")):
        scope = desk.scope()
        ruling = await desk.gate.admit(wanted, scope)
        found.append((await desk.gate.perform(wanted, scope, ruling)).changes)

    assert found == [{"a.md": "created"}, {"a.md": "changed"}, {"c.md": "deleted"}, {}]


async def test_a_path_that_cannot_be_looked_at_is_no_change(desk: Desk) -> None:
    """A wish whose path is refused by the handle changes nothing that could be counted."""
    desk.tools = {"made": Made()}
    scope = desk.scope()
    odd = call("made", path="../up.md")

    performed = await desk.gate.perform(odd, scope, await desk.gate.admit(odd, scope))

    assert performed.changes == {}


async def test_a_tool_that_breaks_or_refuses_is_a_result(desk: Desk) -> None:
    """The agent hears of it without inner detail; the attempt goes on."""

    def break_down() -> ToolResult:
        raise RuntimeError("/home/secret")

    desk.tools = {"made": Made(does=break_down)}
    scope = desk.scope()
    broke = call("made")
    missing = call("read_file", path="none.md")

    first = await desk.gate.perform(broke, scope, await desk.gate.admit(broke, scope))
    second = await desk.gate.perform(missing, scope, await desk.gate.admit(missing, scope))

    assert (first.result.outcome, first.result.value) == ("error", {"code": "internal"})
    assert "secret" not in first.result.text
    assert second.result.value == {"code": "not_found"}


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [(FolderMode.WORKSPACE, "ok"), (FolderMode.ASK, "denied"), (FolderMode.READ_ONLY, "denied"), (None, "denied")],
)
async def test_what_was_let_in_is_looked_at_again_before_it_is_done(
    desk: Desk, mode: FolderMode | None, outcome: str
) -> None:
    """A mode turned down between the two stops the effect (RO-05)."""
    scope = desk.scope()
    ruling = await desk.gate.admit(WRITE, scope)

    desk.mode = mode
    performed = await desk.gate.perform(WRITE, scope, ruling)

    assert performed.result.outcome == outcome
    assert (desk.root / "a.md").exists() is (outcome == "ok")


async def test_a_wish_that_was_asked_is_done_only_while_it_is_the_same(desk: Desk) -> None:
    """The same action may run after its yes; another content of the file it replaces voids it (AP-02)."""
    desk.mode = FolderMode.ASK
    replace = call("write_file", path="a.md", content="new", replace=True)
    scope = desk.scope()
    (desk.root / "a.md").write_text("old")
    ruling = await desk.gate.admit(replace, scope)

    (desk.root / "a.md").write_text("mine")
    changed = await desk.gate.perform(replace, scope, ruling)
    (desk.root / "a.md").write_text("old")
    same = await desk.gate.perform(replace, scope, ruling)

    assert (changed.result.outcome, same.result.outcome) == ("denied", "ok")


async def test_the_identity_covers_files_a_command_names_whatever_they_are(desk: Desk) -> None:
    """Directories, links out, absent and huge files have an identity too, and nothing is read through a link."""
    desk.mode = FolderMode.ASK
    scope = desk.scope()
    (desk.root / "dir").mkdir()
    (desk.root / "out").symlink_to("/etc/passwd")
    with (desk.root / "huge").open("wb") as file:
        file.truncate(READ_BYTES_MAX + 1)
    wanted = call("run_command", argv=["cat", "dir", "out", "huge", "../up", "none"])

    first = await desk.gate.admit(wanted, scope)
    with (desk.root / "huge").open("wb") as file:
        file.truncate(READ_BYTES_MAX + 2)
    second = await desk.gate.admit(wanted, scope)

    assert first.action.identity != second.action.identity
    assert first.action.but(identity=None) == second.action.but(identity=None)


async def test_what_is_too_large_to_show_is_not_asked(desk: Desk) -> None:
    """A yes to what nobody can see is worth nothing (AP-08)."""
    desk.mode = FolderMode.ASK
    huge = call("write_file", path="a.md", content="x" * 300_000)

    assert (await desk.gate.admit(huge, desk.scope())).rule == "too_large_to_show"


async def test_floats_in_a_wish_can_be_hashed_and_shown(desk: Desk) -> None:
    """They are spelled as text, the same everywhere."""
    desk.mode = FolderMode.ASK
    desk.tools = {"made": Made()}

    ruling = await desk.gate.admit(call("made", ratio=0.5), desk.scope())

    assert ruling.action.arguments == {"ratio": "0.5"}


async def test_a_grant_for_the_task_is_as_wide_as_it_says(desk: Desk) -> None:
    """The exact command; or one tool writing in one folder (AP-10)."""
    desk.mode = FolderMode.ASK

    async def grant(wanted: ToolCall) -> str:
        return (await desk.gate.admit(wanted, desk.scope())).grant

    again = call("write_file", path="b.md", content="y")
    assert await grant(WRITE) == await grant(again)
    assert await grant(WRITE) != await grant(call("make_directory", path="a"))
    assert await grant(call("run_command", argv=["ls"])) != await grant(call("run_command", argv=["ls", "-R"]))


def test_the_gate_shows_its_tools(desk: Desk) -> None:
    """For the class of recovery of a stored wish."""
    tool = desk.gate.tools.get("run_command")

    assert tool is not None
    assert (tool.effect, desk.gate.tools.get("nothing")) == ("idempotent", None)
