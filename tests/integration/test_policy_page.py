"""The worked example of the how-to page is what happens: its lines and its expectations are run here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deskhand.cli.commands import setup as commands
from deskhand.egress.broker import Broker
from deskhand.permissions.evaluate import Policy
from deskhand.permissions.rules import parse
from deskhand.ports import Place
from deskhand.protocol.objects import FolderMode
from deskhand.runner.gate import Gate, Scope
from deskhand.testing.agents import call
from deskhand.tools.beneath import Folder
from deskhand.tools.registry import standard_tools
from tests.desk import make_desk
from tests.laptop import Box, inline

PAGE = Path(__file__).parents[2] / "docs/how-to/policy.md"
HOSTS = ("docs.python.org", "old.example.org", "GET github.com/")


def block(kind: str) -> str:
    """Return a block of the page."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


EXPECTED = [
    re.fullmatch(r"(\w+) +(\S+) (.*?) +(allow|ask|deny) +(.*)", line) for line in block("expectations").splitlines()
]


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda one: one and one[0])
async def test_the_worked_example_is_what_happens(tmp_path: Path, expected: re.Match[str] | None) -> None:
    """Every line of the page: what is decided, and by which line or rule."""
    assert expected is not None
    folder, tool, said, decision, decider = expected.groups()
    root = Folder(tmp_path)
    for name in ("notes", "private", "archive"):
        root.mkdir(name)
    rules, problems = parse(block("policy").replace(f"/home/me/{folder}", str(tmp_path)))
    tools = standard_tools(offload=inline, broker=Broker(hosts=lambda: HOSTS))
    gate = Gate(tools=tools, policy=lambda: Policy(lines=rules), today=lambda: "2026-11-23")
    place = Place(folder=root, results=root, mode=FolderMode.WORKSPACE, sandbox=Box())
    scope = Scope(place=place, folder="f", mode=lambda: FolderMode.WORKSPACE)
    arguments = commands.arguments_of(tools[tool], shlex.split(said))

    ruling = await gate.admit(call(tool, "", **arguments), scope)

    by = re.search(r"[Ll]ine (\d+) of", ruling.why)
    assert not problems
    assert (ruling.decision.value, f"line {by[1]}" if by else ruling.rule) == (decision, decider)


def test_the_example_is_worth_reading() -> None:
    """Its two blocks together are some sixty lines."""
    lines, cases = block("policy").splitlines(), block("expectations").splitlines()

    assert 45 <= len(lines) + len(cases) <= 60


@pytest.mark.timeout(90)
def test_the_commands_of_the_policy(tmp_path: Path) -> None:
    """What is refused names line, column and cure and changes nothing; what holds is shown and can be tried."""
    desk = make_desk(tmp_path)
    rules = tmp_path / "rules.txt"
    rules.write_text("deny * path=private/**\nallow run_command -- git **\nask wriet_file\n")

    refused = desk.run("policy", "set", str(rules), "--json")
    rules.write_text(f"ask write_file  # mine\ndeny * folder={tmp_path}/way\n")
    (tmp_path / "way").symlink_to(tmp_path)
    astray = desk.run("policy", "set", str(rules), "--json")
    nothing = desk.run("policy", "show", "--json")
    rules.write_text("ask write_file  # mine\n")
    absent = desk.run("policy", "set", str(tmp_path / "none"), "--json")
    taken = desk.run("policy", "set", str(rules))
    shown = desk.run("policy", "show")
    desk.run("folders", "add", str(desk.folder), "--mode", "workspace")
    tried = desk.run("policy", "test", "write_file", "a.md", "--folder", str(desk.folder), "--json")

    assert (refused.status, refused.json["error"]["code"]) == (1, "config_invalid")
    assert "Line 2, column 7: one word allows too much." in refused.err
    assert 'Line 3, column 5: "wriet_file" is no tool.' in refused.err
    assert (astray.status, "Line 2: this way leads to another folder." in astray.err) == (1, True)
    assert nothing.json["items"] == []
    assert (absent.status, absent.json["error"]["code"]) == (1, "not_found")
    assert (taken.status, "1 lines hold from now on." in taken.err) == (0, True)
    assert shown.out == "   1  ask write_file  # mine\n"
    said = tried.json
    odd = desk.run("policy", "test", "write_file", "{odd", "--json")
    assert odd.json["error"]["code"] == "malformed_json"
    assert (said["decision"], said["rule"]) == ("ask", "policy")
    assert said["why"] == "Line 1 of this computer's policy file: ask write_file"


def test_a_policy_that_is_broken_is_shown_with_what_is_wrong(tmp_path: Path) -> None:
    """And the command ends with an error."""
    desk = make_desk(tmp_path)
    desk.home.mkdir(exist_ok=True)
    (desk.home / "policy.txt").write_text("perhaps\n")

    shown = desk.run("policy", "show")

    assert (shown.status, shown.out) == (1, "   1  perhaps\n")
    assert 'Line 1, column 1: "perhaps" is no decision.' in shown.err
